//! Alarm rules and their evaluation.
//!
//! ```text
//! settings   the rules file as it is written (serde), and what can be wrong with it
//! glob       `*` and `?` patterns of selectors
//! rule       one validated rule; its revision
//! rule_set   all rules; which of them watch a channel
//! band       the limits and deadband of a rule as plain comparisons
//! step       one reading through one rule: raise, clear, or nothing
//! message    the text an operator reads
//! event      a raise or clear, or what was done with the alarm, as it is stored and published
//! lifecycle  what operators do with an alarm: acknowledged, latched, shelved, suppressed, out of service
//! digest     stable hashes: event ids and rule revisions
//! ```
//!
//! Everything here is pure: no clock, no input or output, no randomness. The same readings in the same order give the
//! same transitions with the same ids, in whatever portions they are fed, at the edge and in the cloud. Time is the
//! origin's own ticks. Who feeds which readings (settled history, or live state that late data must not touch) is the
//! caller's business.
//!
//! Bounds: [`MAX_RULES`](settings::MAX_RULES) rules; a [`State`] per (rule, channel) has a fixed size.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod band;
mod digest;
pub mod event;
mod glob;
pub mod lifecycle;
mod message;
pub mod rule;
pub mod rule_set;
pub mod settings;
pub mod step;

pub use digest::{EventId, Revision};
pub use event::AlarmEvent;
pub use glob::Glob;
pub use lifecycle::{AlarmState, Lifecycle};
pub use rule::{Condition, Priority, Rule, RuleId};
pub use rule_set::{Matching, RuleSet};
pub use settings::{RuleError, RulesSettings};
pub use step::{ReadingAt, State, Transition, TransitionKind};
