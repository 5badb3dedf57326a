//! LMDB, through heed. Nothing outside this file and its folder names it.
//!
//! Every transaction is synced to the disk before anyone hears of it: never NO_SYNC, NO_META_SYNC (the last commit
//! could vanish) or WRITE_MAP (a full disk would kill the process). Blocks are appended under ascending keys. A full map
//! is an answer, not an error, and so is a full disk; after any other error of a write the store takes no batch until
//! it is opened anew. The quarantine keeps its newest [`QUARANTINE_BYTES`]; of what falls out it
//! keeps which readings it held, and they are still outstanding in the cloud's account.

mod age;
mod mend;
mod pin;

use std::{path::Path, sync::mpsc::Receiver};

use heed::{
    CommitOrAbort, Database, Env, EnvOpenOptions, MdbError, PutFlags, RoTxn, RwTxn,
    byteorder::BigEndian,
    types::{Bytes, DecodeIgnore, Str, U64},
};
use tidegate_protocol::{RangeSet, SeqRange};

pub use age::Age;
pub use mend::Mend;
pub use pin::Pin;

use super::{
    QueueError, disk,
    records::{self, ACCOUNT_DUE, EntryHead, FORMAT, META, Meta, MetaRead, Reason},
    stats::QuarantineView,
};
use crate::{
    core::{
        ALARM_KEYS, Batch, CommitFailure, Entry, Event, Key, OriginRecord, Quarantined, Recovered, Totals,
        footprint, number_of,
    },
    failpoint::FailPoint,
};

/// The most bytes of blocks that the quarantine holds.
const QUARANTINE_BYTES: u64 = 8 * 1024 * 1024;
const SENT_TODAY: &str = "sent-today";
const LEDGER: &str = "ledger";
const SETTINGS: &str = "settings";
const RULES: &str = "rules";
/// Readers of other processes that died are forgotten every so many batches: what they looked at could not be used again.
const BATCHES_PER_READER_CHECK: u64 = 256;

type Keyed<'e> = Database<'e, U64<BigEndian>, Bytes>;

#[derive(Clone)]
pub struct Store {
    env: Env,
    age: Age,
}

#[derive(Clone, Copy)]
struct Tables<'e> {
    queue: Keyed<'e>,
    quarantine: Keyed<'e>,
    origins: Database<'e, Bytes, Bytes>,
    meta: Database<'e, Str, Bytes>,
}

impl Store {
    pub fn open(folder: &Path, map_size_bytes: usize) -> Result<Self, QueueError> {
        let failed =
            |error: heed::Error| QueueError::Open { path: folder.to_owned(), error: error.to_string() };
        let mut options = EnvOpenOptions::new();
        options.map_size(map_size_bytes).max_dbs(4);
        // SAFETY: the folder belongs to this agent alone (it holds the lock beside it), and nothing else in this
        // process maps the file, so the map's bytes change only through LMDB.
        #[allow(unsafe_code)]
        let env = unsafe { options.open(folder) }.map_err(failed)?;
        let store = Self { env, age: Age::default() };
        let found = store.settle_meta().map_err(failed)?;
        match found {
            Some(found) => Err(QueueError::Format { path: folder.to_owned(), found, known: FORMAT }),
            None => Ok(store),
        }
    }

    /// Makes the meta record true where it is damaged or behind the entries; the format when it is a newer one, and
    /// then nothing is touched.
    fn settle_meta(&self) -> heed::Result<Option<u32>> {
        let tables = self.tables()?;
        let mut txn = self.env.write_txn()?;
        let read = tables.meta.get(&txn, META)?.map(records::read_meta);
        let meta = match read {
            Some(MetaRead::Newer(found)) => return Ok(Some(found)),
            Some(MetaRead::Good(meta)) => meta,
            None if tables.queue.is_empty(&txn)? => Meta::default(),
            Some(MetaRead::Damaged) | None => {
                tracing::error!("the queue's totals are damaged; they are counted anew");
                Meta { totals: tables.counted(&txn)?, ..Meta::default() }
            }
        };
        let behind = |next: u64, last: Option<(Key, &[u8])>| {
            next.max(last.map_or(0, |(last, _)| last.saturating_add(1)))
        };
        let last_but_alarms = tables.queue.get_lower_than(&txn, &ALARM_KEYS)?;
        let last_alarm = tables.queue.last(&txn)?.map(|(key, block)| (number_of(key), block));
        let next_key = behind(behind(meta.next_key, last_but_alarms), last_alarm);
        let next_quarantined = behind(meta.next_quarantined, tables.quarantine.last(&txn)?);
        let is_true = (matches!(read, Some(MetaRead::Good(_))) || meta.totals == Totals::default())
            && (next_key, next_quarantined) == (meta.next_key, meta.next_quarantined);
        if !is_true && let Some(sealed) = records::seal(&Meta { next_key, next_quarantined, ..meta }) {
            tables.meta.put(&mut txn, META, &sealed)?;
            txn.commit()?;
        }
        Ok(None)
    }

    fn tables(&self) -> heed::Result<Tables<'_>> {
        let txn = self.env.write_txn()?;
        let created = self.env.create_databases_and_commit(txn, |opener, txn| {
            let tables = (
                opener.create_database(txn, Some("queue"))?,
                opener.create_database(txn, Some("quarantine"))?,
                opener.create_database(txn, Some("origins"))?,
                opener.create_database(txn, Some("meta"))?,
            );
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(tables))
        })?;
        let (queue, quarantine, origins, meta) = created.unwrap_commit();
        Ok(Tables { queue, quarantine, origins, meta })
    }

    /// The tables without writing anything; none in a file that no agent has finished creating.
    fn existing(&self) -> heed::Result<Option<Tables<'_>>> {
        let txn = self.env.read_txn()?;
        let opened = self.env.open_databases_and_commit(txn, |opener, txn| {
            let tables = (
                opener.open_database(txn, Some("queue"))?,
                opener.open_database(txn, Some("quarantine"))?,
                opener.open_database(txn, Some("origins"))?,
                opener.open_database(txn, Some("meta"))?,
            );
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(tables))
        })?;
        Ok(match opened.unwrap_commit() {
            (Some(queue), Some(quarantine), Some(origins), Some(meta)) => {
                Some(Tables { queue, quarantine, origins, meta })
            }
            _ => None,
        })
    }

    pub fn recover(&self) -> Result<Recovered, QueueError> {
        let read = || -> heed::Result<Recovered> {
            let tables = self.tables()?;
            let txn = self.env.read_txn()?;
            tables.recover(&txn)
        };
        read()
            .map_err(|error| QueueError::Open { path: self.env.path().to_owned(), error: error.to_string() })
    }

    pub fn oldest_unix_ms(&self) -> heed::Result<Option<i64>> {
        let Some(tables) = self.existing()? else { return Ok(None) };
        let txn = self.env.read_txn()?;
        tables.oldest_unix_ms(&txn)
    }

    pub fn quarantine(&self) -> heed::Result<QuarantineView> {
        let Some(tables) = self.existing()? else { return Ok(QuarantineView::new()) };
        let txn = self.env.read_txn()?;
        tables.quarantine(&txn)
    }

    /// The writer thread: one transaction per batch, until the sender is gone or `answer` says that nobody listens.
    pub fn write_batches(&self, batches: &Receiver<Batch>, answer: impl Fn(Event) -> bool) {
        let tables = match self.tables() {
            Ok(tables) => tables,
            Err(error) => return tracing::error!(%error, "the queue cannot be written"),
        };
        let mut scratch = Vec::new();
        let mut poisoned = false;
        for number in 1.. {
            let Ok(batch) = batches.recv() else { return };
            if number % BATCHES_PER_READER_CHECK == 0 {
                let _unchecked = self.env.clear_stale_readers();
            }
            let done = if poisoned {
                Err(CommitFailure::Poisoned)
            } else {
                self.commit(&tables, &batch, &mut scratch)
            };
            poisoned = done == Err(CommitFailure::Poisoned);
            let event = done.map_or_else(Event::CommitFailed, |()| Event::Committed);
            if !answer(event) {
                return;
            }
        }
    }

    fn commit(&self, tables: &Tables<'_>, batch: &Batch, scratch: &mut Vec<u8>) -> Result<(), CommitFailure> {
        let committed = tables.commit(&self.env, batch, scratch);
        committed.map(|commits| self.age.is_now(commits)).map_err(|error| {
            let bytes = batch.puts.iter().map(|put| put.block.len() as u64).sum();
            let failure = match &error {
                heed::Error::Mdb(MdbError::MapFull) => CommitFailure::Full,
                heed::Error::Mdb(MdbError::Panic | MdbError::Corrupted | MdbError::PageNotFound) => {
                    CommitFailure::Poisoned
                }
                heed::Error::Io(error) => disk::failure(error, self.env.path(), bytes),
                _ => CommitFailure::Failed,
            };
            tracing::error!(%error, ?failure, "the queue's disk did not take a batch");
            failure
        })
    }

    /// The loader thread.
    pub fn load_blocks(&self, wanted: &Receiver<Vec<Key>>, answer: impl Fn(Event) -> bool) {
        let tables = match self.tables() {
            Ok(tables) => tables,
            Err(error) => return tracing::error!(%error, "the queue cannot be read"),
        };
        while let Ok(keys) = wanted.recv() {
            let event = match tables.load(&self.env, &keys) {
                Ok(entries) => Event::Loaded { entries },
                Err(error) => {
                    tracing::error!(%error, "blocks cannot be read from the queue; it is tried again");
                    Event::LoadFailed
                }
            };
            if !answer(event) {
                return;
            }
        }
    }
}

impl Tables<'_> {
    fn meta(&self, txn: &RoTxn<'_>) -> heed::Result<Meta> {
        Ok(self.meta.get(txn, META)?.and_then(records::unseal).unwrap_or_default())
    }

    fn counted(&self, txn: &RoTxn<'_>) -> heed::Result<Totals> {
        let mut totals = Totals::default();
        for entry in self.queue.iter(txn)? {
            let (head, block) = EntryHead::read(entry?.1);
            totals.blocks += 1;
            totals.readings += u64::from(head.readings);
            totals.bytes += footprint(block.len());
        }
        Ok(totals)
    }

    fn recover(&self, txn: &RoTxn<'_>) -> heed::Result<Recovered> {
        let Meta { next_key, totals, .. } = self.meta(txn)?;
        let mut keys = RangeSet::default();
        // Keys only: the blocks' own pages are not touched.
        for entry in self.queue.remap_data_type::<DecodeIgnore>().iter(txn)? {
            let (key, ()) = entry?;
            keys.insert(SeqRange::new(key, key.saturating_add(1)));
        }
        let (keys, origins) = (keys.ranges().to_vec(), self.origins(txn)?);
        let sent_today = self.meta.get(txn, SENT_TODAY)?.and_then(records::read_sent_today);
        let ledger = self.meta.get(txn, LEDGER)?.and_then(records::unseal).unwrap_or_default();
        let account_due = self.meta.get(txn, ACCOUNT_DUE)?.is_some();
        let desired = self.meta.get(txn, SETTINGS)?.and_then(records::unseal).unwrap_or_default();
        let rules = self.meta.get(txn, RULES)?.and_then(records::unseal);
        Ok(Recovered { next_key, totals, keys, origins, sent_today, ledger, account_due, desired, rules })
    }

    fn origins(&self, txn: &RoTxn<'_>) -> heed::Result<Vec<OriginRecord>> {
        let mut origins = Vec::new();
        for entry in self.origins.iter(txn)? {
            let (key, value) = entry?;
            match records::unseal(value) {
                Some(record) => origins.push(record),
                // What it said comes again with the board's next Hello.
                None => {
                    tracing::error!(origin = %String::from_utf8_lossy(key), "an origin's record is damaged")
                }
            }
        }
        Ok(origins)
    }

    /// Says which commit it was.
    fn commit(&self, env: &Env, batch: &Batch, scratch: &mut Vec<u8>) -> heed::Result<u64> {
        let mut txn = env.write_txn()?;
        let number = self.apply(&mut txn, batch, scratch)?;
        FailPoint::BeforeCommit.hit();
        if FailPoint::CommitError.fails() {
            return Err(heed::Error::Io(rustix::io::Errno::IO.into()));
        }
        txn.commit().map(|()| number)
    }

    fn apply(&self, txn: &mut RwTxn<'_>, batch: &Batch, scratch: &mut Vec<u8>) -> heed::Result<u64> {
        let mut meta = self.meta(txn)?;
        for Quarantined { keys, block, reason } in &batch.quarantine {
            let reason = Reason { reason: (*reason).to_owned(), unix_ms: batch.unix_ms };
            for key in keys {
                if block.is_none() {
                    let moved = self.queue.get(txn, key)?.map(|entry| EntryHead::read(entry).1.to_vec());
                    self.keep(txn, &mut meta, &reason, &moved.unwrap_or_default())?;
                }
                self.queue.delete(txn, key)?;
            }
            if let Some(block) = block {
                self.keep(txn, &mut meta, &reason, block)?;
            }
        }
        for key in &batch.deletes {
            self.queue.delete(txn, key)?;
        }
        for put in &batch.puts {
            let head = EntryHead { readings: put.readings, unix_ms: batch.unix_ms };
            self.put(txn, &mut meta, put.key, head, &put.block, scratch)?;
        }
        for record in &batch.origins {
            if let Some(sealed) = records::seal(record) {
                self.origins.put(txn, &records::origin_key(record.description.origin), &sealed)?;
            }
        }
        for origin in &batch.forgotten {
            self.origins.delete(txn, &records::origin_key(*origin))?;
        }
        if let Some(sealed) = batch.sent_today.as_ref().and_then(records::seal) {
            self.meta.put(txn, SENT_TODAY, &sealed)?;
        }
        if let Some(sealed) = batch.ledger.as_ref().and_then(records::seal) {
            self.meta.put(txn, LEDGER, &sealed)?;
            self.meta.delete(txn, ACCOUNT_DUE)?;
        }
        if let Some(sealed) = batch.desired.as_ref().and_then(records::seal) {
            self.meta.put(txn, SETTINGS, &sealed)?;
        }
        if let Some(sealed) = batch.rules.as_ref().and_then(records::seal) {
            self.meta.put(txn, RULES, &sealed)?;
        }
        meta.totals = batch.totals;
        if let Some(sealed) = records::seal(&meta) {
            self.meta.put(txn, META, &sealed)?;
        }
        self.grow_older(txn)
    }

    fn put(
        &self,
        txn: &mut RwTxn<'_>,
        meta: &mut Meta,
        key: Key,
        head: EntryHead,
        block: &[u8],
        scratch: &mut Vec<u8>,
    ) -> heed::Result<()> {
        head.write(block, scratch);
        meta.next_key = meta.next_key.max(number_of(key) + 1);
        // What is appended fills its pages. While alarms are held, whose keys are above, other blocks cannot be.
        let is_last = self.queue.last(txn)?.is_none_or(|(last, _)| last < key);
        let flags = if is_last { PutFlags::APPEND } else { PutFlags::empty() };
        self.queue.put_with_flags(txn, flags, &key, scratch)
    }

    fn keep(&self, txn: &mut RwTxn<'_>, meta: &mut Meta, reason: &Reason, block: &[u8]) -> heed::Result<()> {
        let Some(value) = records::quarantined(reason, block) else { return Ok(()) };
        let mut held = value.len() as u64;
        let mut oldest = Vec::new();
        for entry in self.quarantine.iter(txn)? {
            let (key, value) = entry?;
            held += value.len() as u64;
            oldest.push((key, value.len() as u64, records::given_up(value)));
        }
        // What is given up leaves its name first; names go only when nothing else is left.
        oldest.sort_by_key(|(key, len, left)| {
            (left.as_ref().is_some_and(|left| left.len() as u64 == *len), *key)
        });
        for (key, len, left) in oldest {
            if held <= QUARANTINE_BYTES {
                break;
            }
            held -= len;
            match left.filter(|left| (left.len() as u64) < len) {
                Some(left) => {
                    tracing::warn!(key, "the quarantine is full; of its oldest block only the name is kept");
                    held += left.len() as u64;
                    self.quarantine.put(txn, &key, &left)?;
                }
                None => {
                    tracing::warn!(key, "the quarantine is full; its oldest entry is given up");
                    self.quarantine.delete(txn, &key)?;
                }
            }
        }
        self.quarantine.put(txn, &meta.next_quarantined, &value)?;
        meta.next_quarantined += 1;
        Ok(())
    }

    fn load(&self, env: &Env, keys: &[Key]) -> heed::Result<Vec<Entry>> {
        let txn = env.read_txn()?;
        let mut entries = Vec::with_capacity(keys.len());
        for &key in keys {
            if let Some(entry) = self.queue.get(&txn, &key)? {
                let (head, block) = EntryHead::read(entry);
                entries.push(Entry { key, readings: head.readings, block: block.to_vec() });
            }
        }
        Ok(entries)
    }

    fn oldest_unix_ms(&self, txn: &RoTxn<'_>) -> heed::Result<Option<i64>> {
        Ok(self.queue.first(txn)?.map(|(_, entry)| EntryHead::read(entry).0.unix_ms))
    }

    fn quarantine(&self, txn: &RoTxn<'_>) -> heed::Result<QuarantineView> {
        let mut blocks = QuarantineView::new();
        for entry in self.quarantine.iter(txn)? {
            let reason =
                records::quarantine_entry(entry?.1).map_or("unreadable".to_owned(), |(of, _)| of.reason);
            *blocks.entry(reason).or_default() += 1;
        }
        Ok(blocks)
    }
}
