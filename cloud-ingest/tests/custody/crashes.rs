//! SIGKILL at each failure point, in a child process, and what a restart makes of what is left.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tidegate_ingest::failpoint::FailPoint;
use tidegate_service::{Mutant, mutant};

use crate::{checks, fleet::Fleet, world::World};

const FOLDER: &str = "TIDEGATE_TEST_FOLDER";
const SEED: u64 = 11;

/// What the child does: takes all blocks, rolls them to the lake. It is no test by itself.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let mut world = World::in_folder(&folder, SEED, Fleet::small());
    world.run_without_faults();
    world.roll_all();
}

/// Runs the child; says whether it was killed.
fn is_killed_at(point: FailPoint, hit: u32, folder: &Path, mutant: Option<Mutant>) -> bool {
    let program = std::env::current_exe().expect("this test's own program");
    let mut child = Command::new(program);
    child.args(["--exact", "crashes::child", "--test-threads=1", "-q"]).env(FOLDER, folder);
    child.env("TIDEGATE_FAILPOINT", format!("{}:{hit}", point.name()));
    if let Some(mutant) = mutant {
        child.env(mutant::VARIABLE, mutant.name());
    }
    let output = child.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code().is_none_or(|code| code == 0), "the child failed by itself: {said}");
    !output.status.success()
}

#[test]
fn wherever_the_process_is_killed_nothing_is_lost_or_doubled() {
    let points = FailPoint::ALL.into_iter().filter(|point| point.kills() && *point != FailPoint::AfterAck);
    for point in points {
        for hit in [1, 3] {
            let folder = tempfile::tempdir().expect("a folder");
            let killed = is_killed_at(point, hit, folder.path(), None);
            assert!(killed || hit > 1, "{} is never passed", point.name());
            let mut world = World::in_folder(folder.path(), SEED, Fleet::small());
            if let Some(rolled) = world.roller().resume().expect("the roll goes on") {
                assert!(rolled.file.is_some(), "{}", point.name());
            }
            world.run_without_faults();
            checks::stored_exactly_once(&world);
            checks::ledger_is_complete(&world);
            checks::history_is_that_of_order(&world);
            world.roll_all();
            checks::stored_exactly_once(&world);
            assert_eq!(leftovers(folder.path()), Vec::<PathBuf>::new(), "{}", point.name());
        }
    }
}

/// The checks can fail: a journal that is trimmed before its file is registered loses what is in between.
#[test]
fn a_lake_file_registered_outside_the_transaction_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(is_killed_at(FailPoint::AfterRegister, 1, folder.path(), Some(Mutant::LakeOutsideTransaction)));
    let mut world = World::in_folder(folder.path(), SEED, Fleet::small());
    world.roller().resume().expect("the roll goes on");
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.run_without_faults();
        checks::stored_exactly_once(&world);
    }));
    assert!(found.is_err(), "readings are gone and nobody noticed");
}

/// Files in the lake that no reader should see.
fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let list = |folder: &Path| {
        let entries = std::fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    let files = list(&folder.join("lake/readings")).into_iter().flat_map(|day| list(&day));
    files.filter(|path| path.extension().is_none_or(|extension| extension != "parquet")).collect()
}
