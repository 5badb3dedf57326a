//! What a block says of its readings in the order of their seqs: channel, tick, quality. See `docs/wire.md`.
//!
//! All three are foretold, and only what comes otherwise is written. A board measures its channels in turn, so the
//! channel after this one is the one that came after it last time. A round of channels has one tick and rounds are
//! evenly spaced, so the step to a channel's tick is the one it took last time. Quality stays. What is foretold is
//! learned over the whole block, so that the boards of a fleet teach it once.
//!
//! ```text
//! channels   exceptions; foretold: what followed the channel before, at first its index + 1 (before the block: 255)
//! firsts     list: per origin, zigzag difference of its first tick to seq × (tick ÷ seq of the origin before)
//! steps      list: per later reading with a foretold step, zigzag difference of its step to that
//! ticks      exceptions; among the later readings whose foretold step is zero: zigzag step
//! quality    exceptions; foretold: the quality before, at first good
//!
//! exceptions list of gaps (how many came as foretold before this one), then, unless empty, a shift and as many numbers
//! ```

use alloc::vec::Vec;

use super::{
    OriginReadings,
    bits::{BitReader, BitWriter, best_shift},
};
use crate::{
    id::ChannelIndex,
    reading::{Quality, Reading, Tick},
    varint::{unzigzag, zigzag},
};

/// Buffers kept between blocks.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    channels: Exceptions,
    firsts: Vec<u64>,
    steps: Vec<u64>,
    ticks: Exceptions,
    quality: Exceptions,
}

impl Timeline {
    pub(super) fn encode(&mut self, origins: &[OriginReadings], bits: &mut BitWriter<'_>) {
        let Self { channels, firsts, steps, ticks, quality } = self;
        firsts.clear();
        steps.clear();
        [&mut *channels, ticks, quality].into_iter().for_each(Exceptions::clear);
        let mut foretold = Foretold::new();
        for readings in origins.iter().map(|origin| origin.readings.as_slice()) {
            let mut before = None;
            for Reading { seq, channel, tick, quality: worth, .. } in readings {
                let ChannelIndex(channel) = *channel;
                channels.put(foretold.channel() != channel, u64::from(channel));
                foretold.saw_channel(channel);
                quality.put(foretold.quality != *worth, u64::from(worth.code()));
                foretold.quality = *worth;
                match before.replace(tick.0) {
                    None => {
                        firsts.push(zigzag(tick.0.wrapping_sub(foretold.first_tick(seq.0)) as i64));
                        foretold.first = (seq.0, tick.0);
                    }
                    Some(before) => {
                        let step = tick.0.wrapping_sub(before) as i64;
                        match foretold.step(channel) {
                            0 => ticks.put(step != 0, zigzag(step)),
                            expected => steps.push(zigzag(step.wrapping_sub(expected))),
                        }
                        foretold.saw_step(channel, step);
                    }
                }
            }
        }
        channels.write(bits);
        bits.list(firsts);
        bits.list(steps);
        ticks.write(bits);
        quality.write(bits);
    }

    /// Reads the lists of a block with so many origins and readings; [`Replay`] then tells them reading by reading.
    pub(super) fn decode(
        &mut self,
        bits: &mut BitReader<'_>,
        origins: usize,
        readings: usize,
    ) -> Option<Replay<'_>> {
        self.channels.read(bits, readings)?;
        bits.list(origins, &mut self.firsts)?;
        bits.list(readings, &mut self.steps)?;
        self.ticks.read(bits, readings)?;
        self.quality.read(bits, readings)?;
        Some(Replay {
            channels: self.channels.replay(),
            firsts: self.firsts.iter(),
            steps: self.steps.iter(),
            ticks: self.ticks.replay(),
            quality: self.quality.replay(),
            foretold: Foretold::new(),
            tick: 0,
        })
    }
}

/// What both sides expect, from what both have seen.
struct Foretold {
    after: [u8; 256],
    channel: u8,
    steps: [i64; 256],
    /// First seq and tick of the origin before.
    first: (u64, u64),
    quality: Quality,
}

impl Foretold {
    fn new() -> Self {
        let mut after = [0; 256];
        after.iter_mut().zip(1..=255_u8).for_each(|(after, next)| *after = next);
        Self { after, channel: u8::MAX, steps: [0; 256], first: (0, 0), quality: Quality::Good }
    }

    #[inline]
    fn channel(&self) -> u8 {
        self.after.get(usize::from(self.channel)).copied().unwrap_or_default()
    }

    #[inline]
    fn saw_channel(&mut self, channel: u8) {
        if let Some(after) = self.after.get_mut(usize::from(self.channel)) {
            *after = channel;
        }
        self.channel = channel;
    }

    /// Boards of a fleet measure at one rate: a tick is to its seq about as another board's is.
    fn first_tick(&self, seq: u64) -> u64 {
        let (before_seq, before_tick) = self.first;
        match u128::from(seq).checked_mul(u128::from(before_tick)) {
            Some(product) if before_seq > 0 => (product / u128::from(before_seq)) as u64,
            _ => 0,
        }
    }

    #[inline]
    fn step(&self, channel: u8) -> i64 {
        self.steps.get(usize::from(channel)).copied().unwrap_or_default()
    }

    /// A step is learned when the one known misses it by more than a sixteenth: jitter teaches nothing.
    #[inline]
    fn saw_step(&mut self, channel: u8, step: i64) {
        if let Some(known) = self.steps.get_mut(usize::from(channel))
            && step.wrapping_sub(*known).unsigned_abs() > known.unsigned_abs() / 16
        {
            *known = step;
        }
    }
}

/// Tells a block's timeline again; none when a list ends early or holds what cannot be.
pub(super) struct Replay<'a> {
    channels: ExceptionReplay<'a>,
    firsts: core::slice::Iter<'a, u64>,
    steps: core::slice::Iter<'a, u64>,
    ticks: ExceptionReplay<'a>,
    quality: ExceptionReplay<'a>,
    foretold: Foretold,
    tick: u64,
}

impl Replay<'_> {
    /// The next reading's channel, tick and quality; `first` of its origin or a later one.
    #[inline]
    pub(super) fn next(&mut self, seq: u64, first: bool) -> Option<(ChannelIndex, Tick, Quality)> {
        let foretold = &mut self.foretold;
        let channel = match self.channels.next() {
            None => foretold.channel(),
            Some(other) => u8::try_from(other).ok()?,
        };
        foretold.saw_channel(channel);
        if let Some(other) = self.quality.next() {
            foretold.quality = Quality::from_code(u8::try_from(other).ok()?)?;
        }
        if first {
            let off = unzigzag(*self.firsts.next()?);
            self.tick = foretold.first_tick(seq).wrapping_add(off as u64);
            foretold.first = (seq, self.tick);
        } else {
            let step = match foretold.step(channel) {
                0 => self.ticks.next().map_or(0, unzigzag),
                expected => expected.wrapping_add(unzigzag(*self.steps.next()?)),
            };
            foretold.saw_step(channel, step);
            self.tick = self.tick.wrapping_add(step as u64);
        }
        Some((ChannelIndex(channel), Tick(self.tick), foretold.quality))
    }

    /// Whether every list was told to its end.
    pub(super) fn finished(&self) -> bool {
        let exceptions = [&self.channels, &self.ticks, &self.quality];
        self.firsts.len() == 0
            && self.steps.len() == 0
            && exceptions.iter().all(|list| list.values.len() == 0)
    }
}

#[derive(Debug, Default)]
struct Exceptions {
    gaps: Vec<u64>,
    values: Vec<u64>,
    gap: u64,
}

impl Exceptions {
    fn clear(&mut self) {
        self.gaps.clear();
        self.values.clear();
        self.gap = 0;
    }

    #[inline]
    fn put(&mut self, exception: bool, value: u64) {
        if exception {
            self.gaps.push(self.gap);
            self.values.push(value);
            self.gap = 0;
        } else {
            self.gap += 1;
        }
    }

    fn write(&self, bits: &mut BitWriter<'_>) {
        bits.list(&self.gaps);
        if !self.values.is_empty() {
            let shift = best_shift(&self.values).shift;
            bits.shift(shift);
            self.values.iter().for_each(|value| bits.number(*value, shift));
        }
    }

    fn read(&mut self, bits: &mut BitReader<'_>, bound: usize) -> Option<()> {
        bits.list(bound, &mut self.gaps)?;
        self.values.clear();
        if !self.gaps.is_empty() {
            let shift = bits.shift();
            for _ in 0..self.gaps.len() {
                self.values.push(bits.number(shift)?);
            }
        }
        Some(())
    }

    fn replay(&self) -> ExceptionReplay<'_> {
        let mut gaps = self.gaps.iter();
        let gap = gaps.next().copied().unwrap_or(u64::MAX);
        ExceptionReplay { gaps, values: self.values.iter(), gap }
    }
}

struct ExceptionReplay<'a> {
    gaps: core::slice::Iter<'a, u64>,
    values: core::slice::Iter<'a, u64>,
    /// How many more come as foretold.
    gap: u64,
}

impl ExceptionReplay<'_> {
    #[inline]
    fn next(&mut self) -> Option<u64> {
        if self.gap > 0 {
            self.gap -= 1;
            return None;
        }
        // After the last exception everything is as foretold: no block has 2^64 readings.
        self.gap = self.gaps.next().copied().unwrap_or(u64::MAX);
        self.values.next().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a timeline of these lists and tells it to `readings` readings of one origin.
    fn tells(channels: &Exceptions, firsts: &[u64], steps: &[u64], readings: usize) -> bool {
        let mut bytes = Vec::new();
        let mut bits = BitWriter::new(&mut bytes);
        channels.write(&mut bits);
        bits.list(firsts);
        bits.list(steps);
        Exceptions::default().write(&mut bits);
        Exceptions::default().write(&mut bits);
        bits.finish();
        let (mut timeline, mut bits) = (Timeline::default(), BitReader::new(&bytes));
        let Some(mut replay) = timeline.decode(&mut bits, 1, readings) else { return false };
        (0..readings).all(|at| replay.next(at as u64, at == 0).is_some()) && replay.finished()
    }

    #[test]
    fn lists_hold_what_is_told_and_nothing_else() {
        let none = Exceptions::default();
        let at = |gap, channel| Exceptions { gaps: [gap].into(), values: [channel].into(), gap: 0 };
        assert!(tells(&none, &[0], &[], 2));
        assert!(tells(&at(1, 7), &[0], &[], 2));
        assert!(!tells(&none, &[], &[], 2), "no first tick");
        assert!(!tells(&none, &[0], &[0], 2), "a step that none is told");
        assert!(!tells(&at(2, 7), &[0], &[], 2), "an exception behind the end");
        assert!(!tells(&at(1, 256), &[0], &[], 2), "a channel that no byte holds");
    }
}
