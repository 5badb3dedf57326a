//! Several small blocks into one: what was sent live in handfuls travels as backlog in full blocks.

use std::collections::BTreeMap;

use tidegate_protocol::{
    LossReason, Origin, RangeSet, Reading, SeqRange,
    block::{Block, OriginReadings, Record},
};

/// Puts blocks together. Records keep their order but for what the later one replaces: descriptions are said once,
/// the highest `next` and the newest anchor of an origin stand for the others, touching losses become one.
#[derive(Debug, Default)]
pub struct Merger {
    readings: BTreeMap<Origin, Vec<Reading>>,
    count: usize,
    records: Vec<Record>,
}

impl Merger {
    /// Whether the block has another content under a number that is here: two boards' readings, which do not go into one block.
    pub fn contradicts(&self, block: &Block) -> bool {
        block.origins.iter().any(|of| {
            let known = self.readings.get(&of.origin).map_or(&[][..], Vec::as_slice);
            let first = of.readings.first().map_or(0, |first| first.seq.0);
            let mut known = known.iter().filter(|known| known.seq.0 >= first);
            known.any(|known| {
                let at = of.readings.binary_search_by_key(&known.seq, |reading| reading.seq);
                at.is_ok_and(|at| of.readings.get(at) != Some(known))
            })
        })
    }

    pub fn add(&mut self, block: Block) {
        self.records.extend(block.records);
        for OriginReadings { origin, readings } in block.origins {
            self.count += readings.len();
            self.readings.entry(origin).or_default().extend(readings);
        }
    }

    pub const fn readings(&self) -> usize {
        self.count
    }

    pub fn finish(self) -> Block {
        let origins = self.readings.into_iter().map(|(origin, mut readings)| {
            readings.sort_by_key(|reading| reading.seq);
            readings.dedup_by_key(|reading| reading.seq);
            OriginReadings { origin, readings }
        });
        Block { records: condensed(self.records), origins: origins.collect() }
    }
}

/// The same statements in fewer records.
pub fn condensed(records: Vec<Record>) -> Vec<Record> {
    let mut losses: BTreeMap<(Origin, LossReason), RangeSet> = BTreeMap::new();
    let mut measured: BTreeMap<Origin, u64> = BTreeMap::new();
    let mut kept: Vec<Record> = Vec::new();
    for record in records {
        match &record {
            Record::Loss(loss) => losses.entry((loss.origin, loss.reason)).or_default().insert(loss.range),
            Record::Measured { origin, next } => {
                let known = measured.entry(*origin).or_default();
                *known = (*known).max(*next);
            }
            Record::Described(_) | Record::Anchor { .. } => {
                kept.retain(|other| !replaces(&record, other));
                kept.push(record);
            }
            Record::Closed { .. } | Record::Summary(_) => kept.push(record),
        }
    }
    // Descriptions first: what follows names their origins.
    kept.sort_by_key(|record| !matches!(record, Record::Described(_)));
    kept.extend(losses.into_iter().flat_map(|((origin, reason), ranges)| {
        let ranges: Vec<SeqRange> = ranges.ranges().to_vec();
        super::packer::losses(origin, ranges, reason)
    }));
    kept.extend(measured.into_iter().map(|(origin, next)| Record::Measured { origin, next }));
    kept
}

fn replaces(new: &Record, old: &Record) -> bool {
    match (new, old) {
        (Record::Described(new), Record::Described(old)) => new.origin == old.origin,
        (
            Record::Anchor { origin, quality, error_ms, .. },
            Record::Anchor { origin: of, quality: q, error_ms: e, .. },
        ) => {
            // A worse anchor does not stand for a better one.
            origin == of && quality >= q && error_ms <= e
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{BootId, ClockQuality, DeviceId, LossRecord, Tick, block::Tail};

    use super::*;

    #[test]
    fn two_contents_of_one_number_do_not_meet_in_a_block() {
        let origin = Origin::new(DeviceId::new("a").unwrap(), BootId(1));
        let block = |seqs: std::ops::Range<u64>, value: bool| {
            let reading = |seq| Reading {
                seq: tidegate_protocol::Seq(seq),
                channel: tidegate_protocol::ChannelIndex(0),
                tick: Tick(seq),
                value: tidegate_protocol::Value::Bool(value),
                quality: tidegate_protocol::Quality::Good,
            };
            let of = OriginReadings { origin, readings: seqs.map(reading).collect() };
            Block { records: Vec::new(), origins: vec![of] }
        };
        let mut merger = Merger::default();
        merger.add(block(10..20, true));
        merger.add(block(0..5, true));
        for (seqs, value, contradicts) in [
            (0..30, true, false),
            (19..30, false, true),
            (0..5, false, true),
            (5..10, false, false),
            (20..30, false, false),
        ] {
            assert_eq!(merger.contradicts(&block(seqs.clone(), value)), contradicts, "{seqs:?} {value}");
        }
    }

    #[test]
    fn records_say_the_same_in_fewer_words() {
        let origin = Origin::new(DeviceId::new("a").unwrap(), BootId(1));
        let loss = |start, end, reason| {
            Record::Loss(LossRecord { origin, range: SeqRange::new(start, end), reason })
        };
        let anchor =
            |quality, unix_ms| Record::Anchor { origin, tick: Tick(1), unix_ms, error_ms: 5, quality };
        let closed = Record::Closed { origin, tail: Tail::AtLeast(9) };
        let records = vec![
            loss(0, 3, LossReason::Evicted),
            anchor(ClockQuality::Synced, 1),
            loss(5, 6, LossReason::Corrupt),
            Record::Measured { origin, next: 7 },
            loss(3, 5, LossReason::Evicted),
            anchor(ClockQuality::Estimated, 2),
            closed.clone(),
            anchor(ClockQuality::Estimated, 3),
            Record::Measured { origin, next: 4 },
        ];
        let expected = vec![
            anchor(ClockQuality::Synced, 1),
            closed,
            anchor(ClockQuality::Estimated, 3),
            loss(0, 5, LossReason::Evicted),
            loss(5, 6, LossReason::Corrupt),
            Record::Measured { origin, next: 7 },
        ];
        assert_eq!(condensed(records), expected);
    }
}
