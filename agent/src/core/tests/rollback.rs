//! The cloud was restored from a backup: what it forgot and nobody holds is declared, once and for good.

use tidegate_protocol::{
    LossReason, Origin,
    block::{Decoder, Record, Tail},
};

use super::bench::{Bench, channels, origin, settings};
use crate::core::{Batch, CommitFailure, Event};

/// The ranges declared rolled back in blocks, by origin.
fn declared<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<(Origin, u64, u64)> {
    let mut ranges: Vec<_> = records
        .into_iter()
        .filter_map(|record| match record {
            Record::Loss(loss) if loss.reason == LossReason::RolledBack => {
                Some((loss.origin, loss.range.start, loss.range.end))
            }
            _ => None,
        })
        .collect();
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

fn records_of(batch: &Batch) -> Vec<Record> {
    let mut decoder = Decoder::new().unwrap();
    let blocks = batch.puts.iter().map(|put| decoder.decode(&put.block).unwrap());
    blocks.flat_map(|block| block.records).collect()
}

/// A board whose readings 0..10 the cloud has acknowledged.
fn acknowledged() -> Bench {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.durable(0);
    bench
}

fn restored(bench: &mut Bench, ledger: u32) {
    bench.ledger = ledger;
    bench.announce(100 + u64::from(ledger), 0, 1 << 20);
}

#[test]
fn what_was_acknowledged_is_declared_in_one_transaction_with_the_count() {
    let board = origin("board", 7);
    let mut bench = acknowledged();
    restored(&mut bench, 1);
    let batch = bench.commit();
    assert_eq!(batch.ledger, Some(1));
    let records = records_of(&batch);
    assert_eq!(declared(&records), [(board, 0, 10)]);
    assert!(records.contains(&Record::Measured { origin: board, next: 10 }));
    assert!(matches!(&records[0], Record::Described(known) if known.channels == channels()));
    assert!(batch.origins.iter().all(|record| !record.described), "the cloud may not know the channels");
    // It is a block of the queue, sent until it is answered; then nothing is left of it.
    bench.loaded();
    assert_eq!(declared(&bench.published.last().unwrap().block.records), [(board, 0, 10)]);
    let sent: Vec<u64> = bench.published.iter().map(|sent| sent.number).collect();
    sent.into_iter().skip(1).for_each(|number| bench.durable(number));
    bench.pass_ms(2_000);
    bench.commit();
    assert!(bench.disk.blocks.is_empty());
    // The same count again is no news, nor is it after a restart.
    bench.announce(101, 1, 1 << 20);
    let mut bench = Bench::on(settings(), bench.disk);
    bench.ledger = 1;
    bench.link_up();
    assert!(bench.batch.is_none() && bench.load.is_none());
}

#[test]
fn what_the_queue_holds_is_not_lost_and_what_was_about_to_be_deleted_is_sent_again() {
    let board = origin("board", 7);
    let mut bench = acknowledged();
    bench.event(Event::UplinkDown);
    bench.readings(1, 10..20);
    bench.pass_ms(16_000);
    bench.commit();
    bench.readings(1, 20..30);
    bench.pass_ms(16_000);
    bench.commit();
    bench.event(Event::UplinkUp);
    bench.loaded();
    let sent = bench.published.last().unwrap().clone();
    assert_eq!(sent.seqs(), (10..30).collect::<Vec<_>>());
    // Acknowledged by what is gone a moment later, before the delete.
    bench.durable(sent.number);
    restored(&mut bench, 1);
    bench.loaded();
    let batch = bench.commit();
    assert_eq!(declared(&records_of(&batch)), [(board, 0, 10)]);
    assert!(batch.deletes.is_empty(), "the only copy is kept");
    bench.loaded();
    let again = bench.published.last().unwrap();
    assert_eq!(again.seqs(), (10..30).collect::<Vec<_>>());
}

#[test]
fn readings_that_only_memory_holds_are_not_declared() {
    let board = origin("board", 7);
    let mut bench = acknowledged();
    bench.readings(1, 10..15);
    restored(&mut bench, 1);
    assert_eq!(declared(&records_of(&bench.commit())), [(board, 0, 10)]);
}

#[test]
fn what_a_board_still_holds_is_taken_as_new_when_it_is_sent_again() {
    let board = origin("board", 7);
    let mut bench = acknowledged();
    // Behind a hole: the cloud had it, and the board was not told to let go of it.
    bench.readings(1, 15..20);
    bench.durable(bench.published.last().unwrap().number);
    assert_eq!(bench.last_ack(1), Some(10));
    restored(&mut bench, 1);
    assert_eq!(declared(&records_of(&bench.commit())), [(board, 0, 10)]);
    bench.readings_with_floor(1, 10, 10..20);
    bench.pass_ms(100);
    assert!(bench.last_ack(1).is_none_or(|up_to| up_to <= 10), "nobody else has it any more");
    let sent = bench.published.iter().rev().find(|sent| !sent.seqs().is_empty()).unwrap().clone();
    assert_eq!(sent.seqs(), (10..20).collect::<Vec<_>>());
    bench.durable(sent.number);
    assert_eq!(bench.last_ack(1), Some(20));
}

#[test]
fn what_a_board_that_has_not_spoken_yet_may_hold_is_declared_and_taken_as_new() {
    let board = origin("board", 7);
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.pass_ms(16_000);
    bench.commit();
    bench.link_up();
    bench.loaded();
    bench.durable(bench.published.last().unwrap().number);
    bench.pass_ms(2_000);
    bench.commit();
    let mut bench = Bench::on(settings(), bench.disk);
    bench.ledger = 1;
    bench.link_up();
    assert_eq!(declared(&records_of(&bench.commit())), [(board, 0, 10)]);
    bench.hello(1, "board", Some(7), 4, 10);
    bench.readings_with_floor(1, 4, 4..10);
    bench.pass_ms(100);
    assert!(bench.published.iter().any(|sent| sent.seqs() == [4, 5, 6, 7, 8, 9]));
}

#[test]
fn a_kill_or_a_refused_commit_before_the_declaration_repeats_it() {
    let board = origin("board", 7);
    let mut bench = acknowledged();
    // The origin is on the disk, as in any agent that ever wrote.
    bench.event(Event::UplinkDown);
    bench.readings(1, 10..11);
    bench.pass_ms(16_000);
    bench.commit();
    bench.event(Event::UplinkUp);
    bench.loaded();
    restored(&mut bench, 3);
    assert_eq!(declared(&records_of(bench.batch.as_ref().unwrap())), [(board, 0, 10)]);
    bench.batch = None;
    bench.event(Event::CommitFailed(CommitFailure::Failed));
    bench.pass_ms(1_500);
    assert_eq!(declared(&records_of(bench.batch.as_ref().unwrap())), [(board, 0, 10)], "it is tried again");
    let mut bench = Bench::on(settings(), bench.disk.clone());
    assert_eq!(bench.disk.ledger, 0);
    bench.ledger = 3;
    bench.link_up();
    bench.loaded();
    let batch = bench.commit();
    assert_eq!((batch.ledger, declared(&records_of(&batch))), (Some(3), vec![(board, 0, 10)]));
}

#[test]
fn an_ended_origin_is_told_as_a_whole_with_its_end() {
    let (old, new) = (origin("board", 7), origin("board", 8));
    let mut bench = acknowledged();
    bench.heartbeat(1, 10, 25, 100);
    // Fifteen more were never delivered: declared with the end, and the cloud took it.
    bench.hello(1, "board", Some(8), 0, 0);
    bench.commit();
    bench.pass_ms(100);
    let sent: Vec<u64> = bench.published.iter().map(|sent| sent.number).collect();
    sent.into_iter().skip(1).for_each(|number| bench.durable(number));
    bench.pass_ms(1_000);
    bench.commit();
    restored(&mut bench, 1);
    let records = records_of(&bench.commit());
    assert_eq!(declared(&records), [(old, 0, 25)], "all of it, and nothing of the new one");
    assert!(records.contains(&Record::Closed { origin: old, tail: Tail::AtLeast(25) }));
    assert!(records.contains(&Record::Measured { origin: new, next: 0 }));
}

#[test]
fn a_late_word_of_the_ingest_before_the_restore_releases_nothing() {
    let mut bench = acknowledged();
    bench.readings(1, 10..20);
    bench.ledger = 1;
    bench.announce(200, 0, 1 << 20);
    bench.commit();
    bench.last_ack(1);
    (bench.ledger, bench.incarnation) = (0, 1);
    bench.durable(1);
    assert_eq!(bench.last_ack(1), None, "the board keeps what only the lost ledger had");
}

#[test]
fn below_the_floor_of_a_board_that_nobody_remembers_is_declared_after_a_restore_only() {
    let board = origin("board", 7);
    for (ledger, expected) in [(0, vec![]), (1, vec![(board, 0, 40)])] {
        let mut bench = Bench::new(settings());
        bench.ledger = ledger;
        bench.link_up();
        if bench.batch.is_some() {
            bench.commit();
        }
        bench.hello(1, "board", Some(7), 40, 50);
        bench.pass_ms(100);
        assert_eq!(declared(&bench.records()), expected);
        // Once in a run.
        bench.hello(1, "board", Some(7), 45, 50);
        bench.pass_ms(100);
        assert_eq!(declared(&bench.records()), expected);
        // Nor in the next run, for which that restore is an old story: what is below the floor the cloud of now has.
        let mut bench = Bench::on(settings(), bench.disk);
        bench.ledger = ledger;
        bench.link_up();
        bench.hello(1, "board", Some(7), 50, 50);
        bench.pass_ms(100);
        assert_eq!(declared(&bench.records()), []);
    }
}
