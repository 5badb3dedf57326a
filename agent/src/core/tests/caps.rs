//! A metered link: each lane within its cap, the day's budget over restarts, and nothing lost for it.

use tidegate_protocol::topic::Lane;

use super::bench::{Bench, settings};
use crate::core::{CoreSettings, Event, LaneCap, PUBLISH_OVERHEAD_BYTES};

fn capped(lane: Lane, cap: LaneCap) -> CoreSettings {
    let mut settings = settings();
    settings.caps[lane as usize] = cap;
    settings
}

fn rate(bytes_per_s: u64) -> LaneCap {
    LaneCap { bytes_per_s: Some(bytes_per_s), bytes_per_day: None }
}

fn day(bytes_per_day: u64) -> LaneCap {
    LaneCap { bytes_per_s: None, bytes_per_day: Some(bytes_per_day) }
}

/// Bytes as the meters count them.
fn spent(bench: &Bench, lane: Lane) -> u64 {
    let published = bench.published.iter().filter(|published| published.lane == lane);
    let sent = bench.core.view(bench.now.at).link.lanes[lane as usize].block_bytes_sent;
    sent + published.count() as u64 * PUBLISH_OVERHEAD_BYTES
}

/// Ten readings every 100 ms, everything answered at once.
fn measure(bench: &mut Bench, from: u64, seconds: u64) -> u64 {
    let mut next = from;
    for _ in 0..seconds * 10 {
        bench.readings(1, next..next + 10);
        next += 10;
        bench.pass_ms(100);
        serve(bench);
    }
    next
}

fn serve(bench: &mut Bench) {
    if bench.batch.is_some() {
        bench.commit();
    }
    if bench.load.is_some() {
        bench.loaded();
    }
    let numbers: Vec<u64> = bench.published.iter().map(|published| published.number).collect();
    for number in numbers.into_iter().rev().take(4) {
        bench.durable(number);
    }
}

#[test]
fn a_lane_keeps_to_its_rate_and_the_backlog_takes_what_it_leaves() {
    let mut bench = Bench::new(capped(Lane::Live, rate(200)));
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    let next = measure(&mut bench, 0, 60);
    let sent = spent(&bench, Lane::Live);
    assert!(sent <= 200 * 61 + 2_000, "{sent} bytes of live data in a minute at 200 B/s");
    assert!(sent >= 200 * 50, "{sent}: the rate is used");
    for _ in 0..600 {
        bench.pass_ms(100);
        serve(&mut bench);
    }
    let mut seqs: Vec<u64> = bench.published.iter().flat_map(|published| published.seqs()).collect();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs, (0..next).collect::<Vec<_>>(), "what live could not take went as backlog");
}

#[test]
fn a_capped_backlog_does_not_hold_live_back() {
    let mut first = Bench::new(settings());
    first.hello(1, "old", Some(3), 0, 0);
    for at in 0..100 {
        first.readings(1, at * 100..at * 100 + 100);
    }
    first.event(Event::Flush);
    while first.batch.is_some() {
        first.commit();
    }
    let mut bench = Bench::on(capped(Lane::Backlog, rate(100)), first.disk);
    bench.link_up();
    bench.loaded();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.pass_ms(30_000);
    assert!(spent(&bench, Lane::Backlog) <= 100 * 31 + 2_000);
    let before = bench.published.len();
    bench.readings(1, 0..5);
    bench.pass_ms(60);
    let live = bench.published[before..].iter().find(|published| published.lane == Lane::Live);
    assert_eq!(live.map(|published| published.seqs()), Some((0..5).collect()));
}

#[test]
fn a_days_budget_holds_over_a_restart_and_ends_with_the_day() {
    let budget = 10_000;
    let cap = || capped(Lane::Live, day(budget));
    let mut bench = Bench::new(CoreSettings { caps: cap().caps, ..settings() });
    bench.event(Event::Clock { error_ms: 10, quality: tidegate_protocol::ClockQuality::Synced });
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    let mut next = measure(&mut bench, 0, 5);
    let first = spent(&bench, Lane::Live);
    assert!(first > budget / 10 && first < budget, "{first} of {budget}: chosen so that some is left");
    bench.event(Event::Flush);
    if bench.batch.is_some() {
        bench.commit();
    }
    let now = bench.now;
    let mut bench = Bench::on(cap(), bench.disk);
    bench.now = now;
    bench.event(Event::Clock { error_ms: 10, quality: tidegate_protocol::ClockQuality::Synced });
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, next);
    next = measure(&mut bench, next, 120);
    let both = first + spent(&bench, Lane::Live);
    assert!(both <= budget, "{both} bytes in one day");
    let lane = bench.core.view(bench.now.at).link.lanes[Lane::Live as usize];
    assert!(lane.spent && lane.bytes_today == both, "{lane:?}");
    let before = spent(&bench, Lane::Live);
    bench.now.unix_ms += 86_400_000;
    measure(&mut bench, next, 5);
    assert!(spent(&bench, Lane::Live) > before, "another day");
}

#[test]
fn a_kill_forgets_a_small_part_of_the_days_budget() {
    let budget = 64_000;
    let mut bench = Bench::new(capped(Lane::Live, day(budget)));
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    measure(&mut bench, 0, 20);
    let sent = spent(&bench, Lane::Live);
    // Nothing is flushed: this is what a killed process leaves.
    let saved =
        bench.disk.sent_today.expect("saved beside other things, or alone").bytes[Lane::Live as usize];
    assert!(saved <= sent && sent - saved <= budget / 64 + 2_000, "{saved} of {sent}");
}
