//! Blocks that unpack to far more than they are, through a real broker: each is answered, memory stays within its bound, and
//! beside them an honest board's readings are stored.

#[path = "../support/gateway.rs"]
mod gateway;
#[path = "../../protocol/tests/support/repair.rs"]
mod repair;

use gateway::Gateway;
use repair::block;
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, DeviceId, GatewayId, Origin, Quality, Reading, Seq,
    SiteId, Tick, Value, ValueKind,
    ack::{Outcome, RejectReason},
    block::{Block, Description, MAX_BODY_BYTES, MAX_READINGS, OriginReadings, Record},
    topic::GatewayPath,
};
use tidegate_tests::{
    api::number,
    chain::{Chain, OTHER_GATEWAY, PASSWORD, SITE},
    hostile::{MIB, assert_grew_by_at_most, resident},
    measured::{Measured, RULES},
};

/// Of each kind.
const BOMBS: usize = 100;
/// Of those that are not.
const FULL: u64 = 10;

fn path() -> GatewayPath {
    let (site, gateway) = (SiteId::new(SITE), GatewayId::new(OTHER_GATEWAY));
    GatewayPath::new(site.expect("a slug"), gateway.expect("a slug"))
}

/// The n-th of a device whose readings are all alike.
fn full(number: u64) -> Block {
    let origin = Origin::new(DeviceId::new("flat").expect("a slug"), BootId(1));
    let name = ChannelName::new("level").expect("a name");
    let channels = vec![ChannelDecl { name, unit: "m".to_owned(), kind: ValueKind::Bool, scale: 0 }];
    let (tag, firmware) = (String::new(), String::new());
    let first = number * MAX_READINGS as u64;
    let reading = |seq| Reading {
        seq: Seq(seq),
        channel: ChannelIndex(0),
        tick: Tick(seq),
        value: Value::Bool(true),
        quality: Quality::Good,
    };
    let readings = (first..first + MAX_READINGS as u64).map(reading).collect();
    Block {
        records: vec![Record::Described(Description { origin, tag, firmware, channels })],
        origins: vec![OriginReadings { origin, readings }],
    }
}

/// A zstd frame of run-length blocks: each four bytes are 128 KiB of zeros. `window` is its descriptor: 0xff asks for 3.75 TiB.
fn frame(window: u8, runs: usize) -> Vec<u8> {
    const RUN: u32 = 128 * 1024;
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window];
    for run in 1..=runs {
        let head = RUN << 3 | 1 << 1 | u32::from(run == runs);
        frame.extend_from_slice(&head.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// By name, what it is sent as.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    const RUNS: usize = MAX_BODY_BYTES / (128 * 1024);
    let small_window = 0x38;
    let listed = [1, 0x10, b'b', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 7];
    let most = frame(small_window, RUNS);
    assert!(most.len() < 80, "2 MiB of {} bytes", most.len());
    let huge = frame(small_window, 100_000);
    vec![
        ("unpacks to what it says, which is most", block(0, &[0], &most, MAX_BODY_BYTES)),
        ("says little and unpacks to 12 GiB", block(0, &[0], &huge, 100)),
        ("says most and unpacks to 12 GiB", block(0, &[0], &huge, MAX_BODY_BYTES)),
        ("says more than may be", block(0, &[0], &most, MAX_BODY_BYTES + 1)),
        ("says 4 GiB", block(0, &[0], &most, u32::MAX as usize)),
        ("wants a window of 3.75 TiB", block(0, &[0], &frame(0xff, RUNS), MAX_BODY_BYTES)),
        ("two frames in one", block(0, &[0], &[&most[..], &most].concat(), MAX_BODY_BYTES)),
        ("most readings, of nothing", block(MAX_READINGS as u32, &listed, &most, MAX_BODY_BYTES)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_answered_within_their_bound_and_beside_them_all_is_stored() {
    let mut chain = Chain::new(RULES);
    chain.start();
    let measured = Measured::default();
    let board = measured.board(1, 10, chain.board_link());
    board.wait_until(|status| status.acknowledged > 0).await;
    let ingest = chain.ingest.daemon().id();
    let before = resident(ingest);

    let mut gateway = Gateway::connect(chain.mqtt(), path(), PASSWORD).await;
    for (name, bomb) in bombs() {
        let mut numbers = Vec::new();
        for _ in 0..BOMBS {
            numbers.push(gateway.send_bytes(bomb.clone()).await);
        }
        for number in numbers {
            let outcome = gateway.outcome(number).await;
            let corrupt = matches!(outcome, Outcome::Rejected { reason: RejectReason::Corrupt, .. });
            assert!(corrupt, "{name}: {outcome:?}");
        }
    }
    // What may be: as many readings as a block can list, which all are alike.
    for number in 0..FULL {
        let block = full(number);
        let sent = gateway.send(&block).await;
        assert_eq!(gateway.outcome(sent).await, Outcome::Durable, "block {number}");
    }
    let during = board.measured();
    board.wait_until(|status| status.acknowledged > during).await;
    // One decoder, which holds one block; what waits for it is bounded by its own bytes, of each lane 32 MiB, and a batch.
    assert_grew_by_at_most(ingest, before, 96 * MIB);
    let status = board.finish().await;
    assert_eq!((status.acknowledged, status.lost), (status.measured, 0));
    let all = measured.count() + FULL * MAX_READINGS as u64;
    let audit = chain
        .api()
        .get_when("the board's readings stored", "/api/v1/audit", |audit| {
            audit["totals"]["outstanding"] == 0 && number(audit, "/totals/stored") >= all
        })
        .await;
    assert_eq!(number(&audit, "/totals/stored"), all, "{audit}");
    assert!(chain.ingest.daemon().is_running());
}
