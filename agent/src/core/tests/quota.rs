//! At the quota.

use tidegate_protocol::{LossReason, block::Record};

use super::bench::{Bench, settings};
use crate::core::{CommitFailure, CoreSettings, Event, Policy};

fn small(policy: Policy) -> CoreSettings {
    CoreSettings { quota_bytes: 8 * 1024, policy, ram_limit_bytes: 128 * 1024, ..settings() }
}

/// Commits and loads whatever the core asks for.
fn settle(bench: &mut Bench) {
    while bench.batch.is_some() || bench.load.is_some() {
        if bench.load.is_some() {
            bench.loaded();
        }
        if bench.batch.is_some() {
            bench.commit();
        }
    }
}

fn fill(bench: &mut Bench, readings: u64) {
    for at in 0..readings / 100 {
        bench.readings(1, at * 100..at * 100 + 100);
        bench.event(Event::Flush);
        bench.pass_ms(10);
        settle(bench);
    }
}

#[test]
fn refuse_commits_and_acknowledges_no_more_and_live_still_flows() {
    let mut bench = Bench::new(small(Policy::Refuse));
    bench.hello(1, "board", Some(7), 0, 0);
    fill(&mut bench, 20_000);
    let view = bench.core.view(bench.now.at);
    assert!(view.queue.refusing && view.queue.bytes <= 8 * 1024, "{view:?}");
    let acked = bench.last_ack(1).unwrap();
    assert!(acked < 20_000);
    assert_eq!(acked, bench.disk.totals.readings, "what is not committed is not acknowledged");
    // The link comes: what is in memory goes, without being written.
    bench.link_up();
    let mut answered = 0;
    while answered < bench.published.len() {
        let number = bench.published[answered].number;
        bench.durable(number);
        settle(&mut bench);
        bench.pass_ms(1);
        answered += 1;
    }
    bench.pass_ms(2_000);
    settle(&mut bench);
    assert_eq!(bench.last_ack(1), Some(20_000));
    assert!(bench.disk.blocks.is_empty());
    assert!(!bench.core.view(bench.now.at).queue.refusing);
}

#[test]
fn at_the_memory_bound_boards_are_not_read() {
    let mut bench = Bench::new(CoreSettings { ram_limit_bytes: 4_096, ..small(Policy::Refuse) });
    bench.hello(1, "board", Some(7), 0, 0);
    let mut at = 0;
    while bench.core.takes_frames() {
        bench.readings(1, at..at + 20);
        bench.event(Event::Flush);
        settle(&mut bench);
        at += 20;
        assert!(at < 1_000_000, "memory has no bound");
    }
    let ram = bench.core.view(bench.now.at).ram;
    assert!(ram.full && ram.block_bytes < 8_192, "{ram:?}");
}

#[test]
fn drop_oldest_declares_what_it_drops_in_the_transaction_that_drops_it() {
    let mut bench = Bench::new(small(Policy::DropOldest));
    bench.hello(1, "board", Some(7), 0, 0);
    fill(&mut bench, 20_000);
    assert_eq!(bench.last_ack(1), Some(20_000), "everything is safe or declared");
    assert!(bench.disk.totals.bytes <= 9 * 1024, "{:?}", bench.disk.totals);
    let held = bench.disk.totals.readings;
    let evicted = bench.core.view(bench.now.at).counters.losses["evicted"];
    assert_eq!(held + evicted, 20_000);
    // The ledger learns of every one of them.
    bench.link_up();
    let mut answered = 0;
    while answered < bench.published.len() || bench.load.is_some() {
        settle(&mut bench);
        while answered < bench.published.len() {
            let number = bench.published[answered].number;
            bench.durable(number);
            answered += 1;
        }
    }
    let lost: u64 = bench
        .records()
        .iter()
        .filter_map(|record| match record {
            Record::Loss(loss) if loss.reason == LossReason::Evicted => Some(loss.range.len()),
            _ => None,
        })
        .sum();
    assert_eq!(lost, evicted);
    let stored: usize = bench.published.iter().map(|published| published.block.reading_count()).sum();
    assert_eq!(stored as u64, held);
}

#[test]
fn a_map_that_is_full_below_the_quota_is_treated_as_the_quota() {
    let mut bench = Bench::new(CoreSettings { quota_bytes: 1 << 20, ..small(Policy::DropOldest) });
    bench.hello(1, "board", Some(7), 0, 0);
    fill(&mut bench, 2_000);
    bench.readings(1, 2_000..2_100);
    bench.event(Event::Flush);
    bench.batch.take().unwrap();
    bench.event(Event::CommitFailed(CommitFailure::Full));
    // Before the disk is tried for more again.
    bench.pass_ms(1_100);
    bench.event(Event::Flush);
    settle(&mut bench);
    assert_eq!(bench.last_ack(1), Some(2_100));
    assert!(bench.core.view(bench.now.at).counters.losses["evicted"] > 0);
}
