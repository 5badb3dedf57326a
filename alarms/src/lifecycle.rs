//! What people do with an alarm (ISA-18.2, IEC 62682, OPC UA Part 9): the axes of its life, beside those of its evaluation.
//!
//! Active, acknowledged, latched, shelved, suppressed by design and out of service are independent of each other; the
//! [`AlarmState`] that people are shown is derived from them, the one that keeps the alarm from them first. A suppressed alarm (by
//! any of the three) goes on being evaluated; nobody is told of it.
//!
//! ```text
//!             raise                   acknowledge
//!   normal ─────────▶ unacknowledged ─────────────▶ acknowledged
//!     ▲                    │ clear                        │ clear
//!     │    acknowledge     ▼                              ▼
//!     ├────────────── rtn-unacknowledged               normal
//!     │                                    (of a latching rule)
//!     │    reset                          acknowledge
//!     └────────────── latched-acknowledged ◀──────── latched-unacknowledged
//! ```
//!
//! - An acknowledgement names what it saw: the occurrence, and the id of its raise or clear. If the alarm has moved on, it is refused.
//! - What clears while it is suppressed needs no acknowledgement: nobody was to see it. A latching alarm still waits for its reset.
//! - A shelf ends by itself; it has a time always, [`MAX_SHELF_MS`] ahead at most.

use serde::{Deserialize, Serialize};

use crate::{digest::EventId, step::TransitionKind};

/// A shelf is for a disturbance; what is out of order for longer is taken out of service.
pub const MAX_SHELF_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// The axes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    pub active: bool,
    /// Of the latest occurrence; true where nothing waits to be acknowledged.
    pub acknowledged: bool,
    /// Cleared, and held until it is reset.
    pub latched: bool,
    /// The rule of the latest occurrence latches.
    pub latching: bool,
    pub shelved_until_unix_ms: Option<i64>,
    pub suppressed_by_design: bool,
    pub out_of_service: bool,
    /// None as long as it was never raised.
    pub latest: Option<Seen>,
}

/// What an operator saw of an alarm: its occurrence, and the newest raise or clear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub occurrence: EventId,
    pub transition: EventId,
}

/// The state as ISA-18.2 names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmState {
    Normal,
    Unacknowledged,
    Acknowledged,
    /// Returned to normal, and not acknowledged.
    RtnUnacknowledged,
    LatchedUnacknowledged,
    LatchedAcknowledged,
    Shelved,
    SuppressedByDesign,
    OutOfService,
}

impl AlarmState {
    pub const ALL: [Self; 9] = [
        Self::Normal,
        Self::Unacknowledged,
        Self::Acknowledged,
        Self::RtnUnacknowledged,
        Self::LatchedUnacknowledged,
        Self::LatchedAcknowledged,
        Self::Shelved,
        Self::SuppressedByDesign,
        Self::OutOfService,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Unacknowledged => "unacknowledged",
            Self::Acknowledged => "acknowledged",
            Self::RtnUnacknowledged => "rtn-unacknowledged",
            Self::LatchedUnacknowledged => "latched-unacknowledged",
            Self::LatchedAcknowledged => "latched-acknowledged",
            Self::Shelved => "shelved",
            Self::SuppressedByDesign => "suppressed-by-design",
            Self::OutOfService => "out-of-service",
        }
    }
}

/// What an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Acknowledge(Seen),
    Shelve { until_unix_ms: i64 },
    Unshelve,
    Suppress,
    Unsuppress,
    OutOfService,
    InService,
    Reset,
    Comment,
}

impl Action {
    /// The kind of the event that it becomes.
    pub const fn kind(self) -> TransitionKind {
        match self {
            Self::Acknowledge(_) => TransitionKind::Acknowledge,
            Self::Shelve { .. } => TransitionKind::Shelve,
            Self::Unshelve => TransitionKind::Unshelve,
            Self::Suppress => TransitionKind::Suppress,
            Self::Unsuppress => TransitionKind::Unsuppress,
            Self::OutOfService => TransitionKind::OutOfService,
            Self::InService => TransitionKind::InService,
            Self::Reset => TransitionKind::Reset,
            Self::Comment => TransitionKind::Comment,
        }
    }
}

/// Why an action changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the alarm has moved on since it was looked at; look at it again")]
    Superseded,
    #[error("nothing of it waits to be acknowledged")]
    NothingToAcknowledge,
    #[error("the time until which to shelve it is over; name a later one")]
    ShelfOver,
    #[error("it can be shelved for 7 days at most; take it out of service for longer")]
    ShelfTooLong,
    #[error("it is not shelved")]
    NotShelved,
    #[error("it is suppressed by design already")]
    AlreadySuppressed,
    #[error("it is not suppressed by design")]
    NotSuppressed,
    #[error("it is out of service already")]
    AlreadyOutOfService,
    #[error("it is in service")]
    InServiceAlready,
    #[error("it is not latched: only what has cleared and is held can be reset")]
    NotLatched,
    #[error("it is not acknowledged; acknowledge it before it is reset")]
    NotAcknowledged,
}

impl Refusal {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::NothingToAcknowledge => "nothing-to-acknowledge",
            Self::ShelfOver => "shelf-over",
            Self::ShelfTooLong => "shelf-too-long",
            Self::NotShelved => "not-shelved",
            Self::AlreadySuppressed => "already-suppressed",
            Self::NotSuppressed => "not-suppressed",
            Self::AlreadyOutOfService => "already-out-of-service",
            Self::InServiceAlready => "in-service-already",
            Self::NotLatched => "not-latched",
            Self::NotAcknowledged => "not-acknowledged",
        }
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            active: false,
            acknowledged: true,
            latched: false,
            latching: false,
            shelved_until_unix_ms: None,
            suppressed_by_design: false,
            out_of_service: false,
            latest: None,
        }
    }
}

impl Lifecycle {
    pub const fn state(&self) -> AlarmState {
        if self.out_of_service {
            return AlarmState::OutOfService;
        }
        if self.suppressed_by_design {
            return AlarmState::SuppressedByDesign;
        }
        if self.shelved_until_unix_ms.is_some() {
            return AlarmState::Shelved;
        }
        match (self.active, self.acknowledged, self.latched) {
            (true, false, _) => AlarmState::Unacknowledged,
            (true, true, _) => AlarmState::Acknowledged,
            (false, false, true) => AlarmState::LatchedUnacknowledged,
            (false, true, true) => AlarmState::LatchedAcknowledged,
            (false, false, false) => AlarmState::RtnUnacknowledged,
            (false, true, false) => AlarmState::Normal,
        }
    }

    /// Nobody is to be told of it.
    pub const fn is_suppressed(&self) -> bool {
        self.out_of_service || self.suppressed_by_design || self.shelved_until_unix_ms.is_some()
    }

    /// Nothing of it need be kept in mind.
    pub fn is_plain(&self) -> bool {
        self.state() == AlarmState::Normal
    }

    pub fn raise(&mut self, id: EventId, latching: bool) {
        let latest = Some(Seen { occurrence: id, transition: id });
        *self = Self { active: true, acknowledged: false, latched: false, latching, latest, ..self.clone() };
    }

    pub fn clear(&mut self, seen: Seen) {
        self.active = false;
        self.latched = self.latching;
        self.acknowledged |= self.is_suppressed();
        self.latest = Some(seen);
    }

    /// What an action makes of it.
    pub fn act(&self, action: Action, now_unix_ms: i64) -> Result<Self, Refusal> {
        let mut next = self.clone();
        let refused_unless = |holds: bool, refusal| if holds { Ok(()) } else { Err(refusal) };
        match action {
            Action::Acknowledge(seen) => {
                refused_unless(self.latest.is_none_or(|latest| latest == seen), Refusal::Superseded)?;
                refused_unless(!self.acknowledged, Refusal::NothingToAcknowledge)?;
                next.acknowledged = true;
            }
            Action::Shelve { until_unix_ms } => {
                refused_unless(until_unix_ms > now_unix_ms, Refusal::ShelfOver)?;
                let longest = now_unix_ms.saturating_add(MAX_SHELF_MS);
                refused_unless(until_unix_ms <= longest, Refusal::ShelfTooLong)?;
                next.shelved_until_unix_ms = Some(until_unix_ms);
            }
            Action::Unshelve => {
                refused_unless(self.shelved_until_unix_ms.is_some(), Refusal::NotShelved)?;
                next.shelved_until_unix_ms = None;
            }
            Action::Suppress => {
                refused_unless(!self.suppressed_by_design, Refusal::AlreadySuppressed)?;
                next.suppressed_by_design = true;
            }
            Action::Unsuppress => {
                refused_unless(self.suppressed_by_design, Refusal::NotSuppressed)?;
                next.suppressed_by_design = false;
            }
            Action::OutOfService => {
                refused_unless(!self.out_of_service, Refusal::AlreadyOutOfService)?;
                next.out_of_service = true;
            }
            Action::InService => {
                refused_unless(self.out_of_service, Refusal::InServiceAlready)?;
                next.out_of_service = false;
            }
            Action::Reset => {
                refused_unless(self.latched, Refusal::NotLatched)?;
                refused_unless(self.acknowledged, Refusal::NotAcknowledged)?;
                next.latched = false;
            }
            Action::Comment => {}
        }
        Ok(next)
    }

    /// The shelf's time is over.
    pub fn shelf_is_over(&self, now_unix_ms: i64) -> bool {
        self.shelved_until_unix_ms.is_some_and(|until| until <= now_unix_ms)
    }
}
