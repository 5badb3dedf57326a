//! Whether there are more raises than a person can read: a flood begins with the tenth in ten minutes, and ends when there are
//! fewer than five (ISA-18.2 §16.5). Critical ones are not counted: they always pass.

use std::collections::VecDeque;

pub const WINDOW_MS: i64 = 10 * 60 * 1_000;
const BEGINS_AT: usize = 10;
const GOES_ON_AT: usize = 5;

#[derive(Debug, Default)]
pub struct Flood {
    /// When the last raises were, at most [`BEGINS_AT`] of them: more decide nothing.
    raises: VecDeque<i64>,
    /// While there is one: when what was held is told next.
    next_roll_up_ms: Option<i64>,
}

impl Flood {
    pub fn raised(&mut self, at_ms: i64) {
        self.raises.push_back(at_ms);
        if self.raises.len() > BEGINS_AT {
            self.raises.pop_front();
        }
        self.forget(at_ms);
        if self.raises.len() >= BEGINS_AT && self.next_roll_up_ms.is_none() {
            self.next_roll_up_ms = Some(at_ms.saturating_add(WINDOW_MS));
        }
    }

    pub const fn is_on(&self) -> bool {
        self.next_roll_up_ms.is_some()
    }

    /// Whether what was held is to be told now.
    pub fn is_due(&mut self, now_ms: i64) -> bool {
        let Some(next) = self.next_roll_up_ms else { return false };
        self.forget(now_ms);
        if self.raises.len() < GOES_ON_AT {
            self.next_roll_up_ms = None;
            return true;
        }
        if now_ms >= next {
            self.next_roll_up_ms = Some(now_ms.saturating_add(WINDOW_MS));
            return true;
        }
        false
    }

    pub fn next_wakeup(&self) -> Option<i64> {
        let next = self.next_roll_up_ms?;
        let last_but_few = self.raises.len().checked_sub(GOES_ON_AT).and_then(|at| self.raises.get(at));
        Some(last_but_few.map_or(next, |raise| next.min(raise.saturating_add(WINDOW_MS))))
    }

    /// The clock was put back by so much.
    pub fn shift(&mut self, by_ms: i64) {
        self.raises.iter_mut().for_each(|raise| *raise = raise.saturating_sub(by_ms));
        self.next_roll_up_ms = self.next_roll_up_ms.map(|next| next.saturating_sub(by_ms));
    }

    fn forget(&mut self, now_ms: i64) {
        while self.raises.front().is_some_and(|raise| raise.saturating_add(WINDOW_MS) <= now_ms) {
            self.raises.pop_front();
        }
    }
}
