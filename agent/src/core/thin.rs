//! Thinning: summaries of readings that leave the queue under `thin-oldest`.
//!
//! A channel of an origin is a *series*. What leaves of an origin is cut into windows of seqs, with about
//! [`READINGS_PER_SUMMARY`] of each channel, and each series is summed up per window. Summaries that come to the front of the queue themselves are merged in pairs of neighbours:
//! each time around they stand for twice as much. So pressure that goes on costs detail, and nothing else.
//!
//! A summary takes about as much room as two dozen readings. Where a series has fewer among what is evicted, more
//! is evicted in the same transaction, up to [`MAX_LOADS`] times as much.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_protocol::{
    ChannelIndex, Origin, Quality, Reading, SeqRange, Summary,
    block::{OriginReadings, Record},
};

/// A run is summed up once it has so many readings.
const READINGS_PER_SUMMARY: u64 = 512;
/// How often more blocks join an eviction that saves too little.
pub const MAX_LOADS: u32 = 16;
/// And how many summaries it may hold in memory while they do.
const MAX_HELD: usize = 16_384;
/// Roughly what a summary takes in the queue.
const SUMMARY_BYTES: u64 = 48;

/// What stands for the readings of one eviction.
#[derive(Debug, Default)]
pub struct Thinned {
    /// Of readings, and of summaries that were in the queue already: in the order of series and seqs.
    fresh: Vec<Summary>,
    old: Vec<Summary>,
    loads: u32,
}

impl Thinned {
    /// Adds what one load brought: its readings and the summaries among its records, which are taken out.
    pub fn add(&mut self, readings: &[OriginReadings], records: &mut Vec<Record>) {
        self.loads += 1;
        self.fresh.extend(summaries_of(readings));
        self.fresh =
            joined(std::mem::take(&mut self.fresh), |a, b| a.count + b.count <= READINGS_PER_SUMMARY);
        let mut old = std::mem::take(&mut self.old);
        records.retain(|record| match record {
            Record::Summary(summary) => {
                old.push(*summary);
                false
            }
            _ => true,
        });
        self.old = in_pairs(old);
    }

    /// Of two evictions that are written together.
    pub fn merge(&mut self, other: Self) {
        self.fresh.extend(other.fresh);
        self.old.extend(other.old);
        self.loads = self.loads.max(other.loads);
    }

    /// More should be evicted before this is worth writing; `bytes` leave the queue.
    pub fn wants_more(&self, bytes: u64) -> bool {
        let held = self.fresh.len() + self.old.len();
        held as u64 * SUMMARY_BYTES > bytes / 4 && self.loads < MAX_LOADS && held < MAX_HELD
    }

    pub fn records(&self) -> impl Iterator<Item = Record> {
        self.old.iter().chain(&self.fresh).copied().map(Record::Summary)
    }
}

/// Per origin the runs of seqs without a hole, cut into windows; per window and channel a summary. Since windows follow
/// from seqs alone, two summaries of a series have a seq in common only if one was merged from the other.
fn summaries_of(blocks: &[OriginReadings]) -> Vec<Summary> {
    let mut origins: BTreeMap<Origin, Vec<&Reading>> = BTreeMap::new();
    for OriginReadings { origin, readings } in blocks {
        origins.entry(*origin).or_default().extend(readings);
    }
    let mut summaries = Vec::new();
    for (origin, mut readings) in origins {
        readings.sort_by_key(|reading| reading.seq);
        let channels: BTreeSet<ChannelIndex> = readings.iter().map(|reading| reading.channel).collect();
        for run in readings.chunk_by(|a, b| a.seq.0 + 1 == b.seq.0) {
            for window in run.chunks(READINGS_PER_SUMMARY as usize * channels.len()) {
                summaries.extend(summaries_of_window(origin, window));
            }
        }
    }
    summaries
}

fn summaries_of_window(origin: Origin, window: &[&Reading]) -> Vec<Summary> {
    let (Some(first), Some(last)) = (window.first(), window.last()) else { return Vec::new() };
    let range = SeqRange::new(first.seq.0, last.seq.0 + 1);
    let mut series: BTreeMap<ChannelIndex, Vec<&Reading>> = BTreeMap::new();
    for &reading in window {
        series.entry(reading.channel).or_default().push(reading);
    }
    let summaries = series.into_iter().filter_map(|(channel, run)| summary(origin, channel, range, &run));
    summaries.collect()
}

/// Sums up one channel's readings of a window, in seq order; none of no readings.
fn summary(origin: Origin, channel: ChannelIndex, range: SeqRange, run: &[&Reading]) -> Option<Summary> {
    let ticks = (run.first()?.tick, run.last()?.tick);
    let values: Vec<f64> = run.iter().filter_map(|reading| countable(reading)).collect();
    // Min and max of a NaN and a number are the number.
    let (min, max) = values.iter().fold((f64::NAN, f64::NAN), |(min, max), &v| (min.min(v), max.max(v)));
    let mean = if values.is_empty() { f64::NAN } else { mean(&values).clamp(min, max) };
    let (count, crossings) = (values.len() as u64, crossings(&values, mean));
    Some(Summary { origin, channel, range, ticks, count, min, max, mean, crossings })
}

/// In the order of the values, so that it is always the same.
fn mean(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let sum: f64 = values.iter().sum();
    // The sum of large doubles may be none; that of their shares is.
    if sum.is_finite() { sum / count } else { values.iter().map(|value| value / count).sum() }
}

/// The value of a reading that a summary counts.
fn countable(reading: &Reading) -> Option<f64> {
    let value = reading.value.as_f64();
    (reading.quality != Quality::Bad && value.is_finite()).then_some(value)
}

/// How often the values go from one side of the mean to the other; those on it are on neither.
fn crossings(values: &[f64], mean: f64) -> u64 {
    let mut sides = values.iter().filter(|value| **value != mean).map(|value| *value > mean);
    let Some(mut side) = sides.next() else { return 0 };
    sides.filter(|next| std::mem::replace(&mut side, *next) != *next).count() as u64
}

fn sorted(mut summaries: Vec<Summary>) -> Vec<Summary> {
    summaries.sort_by_key(|summary| (summary.origin, summary.channel, summary.range));
    summaries
}

/// Neighbours become one as long as `may` says so.
fn joined(summaries: Vec<Summary>, may: impl Fn(&Summary, &Summary) -> bool) -> Vec<Summary> {
    let mut out: Vec<Summary> = Vec::with_capacity(summaries.len());
    for next in sorted(summaries) {
        let both = out.last().filter(|last| may(last, &next)).and_then(|last| last.merged(&next));
        match (both, out.last_mut()) {
            (Some(both), Some(last)) => *last = both,
            _ => out.push(next),
        }
    }
    out
}

/// Each two neighbours become one.
fn in_pairs(summaries: Vec<Summary>) -> Vec<Summary> {
    let mut out: Vec<Summary> = Vec::with_capacity(summaries.len());
    let mut single = false;
    for next in sorted(summaries) {
        let both = out.last().filter(|_| single).and_then(|last| last.merged(&next));
        single = both.is_none();
        match (both, out.last_mut()) {
            (Some(both), Some(last)) => *last = both,
            _ => out.push(next),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{BootId, DeviceId, Seq, Tick, Value};

    use super::*;

    fn origin() -> Origin {
        Origin::new(DeviceId::new("board").unwrap(), BootId(7))
    }

    fn reading(seq: u64, channel: u8, value: Value) -> Reading {
        Reading {
            seq: Seq(seq),
            channel: ChannelIndex(channel),
            tick: Tick(seq * 10),
            value,
            quality: Quality::Good,
        }
    }

    fn thinned(readings: Vec<Reading>) -> Vec<Summary> {
        let mut thinned = Thinned::default();
        thinned.add(&[OriginReadings { origin: origin(), readings }], &mut Vec::new());
        thinned.fresh
    }

    fn floats(values: &[f64]) -> Vec<Reading> {
        values.iter().zip(5..).map(|(value, seq)| reading(seq, 0, Value::F64(*value))).collect()
    }

    #[test]
    fn a_summary_says_what_its_readings_were_like() {
        let [summary] = thinned(floats(&[1.0, 5.0, 3.0, 2.0, 4.0, 3.0, 5.0, 1.0]))[..] else { panic!("one") };
        assert_eq!((summary.range, summary.ticks), (SeqRange::new(5, 13), (Tick(50), Tick(120))));
        assert_eq!((summary.count, summary.min, summary.mean, summary.max), (8, 1.0, 3.0, 5.0));
        assert_eq!(summary.crossings, 4, "over the two threes, which are the mean");
        assert!(summary.is_sound());
    }

    #[test]
    fn bools_count_as_zero_and_one_and_channels_stay_apart() {
        let mut readings: Vec<Reading> =
            (0..8).map(|seq| reading(seq * 2, 1, Value::Bool(seq % 4 == 0))).collect();
        readings
            .extend((0..8).map(|seq| reading(seq * 2 + 1, 0, Value::Decimal { mantissa: 125, scale: 2 })));
        let [steady, door] = thinned(readings)[..] else { panic!("two") };
        assert_eq!((steady.range, door.range), (SeqRange::new(0, 16), SeqRange::new(0, 16)), "one window");
        assert_eq!((door.count, door.min, door.mean, door.max, door.crossings), (8, 0.0, 0.25, 1.0, 3));
        assert_eq!((steady.min, steady.mean, steady.max, steady.crossings), (1.25, 1.25, 1.25, 0));
    }

    #[test]
    fn what_is_no_figure_is_not_counted_and_stays_in_the_range() {
        let mut readings = floats(&[f64::NAN, 2.0, f64::INFINITY, 4.0, 9.0]);
        readings[4].quality = Quality::Bad;
        readings[3].quality = Quality::Uncertain;
        let [summary] = thinned(readings)[..] else { panic!("one") };
        assert_eq!((summary.count, summary.mean, summary.range), (2, 3.0, SeqRange::new(5, 10)));
        let [none] = thinned(floats(&[f64::NAN, -f64::NAN]))[..] else { panic!("one") };
        assert!(none.is_sound() && none.count == 0);
    }

    #[test]
    fn extremes_of_doubles_give_sound_summaries() {
        for values in
            [[f64::MAX; 3], [f64::MAX, f64::MIN, f64::MAX], [0.1; 3], [f64::MIN_POSITIVE, -0.0, 0.0]]
        {
            let [summary] = thinned(floats(&values))[..] else { panic!("one") };
            assert!(summary.is_sound(), "{summary:?}");
        }
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let mut readings = floats(&(0..2_000).map(|at| f64::from(at).sin()).collect::<Vec<_>>());
        let expected = thinned(readings.clone());
        assert_eq!(expected.len(), 4);
        readings.rotate_left(700);
        assert_eq!(thinned(readings), expected);
    }

    #[test]
    fn summaries_that_come_by_again_are_merged_in_pairs() {
        let summaries = thinned(floats(&[1.5; 4 * 512 + 5]));
        let mut records: Vec<Record> = summaries.iter().rev().copied().map(Record::Summary).collect();
        records.push(Record::Measured { origin: origin(), next: 9 });
        let mut again = Thinned::default();
        again.add(&[], &mut records);
        assert_eq!(records.len(), 1, "other records are left alone");
        let counts: Vec<u64> = again.old.iter().map(|summary| summary.count).collect();
        assert_eq!(counts, [1024, 1024, 5]);
        assert_eq!(again.old.last().unwrap().range.end, summaries.last().unwrap().range.end);
    }

    #[test]
    fn only_neighbours_are_merged_so_that_no_summary_lies_within_another() {
        let mut thinned = Thinned::default();
        let of = |range: std::ops::Range<u64>| OriginReadings {
            origin: origin(),
            readings: range.map(|seq| reading(seq, 0, Value::Bool(true))).collect(),
        };
        thinned.add(&[of(0..10), of(11..20)], &mut Vec::new());
        assert_eq!(thinned.fresh.len(), 2);
        let mut old: Vec<Record> = thinned.records().collect();
        thinned.add(&[of(10..11)], &mut Vec::new());
        assert_eq!(
            thinned.fresh.iter().map(|summary| summary.range).collect::<Vec<_>>(),
            [SeqRange::new(0, 20)]
        );
        let mut again = Thinned::default();
        again.add(&[], &mut old);
        assert_eq!(again.old.len(), 2);
    }

    #[test]
    fn an_eviction_of_many_short_series_wants_more() {
        let short: Vec<Reading> = (0..255).map(|seq| reading(seq, seq as u8, Value::Bool(true))).collect();
        let mut thinned = Thinned::default();
        let series = [OriginReadings { origin: origin(), readings: short }];
        let mut loads = 0;
        while thinned.loads == 0 || thinned.wants_more(1_000) {
            thinned.add(&series, &mut Vec::new());
            loads += 1;
        }
        assert_eq!(loads, MAX_LOADS);
        assert!(!thinned.wants_more(1 << 20));
    }
}
