//! Readings at which a rule raises or clears go ahead of everything, and are the last that a full queue gives up.

use tidegate_alarms::{RuleSet, RulesSettings};
use tidegate_protocol::{
    Quality, Reading, Value,
    block::{Decoder, Record},
    topic::Lane,
};

use super::bench::{Bench, Disk, reading, settings};
use crate::core::{BoardFrame, CoreSettings, Event, LinkId, Policy, Time, is_alarm};

const HOT: f64 = 100.0;

fn watched() -> CoreSettings {
    let text = r#"{ "rule": [{ "id": "hot", "select": { "channel": "temperature" }, "above": 99.0 }] }"#;
    let rules: RulesSettings = serde_json::from_str(text).unwrap();
    CoreSettings { rules: RuleSet::from_settings(rules).unwrap(), ..settings() }
}

fn calm(seq: u64) -> Reading {
    Reading { value: Value::F64(20.0), ..reading(seq) }
}

fn hot(seq: u64) -> Reading {
    Reading { value: Value::F64(HOT), ..reading(seq) }
}

fn frame(bench: &mut Bench, readings: Vec<Reading>) {
    let next = readings.last().unwrap().seq.0 + 1;
    let frame = BoardFrame::Readings { boot: bench.tag(1), floor: 0, next, readings };
    bench.event(Event::Board { link: LinkId(1), arrived: bench.now.at, frames: vec![frame] });
}

fn board(settings: CoreSettings) -> Bench {
    let mut bench = Bench::new(settings);
    bench.hello(1, "board", Some(7), 0, 0);
    bench
}

fn alarms(disk: &Disk) -> Vec<Vec<u64>> {
    let mut decoder = Decoder::new().unwrap();
    let alarms = disk.blocks.iter().filter(|(key, _)| is_alarm(**key));
    let seqs = alarms.map(|(_, (_, block))| {
        let block = decoder.decode(block).unwrap();
        block.origins.iter().flat_map(|of| &of.readings).map(|reading| reading.seq.0).collect()
    });
    seqs.collect()
}

#[test]
fn the_frame_in_which_a_rule_raises_or_clears_goes_ahead() {
    let mut bench = board(watched());
    bench.link_up();
    frame(&mut bench, (0..3).map(calm).collect());
    // The link is busy with the first.
    frame(&mut bench, (3..20).map(calm).collect());
    frame(&mut bench, vec![calm(20), hot(21)]);
    frame(&mut bench, (22..30).map(hot).collect());
    frame(&mut bench, vec![calm(30)]);
    let sent: Vec<_> = bench.published.iter().map(|sent| (sent.lane, sent.seqs())).collect();
    assert_eq!(
        sent,
        [(Lane::Live, vec![0, 1, 2]), (Lane::Alarm, vec![20, 21]), (Lane::Alarm, vec![30])],
        "what only stays hot is live data like any other"
    );
    bench.pass_ms(100);
    let rest: Vec<u64> = bench.published[3..].iter().flat_map(|sent| sent.seqs()).collect();
    assert_eq!(rest, (3..20).chain(22..30).collect::<Vec<_>>(), "and nothing goes twice");
    assert_eq!(bench.core.view(bench.now.at).counters.alarm_blocks, 2);
}

#[test]
fn what_comes_again_or_late_is_no_alarm() {
    let mut bench = board(watched());
    bench.link_up();
    frame(&mut bench, (10..20).map(hot).collect());
    frame(&mut bench, (10..20).map(hot).collect());
    frame(&mut bench, (0..10).map(calm).collect());
    bench.pass_ms(100);
    let alarms = bench.published.iter().filter(|sent| sent.lane == Lane::Alarm);
    assert_eq!(alarms.map(|sent| sent.seqs()).collect::<Vec<_>>(), [(10..20).collect::<Vec<_>>()]);
}

#[test]
fn an_alarm_of_an_outage_is_written_at_once_and_leaves_first_when_the_link_is_back_also_after_a_restart() {
    let mut bench = board(watched());
    for at in 0..5 {
        frame(&mut bench, (at * 10..at * 10 + 10).map(calm).collect());
        bench.event(Event::Flush);
        bench.commit();
    }
    frame(&mut bench, vec![hot(50)]);
    frame(&mut bench, (51..60).map(hot).collect());
    bench.pass_ms(watched().flush_interval_ms);
    assert!(bench.now.at < Time::from_ms(1_000 + watched().outage_flush_interval_ms));
    bench.commit();
    assert_eq!(alarms(&bench.disk), [[50]]);
    let mut bench = Bench::on(watched(), bench.disk);
    bench.link_up();
    while bench.load.is_some() {
        bench.loaded();
    }
    let sent: Vec<_> = bench.published.iter().map(|sent| (sent.lane, sent.seqs().len())).collect();
    assert_eq!(sent.first(), Some(&(Lane::Alarm, 1)), "{sent:?}");
    assert_eq!(bench.published[0].seqs(), [50]);
    assert_eq!(sent.iter().map(|(_, count)| count).sum::<usize>(), 60);
    for number in bench.published.iter().map(|sent| sent.number).collect::<Vec<_>>() {
        bench.durable(number);
    }
    bench.pass_ms(1_100);
    bench.commit();
    assert!(bench.disk.blocks.is_empty(), "and leaves the queue like any other");
    // Keys go on above all that ever were.
    bench.hello(1, "board", Some(7), 0, 60);
    bench.event(Event::UplinkDown);
    frame(&mut bench, vec![calm(60)]);
    bench.event(Event::Flush);
    bench.commit();
}

#[test]
fn a_full_queue_gives_alarms_up_last() {
    for policy in [Policy::DropOldest, Policy::ThinOldest] {
        let mut bench = board(CoreSettings { quota_bytes: 8 * 1024, policy, ..watched() });
        frame(&mut bench, vec![hot(0)]);
        for at in 1..400 {
            frame(&mut bench, (at * 10..at * 10 + 10).map(calm).collect());
            bench.pass_ms(1_000);
            bench.settle();
        }
        assert_eq!(alarms(&bench.disk), [vec![0], (10..20).collect()], "{policy:?}: the raise and the clear");
        assert!(bench.disk.totals.bytes <= 9 * 1024);
        let lost = &bench.core.view(bench.now.at).counters.losses;
        assert!(lost.values().sum::<u64>() > 1_000, "{lost:?}");
    }
}

#[test]
fn a_queue_that_refuses_has_room_for_alarms() {
    let mut bench = board(CoreSettings { quota_bytes: 8 * 1024, policy: Policy::Refuse, ..watched() });
    for at in 0..400 {
        frame(&mut bench, (at * 10..at * 10 + 10).map(calm).collect());
        bench.event(Event::Flush);
        bench.pass_ms(10);
        bench.settle();
    }
    let before = bench.disk.totals;
    assert!(before.readings < 4_000 && bench.core.view(bench.now.at).queue.refusing, "{before:?}");
    frame(&mut bench, vec![hot(4_000)]);
    bench.pass_ms(1_000);
    bench.settle();
    assert_eq!(alarms(&bench.disk), [[4_000]]);
    assert_eq!(bench.disk.totals.readings, before.readings + 1);
}

#[test]
fn a_queue_full_of_alarms_gives_the_oldest_up_for_new_ones_and_none_for_other_readings() {
    let quota = 8 * 1024;
    let mut bench = board(CoreSettings { quota_bytes: quota, policy: Policy::DropOldest, ..watched() });
    let turn = |seq: u64| if seq.is_multiple_of(2) { hot(seq) } else { calm(seq) };
    for seq in 0..200 {
        frame(&mut bench, vec![turn(seq)]);
        bench.pass_ms(1_000);
        bench.settle();
    }
    let held = alarms(&bench.disk);
    assert!(held.len() > 5, "{held:?}");
    assert_eq!(held.last(), Some(&vec![199]), "the newest is there");
    let records = bench
        .disk
        .blocks
        .values()
        .flat_map(|(_, block)| Decoder::new().unwrap().decode(block).unwrap().records);
    let lost: u64 =
        records.map(|record| if let Record::Loss(loss) = record { loss.range.len() } else { 0 }).sum();
    assert_eq!(lost + held.len() as u64, 200, "every one is there or declared");
    for at in 0..8 {
        frame(&mut bench, (200 + at * 10..210 + at * 10).map(calm).collect());
        bench.event(Event::Flush);
        bench.pass_ms(5_000);
        bench.settle();
    }
    assert!(held.iter().all(|alarm| alarms(&bench.disk).contains(alarm)), "what is no alarm waits");
    assert_eq!(bench.last_ack(1), Some(200), "at its board");
    assert!(bench.disk.totals.bytes <= quota + quota / 8);
}

#[test]
fn no_more_alarms_are_on_their_way_than_the_link_carries() {
    let mut bench = board(watched());
    bench.link_up();
    bench.announce(2, 1, 0);
    let turn = |seq: u64| if seq.is_multiple_of(2) { hot(seq) } else { calm(seq) };
    for seq in 0..200 {
        frame(&mut bench, vec![turn(seq)]);
    }
    let alarms = bench.published.iter().filter(|sent| sent.lane == Lane::Alarm).count();
    assert!((2..30).contains(&alarms), "{alarms}: without credit, and not all at once");
}

#[test]
fn a_bad_value_is_no_alarm() {
    let mut bench = board(watched());
    bench.link_up();
    frame(&mut bench, vec![Reading { quality: Quality::Bad, ..hot(0) }]);
    bench.pass_ms(100);
    assert!(bench.published.iter().all(|sent| sent.lane == Lane::Live));
}
