//! Readings of one origin that wait for a block.

use tidegate_protocol::{Reading, SeqRange};

#[derive(Debug, Default)]
pub struct Pending {
    readings: Vec<Reading>,
    /// Some came in another order than that of their numbers.
    unsorted: bool,
    /// Its origin stands in the packer's line.
    pub in_line: bool,
}

impl Pending {
    pub fn iter(&self) -> impl Iterator<Item = &Reading> {
        self.readings.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }

    /// Takes in those of consecutive readings that are in `gaps`; returns how many.
    pub fn take(&mut self, readings: Vec<Reading>, range: SeqRange, gaps: &[SeqRange]) -> usize {
        self.unsorted |= self.readings.last().is_some_and(|before| before.seq.0 > range.start);
        if gaps == [range] {
            if self.readings.is_empty() {
                self.readings = readings;
                return self.readings.len();
            }
            self.readings.extend_from_slice(&readings);
            return readings.len();
        }
        let before = self.readings.len();
        let new = readings.into_iter().filter(|reading| gaps.iter().any(|gap| gap.contains(reading.seq.0)));
        self.readings.extend(new);
        self.readings.len() - before
    }

    /// The first of them, `count` at most, in the order of their numbers.
    pub fn draw(&mut self, count: usize) -> Vec<Reading> {
        let readings = self.sorted();
        if readings.len() <= count {
            return std::mem::take(readings);
        }
        let rest = readings.split_off(count);
        std::mem::replace(readings, rest)
    }

    pub fn draw_range(&mut self, range: SeqRange) -> Vec<Reading> {
        let readings = self.sorted();
        let [from, to] =
            [range.start, range.end].map(|bound| readings.partition_point(|reading| reading.seq.0 < bound));
        readings.drain(from..to).collect()
    }

    fn sorted(&mut self) -> &mut Vec<Reading> {
        if std::mem::take(&mut self.unsorted) {
            self.readings.sort_unstable_by_key(|reading| reading.seq);
        }
        &mut self.readings
    }
}
