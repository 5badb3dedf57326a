//! A string of bits, low bit of each byte first, and the code that numbers are written in.
//!
//! A number is written under a shift `k`, 0 to 63, that suits its neighbours: let `n` be the count of significant
//! bits of `number >> k` (0 for zero). Then follow `n` zero bits, a one bit, the lower `n - 1` of those significant
//! bits (the top one is known), and the `k` low bits of the number. Numbers below 2^k take k + 1 bits, those below
//! 2^(k+1) one more; an outlier costs twice its excess and disturbs nothing else.
//!
//! A list is a number under shift 4, how many; then, unless it is empty, a shift in six bits and that many numbers.

use alloc::vec::Vec;

/// The shift of a list's count.
const COUNT_SHIFT: u32 = 4;
/// How many bits hold a shift.
const SHIFT_BITS: u32 = 6;
/// Bits that one look at the string is sure to hold.
const PEEKED: u32 = 57;

/// Appends bits to bytes.
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    /// Fewer than 64 between calls.
    count: u32,
}

impl<'a> BitWriter<'a> {
    pub(super) const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, held: 0, count: 0 }
    }

    /// The `len` low bits of `value`, at most 64; its others are zero.
    #[inline]
    fn put(&mut self, value: u64, len: u32) {
        self.held |= value << self.count;
        let count = self.count + len;
        if count >= 64 {
            self.out.extend_from_slice(&self.held.to_le_bytes());
            // What found no room; all of it went when nothing was held before.
            self.held = value.checked_shr(64 - self.count).unwrap_or_default();
        }
        self.count = count % 64;
    }

    /// The `len` low bits of `value`, at most 64.
    #[inline]
    pub(super) fn bits(&mut self, value: u64, len: u32) {
        self.put(value & mask(len), len);
    }

    #[inline]
    pub(super) fn number(&mut self, number: u64, shift: u32) {
        let top = number >> shift;
        let n = significant(top);
        let below = n.saturating_sub(1);
        let len = n + 1 + below + shift;
        if len <= 64 {
            // Taking the known bits away costs less than masking the others.
            let code = (number ^ top << shift) << below | top ^ u64::from(n > 0) << below;
            self.put((code << 1 | 1) << n, len);
        } else {
            self.bits(0, n);
            self.bits(1, 1);
            self.bits(top, below);
            self.bits(number, shift);
        }
    }

    pub(super) fn shift(&mut self, shift: u32) {
        self.put(u64::from(shift), SHIFT_BITS);
    }

    pub(super) fn list(&mut self, numbers: &[u64]) {
        self.number(numbers.len() as u64, COUNT_SHIFT);
        if !numbers.is_empty() {
            let shift = best_shift(numbers).shift;
            self.shift(shift);
            numbers.iter().for_each(|number| self.number(*number, shift));
        }
    }

    /// Fills the last byte with zeros.
    pub(super) fn finish(mut self) {
        while self.count > 0 {
            self.out.push(self.held as u8);
            self.held >>= 8;
            self.count = self.count.saturating_sub(8);
        }
    }
}

#[inline]
const fn mask(len: u32) -> u64 {
    if len >= 64 { u64::MAX } else { (1 << len) - 1 }
}

#[inline]
const fn significant(number: u64) -> u32 {
    64 - number.leading_zeros()
}

/// A shift and what numbers cost under it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Best {
    pub(super) shift: u32,
    pub(super) bits: u64,
}

/// The shift that makes `numbers` shortest: the cost of a shift follows from how many numbers have how many bits,
/// and has one minimum, so it is walked down to from a good guess.
pub(super) fn best_shift(numbers: &[u64]) -> Best {
    let mut with_bits = [0_u32; 65];
    let mut sum = 0;
    for number in numbers {
        let bits = significant(*number);
        sum += u64::from(bits);
        if let Some(count) = with_bits.get_mut(bits as usize) {
            *count += 1;
        }
    }
    let most = with_bits.iter().rposition(|count| *count > 0).unwrap_or_default();
    let cost_of = |shift: u32| -> u64 {
        let counts = with_bits.iter().take(most + 1).zip(0_u32..);
        counts.map(|(count, bits)| u64::from(*count) * u64::from(cost(bits, shift))).sum()
    };
    let at = |shift| Best { bits: cost_of(shift), shift };
    let guess = (sum / (numbers.len() as u64).max(1)).min(63) as u32;
    let mut best = at(guess);
    for down in (0..guess).rev() {
        let candidate = at(down);
        if candidate.bits > best.bits {
            break;
        }
        best = candidate;
    }
    for up in best.shift + 1..64 {
        let candidate = at(up);
        if candidate.bits >= best.bits {
            break;
        }
        best = candidate;
    }
    best
}

/// What a number of so many significant bits costs under `shift`.
const fn cost(bits: u32, shift: u32) -> u32 {
    let n = bits.saturating_sub(shift);
    shift + 1 + n + n.saturating_sub(1)
}

/// Reads bits. Past the end come zeros, which [`BitReader::finished`] tells: a reader whose loops are bounded need
/// not ask at every bit.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// At least [`PEEKED`] bits.
    #[inline]
    fn peek(&self) -> u64 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(word) => *word,
            None => {
                let mut word = [0; 8];
                word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                word
            }
        };
        u64::from_le_bytes(word) >> (self.at % 8)
    }

    /// At most 64 bits.
    #[inline]
    pub(super) fn bits(&mut self, len: u32) -> u64 {
        if len <= PEEKED {
            let bits = self.peek() & mask(len);
            self.at += len as usize;
            bits
        } else {
            self.bits(32) | self.bits(len - 32) << 32
        }
    }

    /// None when there is no such number: more than 64 zeros, which is how the input ends.
    #[inline]
    pub(super) fn number(&mut self, shift: u32) -> Option<u64> {
        let word = self.peek();
        let n = word.trailing_zeros();
        let below = n.saturating_sub(1);
        let len = n + 1 + below + shift;
        if len > PEEKED {
            return self.long_number(shift);
        }
        self.at += len as usize;
        let rest = word >> (n + 1);
        // For n = 0 there is no top bit. Both lengths are below 64 here, so that masks are plain.
        let top = rest & ((1 << below) - 1) | u64::from(n > 0) << below;
        Some(top << shift | rest >> below & ((1 << shift) - 1))
    }

    #[cold]
    fn long_number(&mut self, shift: u32) -> Option<u64> {
        let mut n = 0;
        while self.bits(1) == 0 {
            n += 1;
            if n > 64 - shift {
                return None;
            }
        }
        let below = u32::saturating_sub(n, 1);
        let top = self.bits(below) | u64::from(n > 0) << below;
        Some(top << shift | self.bits(shift))
    }

    pub(super) fn shift(&mut self) -> u32 {
        self.bits(SHIFT_BITS) as u32
    }

    /// A list of at most `bound` numbers, into `numbers`.
    pub(super) fn list(&mut self, bound: usize, numbers: &mut Vec<u64>) -> Option<()> {
        numbers.clear();
        let count = self.number(COUNT_SHIFT)?;
        if count > bound as u64 {
            return None;
        }
        if count > 0 {
            let shift = self.shift();
            numbers.reserve(count as usize);
            for _ in 0..count {
                numbers.push(self.number(shift)?);
            }
        }
        Some(())
    }

    /// Whether the bytes held exactly what was read, and zeros to the last byte's end.
    pub(super) fn finished(&mut self) -> bool {
        let left = (self.bytes.len() * 8).checked_sub(self.at);
        left.is_some_and(|left| left < 8 && self.bits(left as u32) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: [u64; 12] = [0, 1, 2, 3, 4, 7, 8, 1000, 1 << 31, 1 << 32, u64::MAX - 1, u64::MAX];

    #[test]
    fn every_number_comes_back_under_every_shift_at_its_cost() {
        for shift in 0..64 {
            for number in NUMBERS {
                let mut bytes = Vec::new();
                let mut writer = BitWriter::new(&mut bytes);
                writer.bits(5, 3);
                writer.number(number, shift);
                writer.bits(u64::MAX, 64);
                writer.finish();
                let mut reader = BitReader::new(&bytes);
                assert_eq!(
                    (reader.bits(3), reader.number(shift)),
                    (5, Some(number)),
                    "{number} under {shift}"
                );
                assert_eq!(reader.at as u32, 3 + cost(significant(number), shift));
                assert_eq!(reader.bits(64), u64::MAX);
                assert!(reader.finished());
            }
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        for shift in [0, 1, 32, 63] {
            for (n, fits) in [(64 - shift, true), (65 - shift, false)] {
                let mut bytes = Vec::new();
                let mut writer = BitWriter::new(&mut bytes);
                writer.bits(0, n.min(64));
                writer.bits(0, n.saturating_sub(64));
                writer.bits(1, 1);
                writer.bits(0, n - 1);
                writer.bits(0, shift);
                writer.finish();
                assert_eq!(BitReader::new(&bytes).number(shift).is_some(), fits, "{n} bits under {shift}");
            }
        }
    }

    #[test]
    fn the_best_shift_is_the_best_of_all() {
        let lists: [&[u64]; 6] =
            [&[], &[0; 9], &[5, 6, 7, 1 << 60], &NUMBERS, &[300, 400, 200, 90], &[u64::MAX; 3]];
        for numbers in lists {
            let total = |shift| numbers.iter().map(|number| cost(significant(*number), shift)).sum::<u32>();
            let least = (0..64).map(total).min().unwrap();
            assert_eq!(total(best_shift(numbers).shift), least, "{numbers:?}");
        }
    }

    #[test]
    fn a_list_that_ends_early_or_is_too_long_is_refused() {
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        writer.list(&NUMBERS);
        writer.finish();
        let mut numbers = Vec::new();
        assert_eq!(BitReader::new(&bytes).list(NUMBERS.len(), &mut numbers), Some(()));
        assert_eq!(numbers, NUMBERS);
        assert_eq!(BitReader::new(&bytes).list(NUMBERS.len() - 1, &mut numbers), None);
        for cut in 0..bytes.len() {
            let mut reader = BitReader::new(&bytes[..cut]);
            assert!(reader.list(NUMBERS.len(), &mut numbers).is_none() || !reader.finished(), "{cut}");
        }
    }
}
