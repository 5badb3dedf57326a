//! The store by itself: full maps, other formats, and what is left after a failed commit.

use bytes::Bytes;
use tidegate_ingest::{
    core::batch::{Batch, Entry, EntryHead},
    store::{LmdbStore, Store, StoreError},
};
use tidegate_protocol::{
    GatewayId, SiteId,
    topic::{GatewayPath, Lane},
};

const MAP_BYTES: u64 = 4 << 20;

fn entry(position: u64) -> Entry {
    let from = GatewayPath::new(SiteId::new("plant").unwrap(), GatewayId::new("gw-a").unwrap());
    let head = EntryHead { from, lane: Lane::Live, arrival_unix_ms: 1, accepted: Vec::new() };
    Entry { position, head, block: Bytes::from(vec![7; 100_000]) }
}

fn batch(position: u64) -> Batch {
    Batch { number: position + 1, entries: vec![entry(position)], ..Batch::default() }
}

#[test]
fn a_full_map_refuses_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let store = LmdbStore::open(folder.path(), MAP_BYTES).unwrap();
    let mut stored = 0;
    let error = loop {
        match store.commit(&batch(stored)) {
            Ok(receipt) => assert!(receipt.used_bytes > stored * 100_000),
            Err(error) => break error,
        }
        stored += 1;
        assert!(stored < 100, "the map has no end");
    };
    assert!(matches!(error, StoreError::Full), "{error}");
    assert!(stored > 20);
    drop(store);
    // Opened again with more room, it has all that was committed and nothing else, and goes on.
    let store = LmdbStore::open(folder.path(), 2 * MAP_BYTES).unwrap();
    assert_eq!(store.snapshot().unwrap().next_position, stored);
    let look = store.look().unwrap();
    assert!(look.journal_entry(stored - 1).unwrap().is_some());
    assert!(look.journal_entry(stored).unwrap().is_none());
    drop(look);
    store.commit(&batch(stored)).unwrap();
    assert_eq!(store.snapshot().unwrap().next_position, stored + 1);
}

#[test]
fn a_batch_is_stored_as_a_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = LmdbStore::open(folder.path(), MAP_BYTES).unwrap();
    let entries = (0..100).map(entry).collect();
    let error = store.commit(&Batch { number: 1, entries, ..Batch::default() }).unwrap_err();
    assert!(matches!(error, StoreError::Full), "{error}");
    assert_eq!(store.snapshot().unwrap().next_position, 0);
    assert!(store.look().unwrap().journal_entry(0).unwrap().is_none());
    // Positions ascend: what is appended out of order is refused, too.
    store.commit(&batch(5)).unwrap();
    assert!(store.commit(&batch(4)).is_err());
}
