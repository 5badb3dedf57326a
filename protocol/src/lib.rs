//! What the parts of Tidegate say to each other.
//!
//! ```text
//! id       DeviceId, BootId, Seq, Origin …      reading  Reading, Value, Quality
//! channel  what a device declares it measures   clock    anchors: ticks to wall time
//! loss     declared holes                       unit     SenML units
//! summary  what stands for thinned readings
//! frame/   sensor board ⇄ agent (COBS, no alloc)
//! block/   agent → cloud: many origins' readings, columnar            (feature `std`)
//! ack      cloud → agent: outcomes per block, credit                  (feature `alloc`)
//! settings cloud ⇄ agent: what is wanted of channels, what became of it (feature `alloc`)
//! rules    cloud ⇄ agent: alarm rules, and what is active by them        (feature `alloc`)
//! sealed   how such messages are closed and opened                      (feature `alloc`)
//! ranges   sets of seqs as sorted ranges                              (feature `alloc`)
//! topic    MQTT topics and the partition law    status   a gateway's birth and will
//! ```
//!
//! The crate is `no_std` and allocates nothing by default: boards use it as it is. It imports no sibling and
//! does no input or output. Every decoder takes hostile bytes: a bad input is a typed error, the memory a
//! message may ask for is bounded by a named constant before anything is allocated, and nothing panics.
//! The byte layouts are in `docs/wire.md`; golden vectors in `tests/golden/` pin them.

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod channel;
pub mod clock;
pub mod frame;
pub mod id;
pub mod loss;
pub mod reading;
pub mod summary;
pub mod unit;
mod varint;

#[cfg(feature = "alloc")]
pub mod ack;
#[cfg(feature = "std")]
pub mod block;
#[cfg(feature = "alloc")]
pub mod ranges;
#[cfg(feature = "alloc")]
pub mod rules;
#[cfg(feature = "alloc")]
pub mod sealed;
#[cfg(feature = "alloc")]
pub mod settings;
#[cfg(feature = "alloc")]
pub mod status;
#[cfg(feature = "alloc")]
pub mod topic;

pub use channel::{ChannelDecl, ValueKind};
pub use clock::{ClockAnchor, ClockQuality, DRIFT_PPM};
pub use id::{
    BootId, BootTag, ChannelIndex, ChannelName, DeviceId, GatewayId, Origin, Seq, SeqRange, SiteId,
};
pub use loss::{LossReason, LossRecord};
#[cfg(feature = "alloc")]
pub use ranges::RangeSet;
pub use reading::{Quality, Reading, Tick, Value};
pub use summary::Summary;

/// The wire's version, on every frame, block and message. It is frozen: what has another layout has another version.
pub const WIRE_VERSION: u8 = 1;
