//! Many devices at once: an alarm on a site when the rule's condition holds on so many of its devices.
//!
//! The members are stepped as channels of any rule are; their raises and clears are the group's input and no alarms of
//! their own.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use tidegate_protocol::DeviceId;

use crate::step::TransitionKind;

/// How many devices it takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Quorum {
    /// At least 1.
    Count(u32),
    /// Of the devices that the rule selects at the site; above 0, at most 1.
    Fraction(f64),
}

/// The devices of a site that a group rule selects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub holding: u32,
    pub selected: u32,
}

impl Tally {
    /// Of channels, each with whether the condition holds there. A device counts once, if it holds on any of its channels.
    pub fn of(channels: impl IntoIterator<Item = (DeviceId, bool)>) -> Self {
        let mut channels: Vec<_> = channels.into_iter().collect();
        // Those on which it holds come first of each device.
        channels.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        channels.dedup_by(|a, b| a.0 == b.0);
        let holding = channels.iter().filter(|(_, holds)| *holds).count();
        Self { holding: count(holding), selected: count(channels.len()) }
    }
}

impl Quorum {
    /// How many of so many devices it takes; at least one.
    pub fn needed(&self, selected: u32) -> u32 {
        match *self {
            Self::Count(count) => count.max(1),
            Self::Fraction(fraction) => {
                let exact = fraction * f64::from(selected);
                // Rounded up, but for what multiplying doubles adds: 0.28 × 25 is 7.
                let whole = exact as u32;
                let rest = exact - f64::from(whole);
                if rest > 1e-9 * exact { whole.saturating_add(1) } else { whole.max(1) }
            }
        }
    }

    pub fn judge(&self, is_active: bool, tally: Tally) -> Option<TransitionKind> {
        let holds = tally.holding >= self.needed(tally.selected);
        match (is_active, holds) {
            (false, true) => Some(TransitionKind::Raise),
            (true, false) => Some(TransitionKind::Clear),
            _ => None,
        }
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use TransitionKind::{Clear, Raise};

    fn tally(holding: u32, selected: u32) -> Tally {
        Tally { holding, selected }
    }

    #[test]
    fn a_count_is_reached_and_left() {
        let three = Quorum::Count(3);
        assert_eq!(three.judge(false, tally(2, 9)), None);
        assert_eq!(three.judge(false, tally(3, 9)), Some(Raise));
        assert_eq!(three.judge(true, tally(4, 9)), None);
        assert_eq!(three.judge(true, tally(2, 9)), Some(Clear));
        assert_eq!(three.judge(false, tally(2, 2)), None, "a site that has fewer never alarms");
    }

    #[test]
    fn a_fraction_is_of_those_selected_and_needs_one_at_least() {
        for (fraction, selected, needed) in
            [(0.5, 4, 2), (0.5, 5, 3), (0.28, 25, 7), (0.3, 10, 3), (1.0, 7, 7), (0.01, 3, 1), (0.5, 0, 1)]
        {
            assert_eq!(Quorum::Fraction(fraction).needed(selected), needed, "{fraction} of {selected}");
        }
        assert_eq!(Quorum::Fraction(0.5).judge(false, tally(0, 0)), None);
        // A device that goes away may end it, and one that comes may too.
        assert_eq!(Quorum::Fraction(0.5).judge(true, tally(2, 5)), Some(Clear));
    }

    #[test]
    fn a_device_counts_once() {
        let [a, b] = ["a", "b"].map(|name| DeviceId::new(name).unwrap());
        assert_eq!(Tally::of([(a, false), (b, false), (a, true), (a, true)]), tally(1, 2));
        assert_eq!(Tally::of([]), tally(0, 0));
    }
}
