//! What a certificate says. Every seq below the highest that anyone reported is in exactly one state; who reads it can
//! check that without asking anybody.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Raised with every change of what is below; an unknown one is refused.
pub const FORMAT: &str = "tidegate-completeness/1";

/// Half-open: the first seq, and the one behind the last.
pub type Range = (u64, u64);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    pub format: String,
    pub issued: Timestamp,
    /// Who says so: program and version.
    pub issuer: String,
    /// The ledger as of this journal position, which no later entry can change.
    pub journal_position: u64,
    /// The number of this ledger: raised by each restore from a backup. Positions before and after are not the same. 0:
    /// never restored.
    pub ledger: u32,
    pub site: String,
    pub device: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// In the order in which they were first heard of. With a window, every boot that no synchronised clock places outside.
    pub boots: Vec<BootStatement>,
    /// Boots that ended long ago: of them the ledger keeps counts and a digest.
    pub sealed: Vec<SealedStatement>,
    pub totals: Totals,
}

/// A span of wall time, held between two stored readings whose clock was synchronised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    pub from: Timestamp,
    pub to: Timestamp,
    /// The last reading that was surely taken at `from` or before.
    pub before: Bracket,
    /// The first that was surely taken at `to` or after.
    pub after: Bracket,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bracket {
    pub boot: String,
    pub seq: u64,
    pub time: Timestamp,
    pub error_ms: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootStatement {
    pub boot: String,
    /// The seqs that are spoken of.
    pub covers: Range,
    /// One past the highest seq that anyone reported.
    pub next: u64,
    pub end: End,
    pub stored: Vec<Range>,
    pub lost: BTreeMap<String, Vec<Range>>,
    pub outstanding: Vec<Range>,
    /// Seqs that came again with another content; the first stands.
    pub conflicts: u64,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedStatement {
    pub boot: String,
    /// One past the highest seq that anyone reported; nothing was outstanding when it was sealed.
    pub next: u64,
    pub stored: u64,
    pub lost: BTreeMap<String, u64>,
    pub conflicts: u64,
    /// Of its ledger when it was sealed.
    pub ledger_sha256: String,
}

/// How the boot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It has not, as far as is known.
    Open,
    /// It said how many readings it took.
    Known,
    /// It ended without a word; it may have taken more than anyone heard of.
    AtLeast,
}

/// SHA-256 over the stored readings that are spoken of, in seq order, each as: seq, channel index, tick, kind of
/// value, value as a double, quality (little-endian). `readings` falls short of what is stored where retention
/// has taken readings away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    pub readings: u64,
    pub sha256: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    pub readings: u64,
    pub stored: u64,
    pub lost: u64,
    pub outstanding: u64,
    pub conflicts: u64,
}

/// How a statement contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("its format is {0}; this program reads {FORMAT}")]
    Format(String),
    #[error("boot {boot}: seq {seq} is in no state")]
    Missing { boot: String, seq: u64 },
    #[error("boot {boot}: seq {seq} is in two states")]
    Twice { boot: String, seq: u64 },
    #[error("boot {boot}: {what}")]
    Boot { boot: String, what: &'static str },
    #[error("the totals are not the sum of the boots")]
    Totals,
    #[error("the window: {0}")]
    Window(&'static str),
}

impl Statement {
    /// Whether what is said is consistent in itself: each seq in exactly one state, sums that add up, a window between
    /// its brackets.
    pub fn check(&self) -> Result<(), Flaw> {
        if self.format != FORMAT {
            return Err(Flaw::Format(self.format.clone()));
        }
        let mut totals = Totals::default();
        for boot in &self.boots {
            boot.check()?;
            if boot.covers != self.should_cover(boot) {
                return Err(Flaw::Boot { boot: boot.boot.clone(), what: "only a part of it is spoken of" });
            }
            totals.add(boot);
        }
        for boot in &self.sealed {
            let states = boot.lost.values().fold(boot.stored, |sum, lost| sum.saturating_add(*lost));
            if states != boot.next {
                let what = "its counts are not the number of its readings";
                return Err(Flaw::Boot { boot: boot.boot.clone(), what });
            }
            totals.add_sealed(boot);
        }
        if totals != self.totals {
            return Err(Flaw::Totals);
        }
        self.window.as_ref().map_or(Ok(()), |window| self.check_window(window))
    }

    /// Nothing is on its way and nothing contradicts what is stored.
    pub fn is_complete(&self) -> bool {
        self.totals.outstanding == 0 && self.totals.conflicts == 0
    }

    /// A boot is spoken of as a whole, but for the ends of a window.
    fn should_cover(&self, boot: &BootStatement) -> Range {
        let brackets = self.window.as_ref().map(|window| (&window.before, &window.after));
        let start =
            brackets.filter(|(before, _)| before.boot == boot.boot).map_or(0, |(before, _)| before.seq);
        let end = brackets.filter(|(_, after)| after.boot == boot.boot);
        (start, end.map_or(boot.next, |(_, after)| after.seq.saturating_add(1)))
    }

    fn check_window(&self, window: &Window) -> Result<(), Flaw> {
        let error = |bracket: &Bracket| jiff::SignedDuration::from_millis(i64::from(bracket.error_ms));
        let begins = window.before.time.checked_add(error(&window.before));
        let ends = window.after.time.checked_sub(error(&window.after));
        if !begins.is_ok_and(|begins| begins <= window.from) || !ends.is_ok_and(|ends| ends >= window.to) {
            return Err(Flaw::Window("it is not between its brackets"));
        }
        let place = |bracket: &Bracket| self.boots.iter().position(|boot| boot.boot == bracket.boot);
        let (Some(first), Some(last)) = (place(&window.before), place(&window.after)) else {
            return Err(Flaw::Window("a bracket is of a boot that is not spoken of"));
        };
        let holds = |at: usize, seq: u64| self.boots.get(at).is_some_and(|boot| within(&boot.stored, seq));
        if !holds(first, window.before.seq) || !holds(last, window.after.seq) {
            return Err(Flaw::Window("a bracket is not stored"));
        }
        if first == last && window.before.seq > window.after.seq {
            return Err(Flaw::Window("its brackets are in the wrong order"));
        }
        Ok(())
    }
}

impl Totals {
    pub fn add(&mut self, boot: &BootStatement) {
        let lost: u64 = boot.lost.values().map(|ranges| count(ranges)).fold(0, u64::saturating_add);
        for (total, more) in [
            (&mut self.readings, boot.covers.1.saturating_sub(boot.covers.0)),
            (&mut self.stored, count(&boot.stored)),
            (&mut self.lost, lost),
            (&mut self.outstanding, count(&boot.outstanding)),
            (&mut self.conflicts, boot.conflicts),
        ] {
            *total = total.saturating_add(more);
        }
    }
}

impl Totals {
    pub fn add_sealed(&mut self, boot: &SealedStatement) {
        let lost = boot.lost.values().fold(0, |sum: u64, lost| sum.saturating_add(*lost));
        for (total, more) in [
            (&mut self.readings, boot.next),
            (&mut self.stored, boot.stored),
            (&mut self.lost, lost),
            (&mut self.conflicts, boot.conflicts),
        ] {
            *total = total.saturating_add(more);
        }
    }
}

impl BootStatement {
    fn check(&self) -> Result<(), Flaw> {
        let wrong = |what| Err(Flaw::Boot { boot: self.boot.clone(), what });
        if self.covers.0 > self.covers.1 || self.covers.1 > self.next {
            return wrong("it speaks of seqs that nobody reported");
        }
        let states = self.lost.values().flatten().chain(&self.stored).chain(&self.outstanding);
        let mut ranges: Vec<Range> = states.copied().collect();
        ranges.sort_unstable();
        let mut at = self.covers.0;
        for (start, end) in ranges {
            if start >= end {
                return wrong("a range is empty");
            }
            if start > at {
                return Err(Flaw::Missing { boot: self.boot.clone(), seq: at });
            }
            if start < at {
                return Err(Flaw::Twice { boot: self.boot.clone(), seq: start });
            }
            at = end;
        }
        if at < self.covers.1 {
            return Err(Flaw::Missing { boot: self.boot.clone(), seq: at });
        }
        if at > self.covers.1 {
            return wrong("a range lies outside of what it speaks of");
        }
        if self.content.readings > count(&self.stored) {
            return wrong("its content has more readings than are stored");
        }
        Ok(())
    }
}

pub fn count(ranges: &[Range]) -> u64 {
    ranges.iter().fold(0, |sum, (start, end)| sum.saturating_add(end.saturating_sub(*start)))
}

fn within(ranges: &[Range], seq: u64) -> bool {
    ranges.iter().any(|(start, end)| (*start..*end).contains(&seq))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot() -> BootStatement {
        BootStatement {
            boot: "b1".to_owned(),
            covers: (0, 20),
            next: 20,
            end: End::Open,
            stored: vec![(0, 5), (8, 18)],
            lost: BTreeMap::from([("evicted".to_owned(), vec![(5, 8)])]),
            outstanding: vec![(18, 20)],
            conflicts: 0,
            content: Content { readings: 15, sha256: String::new() },
        }
    }

    fn statement(boots: Vec<BootStatement>) -> Statement {
        let mut totals = Totals::default();
        boots.iter().for_each(|boot| totals.add(boot));
        Statement {
            format: FORMAT.to_owned(),
            issued: Timestamp::UNIX_EPOCH,
            issuer: "test".to_owned(),
            journal_position: 7,
            ledger: 0,
            site: "plant".to_owned(),
            device: "board".to_owned(),
            window: None,
            boots,
            sealed: Vec::new(),
            totals,
        }
    }

    #[test]
    fn every_seq_is_in_exactly_one_state() {
        assert_eq!(statement(vec![boot()]).check(), Ok(()));
        let missing = BootStatement { lost: BTreeMap::new(), ..boot() };
        assert_eq!(statement(vec![missing]).check(), Err(Flaw::Missing { boot: "b1".into(), seq: 5 }));
        let twice = BootStatement { outstanding: vec![(17, 20)], ..boot() };
        assert_eq!(statement(vec![twice]).check(), Err(Flaw::Twice { boot: "b1".into(), seq: 17 }));
        let short = BootStatement { outstanding: Vec::new(), ..boot() };
        assert_eq!(statement(vec![short]).check(), Err(Flaw::Missing { boot: "b1".into(), seq: 18 }));
        let beyond = BootStatement { outstanding: vec![(18, 21)], ..boot() };
        assert!(matches!(statement(vec![beyond]).check(), Err(Flaw::Boot { .. })));
        let unheard = BootStatement { next: 19, ..boot() };
        assert!(matches!(statement(vec![unheard]).check(), Err(Flaw::Boot { .. })));
    }

    #[test]
    fn sums_must_add_up() {
        let mut told = statement(vec![boot(), boot()]);
        assert_eq!(told.totals, Totals { readings: 40, stored: 30, lost: 6, outstanding: 4, conflicts: 0 });
        assert!(!told.is_complete());
        told.totals.outstanding = 0;
        assert_eq!(told.check(), Err(Flaw::Totals));
    }

    #[test]
    fn a_sealed_boot_counts_all_of_its_readings() {
        let lost = BTreeMap::from([("evicted".to_owned(), 2)]);
        let (boot, ledger_sha256) = ("b0".to_owned(), String::new());
        let sealed = SealedStatement { boot, next: 10, stored: 8, lost, conflicts: 0, ledger_sha256 };
        let mut told = statement(Vec::new());
        told.totals.add_sealed(&sealed);
        told.sealed.push(sealed);
        assert_eq!(told.check(), Ok(()));
        told.sealed[0].stored = 7;
        assert!(matches!(told.check(), Err(Flaw::Boot { .. })));
    }

    #[test]
    fn a_window_lies_between_stored_readings() {
        let at = |s: i64| Timestamp::from_second(s).unwrap();
        let bracket = |seq, s| Bracket { boot: "b1".into(), seq, time: at(s), error_ms: 500 };
        let mut told = statement(vec![boot()]);
        let window = Window { from: at(10), to: at(20), before: bracket(0, 9), after: bracket(17, 21) };
        told.window = Some(window.clone());
        assert!(matches!(told.check(), Err(Flaw::Boot { .. })), "it speaks of more than the window");
        let part = BootStatement { covers: (0, 18), outstanding: Vec::new(), ..boot() };
        told = statement(vec![part]);
        told.window = Some(window.clone());
        assert_eq!(told.check(), Ok(()));
        told.window = Some(Window { before: bracket(0, 10), ..window.clone() });
        assert!(matches!(told.check(), Err(Flaw::Window(_))), "within the error of the clock");
        told = statement(vec![boot()]);
        told.window = Some(Window { after: bracket(19, 21), ..window });
        assert!(matches!(told.check(), Err(Flaw::Window(_))), "19 is not stored");
    }
}
