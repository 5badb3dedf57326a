//! The ingest's store in memory: one batch is one transaction. A copy of it is a backup.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use tidegate_alarms::{AlarmEvent, EventId, RevisedRule, RuleId};
use tidegate_ingest::core::{
    Snapshot, VerifyJob,
    batch::{
        Batch, Checkpoint, Entry, GatewayRecord, HistoryChange, LiveRecord, Occurrence, OriginNo,
        OriginRecord, SettledRecord, States,
    },
    seal::SealedRecord,
};
use tidegate_protocol::{
    ChannelName, DeviceId, Origin, RangeSet, Reading, SeqRange, SiteId, block::Description,
    topic::GatewayPath,
};

use super::{
    contents::{Contents, Library},
    holdings::Holdings,
};

type OccurrenceKey = (OriginNo, u64, ChannelName, RuleId);

#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    /// Those that are sealed too, as they were then: so that what their rows say can be checked.
    pub origins: BTreeMap<OriginNo, OriginRecord>,
    sealed: BTreeSet<OriginNo>,
    descriptions: BTreeMap<OriginNo, Description>,
    pub holdings: Holdings,
    /// What journal entries and lake files hold of each origin, by the commits alone.
    pub accepted: BTreeMap<Origin, RangeSet>,
    pub gateways: BTreeMap<GatewayPath, GatewayRecord>,
    live: BTreeMap<(SiteId, DeviceId), LiveRecord>,
    settled: BTreeMap<OriginNo, SettledRecord>,
    history: BTreeMap<OccurrenceKey, Occurrence>,
    checkpoints: BTreeMap<(OriginNo, u64), States>,
    rules: BTreeMap<RuleId, RevisedRule>,
    rules_edition: u64,
    event_ids: BTreeSet<EventId>,
    pub events: Vec<AlarmEvent>,
    latest: BTreeMap<OriginNo, Vec<Reading>>,
    /// What was rejected for what it says, as it came.
    pub quarantine: Vec<Rc<Contents>>,
    /// How often it was put back from a backup.
    pub ledger: u32,
    next_position: u64,
}

/// Why a batch is not applied.
#[derive(Debug)]
pub enum Refused {
    /// It breaks a rule.
    Breaks(&'static str, String),
    /// It takes out an entry whose readings are stored elsewhere by now: the commit fails.
    Elsewhere,
}

/// What an applied batch did, for those who check it.
#[derive(Debug, Default)]
pub struct Applied {
    /// Runs that are stored now and were not before.
    pub stored: Vec<(Origin, Vec<Reading>)>,
    pub touched: Vec<OriginNo>,
    pub sealed: u64,
    /// Damaged entries that were taken out.
    pub taken_out: u64,
}

impl MemoryStore {
    /// Applies a batch, or says why not.
    pub fn apply(&mut self, batch: &Batch, library: &mut Library) -> Result<Applied, Refused> {
        let mut applied = Applied::default();
        self.take_out(batch, &mut applied)?;
        for (no, record) in &batch.origins {
            self.origins.insert(*no, record.clone());
            applied.touched.push(*no);
        }
        for (no, sealed) in &batch.sealed {
            self.seal(*no, &sealed.record)?;
            applied.sealed += 1;
        }
        for entry in &batch.entries {
            self.add(entry, library, &mut applied)?;
        }
        for (no, description) in &batch.descriptions {
            self.descriptions.insert(*no, description.clone());
        }
        self.gateways.extend(batch.gateways.iter().cloned());
        self.live.extend(batch.live.iter().cloned());
        self.settled.extend(batch.settled.iter().cloned());
        self.latest.extend(batch.latest.iter().cloned());
        self.quarantine.extend(batch.quarantine.iter().filter_map(|kept| library.contents(&kept.bytes)));
        self.change_history(&batch.history);
        for change in &batch.rules {
            self.rules.extend(change.rules.iter().map(|rule| (rule.id().clone(), (**rule).clone())));
            self.rules_edition = change.edition;
        }
        for event in &batch.events {
            if self.event_ids.insert(event.id) {
                self.events.push(event.clone());
            }
        }
        Ok(applied)
    }

    fn take_out(&mut self, batch: &Batch, applied: &mut Applied) -> Result<(), Refused> {
        if batch.damaged.iter().any(|damaged| self.holdings.is_elsewhere(damaged)) {
            return Err(Refused::Elsewhere);
        }
        for damaged in &batch.damaged {
            for (no, range) in self.holdings.take_out(damaged) {
                let Some(record) = self.origins.get(&no) else { continue };
                self.accepted.entry(record.origin).or_default().remove(range);
            }
            applied.taken_out += 1;
        }
        Ok(())
    }

    fn add(&mut self, entry: &Entry, library: &mut Library, applied: &mut Applied) -> Result<(), Refused> {
        if entry.position < self.next_position {
            let words = format!("position {} is used again", entry.position);
            return Err(Refused::Breaks("journal-position", words));
        }
        self.next_position = entry.position + 1;
        let Some(contents) = library.contents(&entry.block) else {
            let words = "a journal entry does not decode".to_owned();
            return Err(Refused::Breaks("stored-block", words));
        };
        if !self.holdings.add(entry, contents) {
            let words = "a journal entry does not encode".to_owned();
            return Err(Refused::Breaks("stored-block", words));
        }
        for run in &entry.head.accepted {
            let Some(record) = self.origins.get(&run.origin) else {
                let words = "an entry names an origin that is not stored".to_owned();
                return Err(Refused::Breaks("origin-numbers", words));
            };
            let origin = record.origin;
            let readings = self.holdings.written(run.origin, origin, run.range);
            if readings.len() as u64 != run.range.len() {
                let words = format!("{origin} {}: the block has {}", run.range, readings.len());
                return Err(Refused::Breaks("accepted-is-there", words));
            }
            let before = self.accepted.entry(origin).or_default();
            if before.missing(run.range) != [run.range] {
                let words = format!("{origin} {} is stored twice", run.range);
                return Err(Refused::Breaks("stored-once", words));
            }
            before.insert(run.range);
            applied.stored.push((origin, readings));
        }
        Ok(())
    }

    /// Rule h: only what has no hole, and its row says how much of it there was.
    fn seal(&mut self, no: OriginNo, row: &SealedRecord) -> Result<(), Refused> {
        let record = self.origins.get(&no).filter(|_| !self.sealed.contains(&no));
        let Some(record) = record else {
            let words = format!("{} is sealed and is not there", row.origin);
            return Err(Refused::Breaks("sealed-is-ledger", words));
        };
        let ledger = &record.ledger;
        let lost: u64 = row.lost.iter().map(|(_, count)| count).sum();
        let holds = row.origin == record.origin
            && ledger.outstanding().is_empty()
            && (row.stored, row.next, row.digest)
                == (ledger.stored().count(), ledger.next(), ledger.digest())
            && row.stored + lost == row.next;
        if !holds {
            let words = format!("{row:?} is not what is left of {record:?}");
            return Err(Refused::Breaks("sealed-is-ledger", words));
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
                HistoryChange::Retold { origin, range, raised } => {
                    self.history.retain(|(of, seq, channel, rule), _| {
                        let is_raised = (*seq, *channel, rule.clone());
                        of != origin || !range.contains(*seq) || raised.contains(&is_raised)
                    });
                    let behind = |seq: u64| seq > range.start && seq <= range.end;
                    self.checkpoints.retain(|(of, seq), _| of != origin || !behind(*seq));
                }
                HistoryChange::Put(no, known) => {
                    let key = (*no, known.raised.seq.0, known.channel, known.rule.clone());
                    self.history.insert(key, (**known).clone());
                }
                HistoryChange::Checkpoint(no, checkpoint) => {
                    self.checkpoints.insert((*no, checkpoint.seq), checkpoint.states.clone());
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
            used_bytes: self.used_bytes() + occupied_bytes,
            origins: described.collect(),
            sealed: (self.sealed.iter())
                .filter_map(|no| self.origins.get(no).map(|record| (*no, record.site, record.origin)))
                .collect(),
            ledger: self.ledger,
            expired: Vec::new(),
            gateways: self.gateways.clone().into_iter().collect(),
            settings: Vec::new(),
            rules: self.rules.values().cloned().collect(),
            rules_edition: self.rules_edition,
            alarms: Vec::new(),
            next_deed: 0,
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

    /// The last checkpoint at or before a seq.
    pub fn checkpoint(&self, no: OriginNo, seq: u64) -> Checkpoint {
        let found = self.checkpoints.range((no, 0)..=(no, seq)).next_back();
        found.map(|((_, seq), states)| Checkpoint { seq: *seq, states: states.clone() }).unwrap_or_default()
    }

    pub fn checkpoints(&self, no: OriginNo, range: SeqRange) -> Vec<Checkpoint> {
        // Behind the start of an empty range there is nothing.
        let found = self.checkpoints.range((no, range.start)..=(no, range.end.max(range.start)));
        let found = found.filter(|((_, seq), _)| *seq > range.start);
        found.map(|((_, seq), states)| Checkpoint { seq: *seq, states: states.clone() }).collect()
    }

    pub fn raised_in(&self, no: OriginNo, range: SeqRange) -> Vec<Occurrence> {
        let of_it = self.history.iter().filter(|((of, seq, ..), _)| *of == no && range.contains(*seq));
        of_it.map(|(_, known)| known.clone()).collect()
    }

    /// Stored readings of a range, ascending; or the position of an entry that cannot be read.
    pub fn load(&self, no: OriginNo, range: SeqRange) -> Result<Vec<Reading>, u64> {
        self.origins.get(&no).map_or(Ok(Vec::new()), |record| self.holdings.read(no, record.origin, range))
    }

    /// What was stored of a range, be it damaged since or not.
    pub fn written(&self, no: OriginNo, range: SeqRange) -> Vec<Reading> {
        let record = self.origins.get(&no);
        record.map(|record| self.holdings.written(no, record.origin, range)).unwrap_or_default()
    }

    pub fn used_bytes(&self) -> u64 {
        self.holdings.journal_bytes()
    }

    /// As a backup holds it: of the lake's files those that it has registered.
    pub fn backed_up(&self) -> Self {
        let mut copy = self.clone();
        let Holdings { files, shelf, .. } = &mut copy.holdings;
        shelf.keep(|name| files.values().any(|file| file.path == name));
        copy
    }

    /// Takes from `missing` what is stored or declared lost of an origin.
    pub fn cover(&self, origin: Origin, missing: &mut RangeSet) {
        if let Some((_, record)) = self.record(origin) {
            record.ledger.stored().iter().for_each(|range| missing.remove(range));
            record.ledger.lost().flat_map(|(_, lost)| lost.iter()).for_each(|range| missing.remove(range));
        }
    }

    /// Which of the ranges of a block differ from what is stored.
    pub fn verify(&self, job: &VerifyJob, library: &mut Library) -> Result<Vec<(Origin, SeqRange)>, u64> {
        let Some(contents) = library.contents(&job.block) else { return Ok(Vec::new()) };
        let came = |origin: Origin, range: SeqRange| {
            let readings = contents.block.origins.iter().find(|readings| readings.origin == origin);
            let readings = readings.into_iter().flat_map(|readings| readings.readings.iter().copied());
            readings.filter(|reading| range.contains(reading.seq.0)).collect::<Vec<_>>()
        };
        let mut differing = Vec::new();
        for (no, origin, range) in &job.ranges {
            if came(*origin, *range) != self.load(*no, *range)? {
                differing.push((*origin, *range));
            }
        }
        Ok(differing)
    }
}
