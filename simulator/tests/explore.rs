//! Seeded schedules against the cores: a fixed set, a fresh set, and those that once failed.
//!
//! `TIDEGATE_EXPLORE_SEEDS=n` runs n fresh seeds; a failure prints its seed, which
//! `tidegate-sim explore --seed <seed>` replays.

use std::sync::atomic::{AtomicBool, AtomicU64};

use tidegate_service::Mutant;
use tidegate_simulator::explore::{Detail, Options, explore, one};

const FIXED: u64 = 40;
const FRESH: u64 = 20;

fn run(seeds: std::ops::Range<u64>) {
    println!("seeds {seeds:?}: replay one with tidegate-sim explore --seed <seed>");
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let report = explore(seeds.clone(), 2, Options::default(), &stop, &done).expect("schedules begin");
    assert_eq!(report.coverage.schedules, seeds.end - seeds.start);
    for failure in &report.failures {
        failure.lines.iter().for_each(|line| eprintln!("{line}"));
        eprintln!("seed {}: {:?}", failure.seed, failure.violation);
    }
    let failed: Vec<u64> = report.failures.iter().map(|failure| failure.seed).collect();
    assert!(failed.is_empty(), "rules broken by seeds {failed:?}");
    assert!(report.coverage.readings > 100 * report.coverage.schedules, "too little happens");
}

#[test]
fn every_rule_holds_over_a_fixed_set_of_schedules() {
    run(0..FIXED);
}

#[test]
fn every_rule_holds_over_a_fresh_set_of_schedules() {
    let count =
        std::env::var("TIDEGATE_EXPLORE_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(FRESH);
    let first = u64::from(getrandom::u32().expect("entropy")) << 20;
    run(first..first + count);
}

#[test]
fn what_was_found_once_stays_found() {
    let lines = include_str!("../src/explore/regressions.txt").lines();
    let seeds: Vec<u64> = lines
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().next().and_then(|seed| seed.parse().ok()).expect("a seed"))
        .collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        let explored = one(seed, Options::default(), Detail::Hash).expect("it begins");
        assert_eq!(explored.violation, None, "seed {seed}");
    }
}

#[test]
fn a_seed_gives_its_schedule_again_and_another_seed_another() {
    for seed in 0..6 {
        let run = |detail| one(seed, Options::default(), detail).expect("it begins");
        let (first, again) = (run(Detail::Hash), run(Detail::Last));
        assert_eq!((first.hash, first.coverage.events), (again.hash, again.coverage.events), "seed {seed}");
        let other = one(seed + 1_000, Options::default(), Detail::Hash).expect("it begins");
        assert_ne!(first.hash, other.hash);
    }
}

/// A seed that finds each deliberate fault, and breaks no rule without it; `docs/explore.md` has the table.
const FOUND_BY: &[(Mutant, u64)] = &[
    (Mutant::AckBeforeCommit, 200),
    (Mutant::ResendAckedEarly, 200),
    (Mutant::BootTagIgnored, 365),
    (Mutant::AckAcrossHole, 201),
    (Mutant::DeleteOnPuback, 200),
    (Mutant::BlockNumbersReused, 200),
    (Mutant::ForeignEpochBelieved, 200),
    (Mutant::FailedCommitTrusted, 200),
    (Mutant::LossRecordDropped, 222),
    (Mutant::RecordsEvicted, 319),
    (Mutant::AlarmsEvictedFirst, 301),
    (Mutant::DamageUndeclared, 253),
    (Mutant::LiveBehindBacklog, 201),
    (Mutant::BootReused, 240),
    (Mutant::TailForgotten, 233),
    (Mutant::EndUnwritten, 218),
    (Mutant::NeverResent, 200),
    (Mutant::BlockAckedEarly, 200),
    (Mutant::DuplicateAckedEarly, 200),
    (Mutant::DedupOutsideTransaction, 201),
    (Mutant::OverlayKept, 203),
    (Mutant::LostBeatsStored, 201),
    (Mutant::LedgerOffByOne, 200),
    (Mutant::ConflictAcked, 332),
    (Mutant::HistoryAcrossHoles, 253),
    (Mutant::HolesSealed, 246),
    (Mutant::RetiredEarly, 217),
    (Mutant::LateDataLive, 201),
    (Mutant::LakeOutsideTransaction, 202),
    (Mutant::LakeEntriesUncounted, 224),
    (Mutant::LakeFileLeft, 387),
];

#[test]
fn every_deliberate_fault_is_found() {
    let hunted: Vec<Mutant> = FOUND_BY.iter().map(|(mutant, _)| *mutant).collect();
    assert!(Mutant::ALL.iter().all(|mutant| hunted.contains(mutant)), "a mutant is not hunted");
    for &(mutant, seed) in FOUND_BY {
        let whole = one(seed, Options::default(), Detail::Hash).expect("it begins");
        assert_eq!(whole.violation, None, "seed {seed} without a mutant");
        let broken = one(seed, Options { mutant: Some(mutant) }, Detail::Hash).expect("it begins");
        assert!(broken.violation.is_some(), "{} is not found by seed {seed}", mutant.name());
    }
}
