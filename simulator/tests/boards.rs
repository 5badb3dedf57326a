//! Virtual boards over real sockets, against a small gateway and through the fault proxy.

mod support;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use support::{Gateway, device};
use tidegate_protocol::{
    BootId, Quality, Reading, Value,
    id::{ChannelName, Origin},
};
use tidegate_service::Shutdown;
use tidegate_simulator::{
    Blast, BlastPlan, BoardPlan, BootPlan, Fleet, FleetPlan, Pace, Proxy, Recorded, Recording, Script,
    VirtualBoard,
};

/// Far more than anything here takes; a test that hangs must end.
const PATIENCE: Duration = Duration::from_secs(60);

type Seen = Arc<Mutex<BTreeMap<u64, Reading>>>;

/// A board's plan, and what it measures as it measures it.
fn observed(plan: BoardPlan) -> (BoardPlan, Seen) {
    let seen = Seen::default();
    let into = Arc::clone(&seen);
    let observer = Arc::new(move |_: &_, reading: &Reading| {
        let earlier = into.lock().unwrap().insert(reading.seq.0, *reading);
        assert_eq!(earlier, None, "a seq was used twice");
    });
    (BoardPlan { observer: Some(observer), ..plan }, seen)
}

fn fast_board(name: &str) -> (BoardPlan, Seen) {
    observed(BoardPlan {
        boot: BootPlan::Fixed(BootId(42)),
        ..BoardPlan::typical(device(name), 2, 9, 1_000.0)
    })
}

#[tokio::test]
async fn a_board_survives_cuts_and_stalls_and_everything_arrives_as_measured() {
    let (gateway, addr) = Gateway::start().await;
    let proxy = Proxy::start(addr).await.unwrap();
    let (plan, seen) = fast_board("mill-1");
    let board = VirtualBoard::spawn(plan, proxy.addr(), Shutdown::new()).unwrap();
    board.wait_until(|status| status.acknowledged > 50).await;
    proxy.cut();
    let cut_at = board.wait_until(|status| !status.welcomed).await;
    board.wait_until(|status| status.measured > cut_at.measured + 100).await;
    assert!(board.status().acknowledged < board.measured(), "a cut board must hold what it measures");
    proxy.restore();
    board.wait_until(|status| status.acknowledged > cut_at.measured + 50).await;
    proxy.stall();
    let stalled_at = board.measured();
    board.wait_until(|status| status.measured > stalled_at + 50).await;
    proxy.restore();
    let status = tokio::time::timeout(PATIENCE, board.finish()).await.expect("it drains");
    assert_eq!((status.lost, status.acknowledged), (0, status.measured));
    assert!(status.connections >= 2);
    let origins = gateway.origins();
    let kept = &origins[&Origin::new(device("mill-1"), BootId(42))];
    assert_eq!(kept.readings, *seen.lock().unwrap());
    assert_eq!(kept.conflicts, 0);
    let kinds: std::collections::BTreeSet<_> = kept
        .readings
        .values()
        .map(|reading| std::mem::discriminant(&reading.value))
        .map(|kind| format!("{kind:?}"))
        .collect();
    assert_eq!(kinds.len(), 3, "decimal, f32 and bool");
    assert!(proxy.bytes_to_upstream() > 0 && proxy.bytes_from_upstream() > 0);
}

#[tokio::test]
async fn a_full_ring_loses_the_oldest_and_says_which() {
    let (gateway, addr) = Gateway::start().await;
    let proxy = Proxy::start(addr).await.unwrap();
    proxy.cut();
    let (plan, seen) = fast_board("mill-2");
    let board =
        VirtualBoard::spawn(BoardPlan { ring_bytes: 512, ..plan }, proxy.addr(), Shutdown::new()).unwrap();
    board.wait_until(|status| status.lost > 100).await;
    proxy.restore();
    let status = tokio::time::timeout(PATIENCE, board.finish()).await.expect("it drains");
    assert!(status.lost > 100);
    let (origins, seen) = (gateway.origins(), seen.lock().unwrap());
    let kept = &origins[&Origin::new(device("mill-2"), BootId(42))];
    let declared = |seq: u64| kept.losses.iter().any(|range| range.contains(seq));
    for (seq, reading) in seen.iter() {
        match kept.readings.get(seq) {
            Some(kept) => assert_eq!(kept, reading),
            None => assert!(declared(*seq), "{seq} is lost silently"),
        }
    }
    let declared = seen.keys().filter(|seq| declared(**seq)).count();
    assert_eq!(declared as u64, status.lost);
}

#[tokio::test]
async fn a_fleet_with_boots_from_the_gateway_is_acknowledged_to_the_last_reading() {
    let (gateway, addr) = Gateway::start().await;
    let plan = FleetPlan {
        boards: 8,
        rate: 200.0,
        seed: 3,
        prefix: "hall".to_owned(),
        ring_bytes: 64 * 1024,
        boot: BootPlan::FromGateway,
    };
    let fleet = Fleet::spawn(&plan, addr, &Shutdown::new()).unwrap();
    for board in fleet.boards() {
        board.wait_until(|status| status.acknowledged > 20).await;
    }
    let status = fleet.finish(PATIENCE).await;
    assert_eq!((status.boards, status.lost, status.acknowledged), (8, 0, status.measured));
    let origins = gateway.origins();
    let kept: usize = origins.values().map(|kept| kept.readings.len()).sum();
    assert_eq!((origins.len(), kept as u64), (8, status.measured));
}

#[tokio::test]
async fn a_replay_at_full_speed_through_a_small_ring_loses_no_row() {
    let (gateway, addr) = Gateway::start().await;
    let mut text = Vec::new();
    tidegate_simulator::generate::generate(11, 20_000, &mut text).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &text).unwrap();
    let recording = Arc::new(Recording::read(file.path()).unwrap());
    let script = Script::Recording(Recorded {
        recording: Arc::clone(&recording),
        channel: ChannelName::new("temperature").unwrap(),
        unit: "Cel".to_owned(),
        pace: Pace::Max,
    });
    let plan = BoardPlan {
        ring_bytes: 4 * 1024,
        boot: BootPlan::Fixed(BootId(5)),
        ..BoardPlan::new(device("tape"), script)
    };
    let board = VirtualBoard::spawn(plan, addr, Shutdown::new()).unwrap();
    let wait = board.wait_until(|status| status.done && status.settled == status.measured);
    let status = tokio::time::timeout(PATIENCE, wait).await.expect("it drains");
    board.stop().await;
    assert_eq!((status.measured, status.lost), (20_000, 0));
    let origins = gateway.origins();
    let kept = &origins[&Origin::new(device("tape"), BootId(5))];
    assert!(kept.clock_first, "the time at tick 0 must be known before the first reading");
    assert_eq!(kept.clock.map(|clock| (clock.tick.0, clock.unix_ms)), Some((0, recording.start_unix_ms())));
    for (seq, row) in recording.rows().iter().enumerate() {
        let reading = kept.readings[&(seq as u64)];
        assert_eq!(
            (reading.value, reading.tick, reading.quality),
            (Value::F64(row.value), row.tick, row.quality)
        );
    }
    let flagged = kept.readings.values().filter(|reading| reading.quality == Quality::Uncertain).count();
    assert_eq!(flagged, recording.flagged());
}

#[tokio::test]
async fn a_plan_that_makes_no_board_is_an_error_with_the_board_s_name() {
    let (plan, _) = fast_board("mill-3");
    let plan = BoardPlan { ring_bytes: 10, ..plan };
    let error = VirtualBoard::spawn(plan, "127.0.0.1:1".parse().unwrap(), Shutdown::new()).unwrap_err();
    assert_eq!(error.to_string(), "board mill-3: the ring needs at least 88 bytes");
}

#[tokio::test]
async fn a_blast_arrives_whole_and_within_its_window() {
    let (gateway, addr) = Gateway::start().await;
    let plan = BlastPlan {
        devices: 3,
        prefix: "blast".to_owned(),
        readings_per_device: 5_001,
        window_readings: 1_200,
        seed: 1,
    };
    let blast = Blast::prepare(&plan).unwrap();
    let report = tokio::time::timeout(PATIENCE, blast.run(addr)).await.expect("it ends").unwrap();
    assert_eq!((report.readings, report.frames_resent), (15_003, 0));
    let origins = gateway.origins();
    assert_eq!(origins.len(), 3);
    for kept in origins.values() {
        assert_eq!(kept.readings.len(), 5_001);
        assert_eq!(kept.readings.keys().last(), Some(&5_000));
        assert_eq!(kept.conflicts, 0);
    }
}
