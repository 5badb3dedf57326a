//! The ingest's store in memory: one batch is one transaction. A copy of it is a backup.

use std::{collections::BTreeMap, collections::BTreeSet, rc::Rc};

use tidegate_alarms::{AlarmEvent, EventId};
use tidegate_ingest::core::{
    Snapshot, VerifyJob,
    batch::{
        Batch, GatewayRecord, HistoryChange, LiveRecord, Occurrence, OriginNo, OriginRecord, SettledRecord,
    },
    seal::SealedRecord,
};
use tidegate_protocol::{
    DeviceId, Origin, RangeSet, Reading, SeqRange, SiteId, block::Description, topic::GatewayPath,
};

use super::contents::{Contents, Library};

/// Where a run of readings is: the origin's place in a block.
#[derive(Clone, Debug)]
struct Run {
    range: SeqRange,
    contents: Rc<Contents>,
    entry: usize,
}

type OccurrenceKey = (OriginNo, String, String, u64);

#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    /// Those that are sealed too, as they were then: so that what their rows say can be checked.
    pub origins: BTreeMap<OriginNo, OriginRecord>,
    sealed: BTreeSet<OriginNo>,
    descriptions: BTreeMap<OriginNo, Description>,
    index: BTreeMap<(OriginNo, u64), Run>,
    /// What the journal's entries hold of each origin, put together from the entries alone.
    pub accepted: BTreeMap<Origin, RangeSet>,
    gateways: BTreeMap<GatewayPath, GatewayRecord>,
    live: BTreeMap<(SiteId, DeviceId), LiveRecord>,
    settled: BTreeMap<OriginNo, SettledRecord>,
    history: BTreeMap<OccurrenceKey, Occurrence>,
    event_ids: BTreeSet<EventId>,
    pub events: Vec<AlarmEvent>,
    latest: BTreeMap<OriginNo, Vec<Reading>>,
    pub quarantined: u64,
    /// How often it was put back from a backup.
    pub ledger: u32,
    next_position: u64,
    pub used_bytes: u64,
}

/// What an applied batch did, for those who check it.
#[derive(Debug, Default)]
pub struct Applied {
    /// Runs that are stored now and were not before.
    pub stored: Vec<(Origin, Vec<Reading>)>,
    pub touched: Vec<OriginNo>,
    pub sealed: u64,
}

impl MemoryStore {
    /// Applies a batch, or says which rule it breaks.
    pub fn apply(&mut self, batch: &Batch, library: &mut Library) -> Result<Applied, (&'static str, String)> {
        let mut applied = Applied::default();
        for (no, record) in &batch.origins {
            self.origins.insert(*no, record.clone());
            applied.touched.push(*no);
        }
        for (no, sealed) in &batch.sealed {
            self.seal(*no, &sealed.record)?;
            applied.sealed += 1;
        }
        for entry in &batch.entries {
            if entry.position < self.next_position {
                return Err(("journal-position", format!("position {} is used again", entry.position)));
            }
            self.next_position = entry.position + 1;
            self.used_bytes += entry.block.len() as u64;
            let Some(contents) = library.contents(&entry.block) else {
                return Err(("stored-block", "a journal entry does not decode".to_owned()));
            };
            for accepted in &entry.head.accepted {
                let Some(record) = self.origins.get(&accepted.origin) else {
                    return Err(("origin-numbers", "an entry names an origin that is not stored".to_owned()));
                };
                let origin = record.origin;
                let run = Run {
                    range: accepted.range,
                    contents: Rc::clone(&contents),
                    entry: accepted.entry as usize,
                };
                let readings = run.readings(accepted.range);
                if readings.len() as u64 != accepted.range.len() {
                    let words = format!("{origin} {}: the block has {}", accepted.range, readings.len());
                    return Err(("accepted-is-there", words));
                }
                let before = self.accepted.entry(origin).or_default();
                if before.missing(accepted.range) != [accepted.range] {
                    return Err(("stored-once", format!("{origin} {} is stored twice", accepted.range)));
                }
                before.insert(accepted.range);
                applied.stored.push((origin, readings));
                self.index.insert((accepted.origin, accepted.range.start), run);
            }
        }
        for (no, description) in &batch.descriptions {
            self.descriptions.insert(*no, description.clone());
        }
        self.gateways.extend(batch.gateways.iter().cloned());
        self.live.extend(batch.live.iter().cloned());
        self.settled.extend(batch.settled.iter().cloned());
        self.latest.extend(batch.latest.iter().cloned());
        self.quarantined += batch.quarantine.len() as u64;
        self.change_history(&batch.history);
        for event in &batch.events {
            if self.event_ids.insert(event.id) {
                self.events.push(event.clone());
            }
        }
        Ok(applied)
    }

    /// Rule h: only what has no hole, and its row says how much of it there was.
    fn seal(&mut self, no: OriginNo, row: &SealedRecord) -> Result<(), (&'static str, String)> {
        let record = self.origins.get(&no).filter(|_| !self.sealed.contains(&no));
        let Some(record) = record else {
            return Err(("sealed-is-ledger", format!("{} is sealed and is not there", row.origin)));
        };
        let ledger = &record.ledger;
        let lost: u64 = row.lost.iter().map(|(_, count)| count).sum();
        let holds = row.origin == record.origin
            && ledger.outstanding().is_empty()
            && (row.stored, row.next, row.digest)
                == (ledger.stored().count(), ledger.next(), ledger.digest())
            && row.stored + lost == row.next;
        if !holds {
            return Err(("sealed-is-ledger", format!("{row:?} is not what is left of {record:?}")));
        }
        self.sealed.insert(no);
        Ok(())
    }

    pub fn is_sealed(&self, origin: Origin) -> bool {
        self.record(origin).is_some_and(|(no, _)| self.sealed.contains(&no))
    }

    fn change_history(&mut self, changes: &[HistoryChange]) {
        for change in changes {
            match change {
                HistoryChange::Forget(no) => self.history.retain(|(of, ..), _| of != no),
                HistoryChange::Put(no, occurrence) => {
                    let key = (
                        *no,
                        occurrence.channel.to_string(),
                        occurrence.rule.to_string(),
                        occurrence.raised.seq.0,
                    );
                    self.history.insert(key, (**occurrence).clone());
                }
            }
        }
    }

    /// The committed state, as the core reads it at its start and after a failed commit.
    pub fn snapshot(&self, occupied_bytes: u64) -> Snapshot {
        let open = |no: &OriginNo| !self.sealed.contains(no);
        let described = self.origins.iter().filter(|(no, _)| open(no));
        let described =
            described.map(|(no, record)| (*no, record.clone(), self.descriptions.get(no).cloned()));
        Snapshot {
            next_position: self.next_position,
            used_bytes: self.used_bytes + occupied_bytes,
            origins: described.collect(),
            sealed: (self.sealed.iter())
                .filter_map(|no| self.origins.get(no).map(|record| (*no, record.site, record.origin)))
                .collect(),
            ledger: self.ledger,
            expired: Vec::new(),
            gateways: self.gateways.clone().into_iter().collect(),
            live: self.live.clone().into_iter().collect(),
            settled: self.settled.clone().into_iter().filter(|(no, _)| open(no)).collect(),
            latest: self.latest.clone().into_iter().filter(|(no, _)| open(no)).collect(),
        }
    }

    pub fn record(&self, origin: Origin) -> Option<(OriginNo, &OriginRecord)> {
        self.origins.iter().find(|(_, record)| record.origin == origin).map(|(no, record)| (*no, record))
    }

    pub fn is_described(&self, origin: Origin) -> bool {
        self.record(origin).is_some_and(|(no, _)| self.descriptions.contains_key(&no))
    }

    pub fn description(&self, no: OriginNo) -> Option<&Description> {
        self.descriptions.get(&no)
    }

    pub fn history_of(&self, no: OriginNo) -> Vec<&Occurrence> {
        self.history.iter().filter(|((of, ..), _)| *of == no).map(|(_, occurrence)| occurrence).collect()
    }

    /// Stored readings of a range, ascending.
    pub fn load(&self, no: OriginNo, range: SeqRange) -> Vec<Reading> {
        let mut readings = Vec::new();
        let first = self.index.range(..=(no, range.start)).next_back().filter(|((of, _), _)| *of == no);
        let from = first.map_or(range.start, |((_, start), _)| *start);
        for (_, run) in self.index.range((no, from)..(no, range.end.max(from))) {
            readings.extend(run.readings(run.range.intersection(range)));
        }
        readings
    }

    /// Takes from `missing` what is stored or declared lost of an origin.
    pub fn cover(&self, origin: Origin, missing: &mut RangeSet) {
        if let Some((_, record)) = self.record(origin) {
            record.ledger.stored().iter().for_each(|range| missing.remove(range));
            record.ledger.lost().flat_map(|(_, lost)| lost.iter()).for_each(|range| missing.remove(range));
        }
    }

    /// Which of the ranges of a block differ from what is stored.
    pub fn verify(&self, job: &VerifyJob, library: &mut Library) -> Vec<(Origin, SeqRange)> {
        let Some(contents) = library.contents(&job.block) else { return Vec::new() };
        let came = |origin: Origin, range: SeqRange| {
            let readings = contents.block.origins.iter().find(|readings| readings.origin == origin);
            let readings = readings.into_iter().flat_map(|readings| readings.readings.iter().copied());
            readings.filter(|reading| range.contains(reading.seq.0)).collect::<Vec<_>>()
        };
        let differing =
            job.ranges.iter().filter(|(no, origin, range)| came(*origin, *range) != self.load(*no, *range));
        differing.map(|(_, origin, range)| (*origin, *range)).collect()
    }
}

impl Run {
    fn readings(&self, part: SeqRange) -> Vec<Reading> {
        let Some(of) = self.contents.block.origins.get(self.entry) else { return Vec::new() };
        of.readings.iter().copied().filter(|reading| part.contains(reading.seq.0)).collect()
    }
}
