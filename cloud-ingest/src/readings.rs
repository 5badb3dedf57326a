//! Stored readings, wherever they are: in the journal's blocks or in the lake's files. Only accepted seqs (rule i).

use std::collections::{BTreeMap, HashMap};

use tidegate_protocol::{
    Origin, RangeSet, Reading, SeqRange,
    block::{Block, Decoder},
};

use crate::{
    core::{
        VerifyJob,
        batch::{Accepted, EntryHead, OriginNo},
    },
    entries::{EntryReader, within},
    lake::{Lake, LakeError, LakeReading, Wanted},
    store::{Look, StoreError, keys::Place, look::Run},
};

/// Why stored readings cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error("the journal's entry {position} is damaged")]
    Damaged { position: u64 },
}

/// Reads runs; keeps the block it decoded last, since neighbours often share one.
pub struct Source<'a> {
    look: &'a Look<'a>,
    lake: &'a Lake,
    reader: EntryReader,
    cached: Option<(u64, EntryHead, Block)>,
}

impl<'a> Source<'a> {
    pub fn new(look: &'a Look<'a>, lake: &'a Lake) -> Result<Self, ReadError> {
        Ok(Self { look, lake, reader: EntryReader::new().map_err(StoreError::from)?, cached: None })
    }

    /// Stored readings of an origin within `wanted`, ascending, until `each` says stop. Runs whose ticks lie outside
    /// `ticks` are passed over unread.
    pub fn read(
        &mut self,
        no: OriginNo,
        wanted: SeqRange,
        ticks: (u64, u64),
        mut each: impl FnMut(&Reading) -> bool,
    ) -> Result<(), ReadError> {
        let mut next = wanted.start;
        while next < wanted.end {
            // Run by run, so that the list of a long range's runs is never held.
            let mut found = None;
            self.look.runs(no, SeqRange::new(next, wanted.end), |run| {
                let outside = run.ticks.1 < ticks.0 || run.ticks.0 > ticks.1;
                found = (!outside).then_some(run);
                next = run.range.end;
                Ok(outside)
            })?;
            let Some(run) = found else { return Ok(()) };
            if !self.run(no, run, run.range.intersection(wanted), &mut each)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        no: OriginNo,
        run: Run,
        part: SeqRange,
        each: &mut impl FnMut(&Reading) -> bool,
    ) -> Result<bool, ReadError> {
        match run.place {
            Place::Journal(position) => {
                let (head, block) = self.entry(position)?;
                let same = |accepted: &&Accepted| accepted.origin == no && accepted.range == run.range;
                let accepted = head.accepted.iter().find(same);
                let origin = accepted.and_then(|accepted| block.origins.get(accepted.entry as usize));
                let origin = origin.ok_or(ReadError::Damaged { position })?;
                Ok(within(&origin.readings, part).iter().all(each))
            }
            Place::Lake(from) => {
                let wanted = self.wanted(no, [part].into_iter().collect())?;
                let found = self.file(from, &[wanted])?;
                Ok(found.iter().flatten().all(|known| each(&known.reading)))
            }
        }
    }

    fn wanted(&self, no: OriginNo, ranges: RangeSet) -> Result<Wanted, ReadError> {
        let undescribed = || StoreError::Damaged("readings without a description");
        let site = self.look.owner(no)?.ok_or_else(undescribed)?.site;
        let description = self.look.description(no)?.ok_or_else(undescribed)?;
        Ok(Wanted::new(site, description, ranges))
    }

    fn file(&self, from: u64, wanted: &[Wanted]) -> Result<Vec<Vec<LakeReading>>, ReadError> {
        let missing = StoreError::Damaged("the index points at a lake file that is not registered");
        let file = self.look.lake_file(from)?.ok_or(missing)?;
        Ok(self.lake.read(&file, wanted)?)
    }

    fn entry(&mut self, position: u64) -> Result<(&EntryHead, &Block), ReadError> {
        if self.cached.as_ref().is_none_or(|(cached, ..)| *cached != position) {
            let missing = StoreError::Damaged("the index points at a missing journal entry");
            let entry = self.look.journal_entry(position).map_err(|error| match error {
                StoreError::Damaged(_) => ReadError::Damaged { position },
                other => other.into(),
            })?;
            let (head, bytes) = entry.ok_or(missing)?;
            let block = self.reader.read(self.look, position, &head, bytes)?;
            let block = block.ok_or(ReadError::Damaged { position })?;
            self.cached = Some((position, head, block));
        }
        let (_, head, block) =
            self.cached.as_ref().ok_or(StoreError::Damaged("the index points at a missing journal entry"))?;
        Ok((head, block))
    }

    /// Compares ranges of a block that came again with what is stored: which of them differ (rule b). However many origins
    /// and runs the block has, each lake file is read once.
    pub fn verify(&mut self, job: &VerifyJob) -> Result<Vec<(Origin, SeqRange)>, ReadError> {
        let block = Decoder::new().map_err(StoreError::from)?.decode(&job.block);
        let block = block.map_err(|_| StoreError::Damaged("a block in memory does not decode"))?;
        let came = |origin: Origin, range| {
            let readings = block.origins.iter().find(|readings| readings.origin == origin);
            readings.map(|readings| within(&readings.readings, range)).unwrap_or_default()
        };
        // By file and origin.
        let mut in_lake: BTreeMap<u64, BTreeMap<OriginNo, (Origin, RangeSet)>> = BTreeMap::new();
        let mut same = RangesByOrigin::new();
        for (no, origin, range) in &job.ranges {
            // What has expired cannot be compared any more: it counts as the same.
            let mut gone = Vec::new();
            self.look.expired_of(*no)?.split(*range, &mut gone, &mut Vec::new());
            gone.into_iter().for_each(|part| same.entry(*origin).or_default().insert(part));
            let mut runs = Vec::new();
            self.look.runs(*no, *range, |run| {
                runs.push(run);
                Ok(true)
            })?;
            for run in runs {
                let part = run.range.intersection(*range);
                if let Place::Lake(from) = run.place {
                    let origins = in_lake.entry(from).or_default();
                    origins.entry(*no).or_insert_with(|| (*origin, RangeSet::default())).1.insert(part);
                    continue;
                }
                let mut stored = Vec::new();
                self.run(*no, run, part, &mut |reading| {
                    stored.push(*reading);
                    true
                })?;
                let written = stored.iter().map(|reading| (reading, reading.value.as_f64()));
                note_same(*origin, came(*origin, part), written, &mut same);
            }
        }
        for (from, origins) in in_lake {
            let wanted = origins.iter().map(|(no, (_, ranges))| self.wanted(*no, ranges.clone()));
            let found = self.file(from, &wanted.collect::<Result<Vec<_>, _>>()?)?;
            for ((origin, ranges), stored) in origins.values().zip(found) {
                for range in ranges.iter() {
                    let part = stored.iter().filter(|known| range.contains(known.reading.seq.0));
                    let written = part.map(|known| (&known.reading, known.written));
                    note_same(*origin, came(*origin, range), written, &mut same);
                }
            }
        }
        // What came of a range must all be there, and the same.
        let differs = |(_, origin, range): &&(OriginNo, Origin, SeqRange)| {
            same.get(origin).is_none_or(|same| same.run_end(range.start) < range.end)
        };
        let differing = job.ranges.iter().filter(differs).map(|(_, origin, range)| (*origin, *range));
        Ok(differing.collect())
    }
}

type RangesByOrigin = HashMap<Origin, RangeSet>;

/// Notes the seqs whose stored reading is the one that came.
fn note_same<'r>(
    origin: Origin,
    came: &[Reading],
    stored: impl Iterator<Item = (&'r Reading, f64)>,
    same: &mut RangesByOrigin,
) {
    let same = same.entry(origin).or_default();
    let mut came = came.iter().peekable();
    for (stored, written) in stored {
        while came.next_if(|came| came.seq < stored.seq).is_some() {}
        let Some(came) = came.next_if(|came| came.seq == stored.seq) else { continue };
        if is_same(came, stored, written) {
            same.insert(SeqRange::new(came.seq.0, came.seq.0.saturating_add(1)));
        }
    }
}

/// The lake keeps values as doubles and a kind: that is what can be compared, not what becomes of it as a mantissa.
fn is_same(came: &Reading, stored: &Reading, written: f64) -> bool {
    let kind = |reading: &Reading| std::mem::discriminant(&reading.value);
    (came.seq, came.channel, came.tick, came.quality)
        == (stored.seq, stored.channel, stored.tick, stored.quality)
        && kind(came) == kind(stored)
        && came.value.as_f64().to_bits() == written.to_bits()
}
