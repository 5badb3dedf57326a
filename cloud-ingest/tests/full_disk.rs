//! The store on a disk that is really full: a small tmpfs, in a mount namespace of the test's own.

#![cfg(target_os = "linux")]

#[path = "../../tests/support/own_mounts.rs"]
mod own_mounts;

use std::fs;

use own_mounts::{mount_small_disk, outside};
use tidegate_ingest::{
    core::batch::{Batch, Entry, EntryHead},
    store::{LmdbStore, Store},
};
use tidegate_protocol::{
    GatewayId, SiteId,
    topic::{GatewayPath, Lane},
};

const DISK_BYTES: u64 = 6 << 20;
const BLOCK_BYTES: usize = 64 << 10;

fn batch(position: u64) -> Batch {
    let from = GatewayPath::new(SiteId::new("plant").unwrap(), GatewayId::new("gw").unwrap());
    let head = EntryHead { from, lane: Lane::Live, arrival_unix_ms: 1, accepted: Vec::new() };
    let block = vec![position as u8; BLOCK_BYTES].into();
    Batch { number: position, entries: vec![Entry { position, head, block }], ..Batch::default() }
}

fn entries(store: &LmdbStore) -> Vec<u64> {
    let mut found = Vec::new();
    let look = store.look().expect("a look");
    look.journal(0, |position, _, block| {
        assert_eq!(block, vec![position as u8; BLOCK_BYTES], "whole");
        found.push(position);
        Ok(true)
    })
    .expect("the journal");
    found
}

#[test]
fn a_full_disk_refuses_commits_and_takes_them_again_when_there_is_room() {
    if outside("a_full_disk_refuses_commits_and_takes_them_again_when_there_is_room") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    mount_small_disk(folder.path(), DISK_BYTES);
    let ballast = folder.path().join("ballast");
    fs::write(&ballast, vec![0; 2 << 20]).expect("ballast");
    let store = LmdbStore::open(&folder.path().join("store"), 1 << 30).expect("a store");
    let mut stored = 0;
    let refused = loop {
        match store.commit(&batch(stored)) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < DISK_BYTES / BLOCK_BYTES as u64, "the disk has no end");
    };
    assert!(refused.is_full() && !refused.is_fatal(), "{refused:?}");
    // Again and again, and what was committed before is untouched.
    for _ in 0..5 {
        assert!(store.commit(&batch(stored)).is_err_and(|error| error.is_full()));
    }
    assert_eq!(entries(&store), (0..stored).collect::<Vec<_>>());
    fs::remove_file(&ballast).expect("room");
    for more in 0..20 {
        store.commit(&batch(stored + more)).expect("there is room again");
    }
    drop(store);
    let store = LmdbStore::open(&folder.path().join("store"), 1 << 30).expect("the store again");
    assert_eq!(entries(&store), (0..stored + 20).collect::<Vec<_>>());
}
