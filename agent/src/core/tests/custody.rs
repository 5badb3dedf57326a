//! What is safe, when it is committed, and what boards are told.

use tidegate_protocol::{
    LossReason, LossRecord, SeqRange,
    ack::{Outcome, RejectReason},
    block::{Decoder, Record, Tail},
    topic::Lane,
};

use super::bench::{Bench, channels, origin, settings};
use crate::core::{CommitFailure, Event};

#[test]
fn on_a_healthy_link_nothing_is_written() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    for batch in 0..50 {
        bench.readings(1, batch * 10..batch * 10 + 10);
        bench.pass_ms(100);
        let numbers: Vec<u64> = bench.published.drain(..).map(|published| published.number).collect();
        assert!(!numbers.is_empty(), "an idle link sends at once");
        numbers.into_iter().for_each(|number| bench.durable(number));
    }
    assert_eq!(bench.last_ack(1), Some(500));
    assert!(bench.batch.is_none());
}

#[test]
fn no_ack_before_it_is_safe_and_the_commit_makes_it_so() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.pass_ms(999);
    assert_eq!(bench.last_ack(1), None);
    bench.pass_ms(2);
    assert_eq!(bench.last_ack(1), None, "a batch that is under way is not committed");
    bench.commit();
    assert_eq!(bench.last_ack(1), Some(10));
}

#[test]
fn in_an_outage_commits_stretch_unless_the_ring_gets_tight() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    bench.heartbeat(1, 0, 0, 1_000);
    bench.readings(1, 0..20);
    bench.pass_ms(14_900);
    assert!(bench.batch.is_none());
    bench.pass_ms(200);
    assert_eq!(bench.commit().puts.len(), 1);
    assert_eq!(bench.last_ack(1), Some(20));
    // 20 places are free: 10 more readings are half of them.
    bench.heartbeat(1, 20, 20, 20);
    bench.readings_with_floor(1, 20, 20..29);
    assert!(bench.batch.is_none());
    bench.readings_with_floor(1, 20, 29..30);
    assert!(bench.batch.is_some());
}

#[test]
fn on_a_healthy_link_a_tight_ring_is_relieved_by_the_cloud() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.heartbeat(1, 0, 0, 10);
    bench.readings(1, 0..10);
    assert!(bench.batch.is_none());
    // The heartbeat's anchor went first; its answer lets the readings go.
    bench.durable(0);
    bench.durable(1);
    assert_eq!(bench.last_ack(1), Some(10));
}

#[test]
fn in_an_outage_handfuls_become_full_blocks_before_the_commit() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    // Each of these leaves at once as a block of its own; the link takes all and answers nothing.
    for at in 0..12 {
        bench.readings(1, at * 16..at * 16 + 16);
        let number = bench.published.last().unwrap().number;
        bench.event(Event::PubAcked { number });
    }
    assert_eq!(bench.published.len(), 12);
    bench.event(Event::UplinkDown);
    bench.pass_ms(15_000);
    let batch = bench.commit();
    assert_eq!(batch.puts.iter().map(|put| put.readings).collect::<Vec<_>>(), [96, 96]);
    assert_eq!(bench.last_ack(1), Some(192));
}

#[test]
fn a_source_that_cannot_resend_is_committed_at_once() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    let description = tidegate_protocol::block::Description {
        origin: origin("host", 3),
        tag: String::new(),
        firmware: String::new(),
        channels: channels(),
    };
    bench.event(Event::LocalOpened { description, flush_interval_ms: 0 });
    let sample = |tick| Event::LocalSample {
        origin: origin("host", 3),
        tick: tidegate_protocol::Tick(tick),
        taken: crate::core::Time::from_ms(1_000),
        values: vec![(
            tidegate_protocol::ChannelIndex(0),
            tidegate_protocol::Value::F64(1.0),
            tidegate_protocol::Quality::Good,
        )],
    };
    bench.event(sample(5));
    assert_eq!(bench.published.len(), 1, "sent at once, in parallel");
    let batch = bench.commit();
    assert_eq!(batch.puts.len(), 1);
    assert_eq!(batch.origins[0].next, 1);
    assert!(batch.origins[0].local);
    // A clean stop knows exactly how much there was.
    let killed = bench.disk.clone();
    bench.event(Event::LocalClosed { origin: origin("host", 3) });
    bench.commit();
    bench.durable(0);
    bench.pass_ms(100);
    assert!(bench.records().contains(&Record::Closed { origin: origin("host", 3), tail: Tail::Known(1) }));
    // After a kill the next run does not.
    let mut bench = Bench::on(settings(), killed);
    bench.link_up();
    bench.settle();
    bench.pass_ms(1_100);
    let closed = Record::Closed { origin: origin("host", 3), tail: Tail::AtLeast(1) };
    assert!(bench.records().contains(&closed), "{:?}", bench.records());
}

#[test]
fn what_was_acknowledged_is_deleted_and_a_late_commit_too() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.pass_ms(1_001);
    assert!(bench.batch.is_some());
    // The cloud answers while the commit is under way.
    bench.durable(0);
    assert_eq!(bench.last_ack(1), Some(10));
    bench.commit();
    assert_eq!(bench.disk.blocks.len(), 1);
    bench.pass_ms(1_100);
    assert_eq!(bench.commit().deletes.len(), 1);
    assert!(bench.disk.blocks.is_empty());
}

#[test]
fn a_refused_commit_acknowledges_nothing_and_is_tried_again() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.event(Event::Flush);
    bench.batch.take().unwrap();
    bench.event(Event::CommitFailed(CommitFailure::Failed));
    assert_eq!(bench.last_ack(1), None);
    bench.pass_ms(20_000);
    bench.commit();
    assert_eq!(bench.last_ack(1), Some(10));
}

#[test]
fn a_duplicate_is_counted_and_acknowledged_only_once_its_original_is_safe() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.readings(1, 0..10);
    assert_eq!(bench.last_ack(1), None);
    assert_eq!(bench.core.view(bench.now.at).counters.readings_duplicate, 10);
    bench.durable(0);
    assert_eq!(bench.last_ack(1), Some(10));
    bench.readings(1, 0..10);
    assert_eq!(bench.last_ack(1), Some(10), "the first one may have been lost");
    assert_eq!(bench.published.len(), 1);
}

#[test]
fn a_rejected_block_is_quarantined_before_its_readings_count_as_safe() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.answer(0, Outcome::Rejected { reason: RejectReason::BootConflict, parts: Vec::new() });
    assert_eq!(bench.last_ack(1), None);
    bench.commit();
    assert_eq!(bench.last_ack(1), Some(10));
    let (reason, block) = &bench.disk.quarantine[0];
    assert_eq!(*reason, "boot-conflict");
    assert_eq!(Decoder::new().unwrap().decode(block).unwrap().reading_count(), 10);
}

#[test]
fn of_a_block_rejected_in_part_only_that_is_kept() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    let parts = vec![(origin("board", 7), SeqRange::new(3, 5)), (origin("board", 7), SeqRange::new(9, 10))];
    bench.answer(0, Outcome::Rejected { reason: RejectReason::BootConflict, parts });
    assert_eq!(bench.last_ack(1), Some(3), "the cloud has what it did not reject");
    bench.commit();
    assert_eq!(bench.last_ack(1), Some(10));
    let kept = Decoder::new().unwrap().decode(&bench.disk.quarantine[0].1).unwrap();
    let seqs: Vec<u64> = kept.origins[0].readings.iter().map(|reading| reading.seq.0).collect();
    assert_eq!((seqs, bench.disk.quarantine.len()), (vec![3, 4, 9], 1));
    assert!(kept.records.iter().all(|record| matches!(record, Record::Described(_))), "{:?}", kept.records);
}

#[test]
fn a_rejection_of_more_than_a_block_says_keeps_all_of_it() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    let parts = vec![(origin("board", 7), SeqRange::new(8, 12))];
    bench.answer(0, Outcome::Rejected { reason: RejectReason::Sealed, parts });
    bench.commit();
    let kept = Decoder::new().unwrap().decode(&bench.disk.quarantine[0].1).unwrap();
    assert_eq!(kept.reading_count(), 10);
}

#[test]
fn descriptions_travel_until_one_arrived_and_again_when_asked_for() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    let described = |bench: &Bench, at: usize| {
        bench.published[at].block.records.iter().any(|record| matches!(record, Record::Described(_)))
    };
    bench.readings(1, 0..1);
    bench.event(Event::PubAcked { number: 0 });
    bench.readings(1, 1..2);
    assert!(described(&bench, 0) && described(&bench, 1));
    bench.durable(0);
    bench.durable(1);
    bench.readings(1, 2..3);
    assert!(!described(&bench, 2));
    bench.event(Event::PubAcked { number: 2 });
    bench.answer(2, Outcome::Rejected { reason: RejectReason::Undescribed, parts: Vec::new() });
    assert!(described(&bench, 3), "the same readings, described");
    assert_eq!(bench.published[3].seqs(), [2]);
    assert_eq!(bench.published[3].lane, Lane::Live);
}

#[test]
fn what_memory_alone_held_of_an_ended_boot_is_declared_after_a_kill() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..7);
    bench.event(Event::Flush);
    bench.commit();
    bench.link_up();
    bench.loaded();
    bench.durable(bench.published[0].number);
    bench.pass_ms(100);
    // On their way when the board dies, and lost with the agent; the cloud takes the word of the end.
    bench.readings(1, 7..9);
    bench.hello(1, "board", Some(8), 0, 0);
    let end = |bench: &Bench| {
        let ended = |record: &Record| matches!(record, Record::Closed { .. });
        bench.published.iter().find(|sent| sent.block.records.iter().any(ended)).map(|sent| sent.number)
    };
    assert_eq!(end(&bench), None, "the cloud would know of an end that a restart does not know of");
    bench.commit();
    let end = end(&bench).expect("it leaves once it is written");
    bench.durable(end);
    let mut bench = Bench::on(settings(), bench.disk);
    bench.link_up();
    bench.settle();
    bench.pass_ms(100);
    let lost = LossRecord {
        origin: origin("board", 7),
        range: SeqRange::new(7, 9),
        reason: LossReason::UncleanTail,
    };
    assert!(bench.records().contains(&Record::Loss(lost)), "{:?}", bench.records());
}

#[test]
fn the_end_of_a_boot_keeps_no_readings_back() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..4);
    bench.hello(1, "board", Some(8), 0, 0);
    assert!(bench.batch.is_some());
    bench.event(Event::PubAcked { number: 0 });
    bench.readings(1, 0..3);
    assert_eq!(bench.published.last().unwrap().seqs(), [0, 1, 2], "while the end is being written");
}

#[test]
fn an_end_leaves_though_a_poisoned_disk_cannot_take_it() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..4);
    bench.hello(1, "board", Some(8), 0, 0);
    bench.batch = None;
    bench.event(Event::CommitFailed(CommitFailure::Poisoned));
    bench.hello(1, "board", Some(9), 0, 0);
    bench.pass_ms(100);
    for boot in [7, 8] {
        let ended = |record: &Record| matches!(record, Record::Closed { origin: of, .. } if *of == origin("board", boot));
        assert!(bench.records().iter().any(ended), "{boot}");
    }
}
