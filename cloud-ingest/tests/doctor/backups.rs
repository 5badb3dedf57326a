//! Backups are whole or refused; restores replace all, delete nothing, and raise the ledger's number.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;
use tidegate_alarms::EventId;
use tidegate_ingest::{
    core::batch::Batch,
    data_folder::{self, FolderError},
    doctor::{
        DoctorError,
        backup::backup,
        restore::{Restore, Restored},
    },
    lake::{Lake, RollSettings, Roller},
    store::{LmdbStore, Store},
};

use crate::{MAP_BYTES, contents, made};

struct Trial {
    folder: TempDir,
    /// What was there when it was backed up.
    contents: String,
}

impl Trial {
    /// A data folder and its backup.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        made::make(&folder.path().join("data"));
        let contents = contents::of(&folder.path().join("data"));
        let trial = Self { folder, contents };
        let mut steps = Vec::new();
        backup(&trial.data(), &trial.data().join("lake"), &trial.backup(), &mut |what, done, total| {
            steps.push((what.to_owned(), done, total));
        })
        .unwrap();
        assert_eq!(steps.last(), Some(&("lake files".to_owned(), 1, 1)), "it says how far it is");
        trial
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn backup(&self) -> PathBuf {
        self.folder.path().join("backup")
    }

    fn restore(&self) -> Restore {
        Restore {
            from: self.backup(),
            data_dir: self.data(),
            lake_folder: self.data().join("lake"),
            map_size_bytes: MAP_BYTES,
            replace: true,
            ledger: None,
        }
    }

    fn restored(&self) -> Restored {
        self.restore().run(&mut |_, _, _| {}).unwrap()
    }

    fn refused(&self, restore: &Restore) -> String {
        let before = contents::of(&self.data());
        let error = restore.run(&mut |_, _, _| {}).unwrap_err().to_string();
        assert_eq!(contents::of(&self.data()), before, "a refused restore changed something");
        error
    }

    /// The rest of the journal goes to the lake, which the backup knows nothing of.
    fn roll(&self) {
        let store = Arc::new(LmdbStore::open(&self.data().join("store"), MAP_BYTES).unwrap());
        let lake = Lake::open(&self.data().join("lake")).unwrap();
        let roller = Roller::new(Arc::clone(&store), lake, RollSettings { interval_ms: 0, bytes: 0 });
        roller.roll_now().unwrap().expect("a roll");
    }
}

fn ledger_count(data: &Path) -> u32 {
    LmdbStore::open_read_only(&data.join("store")).unwrap().look().unwrap().ledger_count().unwrap()
}

fn now_s() -> u32 {
    jiff::Timestamp::now().as_second().try_into().unwrap()
}

#[test]
fn a_restore_brings_back_what_was_there_and_sets_the_rest_aside() {
    let trial = Trial::new();
    trial.roll();
    let rolled = contents::of(&trial.data());
    assert_ne!(rolled, trial.contents, "it went on after the backup");
    let (begun, restored) = (now_s(), trial.restored());
    assert_eq!(contents::of(&trial.data()), trial.contents);
    assert!((begun..=now_s()).contains(&restored.ledger));
    assert_eq!(ledger_count(&trial.data()), restored.ledger);
    // What was there is whole, under other names.
    let (count, aside) = restored.unregistered.expect("a lake file that the backup does not have");
    assert_eq!(count, 1);
    let old = trial.folder.path().join("old");
    fs::create_dir_all(old.join("store")).unwrap();
    fs::copy(restored.old_store.expect("the old store").join("data.mdb"), old.join("store/data.mdb"))
        .unwrap();
    for lake in [aside, trial.data().join("lake")] {
        copy_below(&lake.join("readings"), &old.join("lake/readings"));
    }
    assert_eq!(contents::of(&old), rolled);
    // It goes on from there, and its files do not meet those of before.
    trial.roll();
    assert_eq!(contents::of(&trial.data()), rolled);
}

fn copy_below(from: &Path, to: &Path) {
    for day in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(day.file_name());
        fs::create_dir_all(&target).unwrap();
        for file in fs::read_dir(day.path()).unwrap().map(|entry| entry.unwrap()) {
            fs::copy(file.path(), target.join(file.file_name())).unwrap();
        }
    }
}

#[test]
fn the_number_is_above_every_one_that_was_announced() {
    let trial = Trial::new();
    let first = trial.restored().ledger;
    // From the same backup, which says 0: the store in place has announced one.
    let second = trial.restored().ledger;
    assert!(second > first);
    let lower = Restore { ledger: Some(second), ..trial.restore() };
    assert!(trial.refused(&lower).contains(&format!("--ledger {second} is not above {second}")));
    // The clock was ahead of it all.
    let ahead = u32::MAX - 9;
    let given = Restore { ledger: Some(ahead), ..trial.restore() };
    assert_eq!(given.run(&mut |_, _, _| {}).unwrap().ledger, ahead);
    assert_eq!(trial.restored().ledger, ahead + 1);
    // A store that cannot be read is set aside all the same, and it is said that its count is not known.
    fs::write(trial.data().join("store/data.mdb"), [7; 9_000]).unwrap();
    let restored = trial.restored();
    assert!(
        restored.ledger >= first && restored.old_count_unknown,
        "no trace of what was announced but the time"
    );
    assert_eq!(contents::of(&trial.data()), trial.contents);
    // A new machine, which knows of no restore.
    let begun = now_s();
    fs::remove_dir_all(trial.data()).unwrap();
    let fresh = Restore { replace: false, ..trial.restore() }.run(&mut |_, _, _| {}).unwrap();
    assert!(fresh.ledger >= begun, "{} was given to restores before this one", fresh.ledger);
    assert_eq!((fresh.old_store, fresh.unregistered), (None, None));
    assert_eq!(contents::of(&trial.data()), trial.contents);
}

/// The stream answers a gap between cursors, and one above the newest, by a reset: who has seen the event that is gone is told.
#[test]
fn an_event_cursor_is_never_given_a_second_time() {
    let trial = Trial::new();
    let commit_event = |id| {
        let store = LmdbStore::open(&trial.data().join("store"), MAP_BYTES).unwrap();
        let (_, mut event) = store.look().unwrap().events_after(0, 1).unwrap().remove(0);
        event.id = EventId(id);
        let events = vec![event];
        let receipt = store.commit(&Batch { number: 1, events, ..Batch::default() }).unwrap();
        let cursors: Vec<_> = receipt.events.iter().map(|(cursor, _)| *cursor).collect();
        let last = store.look().unwrap().last_cursor().unwrap();
        assert_eq!(cursors, [last]);
        last
    };
    let gone = commit_event(1);
    // From the same backup each time; another event of each time is gone with its store.
    let mut newest = gone;
    for restore in 0..2 {
        let ledger = u32::MAX - 1 + restore;
        Restore { ledger: Some(ledger), ..trial.restore() }.run(&mut |_, _, _| {}).unwrap();
        let cursor = commit_event(2);
        assert!(cursor > newest + 1, "{cursor} after {newest}");
        newest = cursor;
    }
    assert_eq!(commit_event(3), newest + 1, "and they go on without gaps");
    assert!(newest < 1 << 53, "JSON readers have it exactly");
}

#[test]
fn what_is_no_whole_backup_is_refused() {
    let trial = Trial::new();
    let without = Restore { replace: false, ..trial.restore() };
    assert!(trial.refused(&without).contains("--replace"));
    let manifest = fs::read(trial.backup().join("manifest.json")).unwrap();
    let store = fs::read(trial.backup().join("store/data.mdb")).unwrap();
    let mut damaged = store.clone();
    damaged[5_000] ^= 1;
    fs::write(trial.backup().join("store/data.mdb"), damaged).unwrap();
    assert!(trial.refused(&trial.restore()).contains("store/data.mdb is not as it was backed up"));
    fs::write(trial.backup().join("store/data.mdb"), store).unwrap();
    let text = String::from_utf8(manifest.clone()).unwrap();
    fs::write(trial.backup().join("manifest.json"), text.replace("store/data.mdb", "../data/ingest.lock"))
        .unwrap();
    assert!(trial.refused(&trial.restore()).contains("leads out of it"));
    fs::write(trial.backup().join("manifest.json"), text.replace("\"format\": ", "\"format\": 9")).unwrap();
    assert!(trial.refused(&trial.restore()).contains("later version"));
    fs::remove_file(trial.backup().join("manifest.json")).unwrap();
    assert!(trial.refused(&trial.restore()).contains("not finished"));
    fs::write(trial.backup().join("manifest.json"), manifest).unwrap();
    fs::remove_dir_all(trial.backup().join("lake")).unwrap();
    assert!(trial.refused(&trial.restore()).contains("is missing"));
}

#[test]
fn nobody_writes_beside_a_writer_and_nothing_starts_on_half_a_restore() {
    let trial = Trial::new();
    let lock = data_folder::lock_whole(&trial.data()).unwrap();
    assert!(matches!(data_folder::lock_whole(&trial.data()), Err(FolderError::InUse { .. })));
    assert!(trial.refused(&trial.restore()).contains("stop it first"));
    // But it can be backed up.
    let second = trial.folder.path().join("second");
    backup(&trial.data(), &trial.data().join("lake"), &second, &mut |_, _, _| {}).unwrap();
    let again = backup(&trial.data(), &trial.data().join("lake"), &second, &mut |_, _, _| {});
    assert!(matches!(again, Err(DoctorError::NotEmpty(_))));
    drop(lock);
    fs::write(trial.data().join("restore.unfinished"), "").unwrap();
    assert!(matches!(data_folder::lock_whole(&trial.data()), Err(FolderError::UnfinishedRestore { .. })));
    trial.restored();
    drop(data_folder::lock_whole(&trial.data()).unwrap());
    let nothing = trial.folder.path().join("nothing");
    let error =
        backup(&nothing, &nothing.join("lake"), &second.join("third"), &mut |_, _, _| {}).unwrap_err();
    assert!(error.to_string().contains("there is no store"), "{error}");
}
