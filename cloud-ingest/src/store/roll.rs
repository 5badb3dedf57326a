//! The journal's part of going to the lake (rule j): the intent before any file is written, and one transaction that
//! registers the file, points the index at it, and trims the journal.

use std::collections::HashMap;

use tidegate_protocol::Reading;
use tidegate_service::Mutant;

use super::{
    StoreError,
    journal::{Journal, JournalWriter},
    keys::{IndexEntry, Intent, LakeFile, Place},
};
use crate::{
    core::batch::{Accepted, OriginNo},
    failpoint::FailPoint,
};

/// What came of an intent: nothing of it is in the store yet.
#[derive(Debug)]
pub struct Written {
    pub intent: Intent,
    /// How many entries were read for it.
    pub entries: u64,
    /// What they held.
    pub runs: Vec<Accepted>,
    /// Durable under its name; `None` where the entries held no readings.
    pub file: Option<LakeFile>,
    /// The newest readings per channel in it.
    pub latest: HashMap<OriginNo, Vec<Reading>>,
}

/// Sets out to roll `[from, to)`.
pub fn begin(journal: &impl Journal, intent: &Intent) -> Result<(), StoreError> {
    let mut writer = journal.writer()?;
    writer.put_intent(intent)?;
    writer.commit()?;
    Ok(())
}

/// Registers the file and trims the journal. Says how many bytes are in use then; `None` where an entry was taken out since it
/// was read: its readings are in the file, so the file must be written anew.
pub fn finish(journal: &impl Journal, written: &Written) -> Result<Option<u64>, StoreError> {
    let mut writer = journal.writer()?;
    let entries = writer.count_entries(&written.intent)?;
    if entries != written.entries && !Mutant::LakeEntriesUncounted.is_on() {
        return Ok(None);
    }
    for run in &written.runs {
        writer.delete_run(run)?;
    }
    if Mutant::LakeOutsideTransaction.is_on() {
        writer.trim(&written.intent)?;
        writer.commit()?;
        FailPoint::AfterRegister.hit();
        writer = journal.writer()?;
    }
    for run in joined(written.runs.clone()) {
        let place = Place::Lake(written.intent.from);
        let entry = IndexEntry { len: run.range.len(), place, ticks: run.ticks };
        writer.put_run(run.origin, run.range.start, &entry)?;
    }
    if let Some(file) = &written.file {
        writer.put_file(file)?;
    }
    for (no, readings) in &written.latest {
        lay_over(&mut writer, *no, readings)?;
    }
    writer.trim(&written.intent)?;
    writer.commit().map(Some)
}

/// In their order, and joined where one follows another: in one file they are one.
fn joined(mut runs: Vec<Accepted>) -> Vec<Accepted> {
    runs.sort_unstable_by_key(|run| (run.origin, run.range.start));
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
fn lay_over(writer: &mut impl JournalWriter, no: OriginNo, readings: &[Reading]) -> Result<(), StoreError> {
    let mut kept = writer.latest(no)?;
    for reading in readings {
        match kept.iter_mut().find(|known| known.channel == reading.channel) {
            Some(known) if known.seq < reading.seq => *known = *reading,
            Some(_) => {}
            None => kept.push(*reading),
        }
    }
    writer.put_latest(no, &kept)
}
