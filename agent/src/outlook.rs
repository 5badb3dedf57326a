//! How long the queue lasts, and what the flash has to bear.
//!
//! Rates are measured while the agent runs. At an orderly end they are left in `last-run.json` beside the queue, so that the
//! next start can say something before it has measured anything itself.

use std::{fmt, fs, path::Path};

use serde::Serialize;

use crate::core::{Rates, View};

const FILE: &str = "last-run.json";
/// What a reading takes in the queue, as long as nobody has measured it: blocks of a thousand on whole pages.
const ASSUMED_BYTES_PER_READING: f64 = 4.1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    Measured,
    LastRun,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outlook {
    /// Where the rates are from.
    pub basis: Basis,
    /// An outage that begins with an empty queue may last so long before the policy acts.
    pub holds_days: Option<f64>,
    /// And from now on.
    pub left_days: Option<f64>,
    /// To the disk, at the present rate and in the present weather.
    pub writes_bytes_per_day: Option<f64>,
    pub readings_per_day: Option<f64>,
    pub bytes_per_reading: f64,
}

impl Outlook {
    pub fn new(rates: Rates, last_run: Option<Rates>, quota_bytes: u64, held_bytes: u64) -> Self {
        let last = last_run.unwrap_or_default();
        let (basis, readings_per_day) = match (rates.readings_per_day, last.readings_per_day) {
            (Some(rate), _) => (Basis::Measured, Some(rate)),
            (None, Some(rate)) => (Basis::LastRun, Some(rate)),
            (None, None) => (Basis::Unknown, None),
        };
        let of_reading =
            rates.bytes_per_reading.or(last.bytes_per_reading).unwrap_or(ASSUMED_BYTES_PER_READING);
        let days = |bytes: u64| {
            let per_day = readings_per_day? * of_reading;
            (per_day > 0.0).then(|| bytes as f64 / per_day)
        };
        Self {
            basis,
            holds_days: days(quota_bytes),
            left_days: days(quota_bytes.saturating_sub(held_bytes)),
            writes_bytes_per_day: rates.written_bytes_per_day.or(last.written_bytes_per_day),
            readings_per_day,
            bytes_per_reading: of_reading,
        }
    }

    pub fn of(view: &View, last_run: Option<Rates>) -> Self {
        let quota = view.queue.quota_bytes.min(view.queue.disk_takes_bytes.unwrap_or(u64::MAX));
        Self::new(view.rates, last_run, quota, view.queue.bytes)
    }
}

/// As in "holds 9.3 days at the present rate, writes 0.4 MB a day to flash".
impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = match self.basis {
            Basis::Measured => "the present rate",
            Basis::LastRun => "the rate of the last run",
            Basis::Unknown => return f.write_str("holds for an unknown time until readings are measured"),
        };
        match self.holds_days {
            Some(days) => write!(f, "holds {days:.1} days at {rate}")?,
            None => f.write_str("holds for ever: no readings come")?,
        }
        match self.writes_bytes_per_day {
            Some(bytes) => write!(f, ", writes {:.1} MB a day to flash", bytes / 1e6),
            None => Ok(()),
        }
    }
}

/// What the last run measured; none if it left nothing that can be read.
pub fn last_run(data_dir: &Path) -> Option<Rates> {
    serde_json::from_slice(&fs::read(data_dir.join(FILE)).ok()?).ok()
}

/// Leaves what was measured, and what is known from before where nothing was.
pub fn keep(data_dir: &Path, rates: Rates, last_run: Option<Rates>) {
    let last = last_run.unwrap_or_default();
    let rates = Rates {
        readings_per_day: rates.readings_per_day.or(last.readings_per_day),
        bytes_per_reading: rates.bytes_per_reading.or(last.bytes_per_reading),
        written_bytes_per_day: rates.written_bytes_per_day.or(last.written_bytes_per_day),
    };
    let file = data_dir.join(FILE);
    let fresh = file.with_extension("json.new");
    let Ok(text) = serde_json::to_vec(&rates) else { return };
    // Of use only to people: an agent that cannot leave it ends well all the same.
    if let Err(error) = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &file)) {
        tracing::warn!(%error, "the rates of this run are not kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(readings: Option<f64>, written: Option<f64>) -> Rates {
        Rates { readings_per_day: readings, bytes_per_reading: Some(4.0), written_bytes_per_day: written }
    }

    #[test]
    fn it_says_how_long_the_queue_holds_and_where_it_knows_that_from() {
        let now = rates(Some(1e6), Some(350_000.0));
        let outlook = Outlook::new(now, None, 37_200_000, 18_600_000);
        assert_eq!(outlook.to_string(), "holds 9.3 days at the present rate, writes 0.3 MB a day to flash");
        assert_eq!(outlook.left_days, Some(4.65));
        let before = Outlook::new(Rates::default(), Some(now), 37_200_000, 0);
        assert_eq!(
            before.to_string(),
            "holds 9.3 days at the rate of the last run, writes 0.3 MB a day to flash"
        );
        let unknown = Outlook::new(Rates::default(), None, 37_200_000, 0);
        assert_eq!(unknown.to_string(), "holds for an unknown time until readings are measured");
        let idle = Outlook::new(rates(Some(0.0), Some(0.0)), None, 1, 0);
        assert_eq!(idle.to_string(), "holds for ever: no readings come, writes 0.0 MB a day to flash");
    }

    #[test]
    fn what_a_run_measured_is_there_for_the_next() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(last_run(folder.path()), None);
        let measured = rates(Some(5.5), Some(1.0));
        keep(folder.path(), measured, None);
        assert_eq!(last_run(folder.path()), Some(measured));
        // A run that was too short to measure anything does not forget it.
        keep(folder.path(), Rates::default(), last_run(folder.path()));
        assert_eq!(last_run(folder.path()), Some(measured));
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert_eq!(last_run(folder.path()), None);
    }
}
