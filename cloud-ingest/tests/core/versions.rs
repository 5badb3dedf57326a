//! Blocks of a version of the wire that is not read here.

use tidegate_ingest::core::{Event, Snapshot};
use tidegate_protocol::{
    WIRE_VERSION,
    ack::{Outcome, RejectReason},
    block::{Stamp, stamp},
    frame::crc::crc32c,
    topic::Lane,
};

use crate::support::{Bench, described, encode, gateway, origin, readings};

/// The stamp is the same in every version, and has a checksum of its own.
fn send(bench: &mut Bench, version: u8, number: u64, block: &[u8]) {
    let (lane, mut bytes) = (Lane::Live, block.to_vec());
    stamp(&mut bytes, Stamp { lane, epoch: 7, number }).unwrap();
    bytes[4] = version;
    let crc = crc32c(&bytes[..24]);
    bytes[24..28].copy_from_slice(&crc.to_le_bytes());
    bench.handle(Event::Block { from: gateway("gw-a"), lane, bytes: bytes.into(), arrival_unix_ms: 0 });
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
