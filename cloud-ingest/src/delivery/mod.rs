//! Alarm events on their way to people and to other programs.
//!
//! ```text
//! settings     `[[receiver]]` and `[heartbeat]` as they are written
//! receiver     the same, checked: who gets what, and how      filter   which events a receiver gets
//! quiet_hours  when only what is critical is sent, to a receiver or of a rule
//! core/        pure: what is sent when; order, back-off, digests
//! compose      what a message says
//! signature    Standard Webhooks' signature     address  which addresses are nobody's business     tls  whom we believe
//! http         one POST, within limits    webhook, email  one attempt to send one message
//! deliverer    the core's shell: the outbox in, messages out     fetch  what it reads of the store
//! desk         what the API asks of the deliverer          view     and what it shows
//! heartbeat    a call while the ingest is well
//! ```
//!
//! The commit of an event queues it in the outbox of each receiver that is to get it (`store/outbox`), in the same
//! transaction. Everything here happens after that, from what the outbox says: what was committed leaves it only when it was
//! delivered or parked, whatever is killed meanwhile. What is sent again has the same id.

pub mod address;
pub mod compose;
pub mod core;
pub mod deliverer;
pub mod desk;
pub mod email;
mod fetch;
mod filter;
pub mod heartbeat;
pub mod http;
pub mod quiet_hours;
pub mod receiver;
pub mod settings;
pub mod signature;
pub mod tls;
pub mod view;
pub mod webhook;

pub use desk::Desk;
pub use filter::{Filter, Filters};
pub use receiver::{EmailTarget, Receiver, Target, WebhookTarget};

/// Names in the log the places that are reached in clear.
pub fn warn_of_clear(receivers: &[Receiver], heartbeat: Option<&http::Place>) {
    let receivers = receivers.iter().filter(|receiver| receiver.target.is_in_clear());
    let heartbeat = heartbeat.filter(|place| place.is_in_clear()).map(|_| "heartbeat");
    for to in receivers.map(|receiver| receiver.id.as_str()).chain(heartbeat) {
        tracing::warn!(
            to,
            "INSECURE: whoever is on the network can read and change what is sent there; use TLS and remove \
             `insecure` or `allow_internal`"
        );
    }
}

/// What came of one attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// In words.
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It may go right another time; not before this long, if the receiver said so.
    Temporary { retry_after_ms: Option<i64> },
    /// It will not.
    Permanent,
    /// The receiver wants nothing any more.
    Gone,
}

impl Failure {
    pub fn temporary(why: impl Into<String>) -> Self {
        Self { kind: FailureKind::Temporary { retry_after_ms: None }, why: why.into() }
    }

    pub fn permanent(why: impl Into<String>) -> Self {
        Self { kind: FailureKind::Permanent, why: why.into() }
    }
}
