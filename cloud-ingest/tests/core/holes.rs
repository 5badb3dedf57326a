//! A board that tears holes without end costs no memory without end.

use tidegate_ingest::core::{Snapshot, ledger::MAX_RANGES_PER_ORIGIN};
use tidegate_protocol::{
    ChannelIndex, LossReason, LossRecord, SeqRange, Summary, Tick,
    ack::{Outcome, RejectReason},
    block::Record,
    topic::Lane,
};

use crate::support::{Bench, described, encode, origin, readings};

const HOLES: u64 = MAX_RANGES_PER_ORIGIN as u64;

#[test]
fn at_the_bound_only_what_meets_a_known_range_is_stored() {
    let board = origin("board", 1);
    let mut bench = Bench::new(Snapshot::default());
    for from in (0..HOLES).step_by(4_096) {
        let every_other = (from..from + 4_096).map(|place| place * 2);
        let number =
            bench.send(Lane::Live, encode(vec![described(board)], vec![readings(board, every_other)]));
        assert_eq!(bench.outcome(number), Some(Outcome::Durable));
    }
    let beyond = HOLES * 2 + 100;
    let number = bench.send(Lane::Live, encode(Vec::new(), vec![readings(board, [HOLES * 2 - 1, beyond])]));
    let parts = vec![(board, SeqRange::new(beyond, beyond + 1))];
    assert_eq!(bench.outcome(number), Some(Outcome::Rejected { reason: RejectReason::Corrupt, parts }));
    assert_eq!(bench.core.counters().ranges_refused, 1);
    // Where a hole is filled there is room for another.
    bench.send(Lane::Live, encode(Vec::new(), vec![readings(board, [1])]));
    let number = bench.send(Lane::Live, encode(Vec::new(), vec![readings(board, [beyond])]));
    assert_eq!(bench.outcome(number), Some(Outcome::Durable));
}

/// They have a place of their own in the store, with the commit that their block's answer waits for.
#[test]
fn summaries_are_committed_and_are_no_readings() {
    let board = origin("board", 1);
    let range = SeqRange::new(0, 40);
    let ticks = (Tick(0), Tick(40));
    let (min, max, mean) = (1.0, 3.0, 2.0);
    let summary = Summary {
        origin: board,
        channel: ChannelIndex(0),
        range,
        ticks,
        count: 40,
        min,
        max,
        mean,
        crossings: 5,
    };
    let loss = Record::Loss(LossRecord { origin: board, range, reason: LossReason::Thinned });
    let mut bench = Bench::new(Snapshot::default());
    let number = bench.send(Lane::Backlog, encode(vec![loss, Record::Summary(summary)], Vec::new()));
    assert_eq!(bench.outcome(number), Some(Outcome::Durable));
    let batch = bench.batches.last().expect("a batch");
    assert_eq!(batch.summaries.iter().map(|(.., summary)| *summary).collect::<Vec<_>>(), [summary]);
    assert!(batch.events.is_empty() && batch.latest.is_empty());
    assert_eq!(bench.core.counters().readings_stored, 0);
    // Merged with its neighbour and sent anew: news for the store alone.
    let whole = Summary { range: SeqRange::new(0, 80), count: 80, ..summary };
    let number = bench.send(Lane::Backlog, encode(vec![Record::Summary(whole)], Vec::new()));
    assert_eq!(bench.outcome(number), Some(Outcome::Durable));
    let batch = bench.batches.last().expect("a batch");
    assert!(batch.entries.is_empty() && batch.summaries.len() == 1);
}

#[test]
fn at_the_bound_losses_that_tear_holes_stay_outstanding() {
    let board = origin("board", 1);
    let lost = |place: u64| {
        let range = SeqRange::new(place * 2, place * 2 + 1);
        Record::Loss(LossRecord { origin: board, range, reason: LossReason::Evicted })
    };
    let mut bench = Bench::new(Snapshot::default());
    for from in (0..HOLES + 512).step_by(512) {
        bench.send(Lane::Live, encode((from..from + 512).map(lost).collect(), Vec::new()));
    }
    assert_eq!(bench.core.counters().ranges_refused, 512);
    let (_, record) = bench.batches.last().and_then(|batch| batch.origins.last()).expect("a record");
    assert_eq!(record.ledger.lost_count(), HOLES);
}
