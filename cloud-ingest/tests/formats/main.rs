//! Stores as earlier versions wrote them open, and hold what they held; a store of a later version is refused.
//!
//! A folder `tests/fixtures/store-vN` is a data folder that the program of format N made (`store/data.mdb`, `lake/`),
//! and `contents.txt` says what is in it. After the format was raised, make one of the new format, and keep the old:
//!
//! ```text
//! cargo test -p tidegate-ingest --test formats -- --ignored make_the_fixture_of_this_format
//! ```

mod contents;
mod made;

use std::{
    fs,
    path::{Path, PathBuf},
};

use tidegate_alarms::AlarmState;
use tidegate_ingest::store::{LmdbStore, StoreError, keys::FORMAT};

const MAP_BYTES: u64 = 64 << 20;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// Opened twice: the first time may bring it to the present format, the second finds it there.
#[test]
fn every_reading_event_and_ledger_of_earlier_formats_is_there() {
    let mut formats = 0;
    for folder in fs::read_dir(fixtures()).expect("fixtures") {
        let folder = folder.expect("an entry").path();
        let copy = tempfile::tempdir().expect("a folder");
        copy_all(&folder, copy.path());
        let expected = fs::read_to_string(folder.join("contents.txt")).expect("what it holds");
        for _ in 0..2 {
            assert_eq!(contents::of(copy.path()), expected, "{}", folder.display());
        }
        formats += 1;
    }
    assert!(formats >= 1);
    assert!(fixtures().join(format!("store-v{FORMAT}")).is_dir(), "the present format has no fixture");
}

/// Formats before 5 knew no life cycle: of what they raised, nothing was acknowledged.
#[test]
fn alarms_of_earlier_formats_are_unacknowledged() {
    let copy = tempfile::tempdir().expect("a folder");
    copy_all(&fixtures().join("store-v4"), copy.path());
    let store = LmdbStore::open(&copy.path().join("store"), MAP_BYTES).expect("it opens");
    let alarms = store.look().expect("a look").alarms().expect("alarms");
    assert!(!alarms.is_empty());
    for (key, record) in alarms {
        let told = record.cleared.as_ref().or(record.raised.as_ref()).expect("it was raised");
        let expected = match record.cleared {
            Some(_) => AlarmState::RtnUnacknowledged,
            None => AlarmState::Unacknowledged,
        };
        assert_eq!(record.lifecycle.state(), expected, "{key:?}");
        assert_eq!(record.lifecycle.latest.map(|seen| seen.transition), Some(told.id));
        assert_eq!(record.newest_event(), Some(told));
    }
}

/// Writes another format over the one in `meta`: its key, and the number behind it.
fn set_format(store: &Path, to: u8) {
    let file = store.join("data.mdb");
    let mut bytes = fs::read(&file).expect("a file");
    let key = [b"format".as_slice(), &[FORMAT as u8]].concat();
    let places: Vec<_> = (0..bytes.len() - key.len()).filter(|at| bytes[*at..].starts_with(&key)).collect();
    assert!(!places.is_empty(), "no format in the file");
    places.into_iter().for_each(|at| bytes[at + key.len() - 1] = to);
    fs::write(&file, bytes).expect("a file");
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    drop(LmdbStore::open(&store, MAP_BYTES).expect("a store"));
    set_format(&store, 99);
    let before = fs::read(store.join("data.mdb")).expect("a file");
    let Err(error) = LmdbStore::open(&store, MAP_BYTES) else {
        panic!("it opened a format it does not know")
    };
    assert!(matches!(error, StoreError::Format { found: 99 }), "{error}");
    let line = error.to_string();
    assert!(line.contains("format 99") && line.contains(&format!("format {FORMAT}")), "{line}");
    assert!(!line.contains('\n'));
    assert_eq!(fs::read(store.join("data.mdb")).expect("a file"), before, "a refused store was written to");
}

#[test]
#[ignore = "writes into tests/fixtures; run by name after the format was raised"]
fn make_the_fixture_of_this_format() {
    let folder = fixtures().join(format!("store-v{FORMAT}"));
    assert!(
        !folder.exists(),
        "{} is there already: a format's fixture is never made again",
        folder.display()
    );
    made::make(&folder);
    fs::write(folder.join("contents.txt"), contents::of(&folder)).expect("a file");
    fs::remove_file(folder.join("store/lock.mdb")).expect("a lock file");
}
