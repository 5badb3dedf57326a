//! An operator closes a device's holes: once, logged, in one batch with the ledger.

use tidegate_ingest::core::{
    Event, Snapshot,
    batch::OriginNo,
    retire::{RetireOrder, RetiredBoot},
};
use tidegate_protocol::{
    BootId, LossReason, SeqRange, SiteId,
    block::{Record, Tail},
    topic::Lane,
};

use crate::support::{Bench, described, encode, origin, readings};

fn order(boot: Option<u64>) -> Box<RetireOrder> {
    Box::new(RetireOrder {
        site: SiteId::new("plant").unwrap(),
        device: origin("board", 1).device,
        boot: boot.map(BootId),
        operator: "eva".to_owned(),
        reason: "fell into the sea".to_owned(),
        unix_ms: 5,
    })
}

/// Seqs 0..4 and 6..8 of boot 1 came; the gateway had heard of ten.
fn with_holes() -> Bench {
    let board = origin("board", 1);
    let mut bench = Bench::new(Snapshot::default());
    let records = vec![described(board), Record::Measured { origin: board, next: 10 }];
    bench.send(Lane::Live, encode(records, vec![readings(board, (0..4).chain(6..8))]));
    bench
}

#[test]
fn holes_are_written_off_in_one_batch_with_the_log_and_only_once() {
    let mut bench = with_holes();
    bench.hold_commits = true;
    bench.handle(Event::Retire { ticket: 1, order: order(None) });
    let batch = bench.held.take().expect("a commit");
    assert_eq!(bench.retired, [], "the answer waits for the commit");
    bench.handle(Event::Committed { batch, used_bytes: 0 });
    let ranges = vec![SeqRange::new(4, 6), SeqRange::new(8, 10)];
    let boots = vec![RetiredBoot { boot: BootId(1), closed: true, written_off: 4, ranges }];
    let (ticket, Some(done)) = bench.retired.remove(0) else { panic!("it was not done") };
    assert_eq!((ticket, &done.boots), (1, &boots));
    let batch = bench.batches.last().expect("a batch");
    assert_eq!(batch.operations, [done]);
    let (_, record) = batch.origins.last().expect("the ledger is in the same batch");
    let ledger = &record.ledger;
    assert!(ledger.has_no_holes());
    assert_eq!(ledger.tail(), Some(Tail::AtLeast(10)));
    let written_off = ledger.lost().find(|(reason, _)| *reason == LossReason::WrittenOff);
    assert_eq!(written_off.map(|(_, ranges)| ranges.count()), Some(4));
    // Again: nothing to do, nothing to log.
    let batches = bench.batches.len();
    bench.hold_commits = false;
    bench.handle(Event::Retire { ticket: 2, order: order(None) });
    let (_, done) = bench.retired.remove(0);
    assert_eq!(done.map(|done| done.boots), Some(Vec::new()));
    assert_eq!(bench.batches.len(), batches);
}

#[test]
fn alarm_history_goes_on_behind_what_was_written_off() {
    let mut bench = with_holes();
    bench.handle(Event::Retire { ticket: 1, order: order(None) });
    // Behind the first hole there are readings to look at.
    assert_eq!(bench.loads.last(), Some(&(OriginNo(0), SeqRange::new(6, 10))));
}

#[test]
fn what_arrives_of_a_written_off_range_is_stored_and_counted() {
    let mut bench = with_holes();
    bench.handle(Event::Retire { ticket: 1, order: order(None) });
    bench.send(Lane::Backlog, encode(Vec::new(), vec![readings(origin("board", 1), 4..6)]));
    let record = &bench.batches.last().and_then(|batch| batch.origins.last()).expect("a record").1;
    assert_eq!((record.ledger.recovered(), record.ledger.lost_count()), (2, 2));
    assert!(record.ledger.stored().contains_all(SeqRange::new(0, 8)));
}

#[test]
fn only_the_boot_that_was_named_and_only_that_device() {
    let mut bench = with_holes();
    let (second, other) = (origin("board", 2), origin("other", 1));
    for origin in [second, other] {
        let records = vec![described(origin), Record::Measured { origin, next: 3 }];
        bench.send(Lane::Live, encode(records, Vec::new()));
    }
    bench.handle(Event::Retire { ticket: 1, order: order(Some(2)) });
    let done = bench.retired.remove(0).1.expect("it was done");
    assert_eq!(
        done.boots.iter().map(|retired| (retired.boot.0, retired.written_off)).collect::<Vec<_>>(),
        [(2, 3)]
    );
    bench.handle(Event::Retire { ticket: 2, order: order(None) });
    let done = bench.retired.remove(0).1.expect("it was done");
    assert_eq!(done.boots.iter().map(|retired| retired.boot.0).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_commit_that_fails_is_said_to_have_failed() {
    let mut bench = with_holes();
    bench.hold_commits = true;
    bench.handle(Event::Retire { ticket: 9, order: order(None) });
    let batch = bench.held.take().expect("a commit");
    bench.handle(Event::CommitFailed { batch });
    bench.handle(Event::Retire { ticket: 10, order: order(None) });
    assert_eq!(bench.retired, [(10, None)], "while the state is read again nothing is ordered");
    bench.handle(Event::Reloaded { snapshot: Box::default(), incarnation: 2 });
    assert_eq!(bench.retired, [(10, None), (9, None)]);
}
