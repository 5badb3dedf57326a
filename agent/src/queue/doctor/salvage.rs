//! A new queue out of what is left of one that LMDB cannot be trusted with.
//!
//! First the trees, as far as they can be walked; then every page that they do not reach and that is not free is searched
//! for blocks by their magic and checksums, and for origins' records. A block found that way may have been delivered
//! before: it is sent again, and the ledger knows it. A damaged block whose directory is whole is declared lost; what else is
//! missing, the agent accounts for at its next start. The damaged queue is kept beside the new one under the name `queue.damaged-<unix ms>`.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    ops::ControlFlow,
    path::Path,
};

use tidegate_protocol::{
    Origin, RangeSet,
    block::{Decoder, HEADER_BYTES, MAX_BLOCK_BYTES, Record},
};

use super::{
    Progress, decoder,
    repair::{Intent, Repaired, account_due, count, damaged, loss_blocks},
    verify,
};
use crate::{
    core::{Batch, ENTRY_HEAD_BYTES, Key, OriginRecord, number_of},
    queue::{
        QueueError, folder,
        lock::give_to_the_owner,
        look::{Found, Look, Table, map_bytes},
        pages::{Damage, Data, PageFile},
        records::{self, EntryHead, MetaRead},
        store::{Mend, Store},
        swap,
    },
};

/// What one transaction writes at most.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
const MAGIC: &[u8] = b"TGBK";
/// What of a block is not stamped anew at each transmission.
const UNSTAMPED_FROM: usize = 28;

pub fn salvage(
    data_dir: &Path,
    intent: Intent,
    unix_ms: i64,
    damage: Vec<Damage>,
    progress: Progress<'_>,
) -> Result<Repaired, QueueError> {
    let path = folder(data_dir).join("data.mdb");
    let unreadable = |error| QueueError::Unreadable { path: path.clone(), error };
    let file = PageFile::open(&path).map_err(unreadable)?;
    let len = file.len().map_err(unreadable)?;
    let refused = |error| QueueError::Folder { path: data_dir.to_owned(), error };
    let said = file.any_snapshot().map_or(0, |snapshot| snapshot.map_bytes);
    let store = match intent {
        Intent::Say => None,
        Intent::Write => {
            let new = swap::begin(data_dir).map_err(refused)?;
            Some(Store::open(&new, map_bytes(said, len))?)
        }
    };
    let mut salvage = Salvage::new(store, unix_ms)?;
    salvage.repaired.file_damage = damage.iter().map(ToString::to_string).collect();
    let reached = salvage.walk(&file)?;
    salvage.scan(&file, &reached, progress)?;
    let (mut repaired, store) = salvage.finish()?;
    if let Some(store) = store {
        store.close();
        let name = format!("queue.damaged-{unix_ms}");
        swap::complete(data_dir, Some(&name)).map_err(refused)?;
        give_to_the_owner(data_dir);
        repaired.kept_as = Some(data_dir.join(name));
        repaired.written = true;
    }
    Ok(repaired)
}

struct Salvage {
    store: Option<Store>,
    unix_ms: i64,
    decoder: Decoder,
    repaired: Repaired,
    mend: Mend,
    mend_bytes: usize,
    losses: Vec<Record>,
    next_key: Key,
    next_quarantined: Key,
    origins: BTreeMap<Origin, OriginRecord>,
    /// Contents met so far: the file may hold a block more than once.
    met: BTreeSet<u64>,
}

impl Salvage {
    fn new(store: Option<Store>, unix_ms: i64) -> Result<Self, QueueError> {
        Ok(Self {
            store,
            unix_ms,
            decoder: decoder()?,
            repaired: Repaired::default(),
            mend: Mend::default(),
            mend_bytes: 0,
            losses: Vec::new(),
            next_key: 0,
            next_quarantined: 0,
            origins: BTreeMap::new(),
            met: BTreeSet::new(),
        })
    }

    /// What the trees still lead to; returns the pages that need no search.
    fn walk(&mut self, file: &PageFile) -> Result<BTreeSet<u64>, QueueError> {
        let Ok(snapshot) = file.any_snapshot() else { return Ok(BTreeSet::new()) };
        let look = Look { file, snapshot };
        if let Ok(MetaRead::Good(meta)) = look.meta() {
            self.repaired.totals_before = Some(meta.totals);
            self.next_key = meta.next_key;
        }
        look.walk(Table::Meta, &[], &mut Vec::new(), &mut |key, data| {
            let (name, value) = (String::from_utf8(key.to_vec()), file.value(&snapshot, data));
            if let (Ok(name), Ok(value)) = (name, value)
                && name != records::META
                && records::is_sealed(&value)
            {
                self.mend.beside_totals.push((name, value));
            }
            ControlFlow::Continue(())
        });
        let mut reached = free_pages(&look);
        for (_, record) in look.origins(&mut Vec::new()) {
            record.into_iter().for_each(|record| self.origin(record));
        }
        for table in [Table::Queue, Table::Quarantine] {
            let mut places: BTreeMap<Key, Place> = BTreeMap::new();
            look.walk(table, &[], &mut Vec::new(), &mut |key, data| {
                if let Some(key) = records::key_of(key) {
                    places.insert(key, Place::of(data));
                }
                ControlFlow::Continue(())
            });
            for (key, place) in places {
                let value = file.value(&snapshot, place.data());
                if let (Ok(_), Place::Big { page, len }) = (&value, place) {
                    reached.extend(page..page + file.overflow_pages(len));
                }
                match table {
                    Table::Queue => self.entry(&Found { key, value })?,
                    _ => self.quarantined(key, value.unwrap_or_default())?,
                }
            }
        }
        Ok(reached)
    }

    fn entry(&mut self, found: &Found) -> Result<(), QueueError> {
        self.next_key = self.next_key.max(number_of(found.key) + 1);
        // What cannot be read at all may yet be found by its magic.
        let Ok(value) = &found.value else { return Ok(()) };
        let (mut head, block) = EntryHead::read(value);
        match verify::examine(found, &mut self.decoder) {
            Err(what) if what != verify::WRONG_HEAD => {
                self.repaired.damaged_blocks.push(damaged(Some(found.key), what, block, &mut self.losses));
                let reason = records::Reason { reason: "damaged".to_owned(), unix_ms: self.unix_ms };
                let kept = records::quarantined(&reason, block).unwrap_or_default();
                let key = self.next_quarantined;
                self.quarantined(key, kept)
            }
            examined => {
                if examined.is_err() {
                    head.readings =
                        tidegate_protocol::block::Header::parse(block).map_or(0, |of| of.readings);
                    self.repaired.heads += 1;
                }
                self.met.insert(fingerprint(block));
                self.keep(found.key, head, block)
            }
        }
    }

    fn keep(&mut self, key: Key, head: EntryHead, block: &[u8]) -> Result<(), QueueError> {
        count(&mut self.repaired.totals_after, head.readings, block);
        self.mend.entries.push((key, head, block.to_vec()));
        self.mend_bytes += block.len();
        self.write_when_full()
    }

    fn quarantined(&mut self, key: Key, value: Vec<u8>) -> Result<(), QueueError> {
        let key = key.max(self.next_quarantined);
        self.next_quarantined = key.saturating_add(1);
        if let Some((_, block)) = records::quarantine_entry(&value) {
            self.met.insert(fingerprint(block));
        }
        self.mend_bytes += value.len();
        self.mend.quarantined.push((key, value));
        self.write_when_full()
    }

    /// Of two records of one origin the one that knows more.
    fn origin(&mut self, record: OriginRecord) {
        let knows = |record: &OriginRecord| {
            (record.closed, record.next, RangeSet::from_iter(record.safe.iter().copied()).count())
        };
        let origin = record.description.origin;
        if self.origins.get(&origin).is_none_or(|known| knows(known) < knows(&record)) {
            self.origins.insert(origin, record);
        }
    }

    fn write_when_full(&mut self) -> Result<(), QueueError> {
        if self.mend_bytes < CHUNK_BYTES { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<(), QueueError> {
        self.mend_bytes = 0;
        let mut mend = std::mem::take(&mut self.mend);
        mend.batch = Batch { totals: self.repaired.totals_after, unix_ms: self.unix_ms, ..mend.batch };
        self.store.as_ref().map_or(Ok(()), |store| store.mend(&mend))
    }

    /// Searches the pages that no tree reaches.
    fn scan(
        &mut self,
        file: &PageFile,
        reached: &BTreeSet<u64>,
        progress: Progress<'_>,
    ) -> Result<(), QueueError> {
        let unreadable = |error| QueueError::Unreadable { path: file.path().to_owned(), error };
        let pages = file.len().map_err(unreadable)? / file.page_bytes();
        for number in 2..pages {
            progress(number, pages);
            if reached.contains(&number) {
                continue;
            }
            for record in file.loose_values(number).iter().filter_map(|value| records::unseal(value)) {
                self.origin(record);
            }
            let at = number * file.page_bytes();
            let page = file.bytes_at(at, file.page_bytes() as usize);
            for offset in offsets_of(MAGIC, &page) {
                self.loose_block(file, at + offset as u64)?;
            }
        }
        Ok(())
    }

    fn loose_block(&mut self, file: &PageFile, at: u64) -> Result<(), QueueError> {
        let Some(len) = block_len(&file.bytes_at(at, HEADER_BYTES)) else { return Ok(()) };
        let block = file.bytes_at(at, len);
        let is_whole = self.decoder.decode(&block).is_ok();
        if !is_whole && tidegate_protocol::block::Header::salvage_directory(&block).is_err() {
            return Ok(());
        }
        if !self.met.insert(fingerprint(&block)) {
            return Ok(());
        }
        if !is_whole {
            let what = "found outside of the trees, damaged".to_owned();
            self.repaired.damaged_blocks.push(damaged(None, what, &block, &mut self.losses));
            return Ok(());
        }
        let readings = tidegate_protocol::block::Header::parse(&block).map_or(0, |header| header.readings);
        let before = at.saturating_sub(ENTRY_HEAD_BYTES as u64);
        let (head, _) = EntryHead::read(&file.bytes_at(before, ENTRY_HEAD_BYTES));
        let unix_ms = if head.readings == readings { head.unix_ms } else { self.unix_ms };
        self.repaired.found_loose += 1;
        let key = self.next_key;
        self.next_key += 1;
        self.keep(key, EntryHead { readings, unix_ms }, &block)
    }

    fn finish(mut self) -> Result<(Repaired, Option<Store>), QueueError> {
        self.mend.beside_totals.extend(account_due());
        let losses = std::mem::take(&mut self.losses);
        for put in loss_blocks(losses, self.next_key)? {
            let head = EntryHead { readings: 0, unix_ms: self.unix_ms };
            self.keep(put.key, head, &put.block)?;
        }
        let origins = std::mem::take(&mut self.origins);
        self.repaired.origins_restored = origins.keys().map(ToString::to_string).collect();
        self.mend.batch.origins = origins.into_values().collect();
        self.write()?;
        Ok((self.repaired, self.store))
    }
}

/// A value's place, without borrowing the page.
enum Place {
    Inline(Vec<u8>),
    Big { page: u64, len: u64 },
}

impl Place {
    fn of(data: Data<'_>) -> Self {
        match data {
            Data::Inline(bytes) => Self::Inline(bytes.to_vec()),
            Data::Big { page, len } => Self::Big { page, len },
            Data::Table(_) => Self::Inline(Vec::new()),
        }
    }

    fn data(&self) -> Data<'_> {
        match *self {
            Self::Inline(ref bytes) => Data::Inline(bytes),
            Self::Big { page, len } => Data::Big { page, len },
        }
    }
}

/// Pages that the file gives away; none when it cannot be believed.
fn free_pages(look: &Look<'_>) -> BTreeSet<u64> {
    let structure = crate::queue::structure::free_list(look);
    if structure.damage.is_empty() { structure.free } else { BTreeSet::new() }
}

/// How long a block says it is.
fn block_len(head: &[u8]) -> Option<usize> {
    let field = |at: usize| head.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let len = HEADER_BYTES.checked_add(field(32)? as usize)?.checked_add(field(36)? as usize)?;
    (len <= MAX_BLOCK_BYTES).then_some(len)
}

fn fingerprint(block: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    block.get(UNSTAMPED_FROM..).unwrap_or(block).hash(&mut hasher);
    hasher.finish()
}

fn offsets_of(pattern: &[u8], page: &[u8]) -> Vec<usize> {
    page.windows(pattern.len())
        .enumerate()
        .filter(|(_, at)| *at == pattern)
        .map(|(offset, _)| offset)
        .collect()
}
