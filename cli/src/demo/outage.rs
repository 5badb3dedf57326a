//! The planned outage: when the link is cut, when it comes back, when the backlog has arrived. Pure.

use std::time::{Duration, Instant};

use super::error::DemoError;

/// Without a length, the outage begins this long after the start.
const BEGINS_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Cut,
    Restore,
}

#[derive(Debug)]
pub struct Outage {
    plan: Option<(Instant, Instant)>,
    cut_at: Option<Instant>,
    restored_at: Option<Instant>,
    drained_at: Option<Instant>,
}

impl Outage {
    /// In the middle of `length`, where there is one.
    pub fn plan(
        start: Instant,
        outage: Option<Duration>,
        length: Option<Duration>,
    ) -> Result<Self, DemoError> {
        let plan = match (outage, length) {
            (None, _) => None,
            (Some(outage), Some(length)) if outage >= length => {
                return Err(DemoError::OutageTooLong { outage, length });
            }
            (Some(outage), Some(length)) => Some((start + (length - outage) / 2, outage)),
            (Some(outage), None) => Some((start + BEGINS_AFTER, outage)),
        };
        let plan = plan.map(|(from, outage)| (from, from + outage));
        Ok(Self { plan, cut_at: None, restored_at: None, drained_at: None })
    }

    /// What is to be done now.
    pub fn due(&mut self, now: Instant) -> Option<Step> {
        let (from, until) = self.plan?;
        if self.cut_at.is_none() && now >= from {
            self.cut_at = Some(now);
            return Some(Step::Cut);
        }
        if self.is_cut() && now >= until {
            self.restored_at = Some(now);
            return Some(Step::Restore);
        }
        None
    }

    /// Ends the outage before its time, as when the demo is asked to stop.
    pub fn end_early(&mut self, now: Instant) -> Option<Step> {
        self.is_cut().then(|| {
            self.restored_at = Some(now);
            Step::Restore
        })
    }

    pub fn is_cut(&self) -> bool {
        self.cut_at.is_some() && self.restored_at.is_none()
    }

    /// The link is back and the backlog is still on its way.
    pub fn is_draining(&self) -> bool {
        self.restored_at.is_some() && self.drained_at.is_none()
    }

    pub fn drained(&mut self, now: Instant) {
        self.drained_at.get_or_insert(now);
    }

    /// Whether the link was cut at any time from `from` to `to`.
    pub fn touches(&self, from: Instant, to: Instant) -> bool {
        let Some(cut) = self.cut_at else { return false };
        cut <= to && self.drained_at.is_none_or(|drained| drained >= from)
    }

    pub fn seconds(&self) -> Option<f64> {
        Some(self.restored_at?.duration_since(self.cut_at?).as_secs_f64())
    }

    pub fn drain_seconds(&self) -> Option<f64> {
        Some(self.drained_at?.duration_since(self.restored_at?).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_outage_lies_in_the_middle() {
        let start = Instant::now();
        let mut outage = Outage::plan(start, Some(10 * SECOND), Some(30 * SECOND)).expect("it fits");
        assert_eq!(outage.due(start + 9 * SECOND), None);
        assert_eq!(outage.due(start + 10 * SECOND), Some(Step::Cut));
        assert_eq!((outage.due(start + 19 * SECOND), outage.is_cut()), (None, true));
        assert_eq!(outage.due(start + 20 * SECOND), Some(Step::Restore));
        assert_eq!((outage.due(start + 99 * SECOND), outage.is_draining()), (None, true));
        outage.drained(start + 23 * SECOND);
        assert_eq!((outage.seconds(), outage.drain_seconds()), (Some(10.0), Some(3.0)));
        assert!(!outage.touches(start, start + 9 * SECOND));
        assert!(outage.touches(start, start + 10 * SECOND));
        assert!(!outage.touches(start + 24 * SECOND, start + 25 * SECOND));
    }

    #[test]
    fn it_must_fit_and_may_end_early() {
        let start = Instant::now();
        assert!(Outage::plan(start, Some(SECOND), Some(SECOND)).is_err());
        let mut outage = Outage::plan(start, Some(SECOND), None).expect("no length to fit into");
        assert_eq!(outage.end_early(start), None);
        assert_eq!(outage.due(start + BEGINS_AFTER), Some(Step::Cut));
        assert_eq!(outage.end_early(start + BEGINS_AFTER), Some(Step::Restore));
    }
}
