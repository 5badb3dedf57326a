//! The points where a test may kill the broker, or its router; see [`tidegate_service::failpoint`].

use tidegate_service::failpoint;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailPoint {
    /// Messages were read off a client; the router has not seen them.
    BeforeRoute,
    /// Bytes are on their way to a client, acknowledgements among them; what was acknowledged is in memory only.
    AfterWrite,
    /// A message was taken from the router; its subscriber has not got it.
    BeforeDelivery,
}

impl FailPoint {
    pub const ALL: [Self; 3] = [Self::BeforeRoute, Self::AfterWrite, Self::BeforeDelivery];

    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeRoute => "broker-before-route",
            Self::AfterWrite => "broker-after-write",
            Self::BeforeDelivery => "broker-before-delivery",
        }
    }

    pub(crate) fn hit(self) {
        failpoint::hit(self.name());
    }
}

/// What a test may do to the router when messages come for it: `TIDEGATE_FAILPOINT=broker-router-dies:*100` at each hundredth
/// time that some do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterFault {
    /// Its thread panics.
    Dies,
    /// Its thread goes on for ever, and does nothing.
    Hangs,
}

impl RouterFault {
    pub const ALL: [Self; 2] = [Self::Dies, Self::Hangs];

    pub fn name(self) -> &'static str {
        match self {
            Self::Dies => "broker-router-dies",
            Self::Hangs => "broker-router-hangs",
        }
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn due() -> Option<Self> {
        Self::ALL.into_iter().find(|fault| failpoint::fails(fault.name()))
    }
}
