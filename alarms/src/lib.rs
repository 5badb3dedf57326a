//! Alarm rules and their evaluation.
//!
//! ```text
//! settings     the rules file as it is written (serde); settings/ what can be wrong with it
//! glob         `*` and `?` patterns of selectors
//! select       which channels a rule watches: names, the device's tag, labels
//! condition    what a rule watches for
//! rule         one validated rule; its revision
//! written      conditions as a file writes them
//! rule_set     all rules of a file; which of them watch a channel
//! revised      one rule through time; book: all of them, and how a changed file changes what comes
//! document     how rules travel to gateways
//! warning      rules that are allowed and hardly meant
//! instant      RFC 3339 times
//! band, judge  limits and deadband as plain comparisons; lists of values
//! window       rates and deviations over a stretch of ticks
//! state        where an alarm on a channel stands; how it goes on under another revision
//! step         one reading through one rule: raise, clear, or nothing; evaluated: through its revisions
//! stale        channels that fall silent
//! group        many devices at once
//! quiet_hours  when people are not to be woken
//! message      the text an operator reads
//! kind         what an alarm's device names
//! event        a raise or clear, or what was done with the alarm, as it is stored and published
//! lifecycle    what operators do with an alarm: acknowledged, latched, shelved, suppressed, out of service
//! report       what the alarms of a stretch of time were like
//! digest       stable hashes: event ids and rule revisions
//! ```
//!
//! Everything here is pure: no clock, no input or output, no randomness. The same readings in the same order give the
//! same transitions with the same ids, in whatever portions they are fed, at the edge and in the cloud. Time is the
//! origin's own ticks. Who feeds which readings (settled history, or live state that late data must not touch) is the
//! caller's business.
//!
//! Bounds: [`MAX_RULES`](settings::MAX_RULES) rules; a [`State`] per (rule, channel) has a fixed size, with a window at
//! most [`BUCKETS`](window::BUCKETS) buckets more.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod band;
pub mod book;
pub mod condition;
mod digest;
pub mod document;
mod evaluated;
pub mod event;
mod glob;
pub mod group;
mod instant;
mod judge;
mod kind;
pub mod lifecycle;
mod message;
pub mod quiet_hours;
pub mod report;
pub mod revised;
pub mod rule;
pub mod rule_set;
pub mod select;
pub mod settings;
pub mod stale;
mod state;
pub mod step;
pub mod warning;
pub mod window;
mod written;

pub use book::RuleBook;
pub use condition::{Condition, ConditionKind};
pub use digest::{EventId, Revision};
pub use evaluated::{Evaluated, Stepped};
pub use event::AlarmEvent;
pub use glob::Glob;
pub use kind::AlarmKind;
pub use lifecycle::{AlarmState, Lifecycle};
pub use revised::{EffectiveFrom, RevisedRule};
pub use rule::{Priority, Rule, RuleId, RuleKind};
pub use rule_set::{Matching, RuleSet};
pub use settings::{RuleError, RuleErrors, RulesSettings};
pub use step::{ReadingAt, State, Transition, TransitionKind};
