//! No power cut takes what was acknowledged, on the files as LMDB and the lake really write them; and a store that did
//! not sync would be found out.
//!
//! `TIDEGATE_TEST_LONG=1` tries many more disks.

use std::{path::Path, sync::LazyLock};

use tidegate_tests::powercut::{
    SECTOR_BYTES,
    child::Subject,
    cuts::Thoroughness,
    run::{Outcome, Recording},
    trace::Step,
};

static AGENT: LazyLock<Recording> = LazyLock::new(|| record(Subject::AgentQueue));
static INGEST: LazyLock<Recording> = LazyLock::new(|| record(Subject::IngestStore));

fn record(subject: Subject) -> Recording {
    Recording::make(Path::new(env!("CARGO_BIN_EXE_powercut-child")), subject)
}

fn thoroughness() -> Thoroughness {
    let long = std::env::var_os("TIDEGATE_TEST_LONG").is_some();
    Thoroughness { random: if long { 40 } else { 1 }, ..Thoroughness::default() }
}

/// Every disk, each found good.
fn survives(recording: &Recording) -> Outcome {
    let outcome = recording.try_cuts(thoroughness(), |steps| steps, u64::MAX);
    println!("{outcome}");
    assert_eq!(outcome.violations, 0, "{outcome}");
    outcome
}

/// The same recording as if something had been done otherwise: some disk must be found bad.
fn found_out(recording: &Recording, after: u32, what: &str, distorted: impl Fn(Vec<Step>) -> Vec<Step>) {
    let outcome = recording.try_cuts(Thoroughness { after, ..Thoroughness::default() }, distorted, 1);
    assert!(outcome.violations > 0, "{what} went unnoticed: {outcome}");
    let finding = outcome.told.first().and_then(|told| told.lines().next()).unwrap_or_default();
    println!("{what}: found on disk {}: {finding:.160}", outcome.counts.distinct);
}

fn without(steps: Vec<Step>, dropped: impl Fn(&Step) -> bool) -> Vec<Step> {
    let before = steps.len();
    let left: Vec<Step> = steps.into_iter().filter(|step| !dropped(step)).collect();
    assert!(left.len() < before, "nothing was dropped");
    left
}

/// Behind the first acknowledgements, so that the making of the files is not what is found.
const LATE: u32 = 2;
/// The lake's first file comes with the work behind this.
const FIRST_ROLL: u32 = 7;

#[test]
fn the_agents_queue_keeps_what_it_committed_through_every_power_cut() {
    let outcome = survives(&AGENT);
    assert!(outcome.counts.distinct > 3_000, "{outcome}");
}

#[test]
fn the_ingests_store_and_lake_keep_what_they_committed_through_every_power_cut() {
    let outcome = survives(&INGEST);
    assert!(outcome.counts.distinct > 2_000, "{outcome}");
}

/// LMDB's meta pages have no checksum. That a cut leaves the old or the new one, never a mixture, rests on this.
#[test]
fn a_commit_is_sealed_by_one_synced_write_within_one_sector() {
    for recording in [&*AGENT, &*INGEST] {
        let mut seals = 0;
        for step in &recording.steps {
            if let Step::Write { path, offset, bytes, through: true } = step {
                assert!(path.ends_with("data.mdb"), "{path}");
                let last = *offset + bytes.len() as u64 - 1;
                assert_eq!(offset / SECTOR_BYTES as u64, last / SECTOR_BYTES as u64, "at {offset}");
                seals += 1;
            }
        }
        assert!(seals > 20, "{seals}");
    }
}

#[test]
fn a_queue_that_does_not_sync_its_pages_is_found_out() {
    let no_sync =
        |steps| without(steps, |step| matches!(step, Step::Sync { path } if path.ends_with("data.mdb")));
    found_out(&AGENT, LATE, "pages not synced before the meta page", no_sync);
}

#[test]
fn a_queue_that_does_not_sync_its_meta_page_is_found_out() {
    let no_meta_sync = |mut steps: Vec<Step>| {
        for step in &mut steps {
            if let Step::Write { through, .. } = step {
                *through = false;
            }
        }
        steps
    };
    found_out(&AGENT, LATE, "meta page not synced", no_meta_sync);
}

#[test]
fn an_acknowledgement_before_its_commit_is_found_out() {
    let early = |steps: Vec<Step>| {
        let mut moved = Vec::with_capacity(steps.len());
        for step in without(steps, |step| matches!(step, Step::Acknowledged(_))) {
            let begun = if let Step::Begun(number) = step { Some(number) } else { None };
            moved.push(step);
            moved.extend(begun.map(Step::Acknowledged));
        }
        moved
    };
    found_out(&AGENT, 0, "acknowledged before the commit", early);
    found_out(&INGEST, 0, "acknowledged before the commit", early);
}

#[test]
fn names_that_were_never_synced_are_found_out() {
    let no_names = |steps| without(steps, |step| matches!(step, Step::SyncFolder { .. }));
    found_out(&AGENT, 0, "the queue's folder not synced", no_names);
    let lake_only = |step: &Step| matches!(step, Step::SyncFolder { path } if path.contains("arrived="));
    found_out(&INGEST, FIRST_ROLL, "a lake file's folder not synced", |steps| without(steps, lake_only));
}

#[test]
fn a_lake_file_that_is_not_synced_is_found_out() {
    let no_sync = |step: &Step| matches!(step, Step::Sync { path } if path.contains("arrived="));
    found_out(&INGEST, FIRST_ROLL, "a lake file not synced", |steps| without(steps, no_sync));
}

/// What the promise rests on: a disk that tears sectors leaves a meta page of two halves, which nothing checks.
#[test]
fn a_disk_that_tears_sectors_is_beyond_the_promise() {
    let how = Thoroughness { sector_bytes: 8, random: 4, after: LATE, ..Thoroughness::default() };
    let outcome = AGENT.try_cuts(how, |steps| steps, 1);
    println!("sectors of 8 bytes: {outcome}");
    assert!(outcome.violations > 0, "the promise could be wider than the documents say: {outcome}");
}
