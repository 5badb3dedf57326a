//! The journal's part of going to the lake (rule j): the intent before any file is written, and one transaction that
//! registers the file, points the index at it, and trims the journal.

use std::collections::HashMap;

use tidegate_protocol::Reading;
use tidegate_service::Mutant;

use super::{
    LmdbStore, StoreError,
    keys::{self, IndexEntry, Intent, LakeFile, Place},
    lmdb::{Table, Writer},
};
use crate::{
    core::batch::{Accepted, OriginNo},
    failpoint::FailPoint,
};

impl LmdbStore {
    /// Sets out to roll `[from, to)`.
    pub fn begin_roll(&self, intent: &Intent) -> Result<(), StoreError> {
        let mut writer = self.lmdb.writer()?;
        writer.put(Table::Meta, keys::META_INTENT, &keys::encode(intent)?)?;
        writer.commit()
    }

    /// The file is durable under its name (`None` where the entries held no readings): registers it and trims the
    /// journal. `latest` are the newest readings per channel in it. Returns the bytes in use.
    pub fn finish_roll(
        &self,
        intent: &Intent,
        file: Option<&LakeFile>,
        latest: &HashMap<OriginNo, Vec<Reading>>,
    ) -> Result<u64, StoreError> {
        let mut writer = self.lmdb.writer()?;
        let mut runs = take_runs(&mut writer, intent)?;
        if Mutant::LakeOutsideTransaction.is_on() {
            writer.delete_range(Table::Journal, &keys::number(intent.from), &keys::number(intent.to))?;
            writer.delete(Table::Meta, keys::META_INTENT)?;
            writer.commit()?;
            FailPoint::AfterRegister.hit();
            writer = self.lmdb.writer()?;
        }
        runs.sort_unstable_by_key(|run| (run.origin, run.range.start));
        for run in joined(runs) {
            let value =
                IndexEntry { len: run.range.len(), place: Place::Lake(intent.from), ticks: run.ticks };
            writer.put(Table::Index, &keys::index(run.origin, run.range.start), &keys::encode(&value)?)?;
        }
        if let Some(file) = file {
            writer.put(Table::LakeFiles, &keys::number(intent.from), &keys::encode(file)?)?;
        }
        for (no, readings) in latest {
            write_latest(&mut writer, *no, readings)?;
        }
        writer.delete_range(Table::Journal, &keys::number(intent.from), &keys::number(intent.to))?;
        writer.delete(Table::Meta, keys::META_INTENT)?;
        let used_bytes = writer.used_bytes()?;
        writer.commit()?;
        Ok(used_bytes)
    }
}

/// Takes the runs of the rolled entries out of the index, and returns them.
fn take_runs(writer: &mut Writer<'_>, intent: &Intent) -> Result<Vec<Accepted>, StoreError> {
    let mut runs = Vec::new();
    for pair in writer.scan(Table::Journal, &keys::number(intent.from))? {
        let (key, value) = pair?;
        if keys::read_number(key)? >= intent.to {
            break;
        }
        runs.extend(keys::decode_entry(value)?.0.accepted);
    }
    for run in &runs {
        writer.delete(Table::Index, &keys::index(run.origin, run.range.start))?;
    }
    Ok(runs)
}

/// Joins runs that follow each other: in one file they are one.
fn joined(runs: Vec<Accepted>) -> Vec<Accepted> {
    let mut joined: Vec<Accepted> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if last.origin == run.origin && last.range.end == run.range.start => {
                last.range.end = run.range.end;
                last.ticks = (last.ticks.0.min(run.ticks.0), last.ticks.1.max(run.ticks.1));
            }
            _ => joined.push(run),
        }
    }
    joined
}

/// Lays newer readings over those that are kept of the origin.
fn write_latest(writer: &mut Writer<'_>, no: OriginNo, readings: &[Reading]) -> Result<(), StoreError> {
    let known =
        writer.get(Table::Latest, &keys::origin(no))?.map(keys::decode::<Vec<Reading>>).transpose()?;
    let mut kept = known.unwrap_or_default();
    for reading in readings {
        match kept.iter_mut().find(|known| known.channel == reading.channel) {
            Some(known) if known.seq < reading.seq => *known = *reading,
            Some(_) => {}
            None => kept.push(*reading),
        }
    }
    writer.put(Table::Latest, &keys::origin(no), &keys::encode(&kept)?)
}
