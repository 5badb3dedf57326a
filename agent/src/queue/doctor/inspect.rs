//! What is in a queue: counts, ranges, times, pages; a list of its blocks; one block in full.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Serialize;
use tidegate_protocol::{
    Origin, RangeSet, SeqRange,
    block::{Block, Header},
};

use super::{Filter, Held, Progress, decoder, held};
use crate::{
    core::{Key, OriginRecord, Totals, footprint, is_alarm},
    queue::{
        QueueError,
        look::{Found, Look, Looker, Table},
        records::{self, EntryHead, Meta, MetaRead},
        structure::{self, Depth},
    },
};

#[derive(Clone, Debug, Default, Serialize)]
pub struct Inspection {
    pub format: u32,
    /// Ever; a copy of the queue has fewer. None where an agent of before wrote it.
    pub commits: Option<u64>,
    /// As the queue adds them up.
    pub totals: Totals,
    /// Blocks met one by one.
    pub blocks: u64,
    pub readings: u64,
    /// Blocks whose directory cannot be read; `verify` says more.
    pub damaged_blocks: u64,
    /// Of alarms, whose keys stand above all others.
    pub alarm_blocks: u64,
    /// Of the others.
    pub first_key: Option<Key>,
    pub last_key: Option<Key>,
    pub next_key: Key,
    pub oldest_unix_ms: Option<i64>,
    pub newest_unix_ms: Option<i64>,
    pub file_bytes: u64,
    pub map_bytes: u64,
    pub page_bytes: u64,
    pub pages: u64,
    /// Of these, not in use; the file does not shrink by them, `compact` frees them.
    pub free_pages: u64,
    pub origins: Vec<OriginView>,
    pub quarantine: BTreeMap<String, Totals>,
}

#[derive(Clone, Debug, Serialize)]
pub struct OriginView {
    pub device: String,
    pub boot: String,
    pub tag: String,
    /// What the origin's record says; none where there is none or it is damaged.
    pub floor: Option<u64>,
    pub next: Option<u64>,
    pub closed: Option<bool>,
    pub safe: Vec<SeqRange>,
    /// What blocks of the queue hold of it.
    pub queued: Vec<SeqRange>,
    pub queued_readings: u64,
}

/// One block of the queue as a list shows it.
#[derive(Clone, Debug, Serialize)]
pub struct BlockView {
    pub key: Key,
    pub committed_unix_ms: i64,
    pub readings: u32,
    pub bytes: u64,
    /// Empty for records alone.
    pub holds: Vec<Held>,
    pub damage: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct BlockContent {
    pub view: BlockView,
    /// None when it does not decode.
    #[serde(skip)]
    pub block: Option<Block>,
}

pub fn inspect(data_dir: &Path, progress: Progress<'_>) -> Result<Inspection, QueueError> {
    let looker = Looker::open(data_dir)?;
    let mut seen = looker.look(beginning)?;
    seen.file_bytes = looker.file().len().unwrap_or_default();
    let mut queued: BTreeMap<Origin, RangeSet> = BTreeMap::new();
    looker.each::<QueueError>(Table::Queue, |found| {
        seen.meet(found, &mut queued);
        progress(seen.blocks, seen.totals.blocks);
        Ok(())
    })?;
    let mut quarantine: BTreeMap<String, Totals> = BTreeMap::new();
    looker.each::<QueueError>(Table::Quarantine, |found| {
        let value = found.value.unwrap_or_default();
        let (reason, block) = records::quarantine_entry(&value)
            .map_or(("unreadable".to_owned(), &[][..]), |(reason, block)| (reason.reason, block));
        let readings = Header::salvage_directory(block)
            .map_or(0, |directory| directory.iter().map(tidegate_protocol::block::Entry::count).sum());
        let totals = quarantine.entry(reason).or_default();
        totals.blocks += 1;
        totals.readings += readings;
        totals.bytes += value.len() as u64;
        Ok(())
    })?;
    seen.quarantine = quarantine;
    let records = looker.look(|look| look.origins(&mut Vec::new()))?;
    seen.origins = origins(records.into_iter().filter_map(|(_, record)| record), &queued);
    Ok(seen)
}

fn beginning(look: &Look<'_>) -> Inspection {
    let meta = match look.meta() {
        Ok(MetaRead::Good(meta)) => meta,
        _ => Meta::default(),
    };
    Inspection {
        format: meta.format,
        commits: look.commits(),
        totals: meta.totals,
        next_key: meta.next_key,
        map_bytes: look.snapshot.map_bytes,
        page_bytes: look.file.page_bytes(),
        pages: look.snapshot.pages,
        free_pages: structure::check(look, Depth::Trees).free_pages,
        ..Inspection::default()
    }
}

impl Inspection {
    fn meet(&mut self, found: Found, queued: &mut BTreeMap<Origin, RangeSet>) {
        self.blocks += 1;
        if is_alarm(found.key) {
            self.alarm_blocks += 1;
        } else {
            self.first_key.get_or_insert(found.key);
            self.last_key = Some(found.key);
        }
        let value = found.value.unwrap_or_default();
        let (head, block) = EntryHead::read(&value);
        self.readings += u64::from(head.readings);
        self.oldest_unix_ms =
            Some(self.oldest_unix_ms.map_or(head.unix_ms, |oldest| oldest.min(head.unix_ms)));
        self.newest_unix_ms =
            Some(self.newest_unix_ms.map_or(head.unix_ms, |newest| newest.max(head.unix_ms)));
        let Ok(directory) = Header::salvage_directory(block) else {
            self.damaged_blocks += 1;
            return;
        };
        for entry in directory {
            let ranges = queued.entry(entry.origin).or_default();
            entry.ranges.into_iter().for_each(|range| ranges.insert(range));
        }
    }
}

fn origins(
    records: impl Iterator<Item = OriginRecord>,
    queued: &BTreeMap<Origin, RangeSet>,
) -> Vec<OriginView> {
    let records: BTreeMap<Origin, OriginRecord> =
        records.map(|record| (record.description.origin, record)).collect();
    let all: BTreeSet<Origin> = records.keys().chain(queued.keys()).copied().collect();
    let view = |origin: Origin| {
        let (record, queued) = (records.get(&origin), queued.get(&origin));
        OriginView {
            device: origin.device.to_string(),
            boot: origin.boot.to_string(),
            tag: record.map(|record| record.description.tag.clone()).unwrap_or_default(),
            floor: record.map(|record| record.floor),
            next: record.map(|record| record.next),
            closed: record.map(|record| record.closed),
            safe: record.map(|record| record.safe.clone()).unwrap_or_default(),
            queued: queued.map(|ranges| ranges.ranges().to_vec()).unwrap_or_default(),
            queued_readings: queued.map_or(0, RangeSet::count),
        }
    };
    all.into_iter().map(view).collect()
}

/// Shows the blocks that hold any of what the filter means, in the order of their keys.
pub fn blocks<E: From<QueueError>>(
    data_dir: &Path,
    filter: &Filter,
    mut show: impl FnMut(BlockView) -> Result<(), E>,
) -> Result<(), E> {
    let looker = Looker::open(data_dir)?;
    looker.each(Table::Queue, |found| {
        let (view, meant) = view(&found, filter);
        if meant { show(view) } else { Ok(()) }
    })?;
    Ok(())
}

/// One block and what it says; none when the queue has none under this key.
pub fn block(data_dir: &Path, key: Key) -> Result<Option<BlockContent>, QueueError> {
    let looker = Looker::open(data_dir)?;
    let Some(found) = looker.look(|look| look.entry(Table::Queue, key))? else { return Ok(None) };
    let (mut view, _) = view(&found, &Filter::default());
    let value = found.value.unwrap_or_default();
    let decoded = decoder()?.decode(EntryHead::read(&value).1);
    view.damage = view.damage.or_else(|| decoded.as_ref().err().map(ToString::to_string));
    Ok(Some(BlockContent { view, block: decoded.ok() }))
}

fn view(found: &Found, filter: &Filter) -> (BlockView, bool) {
    let (value, unread) = match &found.value {
        Ok(value) => (value.as_slice(), None),
        Err(damage) => (&[][..], Some(damage.to_string())),
    };
    let (head, block) = EntryHead::read(value);
    let directory = Header::salvage_directory(block);
    let meant = directory.as_ref().map_or(true, |directory| filter.meets(directory));
    let damage = unread.or_else(|| Header::parse(block).err().map(|error| error.to_string()));
    let view = BlockView {
        key: found.key,
        committed_unix_ms: head.unix_ms,
        readings: head.readings,
        bytes: footprint(block.len()),
        holds: held(directory.unwrap_or_default()),
        damage,
    };
    (view, meant)
}
