//! How many raises there were, and when there were more than anybody can handle.

use alloc::{vec, vec::Vec};

use serde::{Deserialize, Serialize};

/// Raises are counted in steps of this; floods begin and end on them.
pub const STEP_MS: u64 = 10_000;
/// A flood begins with so many raises in ten minutes (ISA-18.2, EEMUA 191).
pub const FLOOD_BEGINS: u64 = 10;
/// It is over once there are fewer than so many.
pub const FLOOD_ENDS: u64 = 5;
/// How many floods are listed.
pub const MAX_FLOODS: usize = 100;

const TEN_MINUTES_MS: u64 = 600_000;
const HOUR_MS: u64 = 3_600_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    pub per_hour: Rate,
    pub per_10_minutes: Rate,
    pub flood_count: u64,
    /// How long there was a flood.
    pub flooded_ms: u64,
    /// In the order of time; the first `MAX_FLOODS`.
    pub floods: Vec<Flood>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub average: f64,
    /// In whichever stretch of that length had most.
    pub peak: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flood {
    /// Its first raise.
    pub began_unix_ms: i64,
    /// Where it was still on at the end: null.
    pub ended_unix_ms: Option<i64>,
    pub raises: u64,
    pub peak_per_10_minutes: u64,
}

/// Raises by step.
#[derive(Debug)]
pub(super) struct Steps {
    counts: Vec<u32>,
    span_ms: u64,
}

impl Steps {
    pub fn new(span_ms: u64) -> Self {
        let steps = usize::try_from(span_ms.div_ceil(STEP_MS)).unwrap_or_default();
        Self { counts: vec![0; steps], span_ms }
    }

    pub fn raise(&mut self, offset_ms: u64) {
        let step = usize::try_from(offset_ms / STEP_MS).unwrap_or(usize::MAX);
        if let Some(count) = self.counts.get_mut(step) {
            *count = count.saturating_add(1);
        }
    }

    pub fn load(&self, from_unix_ms: i64, to_unix_ms: i64) -> Load {
        let mut floods = Floods { from_unix_ms, to_unix_ms, ..Floods::default() };
        for (step, count) in self.moving(TEN_MINUTES_MS).enumerate() {
            floods.step(step, self.counts.get(step).copied().unwrap_or_default().into(), count, &self.counts);
        }
        floods.end();
        Load {
            per_hour: self.rate(HOUR_MS),
            per_10_minutes: self.rate(TEN_MINUTES_MS),
            flood_count: floods.count,
            flooded_ms: floods.flooded_ms,
            floods: floods.listed,
        }
    }

    fn rate(&self, length_ms: u64) -> Rate {
        let all: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let lengths = self.span_ms as f64 / length_ms as f64;
        let average = if self.span_ms == 0 { 0.0 } else { all as f64 / lengths };
        Rate { average, peak: self.moving(length_ms).max().unwrap_or_default() }
    }

    /// For each step, how many raises there were in it and in those before it, over that length.
    fn moving(&self, length_ms: u64) -> impl Iterator<Item = u64> {
        let steps = usize::try_from(length_ms / STEP_MS).unwrap_or(usize::MAX);
        // The step that leaves as one comes; none as long as the stretch has not been that long.
        let leaving = core::iter::repeat_n(&0, steps).chain(&self.counts);
        self.counts.iter().zip(leaving).scan(0_u64, |sum, (come, gone)| {
            *sum = (*sum + u64::from(*come)).saturating_sub(u64::from(*gone));
            Some(*sum)
        })
    }
}

#[derive(Default)]
struct Floods {
    from_unix_ms: i64,
    to_unix_ms: i64,
    on: Option<Flood>,
    /// The first step after the last flood.
    free_from: usize,
    count: u64,
    flooded_ms: u64,
    listed: Vec<Flood>,
}

impl Floods {
    fn time_of(&self, step: usize) -> i64 {
        self.from_unix_ms.saturating_add_unsigned(step as u64 * STEP_MS).min(self.to_unix_ms)
    }

    fn step(&mut self, step: usize, come: u64, in_ten_minutes: u64, counts: &[u32]) {
        let end = self.time_of(step + 1);
        match &mut self.on {
            None if in_ten_minutes >= FLOOD_BEGINS => {
                let first = (step + 1).saturating_sub((TEN_MINUTES_MS / STEP_MS) as usize);
                let within = first.max(self.free_from)..step + 1;
                let raises = counts.get(within.clone()).unwrap_or_default();
                let quiet = raises.iter().take_while(|count| **count == 0).count();
                self.on = Some(Flood {
                    began_unix_ms: self.time_of(within.start + quiet),
                    ended_unix_ms: None,
                    raises: raises.iter().map(|count| u64::from(*count)).sum(),
                    peak_per_10_minutes: in_ten_minutes,
                });
            }
            None => {}
            Some(flood) => {
                flood.raises += come;
                flood.peak_per_10_minutes = flood.peak_per_10_minutes.max(in_ten_minutes);
                if in_ten_minutes < FLOOD_ENDS {
                    let flood = Flood { ended_unix_ms: Some(end), ..*flood };
                    self.free_from = step + 1;
                    self.note(flood);
                }
            }
        }
    }

    fn end(&mut self) {
        if let Some(flood) = self.on {
            self.note(flood);
        }
    }

    fn note(&mut self, flood: Flood) {
        self.on = None;
        self.count += 1;
        let ended = flood.ended_unix_ms.unwrap_or(self.to_unix_ms);
        self.flooded_ms += u64::try_from(ended.saturating_sub(flood.began_unix_ms)).unwrap_or_default();
        if self.listed.len() < MAX_FLOODS {
            self.listed.push(flood);
        }
    }
}
