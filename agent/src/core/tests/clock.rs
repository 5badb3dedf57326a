//! A gateway that learns the time late: what was anchored before is anchored again, and boards are told.

use tidegate_protocol::{BootId, ClockQuality, DRIFT_PPM, Origin, Seq, Tick, block::Record, frame::Down};

use super::bench::{Bench, origin, settings};
use crate::core::{BoardFrame, Event, LinkId, Time};

/// 2026-11-22, a Sunday.
const TRUE_MS: i64 = 1_795_300_000_000;

/// As an agent that starts in 1970: its running time and the wall clock begin together.
fn in_1970() -> Bench {
    let mut bench = Bench::new(settings());
    bench.now.unix_ms = 1_000;
    bench.event(Event::Clock { error_ms: u32::MAX, quality: ClockQuality::Unsynced });
    bench.link_up();
    bench
}

/// The board's tick is `behind` its gateway's running time.
fn beat(bench: &mut Bench, link: u64, tick: u64, arrived: Time) {
    let heartbeat = tidegate_protocol::frame::Heartbeat {
        boot: bench.tag(link),
        floor: Seq(0),
        next: Seq(0),
        tick: Tick(tick),
        ring_free: 100,
        clock: None,
        counters: Default::default(),
    };
    let frames = vec![BoardFrame::Heartbeat(heartbeat)];
    bench.event(Event::Board { link: LinkId(link), arrived, frames });
}

/// All anchors that were sent of an origin: when tick 0 was, how far that may be off, and how good it is.
fn anchors(bench: &mut Bench, of: Origin) -> Vec<(i64, u32, ClockQuality)> {
    bench.pass_ms(100);
    let numbers: Vec<u64> = bench.published.iter().map(|published| published.number).collect();
    numbers.into_iter().for_each(|number| bench.durable(number));
    bench.pass_ms(100);
    let records = bench.records();
    let of_it = records.into_iter().filter_map(|record| match record {
        Record::Anchor { origin, tick, unix_ms, error_ms, quality } if origin == of => {
            Some((unix_ms - tick.0 as i64, error_ms, quality))
        }
        _ => None,
    });
    of_it.collect()
}

/// Time passes, and the cloud answers everything.
fn pass_s(bench: &mut Bench, seconds: u64) {
    for _ in 0..seconds {
        bench.pass_ms(1_000);
        let numbers: Vec<u64> = bench.published.iter().map(|published| published.number).collect();
        numbers.into_iter().for_each(|number| bench.durable(number));
        if bench.batch.is_some() {
            bench.commit();
        }
    }
}

fn jump(bench: &mut Bench, by_ms: i64) {
    bench.now.unix_ms += by_ms;
}

#[test]
fn what_was_anchored_in_1970_is_anchored_again_when_the_time_is_known() {
    let mut bench = in_1970();
    let started_ms = bench.now.unix_ms;
    bench.hello(1, "board", Some(7), 0, 0);
    let at = bench.now.at;
    beat(&mut bench, 1, 0, at);
    // A second board has gone since; its ticks are known all the same.
    bench.hello(2, "gone", Some(8), 0, 0);
    beat(&mut bench, 2, 0, at);
    bench.event(Event::LinkClosed(LinkId(2)));
    assert_eq!(anchors(&mut bench, origin("board", 7)), [(started_ms, u32::MAX, ClockQuality::Unsynced)]);
    pass_s(&mut bench, 100);
    bench.frames.clear();
    jump(&mut bench, TRUE_MS);
    bench.event(Event::Tick);
    assert_eq!(anchors(&mut bench, origin("board", 7)).len(), 1, "the system has not said that it is good");
    bench.event(Event::Clock { error_ms: 20, quality: ClockQuality::Synced });
    for of in [origin("board", 7), origin("gone", 8)] {
        let known = anchors(&mut bench, of);
        let (began, error_ms, quality) = known[known.len() - 1];
        assert_eq!((began, quality), (started_ms + TRUE_MS, ClockQuality::Synced), "{of:?}: {known:?}");
        let drift_ms = 100_000 * DRIFT_PPM / 1_000_000;
        assert!((70 + drift_ms..75 + drift_ms).contains(&u64::from(error_ms)), "{error_ms}");
    }
    let told = bench.frames.iter().filter(|(link, frame)| {
        *link == LinkId(1) && matches!(frame, Down::Time { unix_ms, .. } if *unix_ms > TRUE_MS)
    });
    assert_eq!(told.count(), 1, "the board is told too");
    assert_eq!(bench.core.view(bench.now.at).counters.clock_steps, 1);
}

#[test]
fn an_origin_that_ended_before_the_time_was_known_is_anchored_too() {
    let mut bench = in_1970();
    bench.hello(1, "board", Some(7), 0, 0);
    let at = bench.now.at;
    beat(&mut bench, 1, 0, at);
    bench.pass_ms(100);
    // It restarts; its old boot is closed, delivered, and forgotten.
    bench.hello(1, "board", Some(9), 0, 0);
    pass_s(&mut bench, 20);
    let known: Vec<String> =
        bench.core.view(bench.now.at).devices.into_iter().map(|device| device.boot).collect();
    assert_eq!(known, [BootId(9).to_string()]);
    jump(&mut bench, TRUE_MS);
    bench.event(Event::Clock { error_ms: 20, quality: ClockQuality::Synced });
    let known = anchors(&mut bench, origin("board", 7));
    assert_eq!(
        known.last().map(|anchor| (anchor.0, anchor.2)),
        Some((1_000 + TRUE_MS, ClockQuality::Synced))
    );
}

#[test]
fn a_clock_that_is_set_back_makes_better_anchors_than_the_one_before() {
    let mut bench = Bench::new(settings());
    bench.now.unix_ms = TRUE_MS + 3_600_000;
    bench.event(Event::Clock { error_ms: 10_000, quality: ClockQuality::Estimated });
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    let at = bench.now.at;
    beat(&mut bench, 1, 0, at);
    let before = anchors(&mut bench, origin("board", 7));
    jump(&mut bench, -3_600_000);
    bench.event(Event::Clock { error_ms: 10_000, quality: ClockQuality::Estimated });
    let after = anchors(&mut bench, origin("board", 7));
    assert_eq!((before.len(), after.len()), (1, 2), "{after:?}");
    assert_eq!(after[1].0, TRUE_MS, "as the clock tells it now");
    assert!(after[1].1 < after[0].1, "and it ranks above: {after:?}");
}

#[test]
fn a_clock_that_is_merely_slewed_is_not_set() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Clock { error_ms: 10_000, quality: ClockQuality::Estimated });
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    let at = bench.now.at;
    beat(&mut bench, 1, 0, at);
    for _ in 0..100 {
        pass_s(&mut bench, 1);
        jump(&mut bench, 5);
        bench.event(Event::Clock { error_ms: 10_000, quality: ClockQuality::Estimated });
    }
    assert_eq!(anchors(&mut bench, origin("board", 7)).len(), 1);
}

#[test]
fn an_anchor_is_of_the_moment_when_the_frame_arrived() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Clock { error_ms: 20, quality: ClockQuality::Synced });
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    let (arrived, arrived_ms) = (bench.now.at, bench.now.unix_ms);
    bench.pass_ms(4_000);
    beat(&mut bench, 1, 500, arrived);
    assert_eq!(anchors(&mut bench, origin("board", 7)), [(arrived_ms - 500, 70, ClockQuality::Synced)]);
}
