//! Inspecting, verifying, exporting, repairing and compacting.

use std::{fs, path::Path};

use tidegate_ingest::{
    data_folder,
    doctor::{compact::compact, export::Export, inspect, repair::repair, verify},
    lake::Lake,
    store::LmdbStore,
};
use tidegate_protocol::{LossReason, SeqRange};

use crate::{MAP_BYTES, contents, made};

fn open(data: &Path) -> LmdbStore {
    LmdbStore::open_read_only(&data.join("store")).unwrap()
}

fn verified(data: &Path) -> verify::Verdict {
    verify::verify(&open(data), &Lake::at(&data.join("lake")), &mut |_, _, _| {}).unwrap()
}

/// Flips a byte in the block of a stored entry, as a bad disk does.
fn damage(data: &Path, position: u64) {
    let store = open(data);
    let block = store.look().unwrap().journal_entry(position).unwrap().expect("an entry").1.to_vec();
    drop(store);
    let file = data.join("store/data.mdb");
    let mut bytes = fs::read(&file).unwrap();
    let places: Vec<_> =
        (0..bytes.len() - block.len()).filter(|at| bytes[*at..].starts_with(&block)).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| bytes[at + block.len() - 1] ^= 0x10);
    fs::write(&file, bytes).unwrap();
}

#[test]
fn what_is_there_is_counted_shown_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    made::make(folder.path());
    let store = open(folder.path());
    let found = inspect::inspect(&store, &mut |_, _, _| {}).unwrap();
    assert_eq!((found.position, found.entries, found.oldest_position), (6, 3, Some(3)));
    assert_eq!(
        (found.origins, found.lake_files, found.lake_rows, found.readings_in_journal),
        (3, 1, 115, 45)
    );
    assert_eq!((found.quarantine.values().sum::<u64>(), found.ledger), (2, 0));
    let entry = inspect::entry(&store, 4).unwrap().expect("an entry");
    assert_eq!((entry.readings, entry.problem), (30, None));
    assert_eq!(inspect::entry(&store, 0).unwrap(), None, "it is in the lake");

    let lake = Lake::at(&folder.path().join("lake"));
    let lines = |export: Export| {
        let mut out = Vec::new();
        export.readings(&store, &lake, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let all = Export { device: None, range: SeqRange::new(0, u64::MAX) };
    assert_eq!(lines(all).len(), 115 + 45);
    let board = "board-b".parse().unwrap();
    let some = lines(Export { device: Some(board), range: SeqRange::new(38, 72) });
    let seqs: Vec<_> = some.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!((seqs, some[0]["device"].as_str()), (vec![38, 39, 70, 71], Some("board-b")));
    let mut out = Vec::new();
    all.events(&store, &mut out).unwrap();
    all.records(&store, &mut out).unwrap();
    all.quarantine(&store, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for kind in ["event", "record", "quarantine"] {
        assert!(text.contains(&format!("\"type\":\"{kind}\"")), "{kind}");
    }
}

#[test]
fn damage_is_found_and_repaired_and_nothing_is_called_stored_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    made::make(data);
    assert_eq!(verified(data).listed, Vec::<String>::new());
    damage(data, 4);
    let found = verified(data);
    assert_eq!((found.damaged.into_iter().collect::<Vec<_>>(), found.problems), (vec![4], 1));

    let lock = data_folder::lock_whole(data).unwrap();
    let refused = repair(data, &data.join("lake"), MAP_BYTES, &mut |_, _, _| {}).unwrap_err();
    assert!(refused.to_string().contains("stop it first"), "{refused}");
    assert!(compact(data).unwrap_err().to_string().contains("stop it first"));
    drop(lock);

    let done = repair(data, &data.join("lake"), MAP_BYTES, &mut |_, _, _| {}).unwrap();
    assert_eq!((done.entries, done.readings, done.left), (1, 30, 0));
    let store = open(data);
    let look = store.look().unwrap();
    let origins = look.origins().unwrap();
    let (_, second) = origins.iter().find(|(_, record)| record.origin.boot.0 == 2).expect("boot 2");
    assert_eq!(second.ledger.stored().count(), 0);
    let lost: Vec<_> = second.ledger.lost().filter(|(_, lost)| !lost.is_empty()).collect();
    assert_eq!((lost[0].0, lost[0].1.count()), (LossReason::Corrupt, 30));
    assert_eq!(look.quarantined().unwrap(), 3);
    drop(look);
    drop(store);
    assert_eq!(verified(data).problems, 0);
    let again = repair(data, &data.join("lake"), MAP_BYTES, &mut |_, _, _| {}).unwrap();
    assert_eq!((again.entries, again.readings), (0, 0), "once is enough");
}

#[test]
fn a_lake_file_that_is_gone_or_cut_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    made::make(data);
    let (_, file) = open(data).look().unwrap().lake_files().unwrap().remove(0);
    let path = data.join("lake").join(file.path);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(verified(data).problems, 1);
    fs::remove_file(&path).unwrap();
    assert_eq!(verified(data).problems, 1);
    fs::write(&path, bytes).unwrap();
    assert_eq!(verified(data).problems, 0);
}

#[test]
fn compacting_changes_the_file_and_nothing_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    made::make(data);
    let before = contents::of(data);
    let (from, to) = compact(data).unwrap();
    assert!(to < from, "{from} bytes, then {to}");
    assert_eq!(fs::metadata(data.join("store/data.mdb")).unwrap().len(), to);
    assert_eq!(contents::of(data), before);
}
