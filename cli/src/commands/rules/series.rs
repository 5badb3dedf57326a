//! What rules are tried on: the readings of channels, in the order in which they were measured.

use tidegate_alarms::ReadingAt;
use tidegate_protocol::{BootId, ChannelName, DeviceId, Quality, Seq, SiteId, Tick, Value};
use tidegate_simulator::Recording;

/// One channel's readings.
pub struct Series {
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
    pub unit: String,
    pub tag: String,
    /// Rules are tried on it whatever they select: nobody said whose it is.
    pub is_anybodys: bool,
    pub samples: Samples,
}

pub enum Samples {
    /// Not copied: a recording may be long.
    Recorded(Recording),
    Stored(Vec<Sample>),
}

#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub at: ReadingAt,
    /// `None`: nobody knew the time.
    pub unix_ms: Option<i64>,
}

impl Sample {
    /// Where it is on a line of time: by the wall, or by its origin's own milliseconds.
    pub fn moment(&self) -> i64 {
        self.unix_ms.unwrap_or_else(|| i64::try_from(self.at.tick.0).unwrap_or(i64::MAX))
    }

    pub fn is_usable(&self) -> bool {
        self.at.quality != Quality::Bad && !self.at.value.as_f64().is_nan()
    }
}

impl Samples {
    pub fn len(&self) -> usize {
        match self {
            Self::Recorded(recording) => recording.rows().len(),
            Self::Stored(samples) => samples.len(),
        }
    }

    pub fn for_each(&self, mut take: impl FnMut(&Sample)) {
        match self {
            Self::Stored(samples) => samples.iter().for_each(take),
            Self::Recorded(recording) => {
                let start = recording.start_unix_ms();
                for (seq, row) in (0..).zip(recording.rows()) {
                    let at = ReadingAt {
                        boot: BootId(1),
                        seq: Seq(seq),
                        tick: row.tick,
                        value: Value::F64(row.value),
                        quality: row.quality,
                    };
                    take(&Sample { at, unix_ms: Some(wall(start, row.tick)) });
                }
            }
        }
    }

    /// The usual time between two readings: the median.
    pub fn interval_ms(&self) -> Option<u64> {
        let mut intervals = Vec::with_capacity(self.len());
        let mut before: Option<i64> = None;
        self.for_each(|sample| {
            let now = sample.moment();
            let between = before.and_then(|before| u64::try_from(now.checked_sub(before)?).ok());
            intervals.extend(between);
            before = Some(now);
        });
        let middle = intervals.len() / 2;
        (middle < intervals.len()).then(|| *intervals.select_nth_unstable(middle).1)
    }
}

fn wall(start_unix_ms: i64, tick: Tick) -> i64 {
    start_unix_ms.saturating_add_unsigned(tick.0)
}
