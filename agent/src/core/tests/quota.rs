//! At the quota.

use tidegate_protocol::{LossReason, Summary, block::Record};

use super::bench::{Bench, channels, origin, settings};
use crate::core::{BoardFrame, CommitFailure, CoreSettings, Event, Policy};

fn small(policy: Policy) -> CoreSettings {
    CoreSettings { quota_bytes: 8 * 1024, policy, ram_limit_bytes: 128 * 1024, ..settings() }
}

/// The link comes up and the cloud takes everything.
fn drain(bench: &mut Bench) {
    bench.link_up();
    let mut answered = 0;
    while answered < bench.published.len() || bench.load.is_some() || bench.batch.is_some() {
        bench.settle();
        while answered < bench.published.len() {
            let number = bench.published[answered].number;
            bench.durable(number);
            answered += 1;
        }
    }
    bench.pass_ms(2_000);
    bench.settle();
}

fn fill(bench: &mut Bench, readings: u64) {
    for at in 0..readings / 100 {
        bench.readings(1, at * 100..at * 100 + 100);
        bench.event(Event::Flush);
        bench.pass_ms(10);
        bench.settle();
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
        bench.settle();
        bench.pass_ms(1);
        answered += 1;
    }
    bench.pass_ms(2_000);
    bench.settle();
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
        bench.settle();
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
    drain(&mut bench);
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
fn thin_oldest_keeps_summaries_of_what_it_declares_lost() {
    let mut bench = Bench::new(small(Policy::ThinOldest));
    bench.hello(1, "board", Some(7), 0, 0);
    fill(&mut bench, 40_000);
    assert_eq!(bench.last_ack(1), Some(40_000), "everything is safe or declared");
    assert!(bench.disk.totals.bytes <= 9 * 1024, "{:?}", bench.disk.totals);
    let held = bench.disk.totals.readings;
    let thinned = bench.core.view(bench.now.at).counters.losses["thinned"];
    assert_eq!(held + thinned, 40_000);
    assert!(held > 1_000, "summaries leave room for readings: {held}");
    drain(&mut bench);
    let records = bench.records();
    let losses: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Loss(loss) => Some((loss.reason, loss.range)),
            _ => None,
        })
        .collect();
    assert_eq!(losses.iter().map(|(_, range)| range.len()).sum::<u64>(), thinned);
    assert!(losses.iter().all(|(reason, _)| *reason == LossReason::Thinned));
    let mut summaries: Vec<Summary> = records
        .iter()
        .filter_map(|record| match record {
            Record::Summary(summary) => Some(*summary),
            _ => None,
        })
        .collect();
    summaries.sort_by_key(|summary| summary.range);
    assert!(summaries.windows(2).all(|pair| pair[0].range.end == pair[1].range.start), "no reading twice");
    assert_eq!(summaries.iter().map(|summary| summary.count).sum::<u64>(), thinned);
    for Summary { range, count, min, mean, max, .. } in summaries {
        let (first, last) = (range.start as f64 / 8.0, (range.end - 1) as f64 / 8.0);
        assert_eq!((count, min, max), (range.len(), first, last));
        assert!((mean - (first + last) / 2.0).abs() < 1e-6);
    }
}

#[test]
fn thinning_that_cannot_save_room_ends_in_refusing() {
    // Nothing but summaries fits.
    let mut bench = Bench::new(CoreSettings { quota_bytes: 700, ..small(Policy::ThinOldest) });
    bench.hello(1, "board", Some(7), 0, 0);
    fill(&mut bench, 4_000);
    let commits = bench.disk.commits;
    for _ in 0..600 {
        bench.pass_ms(100);
        bench.settle();
    }
    assert!(bench.disk.commits - commits < 100, "{} commits in a minute", bench.disk.commits - commits);
    drain(&mut bench);
    assert_eq!(bench.last_ack(1), Some(4_000));
}

#[test]
fn the_losses_of_many_long_descriptions_all_find_a_block() {
    let mut bench = Bench::new(CoreSettings { max_origins: 4_096, ..small(Policy::DropOldest) });
    for board in 0..40 {
        let device = format!("board-{board}");
        let name = |at: u32| {
            tidegate_protocol::ChannelName::new(&format!("a-channel-with-a-long-name-{at}")).unwrap()
        };
        let channels =
            (0..255).map(|at| tidegate_protocol::ChannelDecl { name: name(at), ..channels()[0].clone() });
        bench.introduce(
            board,
            BoardFrame::Hello {
                device: tidegate_protocol::DeviceId::new(&device).unwrap(),
                tag: "t".repeat(200),
                firmware: "f".repeat(200),
                boot: Some(tidegate_protocol::BootId(7)),
                proven: false,
                fresh: tidegate_protocol::BootId(8),
                standing: tidegate_protocol::frame::Standing::Present,
                floor: 0,
                next: 0,
                channels: channels.collect(),
            },
        );
        bench.readings(board, 0..20);
        bench.event(Event::Flush);
        bench.settle();
        bench.pass_ms(10);
    }
    fill(&mut bench, 20_000);
    drain(&mut bench);
    let described = |device: &str| {
        let of = origin(device, 7);
        bench.records().iter().any(|record| matches!(record, Record::Described(d) if d.origin == of))
    };
    assert!((0..40).all(|board| described(&format!("board-{board}"))));
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
    bench.settle();
    assert_eq!(bench.last_ack(1), Some(2_100));
    assert!(bench.core.view(bench.now.at).counters.losses["evicted"] > 0);
}
