//! No power cut takes what was acknowledged, on the files as LMDB and the lake really write them.
//!
//! `TIDEGATE_TEST_LONG=1` tries many more disks.

use std::path::Path;

use tidegate_tests::powercut::{
    child::Subject,
    cuts::Thoroughness,
    run::{Outcome, Recording},
};

fn record(subject: Subject) -> Recording {
    Recording::make(Path::new(env!("CARGO_BIN_EXE_powercut-child")), subject)
}

fn thoroughness() -> Thoroughness {
    let long = std::env::var_os("TIDEGATE_TEST_LONG").is_some();
    Thoroughness { random: if long { 60 } else { 3 }, ..Thoroughness::default() }
}

/// Every disk, each found good.
fn survives(subject: Subject) -> Outcome {
    let recording = record(subject);
    let outcome = recording.try_cuts(thoroughness(), |steps| steps, u64::MAX);
    println!("{outcome}");
    assert_eq!(outcome.violations, 0, "{outcome}");
    outcome
}

#[test]
fn the_agents_queue_keeps_what_it_committed_through_every_power_cut() {
    let outcome = survives(Subject::AgentQueue);
    assert!(outcome.counts.distinct > 2_000, "{outcome}");
}
