//! Blocks of a version of the wire that is not read here.

use tidegate_ingest::core::{Event, Snapshot};
use tidegate_protocol::{
    WIRE_VERSION,
    ack::{Outcome, RejectReason},
    block::{Stamp, stamp},
    frame::crc::crc32c,
    topic::Lane,
};

use crate::support::{Bench, described, encode, errors_of, gateway, origin, readings};

/// The stamp is the same in every version, and has a checksum of its own.
fn send(bench: &mut Bench, version: u8, number: u64, block: &[u8]) {
    send_from(bench, "gw-a", version, number, block);
}

fn send_from(bench: &mut Bench, from: &str, version: u8, number: u64, block: &[u8]) {
    let (lane, mut bytes) = (Lane::Live, block.to_vec());
    stamp(&mut bytes, Stamp { lane, epoch: 7, number }).unwrap();
    bytes[4] = version;
    let crc = crc32c(&bytes[..24]);
    bytes[24..28].copy_from_slice(&crc.to_le_bytes());
    bench.handle(Event::Block { from: gateway(from), lane, bytes: bytes.into(), arrival_unix_ms: 0 });
}

#[test]
fn a_block_of_another_version_is_answered_and_stays_with_its_agent() {
    let board = origin("board", 1);
    let mut bench = Bench::new(Snapshot::default());
    let block = encode(vec![described(board)], vec![readings(board, 0..5)]);
    for number in 0..3 {
        send(&mut bench, WIRE_VERSION + 1, number, &block);
        let unread = Outcome::Rejected { reason: RejectReason::Unsupported, parts: Vec::new() };
        assert_eq!(bench.outcome(number), Some(unread));
    }
    let counters = bench.core.counters();
    assert_eq!((counters.blocks_rejected_unsupported, counters.blocks_rejected_corrupt), (3, 0));
    assert!(bench.batches.iter().all(|batch| batch.quarantine.is_empty() && batch.entries.is_empty()));
    // What is older than the freeze has the same layout.
    send(&mut bench, 0, 3, &block);
    assert_eq!(bench.outcome(3), Some(Outcome::Durable));
    assert_eq!(bench.core.counters().readings_stored, 5);
}

#[test]
fn each_version_is_said_once_of_a_gateway_whatever_it_sends_between() {
    let board = origin("board", 1);
    let block = encode(vec![described(board)], vec![readings(board, 0..5)]);
    let by_turns = || {
        let mut bench = Bench::new(Snapshot::default());
        for round in 0..20 {
            for (at, version) in [2, 3, WIRE_VERSION, 2].into_iter().enumerate() {
                send(&mut bench, version, round * 4 + at as u64, &block);
            }
        }
        assert_eq!(bench.core.counters().blocks_rejected_unsupported, 60, "each is counted");
        bench
    };
    assert_eq!(errors_of(|| drop(by_turns())), 2, "of two versions");
    let errors = errors_of(|| send_from(&mut by_turns(), "gw-b", 2, 1_000, &block));
    assert_eq!(errors, 3, "and of another gateway for itself");
}
