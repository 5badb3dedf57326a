//! The gateways share one window, and what they say of themselves outlives a failed commit.

use tidegate_ingest::core::{Event, Snapshot, batch::GatewayRecord};
use tidegate_protocol::{block::Record, status::GatewayStatus, topic::Lane};

use crate::support::{Bench, TOTAL_CREDIT, encode, gateway, origin};

fn known_gateways(online: bool) -> Snapshot {
    let record = |n| (gateway(&format!("gw-{n}")), GatewayRecord { online, ..GatewayRecord::default() });
    Snapshot { gateways: (0..50).map(record).collect(), ..Snapshot::default() }
}

fn granted(bench: &mut Bench) -> u64 {
    std::mem::take(&mut bench.acks).iter().map(|(_, ack)| u64::from(ack.credit.window_bytes)).sum()
}

#[test]
fn the_sum_of_granted_credit_stays_at_the_total() {
    for online in [true, false] {
        let mut bench = Bench::new(known_gateways(online));
        bench.handle(Event::BrokerConnected);
        assert_eq!(bench.acks.len(), 50, "all are told the incarnation");
        let sum = granted(&mut bench);
        assert!(sum <= u64::from(TOTAL_CREDIT), "{} MiB granted of 8", sum >> 20);
    }
}

fn status(online: bool) -> GatewayStatus {
    let (version, epoch) = ("1.2.3".to_owned(), "0000000000000007".to_owned());
    GatewayStatus { online, version, epoch, since_unix_ms: 0, ..GatewayStatus::default() }
}

#[test]
fn a_gateway_that_leaves_gives_its_share_back() {
    let mut bench = Bench::new(Snapshot::default());
    for name in ["gw-a", "gw-b"] {
        bench.handle(Event::Status { from: gateway(name), status: status(true), unix_ms: bench.unix_ms });
    }
    bench.handle(Event::Status { from: gateway("gw-b"), status: status(false), unix_ms: bench.unix_ms });
    bench.acks.clear();
    bench
        .send(Lane::Live, encode(vec![Record::Measured { origin: origin("board", 1), next: 3 }], Vec::new()));
    assert_eq!(granted(&mut bench), u64::from(TOTAL_CREDIT), "all of it for the one that is there");
}

#[test]
fn a_status_outlives_the_commit_that_failed_with_it() {
    let mut bench = Bench::new(Snapshot::default());
    bench.hold_commits = true;
    bench.handle(Event::Status { from: gateway("gw-a"), status: status(true), unix_ms: bench.unix_ms });
    let batch = bench.held.take().expect("the status is on its way to the store");
    bench.handle(Event::CommitFailed { batch });
    bench.handle(Event::Status { from: gateway("gw-b"), status: status(true), unix_ms: bench.unix_ms });
    bench.batches.clear();
    bench.hold_commits = false;
    bench.handle(Event::Reloaded { snapshot: Box::default(), incarnation: 2 });
    bench.now_ms = bench.core.next_wakeup().expect("it tries again");
    bench.handle(Event::Wakeup);
    let mut written: Vec<_> = bench.batches.iter().flat_map(|batch| batch.gateways.clone()).collect();
    written.sort_by_key(|(path, _)| *path);
    let record = GatewayRecord { online: true, version: "1.2.3".to_owned(), ..GatewayRecord::default() };
    assert_eq!(written, [(gateway("gw-a"), record.clone()), (gateway("gw-b"), record)]);
}

/// A full disk: nobody is told that anything is stored, nobody may send more than a probe, and what the probe finds out
/// holds for all.
#[test]
fn without_room_on_the_disk_no_credit_is_given_until_a_probe_is_stored() {
    let mut bench = Bench::new(Snapshot::default());
    for name in ["gw-a", "gw-b"] {
        bench.handle(Event::Status { from: gateway(name), status: status(true), unix_ms: bench.unix_ms });
    }
    bench.hold_commits = true;
    let block = || encode(vec![Record::Measured { origin: origin("board", 1), next: 3 }], Vec::new());
    let number = bench.send(Lane::Live, block());
    let batch = bench.held.take().expect("a batch is being written");
    bench.acks.clear();
    bench.handle(Event::StoreFull { batch });
    bench.handle(Event::Reloaded { snapshot: Box::default(), incarnation: 2 });
    assert_eq!(bench.outcome(number), None, "nothing was stored");
    bench.now_ms += 60_000;
    bench.handle(Event::Wakeup);
    assert!(bench.core.is_full() && granted(&mut bench) == 0);
    // A probe comes without credit. It is taken, and waits for what tries the disk.
    let probe = bench.send(Lane::Backlog, block());
    assert_eq!(bench.outcome(probe), None);
    let batch = bench.held.take().expect("what the gateways said of themselves is written again");
    bench.hold_commits = false;
    bench.handle(Event::Committed { batch, used_bytes: 0 });
    assert_eq!(bench.outcome(probe), Some(tidegate_protocol::ack::Outcome::Durable));
    assert!(!bench.core.is_full());
    let told: std::collections::BTreeSet<_> =
        bench.acks.iter().filter(|(_, ack)| ack.credit.window_bytes > 0).map(|(to, _)| *to).collect();
    assert!(told.contains(&gateway("gw-a")) && told.contains(&gateway("gw-b")), "{told:?}");
}
