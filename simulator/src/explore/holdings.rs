//! Where the ingest's stored readings are: journal entries, the lake's files, and the index over both.

use std::{collections::BTreeMap, rc::Rc};

use tidegate_ingest::{
    core::batch::{Accepted, Damaged, Entry, EntryHead, OriginNo},
    store::keys::{self, IndexEntry, Intent, LakeFile, Place},
};
use tidegate_protocol::{Origin, RangeSet, Reading, SeqRange};

use super::{contents::Contents, shelf::Shelf};

#[derive(Clone, Debug)]
pub struct StoredEntry {
    /// As a store keeps it.
    pub value: Rc<Vec<u8>>,
    /// What it said when it was written.
    pub head: EntryHead,
    pub contents: Rc<Contents>,
    pub is_damaged: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Holdings {
    pub journal: BTreeMap<u64, StoredEntry>,
    /// By origin and first seq.
    pub index: BTreeMap<(OriginNo, u64), IndexEntry>,
    /// Registered ones, by their first position.
    pub files: BTreeMap<u64, LakeFile>,
    pub intent: Option<Intent>,
    pub shelf: Shelf,
    /// The newest readings per channel among those in the lake.
    pub latest: BTreeMap<OriginNo, Vec<Reading>>,
}

impl StoredEntry {
    /// What it had of a run when it was written.
    pub fn readings(&self, run: &Accepted, part: SeqRange) -> Vec<Reading> {
        let of = self.contents.block.origins.get(run.entry as usize);
        let readings = of.map_or(&[] as &[Reading], |of| &of.readings);
        readings.iter().copied().filter(|reading| part.contains(reading.seq.0)).collect()
    }
}

impl Holdings {
    /// Says whether it could be encoded.
    pub fn add(&mut self, entry: &Entry, contents: Rc<Contents>) -> bool {
        for run in &entry.head.accepted {
            let place = Place::Journal(entry.position);
            let row = IndexEntry { len: run.range.len(), place, ticks: run.ticks };
            self.index.insert((run.origin, run.range.start), row);
        }
        let mut value = Vec::new();
        let encoded = keys::encode_entry(&entry.head, &entry.block, &mut value);
        let head = entry.head.clone();
        let stored = StoredEntry { value: Rc::new(value), head, contents, is_damaged: false };
        self.journal.insert(entry.position, stored);
        encoded.is_ok()
    }

    /// Whether an entry is gone whose readings are stored elsewhere: word of its damage came late.
    pub fn is_elsewhere(&self, damaged: &Damaged) -> bool {
        let is_stored = |(no, range): &(OriginNo, SeqRange)| {
            let before = self.index.range(..=(*no, range.start)).next_back();
            let covers = |((of, start), row): (&(OriginNo, u64), &IndexEntry)| {
                of == no && range.start < start + row.len
            };
            let after = self.index.range((*no, range.start)..(*no, range.end)).next();
            before.is_some_and(covers) || after.is_some()
        };
        !self.journal.contains_key(&damaged.position) && damaged.ranges.iter().any(is_stored)
    }

    /// Takes a damaged entry out; returns the readings that went with it.
    pub fn take_out(&mut self, damaged: &Damaged) -> Vec<(OriginNo, SeqRange)> {
        self.journal.remove(&damaged.position);
        let place = Place::Journal(damaged.position);
        let mut gone = Vec::new();
        for (no, range) in &damaged.ranges {
            if self.index.get(&(*no, range.start)).is_some_and(|row| row.place == place) {
                self.index.remove(&(*no, range.start));
                gone.push((*no, *range));
            }
        }
        gone
    }

    pub fn journal_bytes(&self) -> u64 {
        self.journal.values().map(|entry| entry.value.len() as u64).sum()
    }

    /// What an entry was to hold, as the index says.
    pub fn damage_at(&self, position: u64) -> Damaged {
        let rows = self.index.iter().filter(|(_, row)| row.place == Place::Journal(position));
        let ranges = rows.map(|((no, start), row)| (*no, SeqRange::new(*start, start + row.len)));
        Damaged { position, ranges: ranges.collect() }
    }

    /// Stored readings of a range, ascending; or the position of an entry that cannot be read.
    pub fn read(&self, no: OriginNo, origin: Origin, range: SeqRange) -> Result<Vec<Reading>, u64> {
        self.collect(no, origin, range, |entry| !entry.is_damaged)
    }

    /// What was written, be it damaged since or not.
    pub fn written(&self, no: OriginNo, origin: Origin, range: SeqRange) -> Vec<Reading> {
        self.collect(no, origin, range, |_| true).unwrap_or_default()
    }

    fn collect(
        &self,
        no: OriginNo,
        origin: Origin,
        range: SeqRange,
        is_readable: impl Fn(&StoredEntry) -> bool,
    ) -> Result<Vec<Reading>, u64> {
        let mut readings = Vec::new();
        let first = self.index.range(..=(no, range.start)).next_back().filter(|((of, _), _)| *of == no);
        let from = first.map_or(range.start, |((_, start), _)| *start);
        for ((_, start), row) in self.index.range((no, from)..(no, range.end.max(from))) {
            let run = SeqRange::new(*start, start + row.len);
            let part = run.intersection(range);
            match row.place {
                Place::Journal(position) => {
                    let entry = self.journal.get(&position);
                    let entry = entry.filter(|entry| is_readable(entry)).ok_or(position)?;
                    let same = |known: &&Accepted| known.origin == no && known.range == run;
                    let run = entry.head.accepted.iter().find(same).ok_or(position)?;
                    readings.extend(entry.readings(run, part));
                }
                Place::Lake(from) => {
                    let file = self.files.get(&from).and_then(|file| self.shelf.get(&file.path));
                    readings.extend(file.into_iter().flat_map(|file| file.readings(origin, part)));
                }
            }
        }
        Ok(readings)
    }

    /// Rule j: which seqs there are, in the journal or in registered files; or which are in two places, or nowhere.
    pub fn counted(
        &self,
        origin_of: impl Fn(OriginNo) -> Option<Origin>,
    ) -> Result<BTreeMap<Origin, RangeSet>, String> {
        let mut counted: BTreeMap<Origin, RangeSet> = BTreeMap::new();
        let mut count = |origin: Origin, range: SeqRange, place: &dyn Fn() -> String| {
            let known = counted.entry(origin).or_default();
            if known.missing(range) != [range] {
                return Err(format!("{origin} {range} is in {} and elsewhere, too", place()));
            }
            known.insert(range);
            Ok(())
        };
        for (position, entry) in &self.journal {
            for run in &entry.head.accepted {
                let Some(origin) = origin_of(run.origin) else { continue };
                count(origin, run.range, &|| format!("the journal's entry {position}"))?;
            }
        }
        for file in self.files.values() {
            let path = &file.path;
            let Some(shelved) = self.shelf.get(path) else {
                return Err(format!("{path} is registered and is not there"));
            };
            if shelved.rows() != file.rows {
                return Err(format!("{path} has {} rows, of {}", shelved.rows(), file.rows));
            }
            for (origin, range) in shelved.ranges() {
                count(origin, range, &|| path.clone())?;
            }
        }
        for ((no, start), row) in &self.index {
            let range = SeqRange::new(*start, start + row.len);
            let Some(origin) = origin_of(*no) else { continue };
            if self.written(*no, origin, range).len() as u64 != row.len {
                return Err(format!("{origin} {range} is not where the index says ({:?})", row.place));
            }
        }
        let indexed: u64 = self.index.values().map(|row| row.len).sum();
        let there: u64 = counted.values().map(RangeSet::count).sum();
        if indexed != there {
            return Err(format!("{there} readings are there, the index knows {indexed}"));
        }
        Ok(counted)
    }

    /// A file under its final name that is neither registered nor under way: other programs would read it.
    pub fn stray_file(&self) -> Option<&str> {
        let under_way = self.intent.as_ref().map(Shelf::name_of);
        let mut names = self.shelf.names();
        names.find(|name| {
            let registered = self.files.values().any(|file| file.path == *name);
            !registered && under_way.as_deref() != Some(*name)
        })
    }
}
