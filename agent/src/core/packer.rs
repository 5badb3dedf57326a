//! From what waits in memory to encoded blocks.
//!
//! Origins with readings stand in a line, one for what is live and one for what came late; a block takes whole origins from the
//! front of one until it is full, and the rest of the last one waits. A block that holds anything of an origin whose description the cloud does not have yet carries
//! that description, and tells the highest `next` the origin reported when the cloud does not know it.

use std::collections::VecDeque;

use tidegate_protocol::{
    LossReason, LossRecord, Origin, Reading, SeqRange,
    block::{Block, BlockError, Encoder, MAX_ORIGINS, OriginReadings, Record, ranges_of},
    topic::Lane,
};

use super::{
    origin::{OriginState, Slot},
    origins::Origins,
    parcel::{Content, Custody, Due, Parcel},
};

/// Records in one block; far below the wire's bound.
const RECORDS_PER_BLOCK: usize = 1_000;
/// Descriptions in one block, by a rough count of their bytes, so that a block of many new origins stays sendable.
const DESCRIPTION_BYTES_PER_BLOCK: usize = 96 * 1024;
const BYTES_PER_CHANNEL: usize = 48;

/// A record that waits for a block.
#[derive(Clone, Debug)]
struct Waiting {
    record: Record,
    awaited: Awaited,
}

/// What becomes of an origin once a record of it is safe.
#[derive(Clone, Copy, Debug)]
pub enum Awaited {
    Nothing,
    /// The origin declared the loss itself, and its board is acknowledged.
    Loss,
    /// The closing of this number holds.
    Closing(u32),
}

pub struct Packer {
    encoder: Encoder,
    block_readings: usize,
    live: Line,
    late: Line,
    records: VecDeque<Waiting>,
    due: Option<Due>,
}

#[derive(Default)]
struct Line {
    slots: VecDeque<Slot>,
    readings: usize,
}

impl Packer {
    /// Fails only when zstd gets no memory for its context.
    pub fn new(block_readings: usize) -> std::io::Result<Self> {
        Ok(Self {
            encoder: Encoder::new()?,
            block_readings,
            live: Line::default(),
            late: Line::default(),
            records: VecDeque::new(),
            due: None,
        })
    }

    const fn line(&mut self, lane: Lane) -> &mut Line {
        match lane {
            Lane::Alarm | Lane::Live => &mut self.live,
            Lane::Backlog | Lane::Bulk => &mut self.late,
        }
    }

    /// `count` readings were added to those of an origin that wait in this lane.
    pub fn readings_came(&mut self, origins: &mut Origins, slot: Slot, lane: Lane, count: usize, due: Due) {
        let line = self.line(lane);
        line.readings += count;
        if let Some(state) = origins.get_mut(slot)
            && !std::mem::replace(&mut state.pending(lane).in_line, true)
        {
            line.slots.push_back(slot);
        }
        self.is_due(due);
    }

    pub fn record_came(&mut self, record: Record, awaited: Awaited, due: Due) {
        self.records.push_back(Waiting { record, awaited });
        self.is_due(due);
    }

    fn is_due(&mut self, due: Due) {
        self.due = Some(self.due.map_or(due, |before| before.sooner(due)));
    }

    pub const fn readings(&self) -> usize {
        self.live.readings + self.late.readings
    }

    /// Readings that came late.
    pub const fn late(&self) -> usize {
        self.late.readings
    }

    /// Live readings, and with them all records.
    pub fn has_live(&self) -> bool {
        self.live.readings > 0 || !self.records.is_empty()
    }

    pub fn records(&self) -> usize {
        self.records.len()
    }

    /// Whether a record of this origin waits.
    pub fn concerns(&self, origin: Origin) -> bool {
        self.records.iter().any(|waiting| waiting.record.origin() == origin)
    }

    pub fn is_empty(&self) -> bool {
        self.late.readings == 0 && !self.has_live()
    }

    pub fn has_full_block(&self, lane: Lane) -> bool {
        match lane {
            Lane::Alarm | Lane::Live => {
                self.live.readings >= self.block_readings || self.records.len() >= RECORDS_PER_BLOCK
            }
            Lane::Backlog | Lane::Bulk => self.late.readings >= self.block_readings,
        }
    }

    pub const fn due(&self) -> Option<Due> {
        self.due
    }

    /// The next block of what waits, live readings first.
    pub fn pack(&mut self, origins: &mut Origins) -> Option<Parcel> {
        if self.has_live() { self.pack_live(origins) } else { self.pack_late(origins) }
    }

    pub fn pack_live(&mut self, origins: &mut Origins) -> Option<Parcel> {
        let due = self.due.filter(|_| self.has_live())?;
        let mut draft = Draft::default();
        self.draw_records(origins, &mut draft);
        draft.from_records = draft.contents.len();
        // The end of a boot waits for the disk, and readings do not.
        if draft.contents.iter().all(|content| content.closes.is_none()) {
            self.draw_readings(origins, Lane::Live, &mut draft);
        }
        self.finish(draft, Lane::Live, due)
    }

    pub fn pack_late(&mut self, origins: &mut Origins) -> Option<Parcel> {
        let due = self.due.filter(|_| self.late.readings > 0)?;
        let mut draft = Draft::default();
        self.draw_readings(origins, Lane::Backlog, &mut draft);
        self.finish(draft, Lane::Backlog, due)
    }

    /// A block of one origin's readings alone, as far as they wait in this lane.
    pub fn pack_alarm(
        &mut self,
        origins: &mut Origins,
        slot: Slot,
        from: Lane,
        range: SeqRange,
        due: Due,
    ) -> Option<Parcel> {
        let mut draft = Draft::default();
        draft.describe(origins, slot);
        let state = origins.get_mut(slot)?;
        let readings = state.pending(from).draw_range(range);
        self.line(from).readings -= readings.len();
        draft.add_readings(slot, state, readings);
        self.finish(draft, Lane::Alarm, due)
    }

    fn finish(&mut self, draft: Draft, lane: Lane, due: Due) -> Option<Parcel> {
        if self.is_empty() {
            self.due = None;
        }
        let Draft { mut block, contents, described, .. } = draft;
        block.origins.sort_unstable_by_key(|origin| origin.origin);
        let readings = block.reading_count() as u32;
        match self.encoder.encode(&block) {
            Ok(bytes) => {
                let mut parcel = Parcel::new(lane, bytes.into(), readings, Custody::Ram(due));
                parcel.contents = contents;
                parcel.described = described;
                Some(parcel)
            }
            Err(error) => {
                self.declare_unpackable(&block, error, due);
                None
            }
        }
    }

    /// Encodes a block that was put together elsewhere.
    pub fn encode(&mut self, block: &Block) -> Result<Vec<u8>, BlockError> {
        self.encoder.encode(block)
    }

    fn draw_records(&mut self, origins: &Origins, draft: &mut Draft) {
        while draft.block.records.len() < RECORDS_PER_BLOCK
            && draft.description_bytes < DESCRIPTION_BYTES_PER_BLOCK
            && let Some(Waiting { record, awaited }) = self.records.pop_front()
        {
            let origin = record.origin();
            if let Some(slot) = origins.slot(origin) {
                draft.describe(origins, slot);
                let content = draft.content_of_record(slot);
                match (&record, awaited) {
                    (Record::Loss(loss), Awaited::Loss) => content.lost.push(loss.range),
                    (_, Awaited::Closing(number)) => content.closes = Some(number),
                    _ => {}
                }
            }
            draft.block.records.push(record);
        }
    }

    fn draw_readings(&mut self, origins: &mut Origins, lane: Lane, draft: &mut Draft) {
        let mut room = self.block_readings;
        let line = self.line(lane);
        while room > 0
            && draft.block.origins.len() < MAX_ORIGINS
            && draft.description_bytes < DESCRIPTION_BYTES_PER_BLOCK
            && let Some(&slot) = line.slots.front()
        {
            draft.describe(origins, slot);
            let Some(state) = origins.get_mut(slot) else {
                line.slots.pop_front();
                continue;
            };
            let pending = state.pending(lane);
            let readings = pending.draw(room);
            if pending.is_empty() {
                pending.in_line = false;
                line.slots.pop_front();
            }
            room -= readings.len();
            line.readings -= readings.len();
            draft.add_readings(slot, state, readings);
        }
    }

    /// What cannot be encoded can never be sent: it is declared, not dropped. No content within the frames' bounds
    /// gets here.
    fn declare_unpackable(&mut self, block: &Block, error: BlockError, due: Due) {
        tracing::error!(%error, readings = block.reading_count(), "a block cannot be encoded; its readings are declared lost");
        for OriginReadings { origin, readings } in &block.origins {
            for range in ranges_of(readings) {
                let loss = LossRecord { origin: *origin, range, reason: LossReason::Corrupt };
                self.record_came(Record::Loss(loss), Awaited::Loss, due);
            }
        }
    }
}

#[derive(Default)]
struct Draft {
    block: Block,
    contents: Vec<Content>,
    /// How many of the contents came with records; only these can be met again by readings.
    from_records: usize,
    described: Vec<Slot>,
    description_bytes: usize,
}

impl Draft {
    fn describe(&mut self, origins: &Origins, slot: Slot) {
        let Some(state) = origins.get(slot) else { return };
        if state.described || self.described.contains(&slot) {
            return;
        }
        self.described.push(slot);
        self.description_bytes += BYTES_PER_CHANNEL * (2 + state.description.channels.len());
        self.block.records.push(Record::Described(state.description.clone()));
    }

    fn add_readings(&mut self, slot: Slot, state: &mut OriginState, readings: Vec<Reading>) {
        let Some(last) = readings.last() else { return };
        let reached = last.seq.0 + 1;
        state.told_next = state.told_next.max(reached);
        let origin = state.origin();
        if state.next > state.told_next {
            state.told_next = state.next;
            self.block.records.push(Record::Measured { origin, next: state.next });
        }
        self.set_ranges(slot, ranges_of(&readings));
        self.block.origins.push(OriginReadings { origin, readings });
    }

    fn content_of_record(&mut self, slot: Slot) -> &mut Content {
        let found = self.contents.iter().position(|content| content.slot == slot);
        let at = found.unwrap_or_else(|| {
            self.contents.push(Content::of(slot));
            self.contents.len() - 1
        });
        &mut self.contents[at]
    }

    fn set_ranges(&mut self, slot: Slot, ranges: Vec<SeqRange>) {
        match self.contents.iter_mut().take(self.from_records).find(|content| content.slot == slot) {
            Some(content) => content.ranges = ranges,
            None => self.contents.push(Content { ranges, ..Content::of(slot) }),
        }
    }
}

/// As many records at a time as a block takes.
pub fn chunks(records: &[Record]) -> impl Iterator<Item = &[Record]> {
    let mut left = records;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |record: &&Record| {
            if let Record::Described(description) = record {
                bytes += BYTES_PER_CHANNEL * (2 + description.channels.len());
            }
            bytes <= DESCRIPTION_BYTES_PER_BLOCK
        };
        let count = left.iter().take(RECORDS_PER_BLOCK).take_while(fits).count();
        let (chunk, rest) = left.split_at_checked(count.max(1))?;
        left = rest;
        Some(chunk)
    })
}

/// Declares ranges lost, merging those that touch.
pub fn losses(
    origin: Origin,
    ranges: impl IntoIterator<Item = SeqRange>,
    reason: LossReason,
) -> impl Iterator<Item = Record> {
    ranges.into_iter().map(move |range| Record::Loss(LossRecord { origin, range, reason }))
}
