//! What goes first, how much is under way, and what is sent again.

use tidegate_protocol::{
    ack::{Outcome, RejectReason},
    block::Record,
    topic::Lane,
};

use super::bench::{Bench, Disk, settings};
use crate::core::Event;

/// A disk with a backlog of full blocks.
fn with_backlog(readings: u64) -> Disk {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    for at in 0..readings / 100 {
        bench.readings(1, at * 100..at * 100 + 100);
    }
    bench.event(Event::Flush);
    while bench.batch.is_some() {
        bench.commit();
    }
    assert_eq!(bench.disk.totals.readings, readings);
    bench.disk
}

#[test]
fn live_goes_before_the_backlog_that_waits() {
    let mut bench = Bench::on(settings(), with_backlog(50_000));
    bench.link_up();
    bench.loaded();
    let under_way = bench.published.len();
    assert!(under_way > 0 && bench.published.iter().all(|published| published.lane == Lane::Backlog));
    bench.hello(1, "other", Some(9), 0, 0);
    bench.readings(1, 0..5);
    assert_eq!(bench.published.len(), under_way + 1);
    assert_eq!(bench.published[under_way].lane, Lane::Live, "before all that waits");
    let in_flight: u64 = bench.core.view(bench.now.at).link.backlog_in_flight_bytes;
    assert!(in_flight <= 128 * 1024, "half of the credit at most: {in_flight}");
}

#[test]
fn what_a_board_held_before_it_was_welcomed_leaves_with_the_backlog() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 300);
    bench.readings(1, 300..302);
    let lanes =
        |bench: &Bench| bench.published.iter().map(|sent| (sent.lane, sent.seqs().len())).collect::<Vec<_>>();
    assert_eq!(lanes(&bench), [(Lane::Live, 2)]);
    (0..6).for_each(|frame| bench.readings(1, frame * 25..(frame + 1) * 25));
    assert_eq!(lanes(&bench)[1..], [(Lane::Backlog, 100)], "the rest waits for company");
    bench.readings(1, 302..304);
    bench.event(Event::PubAcked { number: 0 });
    assert_eq!(lanes(&bench)[2..], [(Lane::Live, 2)], "whatever of the backlog waits or is under way");
    // A repeat: what is new in it came after newer readings.
    bench.readings(1, 310..312);
    bench.readings(1, 304..310);
    bench.durable(0);
    bench.durable(1);
    bench.durable(2);
    bench.pass_ms(60);
    assert_eq!(lanes(&bench)[3..], [(Lane::Live, 2), (Lane::Backlog, 56)]);
}

#[test]
fn in_an_outage_late_readings_are_committed_in_full_blocks() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 300);
    (0..30).for_each(|frame| bench.readings(1, frame * 10..(frame + 1) * 10));
    bench.event(Event::Flush);
    let batch = bench.commit();
    let readings = batch.puts.iter().map(|put| put.readings).filter(|readings| *readings > 0);
    assert_eq!(readings.collect::<Vec<_>>(), [100; 3]);
    assert_eq!(bench.last_ack(1), Some(300));
}

#[test]
fn a_busy_link_fills_the_block_until_the_broker_took_the_one_before() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    for seq in 0..40 {
        bench.readings(1, seq..seq + 1);
    }
    assert_eq!(bench.published.len(), 1, "one reading left at once, the others wait");
    bench.event(Event::PubAcked { number: 0 });
    assert_eq!(bench.published[1].seqs(), (1..40).collect::<Vec<_>>());
}

#[test]
fn live_waits_no_longer_than_the_linger_limit() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..1);
    bench.readings(1, 1..2);
    bench.pass_ms(49);
    assert_eq!(bench.published.len(), 1);
    bench.pass_ms(2);
    assert_eq!(bench.published.len(), 2);
}

#[test]
fn without_credit_one_block_probes() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.announce(1, 5, 0);
    bench.hello(1, "board", Some(7), 0, 0);
    for at in 0..5 {
        bench.readings(1, at * 100..at * 100 + 100);
        bench.pass_ms(60);
    }
    assert_eq!(bench.published.len(), 1);
    // A late announcement does not undo a newer one.
    bench.announce(1, 4, 1 << 20);
    assert_eq!(bench.published.len(), 1);
    bench.announce(1, 6, 1 << 20);
    bench.pass_ms(60);
    assert!(bench.published.len() > 1);
}

#[test]
fn when_a_full_ingest_has_room_again_its_probe_is_sent_again_at_once() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.announce(1, 2, 0);
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..5);
    assert_eq!(bench.published.len(), 1, "the probe, which a full ingest does not answer");
    bench.announce(1, 3, 1 << 20);
    assert_eq!(bench.published.len(), 2);
    assert_eq!(bench.published[1].seqs(), bench.published[0].seqs());
    bench.announce(1, 4, 1 << 20);
    assert_eq!(bench.published.len(), 2, "once");
}

#[test]
fn an_unanswered_block_is_sent_again_under_a_new_number_ever_more_slowly() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.pass_ms(1_001);
    bench.commit();
    let mut sent_at = vec![bench.now.at];
    for _ in 0..40 {
        let before = bench.published.len();
        bench.pass_ms(1_000);
        if bench.published.len() > before {
            sent_at.push(bench.now.at);
        }
    }
    let numbers: Vec<u64> = bench.published.iter().map(|published| published.number).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "no number twice");
    assert!((4..=6).contains(&numbers.len()), "after 2, 4, 8, 16 s and jitter: {numbers:?}");
    // An answer to the first transmission still counts.
    bench.durable(0);
    bench.pass_ms(1_100);
    assert_eq!(bench.commit().deletes.len(), 1);
}

/// Live blocks 0..count under way, each with one reading, taken by the broker.
fn under_way(count: u64) -> Bench {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    for seq in 0..count {
        bench.readings(1, seq..seq + 1);
        bench.event(Event::PubAcked { number: seq });
    }
    assert_eq!(bench.published.len() as u64, count);
    bench
}

#[test]
fn what_later_answers_overtook_is_sent_again_without_waiting_for_silence() {
    let mut bench = under_way(4);
    bench.pass_ms(20);
    bench.durable(0);
    bench.durable(3);
    bench.pass_ms(70);
    assert_eq!(bench.published.len(), 4, "answers may come in another order");
    bench.pass_ms(200);
    let again: Vec<_> = bench.published[4..].iter().map(super::bench::Published::seqs).collect();
    assert_eq!(again, [[1], [2]]);
    // An answer to either transmission counts.
    bench.durable(1);
    bench.durable(5);
    assert_eq!(bench.core.view(bench.now.at).link.blocks_in_flight, 0);
}

#[test]
fn silence_is_asked_about_with_one_block_and_its_answer_brings_back_the_rest() {
    let mut bench = under_way(4);
    bench.pass_ms(3_000);
    assert_eq!(bench.published.len(), 5);
    assert_eq!(bench.published[4].seqs(), [0], "the oldest");
    bench.durable(4);
    let again: Vec<_> = bench.published[5..].iter().map(super::bench::Published::seqs).collect();
    assert_eq!(again, [[1], [2], [3]]);
}

#[test]
fn live_data_that_was_committed_while_the_link_held_it_back_goes_before_the_backlog() {
    let mut bench = Bench::on(settings(), with_backlog(50_000));
    bench.link_up();
    bench.loaded();
    bench.hello(1, "other", Some(9), 0, 0);
    // Readings that do not compress fill the window.
    let mut next = 0;
    while bench.core.view(bench.now.at).link.live_in_flight_bytes < 1_800 {
        bench.readings(1, next..next + 20);
        let number = bench.published.last().map_or(0, |published| published.number);
        bench.event(Event::PubAcked { number });
        next += 20;
    }
    bench.readings(1, next..next + 200);
    bench.event(Event::Flush);
    let sent = bench.published.len();
    while bench.batch.is_some() {
        bench.commit();
    }
    assert!(bench.published[sent..].iter().all(|published| published.lane == Lane::Backlog), "it fits");
    let live: Vec<u64> =
        bench.published.iter().filter(|sent| sent.lane == Lane::Live).map(|sent| sent.number).collect();
    let sent = bench.published.len();
    live.into_iter().for_each(|number| bench.durable(number));
    let first = &bench.published[sent];
    assert_eq!(first.lane, Lane::Live);
    assert!(first.seqs().iter().all(|seq| *seq >= next));
}

#[test]
fn a_new_incarnation_gets_all_that_was_under_way_at_once() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.event(Event::PubAcked { number: 0 });
    bench.announce(1, 7, 1 << 20);
    assert_eq!(bench.published.len(), 1, "the same one again changes nothing");
    bench.announce(2, 0, 1 << 20);
    assert_eq!(bench.published.len(), 2);
    assert_eq!(bench.published[1].seqs(), bench.published[0].seqs());
}

#[test]
fn after_a_reconnection_everything_unacknowledged_is_sent_again() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.event(Event::UplinkDown);
    bench.readings(1, 10..20);
    assert_eq!(bench.published.len(), 1);
    bench.event(Event::UplinkUp);
    bench.pass_ms(51);
    let seqs: Vec<u64> = bench.published[1..].iter().flat_map(|published| published.seqs()).collect();
    assert_eq!(seqs, (0..20).collect::<Vec<_>>());
}

#[test]
fn answers_to_transmissions_without_descriptions_do_not_count_against_those_with() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.pass_ms(1_001);
    bench.commit();
    // Sent several times before the first answer comes.
    while bench.published.len() < 5 {
        bench.pass_ms(1_000);
    }
    let undescribed = || Outcome::Rejected { reason: RejectReason::Undescribed, parts: Vec::new() };
    for number in 0..5 {
        bench.answer(number, undescribed());
    }
    assert_eq!(bench.published.len(), 6, "one of them brought the descriptions");
    assert!(bench.published[5].block.records.iter().any(|record| matches!(record, Record::Described(_))));
    assert_eq!(bench.core.view(bench.now.at).counters.blocks_quarantined, 0);
    bench.durable(5);
    bench.pass_ms(1_100);
    let batch = bench.commit();
    assert_eq!((batch.deletes.len(), batch.quarantine.len()), (1, 0));
}

#[test]
fn of_a_block_that_was_sent_for_weeks_only_the_newest_numbers_are_kept() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.pass_ms(1_001);
    bench.commit();
    for _ in 0..200 {
        let number = bench.published[bench.published.len() - 1].number;
        bench.event(Event::PubAcked { number });
        bench.pass_ms(100_000);
    }
    let sent = bench.published.len() as u64;
    assert!(sent > 100 && bench.core.numbers_kept() <= 8, "{sent} {}", bench.core.numbers_kept());
    bench.durable(0);
    assert_eq!(bench.core.view(bench.now.at).counters.acks_unknown, 1, "too old to be of use");
    bench.durable(sent - 2);
    bench.pass_ms(1_100);
    assert_eq!(bench.commit().deletes.len(), 1);
}

#[test]
fn one_answer_that_was_owed_for_long_closes_no_window_for_long() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    for at in 0..20 {
        bench.readings(1, at * 10..at * 10 + 10);
        bench.pass_ms(20);
        bench.durable(bench.published.last().unwrap().number);
    }
    bench.readings(1, 200..210);
    let owed = bench.published.last().unwrap().number;
    bench.pass_ms(12_000);
    bench.durable(owed);
    // The link runs empty for two usual round trips.
    bench.pass_ms(3_500);
    bench.readings(1, 210..220);
    bench.pass_ms(20);
    bench.durable(bench.published.last().unwrap().number);
    let window = bench.core.view(bench.now.at).link.live_window_bytes;
    assert!(window >= 2_048, "{window}");
}

#[test]
fn what_the_cloud_cannot_read_is_kept_and_sent_until_it_can() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    let unread = || Outcome::Rejected { reason: RejectReason::Unsupported, parts: Vec::new() };
    let mut answered = 0;
    for _ in 0..20 {
        while answered < bench.published.len() {
            bench.answer(answered as u64, unread());
            answered += 1;
        }
        bench.pass_ms(10_000);
        if bench.batch.is_some() {
            bench.commit();
        }
    }
    let view = bench.core.view(bench.now.at);
    assert_eq!((view.counters.blocks_rejected, view.counters.blocks_unsupported), (0, answered as u64));
    assert!((3..40).contains(&answered), "ever less often: {answered} times");
    assert_eq!((bench.disk.quarantine.len(), bench.disk.totals.readings), (0, 10), "nobody else has them");
    // The cloud is updated, which is a new process of it.
    bench.announce(2, 0, 1 << 20);
    bench.pass_ms(1_000);
    bench.settle();
    while answered < bench.published.len() {
        bench.durable(answered as u64);
        answered += 1;
        bench.settle();
    }
    // What it has is deleted now and then.
    bench.pass_ms(60_000);
    bench.settle();
    let seqs: Vec<u64> = bench.published.last().expect("it is sent again").seqs();
    assert_eq!(seqs, (0..10).collect::<Vec<_>>());
    assert_eq!((bench.disk.totals.readings, bench.core.view(bench.now.at).counters.readings_acked), (0, 10));
}
