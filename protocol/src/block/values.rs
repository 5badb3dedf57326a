//! The values of a block, channel by channel: by channel index, then by origin, then by seq. The same channel of
//! many boards is mostly the same quantity, so it shares a form, a way to foretell and the shifts of its numbers.
//!
//! ```text
//! per channel that occurs, ascending
//!   how      2 bits, how a value is foretold: 0 the one before; 1 that and its step again; 2 a running mean
//!   shifts   6 bits for first values, 6 bits for later ones
//!   per run of series (one per origin) of one form
//!     form   see `series`
//!     more   number under shift 4: further series of this form
//!     per series, unless mixed
//!       first   number: zigzag difference to the first value of the series before in this channel, at first to 0
//!       later   number each: zigzag difference to what was foretold
//! ```
//! All differences wrap. The running mean counts in sixteenths and moves half the way to each value.

use alloc::vec::Vec;

use super::{
    OriginReadings,
    bits::{BitReader, BitWriter, best_shift},
    foretell::{Foretell, Mean, Same, Steady},
    series::{Form, read_mixed, write_mixed},
};
use crate::{
    reading::Value,
    varint::{unzigzag, zigzag},
};

/// How many later values the ways to foretell are compared on.
const SAMPLE: usize = 128;
/// How many later values a series must have on average for a comparison to be worth its time.
const MIN_LATER: usize = 4;
/// The shift of `more`.
const MORE_SHIFT: u32 = 4;

/// Buffers kept between blocks. Values stand by channel, origin, seq; the owner of each is its origin's place in the
/// block, so that a change of owner begins a series.
#[derive(Debug, Default)]
pub(super) struct Values {
    values: Vec<Value>,
    owners: Vec<u32>,
    channel: Channel,
}

/// One channel while it is encoded.
#[derive(Debug, Default)]
struct Channel {
    forms: Vec<(Form, usize)>,
    integers: Vec<i64>,
    firsts: Vec<u64>,
    later: Vec<u64>,
}

impl Values {
    pub(super) fn encode(&mut self, origins: &[OriginReadings], bits: &mut BitWriter<'_>) {
        let Self { values, owners, channel } = self;
        let channels =
            origins.iter().flat_map(|origin| origin.readings.iter().map(|reading| reading.channel.0));
        let counts = count_channels(channels);
        let mut places = Places::new(&counts);
        values.clear();
        values.resize(places.total(), Value::Bool(false));
        owners.clear();
        owners.resize(places.total(), 0);
        for (origin, owner) in origins.iter().zip(0..) {
            for reading in &origin.readings {
                let place = places.next(reading.channel.0);
                if let Some((to, of)) = values.get_mut(place).zip(owners.get_mut(place)) {
                    (*to, *of) = (reading.value, owner);
                }
            }
        }
        let (mut values, mut owners) = (values.as_slice(), owners.as_slice());
        for count in counts.into_iter().filter(|count| *count > 0) {
            let (these, others) = values.split_at(count as usize);
            let (their_owners, other_owners) = owners.split_at(count as usize);
            channel.encode(these, their_owners, bits);
            (values, owners) = (others, other_owners);
        }
    }

    /// Reads the values of readings whose channels are these.
    pub(super) fn decode(
        &mut self,
        origins: &mut [OriginReadings],
        channels: &[u8],
        bits: &mut BitReader<'_>,
    ) -> Option<()> {
        let Self { values, owners, .. } = self;
        let counts = count_channels(channels.iter().copied());
        let mut places = Places::new(&counts);
        owners.clear();
        owners.resize(places.total(), 0);
        let mut rest = channels;
        for (origin, owner) in origins.iter().zip(0..) {
            let (these, others) = rest.split_at_checked(origin.readings.len())?;
            for channel in these {
                *owners.get_mut(places.next(*channel))? = owner;
            }
            rest = others;
        }
        values.clear();
        let mut owners = owners.as_slice();
        for count in counts.into_iter().filter(|count| *count > 0) {
            let (these, others) = owners.split_at(count as usize);
            decode_channel(these, bits, values)?;
            owners = others;
        }
        let mut places = Places::new(&counts);
        let mut channels = channels.iter();
        for origin in origins {
            for (reading, channel) in origin.readings.iter_mut().zip(&mut channels) {
                reading.value = *values.get(places.next(*channel))?;
            }
        }
        Some(())
    }
}

fn count_channels(channels: impl Iterator<Item = u8>) -> [u32; 256] {
    let mut counts = [0; 256];
    for channel in channels {
        if let Some(count) = counts.get_mut(usize::from(channel)) {
            *count += 1;
        }
    }
    counts
}

/// Where each channel's next value stands.
struct Places {
    next: [u32; 256],
    total: u32,
}

impl Places {
    fn new(counts: &[u32; 256]) -> Self {
        let (mut next, mut total) = ([0; 256], 0);
        for (next, count) in next.iter_mut().zip(counts) {
            *next = total;
            total += count;
        }
        Self { next, total }
    }

    const fn total(&self) -> usize {
        self.total as usize
    }

    #[inline]
    fn next(&mut self, channel: u8) -> usize {
        let Some(next) = self.next.get_mut(usize::from(channel)) else { return usize::MAX };
        *next += 1;
        *next as usize - 1
    }
}

impl Channel {
    fn encode(&mut self, values: &[Value], owners: &[u32], bits: &mut BitWriter<'_>) {
        self.integers.clear();
        self.forms.clear();
        let (mut rest, mut before) = (values, None);
        for series in owners.chunk_by(PartialEq::eq) {
            let (series, others) = rest.split_at(series.len());
            let form = Form::of(series, before, &mut self.integers);
            self.forms.push((form, series.len()));
            (rest, before) = (others, Some(form));
        }
        let how = self.take_differences();
        let (shift_first, shift) = (best_shift(&self.firsts).shift, best_shift(&self.later).shift);
        bits.bits(how, 2);
        bits.shift(shift_first);
        bits.shift(shift);
        let mut firsts = self.firsts.iter();
        let mut later = self.later.as_slice();
        let mut rest = values;
        for run in self.forms.chunk_by(|a, b| a.0 == b.0) {
            let Some((form, _)) = run.first() else { continue };
            form.write(bits);
            bits.number(run.len() as u64 - 1, MORE_SHIFT);
            for (_, len) in run {
                let (series, others) = rest.split_at(*len);
                rest = others;
                if form.is_mixed() {
                    series.iter().for_each(|value| write_mixed(*value, bits));
                } else if let Some((first, (numbers, others))) =
                    firsts.next().zip(later.split_at_checked(len - 1))
                {
                    bits.number(*first, shift_first);
                    numbers.iter().for_each(|number| bits.number(*number, shift));
                    later = others;
                }
            }
        }
    }

    /// Fills `firsts`, and `later` in the way that a sample of the channel shows to be shortest.
    fn take_differences(&mut self) -> u64 {
        self.firsts.clear();
        let mut before = 0_i64;
        for (first, _) in series_of(&self.forms, &self.integers) {
            self.firsts.push(zigzag(first.wrapping_sub(before)));
            before = first;
        }
        let count = self.integers.len() - self.firsts.len();
        // Of a few values each, the one before is all there is to go by.
        let ways = if count < MIN_LATER * self.firsts.len() { 0..1 } else { 0..3 };
        let cost = |how: &u64| {
            self.take_later(*how, SAMPLE);
            best_shift(&self.later).bits
        };
        let how = ways.min_by_key(cost).unwrap_or_default();
        self.take_later(how, usize::MAX);
        how
    }

    /// Fills `later` with the differences of at least `limit` values, or of all.
    fn take_later(&mut self, how: u64, limit: usize) {
        let Self { forms, integers, later, .. } = self;
        later.clear();
        for (first, series) in series_of(forms, integers) {
            match how {
                0 => differences::<Same>(first, series, later),
                1 => differences::<Steady>(first, series, later),
                _ => differences::<Mean>(first, series, later),
            }
            if later.len() >= limit {
                return;
            }
        }
    }
}

/// The series that are integers: the first, and those after it.
fn series_of<'a>(forms: &'a [(Form, usize)], integers: &'a [i64]) -> impl Iterator<Item = (i64, &'a [i64])> {
    let mut rest = integers;
    forms.iter().filter(|(form, _)| !form.is_mixed()).filter_map(move |(_, len)| {
        let (series, others) = rest.split_at_checked(*len)?;
        rest = others;
        series.split_first().map(|(first, series)| (*first, series))
    })
}

fn differences<F: Foretell>(first: i64, series: &[i64], out: &mut Vec<u64>) {
    let mut foretell = F::start(first);
    out.extend(series.iter().map(|value| {
        let difference = zigzag(value.wrapping_sub(foretell.next()));
        foretell.saw(*value);
        difference
    }));
}

fn decode_channel(owners: &[u32], bits: &mut BitReader<'_>, values: &mut Vec<Value>) -> Option<()> {
    let how = bits.bits(2);
    let (shift_first, shift) = (bits.shift(), bits.shift());
    let (mut form, mut more, mut before) = (None, 0_u64, 0_i64);
    for series in owners.chunk_by(PartialEq::eq) {
        let form = match form {
            Some(form) if more > 0 => {
                more -= 1;
                form
            }
            _ => {
                let new = Form::read(bits)?;
                more = bits.number(MORE_SHIFT)?;
                *form.insert(new)
            }
        };
        if form.is_mixed() {
            for _ in series {
                values.push(read_mixed(bits)?);
            }
            continue;
        }
        before = before.wrapping_add(unzigzag(bits.number(shift_first)?));
        values.push(form.value(before)?);
        let later = Later { form, first: before, count: series.len() - 1, shift };
        match how {
            0 => later.decode::<Same>(bits, values)?,
            1 => later.decode::<Steady>(bits, values)?,
            2 => later.decode::<Mean>(bits, values)?,
            _ => return None,
        }
    }
    (more == 0).then_some(())
}

/// What follows a series' first value.
struct Later {
    form: Form,
    first: i64,
    count: usize,
    shift: u32,
}

impl Later {
    #[inline]
    fn decode<F: Foretell>(self, bits: &mut BitReader<'_>, values: &mut Vec<Value>) -> Option<()> {
        let mut foretell = F::start(self.first);
        for _ in 0..self.count {
            let value = foretell.next().wrapping_add(unzigzag(bits.number(self.shift)?));
            foretell.saw(value);
            values.push(self.form.value(value)?);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a channel of two series of two values each: how, form, further series, then numbers of shift 0.
    fn channel(how: u64, form: &[(u64, u32)], more: u64, numbers: [u64; 4]) -> Option<Vec<Value>> {
        let mut bytes = Vec::new();
        let mut bits = BitWriter::new(&mut bytes);
        bits.bits(how, 2);
        bits.shift(0);
        bits.shift(0);
        form.iter().for_each(|(value, len)| bits.bits(*value, *len));
        bits.number(more, MORE_SHIFT);
        numbers.iter().for_each(|number| bits.number(*number, 0));
        bits.finish();
        let (mut bits, mut values) = (BitReader::new(&bytes), Vec::new());
        decode_channel(&[0, 0, 1, 1], &mut bits, &mut values)?;
        bits.finished().then_some(values)
    }

    #[test]
    fn a_channel_says_nothing_that_cannot_be() {
        const DECIMAL: u64 = 1;
        const F32_BITS: u64 = 4;
        let decimal = |mantissa| Value::Decimal { mantissa, scale: 18 };
        let form = [(DECIMAL, 3), (18, 5)];
        // First values are less the first before; each other one is less what was foretold.
        let expected = [5, 4, 6, 6].map(decimal);
        assert_eq!(channel(0, &form, 1, [10, 1, 2, 0]).as_deref(), Some(&expected[..]));
        assert_eq!(channel(3, &form, 1, [10, 1, 2, 0]), None, "no such way to foretell");
        assert_eq!(channel(0, &form, 2, [10, 1, 2, 0]), None, "a series too many");
        assert_eq!(channel(0, &[(DECIMAL, 3), (19, 5)], 1, [0; 4]), None, "no such scale");
        assert_eq!(channel(0, &[(7, 3)], 1, [0; 4]), None, "no such form");
        assert!(channel(0, &[(0, 3)], 1, [2, 1, 0, 0]).is_some());
        assert_eq!(channel(0, &[(0, 3)], 1, [2, 2, 0, 0]), None, "a bool of 2");
        let most = u64::from(u32::MAX) * 2;
        assert!(channel(0, &[(F32_BITS, 3)], 1, [most, 0, 0, 0]).is_some());
        assert_eq!(channel(0, &[(F32_BITS, 3)], 1, [most + 2, 0, 0, 0]), None, "33 bits");
        assert_eq!(channel(0, &[(F32_BITS, 3)], 1, [1, 0, 0, 0]), None, "negative bits");
    }
}
