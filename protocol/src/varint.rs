//! Little-endian base-128 integers, as postcard writes them, over slices. Used where columns and packed readings
//! are too dense for serde; everything else goes through postcard itself.

/// The input ended, or an integer ran past 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truncated;

pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads forward through a slice; every read is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Truncated> {
        let (&first, rest) = self.0.split_first().ok_or(Truncated)?;
        self.0 = rest;
        Ok(first)
    }

    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Truncated> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// Up to eight bytes are taken at once, without a branch for each: lengths follow the noise of what was measured,
    /// which no processor foresees.
    #[inline]
    pub(crate) fn unsigned(&mut self) -> Result<u64, Truncated> {
        // On a small board 64-bit words are no gain, and take room.
        if cfg!(target_pointer_width = "64")
            && let Some(word) = self.0.first_chunk::<8>()
        {
            let word = u64::from_le_bytes(*word);
            let ends = !word & 0x8080_8080_8080_8080;
            if ends != 0 {
                let last_bit = ends.trailing_zeros();
                self.0 = self.0.get(last_bit as usize / 8 + 1..).unwrap_or_default();
                let sevens = word & (u64::MAX >> (63 - last_bit)) & 0x7f7f_7f7f_7f7f_7f7f;
                let pairs = (sevens & 0x007f_007f_007f_007f) | (sevens & 0x7f00_7f00_7f00_7f00) >> 1;
                let fours = (pairs & 0x0000_3fff_0000_3fff) | (pairs & 0x3fff_0000_3fff_0000) >> 2;
                return Ok((fours & 0x0fff_ffff) | (fours >> 32) << 28);
            }
        }
        self.unsigned_bytewise()
    }

    /// The same near the end of the input, and for numbers of more than eight bytes.
    #[inline(never)]
    fn unsigned_bytewise(&mut self) -> Result<u64, Truncated> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            // The tenth byte holds the last bit only.
            if shift == 63 && byte > 1 {
                return Err(Truncated);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Truncated)
    }

    #[inline]
    pub(crate) fn signed(&mut self) -> Result<i64, Truncated> {
        self.unsigned().map(unzigzag)
    }
}

/// Writes forward into a slice; [`Truncated`] when it is full.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    pub(crate) const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn written(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.len).unwrap_or_default()
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Truncated> {
        let end = self.len.checked_add(bytes.len()).ok_or(Truncated)?;
        self.buffer.get_mut(self.len..end).ok_or(Truncated)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    pub(crate) fn byte(&mut self, byte: u8) -> Result<(), Truncated> {
        self.bytes(&[byte])
    }

    pub(crate) fn unsigned(&mut self, mut value: u64) -> Result<(), Truncated> {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80)?;
            value >>= 7;
        }
        self.byte(value as u8)
    }

    pub(crate) fn signed(&mut self, value: i64) -> Result<(), Truncated> {
        self.unsigned(zigzag(value))
    }
}

/// Appends to a vector.
#[cfg(feature = "std")]
#[inline]
pub(crate) fn push_unsigned(out: &mut alloc::vec::Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_round_trip_and_agree_with_postcard() {
        let powers = (0..64).flat_map(|shift| [(1_u64 << shift) - 1, 1 << shift, (1_u64 << shift) / 3 * 2]);
        for value in powers.chain([300, u64::MAX - 1, u64::MAX]) {
            let mut mine = [0; 10];
            let mut writer = Writer::new(&mut mine);
            writer.unsigned(value).unwrap();
            let len = writer.len();
            let mut theirs = [0; 10];
            assert_eq!(&mine[..len], postcard::to_slice(&value, &mut theirs).unwrap());
            assert_eq!(Reader::new(&mine[..len]).unsigned(), Ok(value));
            assert_eq!(Reader::new(&mine[..len - 1]).unsigned(), Err(Truncated));
            // The same with something behind it, which is left.
            let mut longer = [0xff; 20];
            longer[..len].copy_from_slice(&mine[..len]);
            let mut reader = Reader::new(&longer);
            assert_eq!((reader.unsigned(), reader.rest().len()), (Ok(value), 20 - len));
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn an_integer_longer_than_64_bits_is_refused() {
        assert_eq!(Reader::new(&[0xff; 11]).unsigned(), Err(Truncated));
        let mut eleven = [0x80; 11];
        eleven[10] = 0;
        assert_eq!(Reader::new(&eleven).unsigned(), Err(Truncated));
    }
}
