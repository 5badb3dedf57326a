//! A disk that takes nothing more: for now, or for good.

use tidegate_protocol::ack::{Outcome, RejectReason};

use super::bench::{Bench, settings};
use crate::core::{CommitFailure, CoreSettings, Event, Policy};

fn fail(bench: &mut Bench, failure: CommitFailure) {
    bench.batch.take().expect("a batch is under way");
    bench.event(Event::CommitFailed(failure));
}

#[test]
fn after_a_write_error_nothing_is_committed_and_live_still_flows() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.event(Event::Flush);
    fail(&mut bench, CommitFailure::Poisoned);
    bench.readings(1, 10..20);
    bench.event(Event::Flush);
    bench.pass_ms(100_000);
    assert!(bench.batch.is_none(), "a poisoned store is left alone");
    assert_eq!(bench.last_ack(1), None);
    assert!(bench.core.view(bench.now.at).queue.poisoned);
    assert!(!bench.core.is_safe(), "a clean stop would lose what boards still have to send");
    // Custody goes to the cloud instead.
    bench.link_up();
    for number in 0..bench.published.len() as u64 {
        bench.durable(number);
    }
    assert_eq!(bench.last_ack(1), Some(20));
    bench.pass_ms(100_000);
    assert!(bench.batch.is_none() && bench.core.is_safe());
}

#[test]
fn what_is_in_a_poisoned_queue_still_reaches_the_cloud() {
    let mut bench = Bench::new(CoreSettings { policy: Policy::DropOldest, ..settings() });
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.event(Event::Flush);
    bench.commit();
    bench.readings(1, 10..20);
    bench.event(Event::Flush);
    fail(&mut bench, CommitFailure::Poisoned);
    bench.link_up();
    bench.loaded();
    bench.pass_ms(100);
    let mut seqs: Vec<u64> = bench.published.iter().flat_map(|published| published.seqs()).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (0..20).collect::<Vec<_>>());
}

#[test]
fn blocks_that_were_to_be_evicted_are_sent_when_the_disk_fails_instead() {
    let tight = CoreSettings { quota_bytes: 2_000, policy: Policy::DropOldest, ..settings() };
    let mut bench = Bench::new(tight);
    bench.hello(1, "board", Some(7), 0, 0);
    let mut at = 0;
    // Until the first eviction is under way.
    while bench.load.is_none() {
        bench.readings(1, at..at + 50);
        at += 50;
        bench.event(Event::Flush);
        if bench.batch.is_some() {
            bench.commit();
        }
    }
    bench.loaded();
    assert!(!bench.batch.as_ref().unwrap().deletes.is_empty());
    fail(&mut bench, CommitFailure::Poisoned);
    bench.link_up();
    bench.pass_ms(100);
    while bench.load.is_some() {
        bench.loaded();
        bench.pass_ms(100);
    }
    let mut seqs: Vec<u64> = bench.published.iter().flat_map(|published| published.seqs()).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (0..at).collect::<Vec<_>>());
    assert!(bench.core.view(bench.now.at).counters.losses.is_empty(), "nothing was given up");
}

#[test]
fn a_clean_stop_waits_for_rejected_blocks_that_are_only_in_memory() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.answer(0, Outcome::Rejected { reason: RejectReason::BootConflict, parts: Vec::new() });
    fail(&mut bench, CommitFailure::Failed);
    bench.event(Event::Flush);
    assert!(!bench.core.is_safe(), "the quarantine does not have it");
    bench.pass_ms(2_000);
    bench.commit();
    assert!(bench.core.is_safe());
    assert_eq!(bench.disk.quarantine.len(), 1);
}

#[test]
fn a_full_disk_is_used_again_when_there_is_room() {
    for policy in [Policy::Refuse, Policy::DropOldest] {
        let mut bench = Bench::new(CoreSettings { policy, ..settings() });
        bench.hello(1, "board", Some(7), 0, 0);
        let mut at = 0;
        let mut measure = |bench: &mut Bench| {
            bench.readings(1, at..at + 100);
            at += 100;
            bench.event(Event::Flush);
            at
        };
        for _ in 0..40 {
            measure(&mut bench);
            bench.commit();
        }
        let held = bench.disk.totals;
        // Nothing can be written for a while: what is there stays, nobody is told otherwise.
        let until = bench.now.at.plus_ms(300_000);
        let mut measured = 0;
        while bench.now.at < until {
            measured = measure(&mut bench);
            if bench.load.is_some() {
                bench.loaded();
            }
            if bench.batch.is_some() {
                fail(&mut bench, CommitFailure::Full);
            }
            bench.pass_ms(20_000);
        }
        assert_eq!(bench.last_ack(1), Some(4_000), "{policy:?}");
        assert_eq!(bench.disk.totals, held);
        assert!(bench.core.view(bench.now.at).queue.disk_takes_bytes.is_some());
        // The room comes back.
        while bench.last_ack(1) != Some(measured) {
            bench.pass_ms(1_000);
            if bench.load.is_some() {
                bench.loaded();
            }
            if bench.batch.is_some() {
                bench.commit();
            }
            assert!(bench.now.at < until.plus_ms(700_000), "{policy:?}: it does not recover");
        }
        // And the disk's whole quota.
        while bench.core.view(bench.now.at).queue.disk_takes_bytes.is_some() {
            measure(&mut bench);
            bench.pass_ms(1_000);
            if bench.load.is_some() {
                bench.loaded();
            }
            if bench.batch.is_some() {
                bench.commit();
            }
            assert!(bench.now.at < until.plus_ms(20_000_000), "{policy:?}: it never forgets");
        }
    }
}
