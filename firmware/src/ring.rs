//! The readings that a board still holds, packed as the wire packs them.
//!
//! Records lie in seq order in a circular byte store and never wrap: one that does not fit before the end is put at
//! the start, with a [`SKIP`] byte in the gap. So any stretch of records is a slice that a Readings frame carries as
//! it is, and a reading costs 3 to 8 bytes. Bound: the store's length. When it is full, the oldest readings make
//! room for the new one and are counted; the caller declares them lost.

use tidegate_protocol::{
    Quality, Reading, Tick, Value,
    frame::{MAX_PACKED, SamplePacker, measure_packed},
    id::{ChannelIndex, Seq},
};

/// The smallest store that works: any one reading fits, wherever the others lie.
pub const MIN_RING_BYTES: usize = 4 * MAX_PACKED;

/// Stands where a record's channel byte would and says that the next record is at the start of the store. No channel
/// has this index: a board declares at most 64.
const SKIP: u8 = 0xff;

/// A place between two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    at: usize,
    /// The record that follows.
    pub(crate) seq: Seq,
    /// The tick of the record before, which the next one's delta counts from.
    tick: Tick,
}

/// Consecutive packed readings.
#[derive(Debug)]
pub(crate) struct Stretch<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) count: u16,
    pub(crate) base_tick: Tick,
    pub(crate) end: Cursor,
}

#[derive(Debug)]
pub(crate) struct Ring<S> {
    store: S,
    /// Where the next record is written.
    head: usize,
    tail: Cursor,
    next: Seq,
    newest: Tick,
}

impl<S: AsRef<[u8]> + AsMut<[u8]>> Ring<S> {
    /// None when the store is smaller than [`MIN_RING_BYTES`].
    pub(crate) fn new(store: S) -> Option<Self> {
        let tail = Cursor { at: 0, seq: Seq(0), tick: Tick(0) };
        (store.as_ref().len() >= MIN_RING_BYTES).then_some(Self {
            store,
            head: 0,
            tail,
            next: Seq(0),
            newest: Tick(0),
        })
    }

    /// The oldest reading held.
    pub(crate) fn tail(&self) -> Cursor {
        self.tail
    }

    /// The seq of the next reading.
    pub(crate) fn next(&self) -> Seq {
        self.next
    }

    pub(crate) fn newest_tick(&self) -> Tick {
        self.newest
    }

    fn is_empty(&self) -> bool {
        self.tail.seq == self.next
    }

    fn size(&self) -> usize {
        self.store.as_ref().len()
    }

    /// Keeps a reading, at the cost of the oldest ones where the store is full.
    pub(crate) fn push(&mut self, channel: ChannelIndex, value: Value, quality: Quality, tick: Tick) -> Seq {
        let seq = self.next;
        let mut packed = [0; MAX_PACKED];
        let mut packer = SamplePacker::new(&mut packed, self.newest);
        // It always fits: MAX_PACKED is the longest there is.
        packer.push(&Reading { seq, channel, tick, value, quality });
        let len = packer.len();
        let at = loop {
            match self.room(len) {
                Some(at) => break at,
                None => self.drop_oldest(),
            }
        };
        let store = self.store.as_mut();
        if at != self.head
            && let Some(gap) = store.get_mut(self.head)
        {
            *gap = SKIP;
        }
        if let (Some(target), Some(source)) = (store.get_mut(at..at + len), packed.get(..len)) {
            target.copy_from_slice(source);
        }
        self.head = at + len;
        self.next = Seq(seq.0 + 1);
        self.newest = tick;
        seq
    }

    /// Where `len` bytes fit in one piece.
    fn room(&self, len: usize) -> Option<usize> {
        let (head, tail, size) = (self.head, self.tail.at, self.size());
        if self.is_empty() {
            Some(if size - head >= len { head } else { 0 })
        } else if head > tail {
            if size - head >= len { Some(head) } else { (tail >= len).then_some(0) }
        } else {
            (tail - head >= len).then_some(head)
        }
    }

    fn drop_oldest(&mut self) {
        self.tail = self.after(self.tail).unwrap_or_else(|| self.end());
    }

    /// Behind the newest reading.
    pub(crate) fn end(&self) -> Cursor {
        Cursor { at: self.head, seq: self.next, tick: self.newest }
    }

    /// Moves a cursor from a gap to the record behind it.
    fn settled(&self, mut cursor: Cursor) -> Cursor {
        if cursor.seq < self.next {
            match self.store.as_ref().get(cursor.at) {
                None | Some(&SKIP) => cursor.at = 0,
                Some(_) => {}
            }
        }
        cursor
    }

    /// The cursor behind the next record; None at the end.
    fn after(&self, cursor: Cursor) -> Option<Cursor> {
        if cursor.seq >= self.next {
            return None;
        }
        let cursor = self.settled(cursor);
        let (len, tick) = measure_packed(self.store.as_ref().get(cursor.at..)?, cursor.tick)?;
        Some(Cursor { at: cursor.at + len, seq: Seq(cursor.seq.0 + 1), tick })
    }

    /// Forgets the readings below `up_to`.
    pub(crate) fn release(&mut self, up_to: Seq) {
        while self.tail.seq < up_to
            && let Some(after) = self.after(self.tail)
        {
            self.tail = after;
        }
    }

    /// The same place, or the oldest reading held where that place has been given up.
    pub(crate) fn held(&self, cursor: Cursor) -> Cursor {
        if cursor.seq < self.tail.seq { self.tail } else { cursor }
    }

    /// Readings from `from` up to (not including) `until`, at most `max_bytes` of them and in one piece. `from` is
    /// one that [`Self::held`] gave. Empty at the end.
    pub(crate) fn stretch(&self, from: Cursor, until: Seq, max_bytes: usize) -> Stretch<'_> {
        let start = self.settled(from);
        let (mut end, mut count) = (start, 0_u16);
        while end.seq < until && count < u16::MAX {
            // A record elsewhere than behind the last one (at the store's start) begins another stretch.
            match self.after(end) {
                Some(after) if after.at > end.at && after.at - start.at <= max_bytes => end = after,
                _ => break,
            }
            count += 1;
        }
        let bytes = self.store.as_ref().get(start.at..end.at).unwrap_or_default();
        Stretch { bytes, count, base_tick: start.tick, end }
    }

    /// Three quarters of it are taken.
    #[cfg(feature = "flash-queue")]
    pub(crate) fn is_filling(&self) -> bool {
        self.free_bytes() < self.size() / 4
    }

    /// When the oldest reading was measured.
    #[cfg(feature = "flash-queue")]
    pub(crate) fn oldest_tick(&self) -> Option<Tick> {
        Some(self.after(self.tail)?.tick)
    }

    fn free_bytes(&self) -> usize {
        match self.head.checked_sub(self.tail.at) {
            _ if self.is_empty() => self.size(),
            Some(used) if used > 0 => self.size() - used,
            _ => self.tail.at - self.head,
        }
    }

    /// About how many more readings fit, at the length of those held.
    pub(crate) fn free_readings(&self) -> u32 {
        let held = usize::try_from(self.next.0 - self.tail.seq.0).unwrap_or(usize::MAX);
        let (size, free) = (self.size(), self.free_bytes());
        let length = if held == 0 { TYPICAL_PACKED } else { (size - free).div_ceil(held).max(1) };
        u32::try_from(free / length).unwrap_or(u32::MAX)
    }

    /// Numbers the readings from `Seq(0)` for `offset`, as another boot does. Cursors taken before are void.
    pub(crate) fn renumber(&mut self, offset: u64) {
        self.tail.seq = Seq(self.tail.seq.0.saturating_sub(offset));
        self.next = Seq(self.next.0.saturating_sub(offset));
    }
}

/// What a reading takes while none is there to measure.
const TYPICAL_PACKED: usize = 6;

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    fn push(ring: &mut Ring<[u8; MIN_RING_BYTES]>, mantissa: i64, tick: u64) -> Seq {
        ring.push(ChannelIndex(0), Value::Decimal { mantissa, scale: 0 }, Quality::Good, Tick(tick))
    }

    fn read(ring: &Ring<[u8; MIN_RING_BYTES]>) -> Vec<(u64, Tick, Value)> {
        let (mut all, mut cursor) = (Vec::new(), ring.tail());
        loop {
            let stretch = ring.stretch(cursor, ring.next(), usize::MAX);
            if stretch.count == 0 {
                return all;
            }
            let readings = tidegate_protocol::frame::Readings {
                boot: tidegate_protocol::BootId(1).tag(),
                first_seq: cursor.seq,
                floor: cursor.seq,
                next: ring.next(),
                base_tick: stretch.base_tick,
                count: stretch.count,
                samples: stretch.bytes,
            };
            let mut samples = readings.samples();
            while let Some(reading) = samples.next(&[0]) {
                let reading = reading.unwrap();
                all.push((reading.seq.0, reading.tick, reading.value));
            }
            cursor = stretch.end;
        }
    }

    #[test]
    fn what_is_held_reads_back_after_many_laps_of_all_lengths() {
        let mut ring = Ring::new([0; MIN_RING_BYTES]).unwrap();
        let mut model = Vec::new();
        for step in 0..2_000_u64 {
            // Records of 3 to 14 bytes, forward and backward ticks.
            let mantissa = 1_i64 << (step * 7 % 63);
            let tick = if step % 5 == 0 { step / 2 } else { step * 31 };
            push(&mut ring, mantissa, tick);
            model.push((step, Tick(tick), Value::Decimal { mantissa, scale: 0 }));
            if step % 11 == 3 {
                let up_to = ring.tail().seq.0 + (step % 4);
                ring.release(Seq(up_to.min(ring.next().0)));
            }
            let first = usize::try_from(ring.tail().seq.0).unwrap();
            assert_eq!(read(&ring), model[first..], "after step {step}");
            assert!(ring.next().0 - ring.tail().seq.0 > 0 || step % 11 == 3);
        }
    }

    #[test]
    fn a_cursor_whose_reading_was_given_up_moves_to_the_oldest_held() {
        let mut ring = Ring::new([0; MIN_RING_BYTES]).unwrap();
        let start = ring.tail();
        for step in 0..100 {
            push(&mut ring, step, 0);
        }
        assert!(ring.tail().seq.0 > 0);
        assert_eq!(ring.held(start), ring.tail());
        ring.release(Seq(100));
        assert_eq!(ring.stretch(ring.held(start), Seq(100), usize::MAX).count, 0);
    }

    #[test]
    fn the_free_count_is_what_still_fits() {
        let mut ring = Ring::new([0; MIN_RING_BYTES]).unwrap();
        for _ in 0..5 {
            push(&mut ring, 1, 0);
        }
        for _ in 0..ring.free_readings() {
            push(&mut ring, 1, 0);
        }
        assert_eq!(ring.tail().seq, Seq(0));
        push(&mut ring, 1 << 40, 0);
        assert!(ring.tail().seq > Seq(0));
    }
}
