//! The points where a test may kill the broker; see [`tidegate_service::failpoint`].

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
