//! What is sent to one receiver, and when. Pure: it is told the time and what happened, and says what to note and to send.
//! Receivers share nothing, so that none can hold up another.
//!
//! - *Order*: of one alarm (site, device, channel, rule) an event leaves after all earlier ones were delivered or parked.
//!   Other alarms go on meanwhile, [`MAX_SENDING`] messages at a time.
//! - *Back-off*: see `back_off`. What failed for good, or too often, is parked.
//! - *Quiet hours*, the receiver's and those of the event's rule: what is queued in them waits until they end.
//! - *Digests*, where the receiver has them: what was over when it was learned, floods (see `flood`), and quiet hours. A digest
//!   is noted in its rows before it is sent, and stays the same message until it is delivered or parked.
//! - What is critical is never held, and neither is what lies before it in its alarm.

pub mod back_off;
mod flood;
mod lane;
mod row;
#[cfg(test)]
pub mod test_support;

use std::sync::Arc;

use tidegate_alarms::{AlarmEvent, Priority, TransitionKind};

pub use lane::Lane;
pub use row::{Digest, OutboxRow, Reason, RowState};

use super::{FailureKind, quiet_hours::Nights};

/// Messages on their way to one receiver.
pub const MAX_SENDING: usize = 4;
/// So long is waited for more that was over when it was learned.
pub const GATHER_MS: i64 = 60 * 1_000;

/// How a receiver wants its events.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Several may come as one message.
    pub digest: bool,
    pub quiet_hours: Option<Nights>,
}

/// A delivery, and what its event says of when it may leave.
#[derive(Clone, Debug)]
pub struct Queued {
    pub cursor: u64,
    pub row: OutboxRow,
    /// site/device/channel/rule
    pub alarm: Arc<str>,
    pub critical: bool,
    pub raise: bool,
    /// Of its rule.
    pub quiet_hours: Option<Arc<Nights>>,
}

impl Queued {
    pub fn new(cursor: u64, row: OutboxRow, event: &AlarmEvent, quiet_hours: Option<Arc<Nights>>) -> Self {
        let alarm = format!("{}/{}/{}/{}", event.site, event.device, event.channel, event.rule);
        Self {
            cursor,
            row,
            alarm: alarm.into(),
            critical: event.priority == Priority::Critical,
            raise: event.transition == TransitionKind::Raise,
            quiet_hours,
        }
    }
}

/// All that can happen to a lane. A message is named by the cursor of its first event.
#[derive(Clone, Debug)]
pub enum Event {
    /// These were committed, or were found in the outbox at the start.
    Queued(Vec<Queued>),
    /// An operator wants this one sent now, by itself.
    Replay(Queued),
    Delivered {
        message: u64,
    },
    /// `jitter` is random, from 0 to 1.
    Failed {
        message: u64,
        kind: FailureKind,
        why: String,
        jitter: f64,
    },
    /// The message's events are gone from the store: there is nothing to send.
    Vanished {
        message: u64,
    },
    /// An operator wants the receiver to be served again.
    Enabled,
    Wakeup,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// To be noted before anything behind it is sent.
    Put {
        cursor: u64,
        row: OutboxRow,
    },
    Delete {
        cursor: u64,
    },
    /// Nothing is sent any more until somebody enables it.
    Disable {
        why: String,
    },
    Send(Message),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its first event's cursor.
    pub first: u64,
    /// In the order of cursors; one, where there is no digest.
    pub cursors: Vec<u64>,
    pub digest: Option<Reason>,
}

#[cfg(test)]
mod tests;
