//! Whether a store is as it must be: every block whole, every stored seq in exactly one place, every lake file there.
//! Works beside a running ingest: each origin is looked at in one committed state, which is then let go of.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_protocol::{RangeSet, SeqRange};

use super::{DoctorError, Progress, inspect::each_entry};
use crate::{
    core::batch::OriginNo,
    entries::EntryReader,
    lake::Lake,
    store::{LmdbStore, Look, StoreError, keys::Place},
};

/// More problems than this are counted, not listed.
pub const MAX_LISTED: usize = 1_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub entries: u64,
    pub origins: u64,
    pub lake_files: u64,
    pub problems: u64,
    /// The first [`MAX_LISTED`], in words.
    pub listed: Vec<String>,
    /// Entries that cannot be read: `repair` puts them into quarantine.
    pub damaged: BTreeSet<u64>,
    /// Ranges that the ledger calls stored and that are nowhere: `repair` calls them lost (corrupt).
    pub nowhere: Vec<(OriginNo, SeqRange)>,
}

impl Verdict {
    fn say(&mut self, problem: String) {
        self.problems += 1;
        if self.listed.len() < MAX_LISTED {
            self.listed.push(problem);
        }
    }
}

pub fn verify(store: &LmdbStore, lake: &Lake, progress: Progress<'_>) -> Result<Verdict, DoctorError> {
    let mut verdict = Verdict::default();
    entries(store, &mut verdict, progress)?;
    let mut rows = BTreeMap::new();
    let numbers: Vec<_> = store.look()?.origins()?.into_iter().map(|(no, _)| no).collect();
    let total = numbers.len() as u64;
    for no in numbers {
        progress("origins", verdict.origins, total);
        verdict.origins += 1;
        origin(&store.look()?, no, &mut verdict)?;
    }
    let look = store.look()?;
    look.index(|_, run| {
        if let Place::Lake(from) = run.place {
            *rows.entry(from).or_insert(0) += run.range.len();
        }
        Ok(())
    })?;
    let files = look.lake_files()?;
    drop(look);
    for (from, file) in &files {
        progress("lake files", verdict.lake_files, files.len() as u64);
        verdict.lake_files += 1;
        match lake.check(file) {
            Ok(count) if count == file.rows => {}
            Ok(count) => verdict.say(format!("{}: {count} rows, and {} were written", file.path, file.rows)),
            // It may have left, as old files do, since it was listed.
            Err(_) if store.look()?.lake_file(*from)?.is_none() => continue,
            Err(error) => verdict.say(error.to_string()),
        }
        let indexed = rows.get(from).copied().unwrap_or(0);
        if indexed != file.rows {
            verdict.say(format!("{}: {} rows, and the index knows {indexed}", file.path, file.rows));
        }
    }
    Ok(verdict)
}

fn entries(store: &LmdbStore, verdict: &mut Verdict, progress: Progress<'_>) -> Result<(), DoctorError> {
    let mut reader = EntryReader::new().map_err(StoreError::from)?;
    each_entry(store, |look, position, head, bytes| {
        progress("entries", verdict.entries, 0);
        verdict.entries += 1;
        let block = head.map(|head| reader.read(look, position, &head, bytes)).transpose()?;
        if block.flatten().is_none() {
            verdict.damaged.insert(position);
            verdict.say(format!("the journal's entry {position} cannot be read"));
        }
        Ok(())
    })?;
    Ok(())
}

/// Ledger and index of one origin must say the same, and the index must point at what is there.
fn origin(look: &Look<'_>, no: OriginNo, verdict: &mut Verdict) -> Result<(), DoctorError> {
    let Some(record) = look.origin(no)? else { return Ok(()) };
    let name = format!("{} of {}", record.origin, record.site);
    let mut placed = look.expired_of(no)?;
    let (mut end, mut found) = (0, Vec::new());
    look.runs(no, SeqRange::new(0, u64::MAX), |run| {
        if run.range.start < end {
            verdict.say(format!("{name}: {} is in two places", run.range));
        }
        end = end.max(run.range.end);
        let there = match run.place {
            Place::Journal(position) => look.journal_entry(position).map_or(true, |entry| entry.is_some()),
            Place::Lake(from) => look.lake_file(from)?.is_some(),
        };
        if there {
            found.push(run.range);
        } else {
            verdict.say(format!("{name}: the index of {} points at nothing: {:?}", run.range, run.place));
        }
        Ok(true)
    })?;
    found.into_iter().for_each(|range| placed.insert(range));
    let stored = record.ledger.stored();
    let nowhere: RangeSet = stored.iter().flat_map(|range| placed.missing(range)).collect();
    for range in nowhere.iter() {
        verdict.say(format!("{name}: {range} is called stored and is nowhere"));
        verdict.nowhere.push((no, range));
    }
    for range in placed.iter().flat_map(|range| stored.missing(range)) {
        verdict.say(format!("{name}: {range} is in the index and not in the ledger"));
    }
    Ok(())
}
