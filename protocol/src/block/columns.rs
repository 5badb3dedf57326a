//! The columns of a block: everything about its readings but their seqs, which the directory has.
//!
//! A board measures its channels together, so one origin's readings in seq order name the same channels again and
//! again at the same steps of time. Channels and ticks are therefore written per origin in seq order, where zstd
//! finds the repetition; values are written per series, where a delta is small. Each column stands by itself:
//!
//! ```text
//! lengths   five varints: bytes of each column below
//! channels  a byte per reading, origins in directory order, readings in seq order
//! ticks     zigzag varint per reading: difference to the one before in its origin (the first: to 0), wrapping
//! quality   runs over all readings: varint length, code
//! forms     per origin, per channel in ascending order: see `series`
//! values    the same order: see `series`
//! ```

use alloc::vec::Vec;

use super::{Directory, OriginReadings, series};
use crate::{
    id::{ChannelIndex, Seq},
    reading::{Quality, Reading, Tick, Value},
    varint::{Reader, push_unsigned, zigzag},
};

const COLUMNS: usize = 5;

/// Buffers kept between blocks.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    columns: [Vec<u8>; COLUMNS],
    mantissas: Vec<i64>,
    by_channel: Vec<(u8, u32)>,
    values: Vec<Value>,
}

pub(super) fn encode(origins: &[OriginReadings], out: &mut Vec<u8>, scratch: &mut Scratch) {
    scratch.columns.iter_mut().for_each(Vec::clear);
    let Scratch {
        columns: [channels, ticks, quality, forms, values],
        mantissas,
        by_channel,
        values: series_values,
    } = scratch;
    let mut run = (Quality::Good, 0_u64);
    for OriginReadings { readings, .. } in origins {
        let mut before = Tick(0);
        by_channel.clear();
        for (at, reading) in readings.iter().enumerate() {
            channels.push(reading.channel.0);
            push_unsigned(ticks, zigzag(reading.tick.0.wrapping_sub(before.0) as i64));
            before = reading.tick;
            if reading.quality != run.0 {
                push_run(quality, run);
                run = (reading.quality, 0);
            }
            run.1 += 1;
            by_channel.push((reading.channel.0, at as u32));
        }
        // Ascending by channel, then by seq; the readings of one sample come sorted already.
        by_channel.sort_unstable();
        for group in by_channel.chunk_by(|a, b| a.0 == b.0) {
            series_values.clear();
            series_values.extend(group.iter().filter_map(|(_, at)| Some(readings.get(*at as usize)?.value)));
            series::encode(series_values, values, mantissas).write(forms);
        }
    }
    push_run(quality, run);
    for column in &scratch.columns {
        push_unsigned(out, column.len() as u64);
    }
    for column in &scratch.columns {
        out.extend_from_slice(column);
    }
}

fn push_run(out: &mut Vec<u8>, (quality, len): (Quality, u64)) {
    if len > 0 {
        push_unsigned(out, len);
        out.push(quality.code());
    }
}

/// Reads the columns for a checked directory; its ranges bound what is allocated.
pub(super) fn decode(bytes: &[u8], directory: &Directory) -> Option<Vec<OriginReadings>> {
    let mut reader = Reader::new(bytes);
    let mut lengths = [0_usize; COLUMNS];
    for length in &mut lengths {
        *length = usize::try_from(reader.unsigned().ok()?).ok()?;
    }
    let [channels, ticks, quality, forms, values] = lengths;
    let mut column = |length| reader.bytes(length).ok().map(Reader::new);
    let mut columns = Columns {
        channels: column(channels)?,
        ticks: column(ticks)?,
        quality: Runs { reader: column(quality)?, quality: Quality::Good, left: 0 },
        forms: column(forms)?,
        values: column(values)?,
    };
    if !reader.rest().is_empty() {
        return None;
    }
    let mut by_channel = Vec::new();
    let mut origins = Vec::with_capacity(directory.len());
    for entry in directory {
        let count = usize::try_from(entry.count()).ok()?;
        let mut readings = Vec::with_capacity(count);
        let seqs = entry.ranges.iter().flat_map(|range| range.start..range.end);
        columns.seq_order(seqs, &mut readings)?;
        columns.series_order(&mut readings, &mut by_channel)?;
        origins.push(OriginReadings { origin: entry.origin, readings });
    }
    columns.finished().then_some(origins)
}

struct Columns<'a> {
    channels: Reader<'a>,
    ticks: Reader<'a>,
    quality: Runs<'a>,
    forms: Reader<'a>,
    values: Reader<'a>,
}

struct Runs<'a> {
    reader: Reader<'a>,
    quality: Quality,
    left: u64,
}

impl Runs<'_> {
    #[inline]
    fn next(&mut self) -> Option<Quality> {
        if self.left == 0 {
            self.left = self.reader.unsigned().ok()?;
            self.quality = Quality::from_code(self.reader.byte().ok()?)?;
        }
        self.left = self.left.checked_sub(1)?;
        Some(self.quality)
    }
}

impl Columns<'_> {
    /// Fills in what is written in seq order; values follow.
    fn seq_order(&mut self, seqs: impl Iterator<Item = u64>, readings: &mut Vec<Reading>) -> Option<()> {
        let mut tick = Tick(0);
        for seq in seqs {
            let channel = ChannelIndex(self.channels.byte().ok()?);
            tick = Tick(tick.0.wrapping_add(self.ticks.signed().ok()? as u64));
            let quality = self.quality.next()?;
            readings.push(Reading { seq: Seq(seq), channel, tick, value: Value::Bool(false), quality });
        }
        Some(())
    }

    /// Fills in the values, series by series.
    fn series_order(&mut self, readings: &mut [Reading], by_channel: &mut Vec<(u8, u32)>) -> Option<()> {
        by_channel.clear();
        by_channel.extend(readings.iter().enumerate().map(|(at, reading)| (reading.channel.0, at as u32)));
        by_channel.sort_unstable();
        for group in by_channel.chunk_by(|a, b| a.0 == b.0) {
            let form = series::Form::read(&mut self.forms)?;
            let mut places = group.iter();
            series::decode(&mut self.values, form, group.len(), |value| {
                if let Some(reading) = places.next().and_then(|(_, at)| readings.get_mut(*at as usize)) {
                    reading.value = value;
                }
            })?;
        }
        Some(())
    }

    fn finished(&self) -> bool {
        let Self { channels, ticks, quality, forms, values } = self;
        quality.left == 0
            && [channels, ticks, &quality.reader, forms, values].iter().all(|column| column.rest().is_empty())
    }
}
