//! What happened, for people, and a hash of it, for the promise that a seed gives its schedule again.

use std::collections::VecDeque;

/// How many lines are kept unless all are asked for.
const KEPT_LINES: usize = 60;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Nothing but the hash: a line of text costs more than what it tells of.
    #[default]
    Hash,
    /// The last lines.
    Last,
    All,
}

#[derive(Debug, Default)]
pub struct Trace {
    detail: Detail,
    lines: VecDeque<String>,
    hash: u64,
}

impl Trace {
    pub fn new(detail: Detail) -> Self {
        Self { detail, ..Self::default() }
    }

    /// Notes what happened; the words are only put together when somebody will read them.
    pub fn note(&mut self, now_us: u64, kind: u64, number: u64, words: impl FnOnce() -> String) {
        for part in [now_us, kind, number] {
            self.hash = (self.hash ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.hash ^= self.hash >> 29;
        }
        if self.detail == Detail::Hash {
            return;
        }
        if self.detail == Detail::Last && self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>9.3} s  {}", now_us as f64 / 1e6, words()));
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
