//! What a run did and found.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::plan::Kind;

#[derive(Default)]
pub struct Report {
    pub seed: u64,
    pub replay: String,
    /// Faults that happened, of those that were planned.
    pub done: BTreeMap<Kind, u64>,
    pub planned: BTreeMap<Kind, u64>,
    pub elapsed: Duration,
    pub healed_in: Duration,
    /// What was counted besides: name and figure.
    pub figures: Vec<(String, String)>,
    pub violations: Vec<String>,
}

impl Report {
    pub fn count(&mut self, kind: Kind) {
        *self.done.entry(kind).or_default() += 1;
    }

    pub fn figure(&mut self, what: &str, value: impl fmt::Display) {
        self.figures.push((what.to_owned(), value.to_string()));
    }

    pub fn violation(&mut self, what: String) {
        eprintln!("violation: {what}");
        self.violations.push(what);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "{:<44} {:>8} {:>8}", "fault", "done", "planned")?;
        for kind in Kind::ALL {
            let of = |counts: &BTreeMap<Kind, u64>| counts.get(&kind).copied().unwrap_or_default();
            writeln!(to, "{:<44} {:>8} {:>8}", kind.name(), of(&self.done), of(&self.planned))?;
        }
        writeln!(to)?;
        for (what, value) in &self.figures {
            writeln!(to, "{what:<44} {value:>17}")?;
        }
        let (chaos, healing) = (self.elapsed.as_secs_f64(), self.healed_in.as_secs_f64());
        writeln!(to, "\n{chaos:.0} s of faults, {healing:.1} s until all was accounted for")?;
        for violation in &self.violations {
            writeln!(to, "VIOLATION: {violation}")?;
        }
        writeln!(to, "seed {}; the same choices again: {}", self.seed, self.replay)
    }
}
