//! The Tidegate node core for sensor boards: sample, keep, send, release on acknowledgement.
//!
//! ```text
//! node       Node: the pure core. Samples in, frames out, frames in; no clock, no input or output
//! channels   Sampling: period, report deadband, settings from the gateway
//! clock      WallTime: the gateway's time at the board's ticks
//! boot       BootId from a persisted counter or from entropy
//! blocking   a shell over embedded-io          asynchronous   a shell over embedded-io-async
//! sampler    sensors of embedded-hal as channels               watchdog   fed while the loops go round
//! key        `Node::set_key`: nothing is said or believed but under it (feature `key`)
//! flash      what survives a power cut (feature `flash-queue`)
//! reduce     a window of samples as min, max, mean, RMS        limit   what must leave at once
//! log        what a probe shows of it (feature `defmt`)
//! ```
//!
//! `no_std`, no allocation, no panic in its own paths, no floating point unless a channel is a float, no
//! compare-and-swap: it runs on a Cortex-M0. The ring is the caller's memory; everything else is below 1 KB with
//! four channels. Simulated boards run this very core.
//!
//! Ten lines join a driver to the gateway:
//!
//! ```
//! use tidegate_firmware::{BlockingLink, Identity, LinkError, Node, NodeConfig, Sampling, channel};
//! use tidegate_protocol::{BootId, ChannelDecl, DeviceId, Quality, Tick, Value, ValueKind, id::ChannelIndex};
//! # fn join(
//! #     uart: impl embedded_io::Read + embedded_io::ReadReady + embedded_io::Write,
//! #     mut read_millidegrees: impl FnMut() -> i64,
//! #     mut now: impl FnMut() -> Tick,
//! #     boot: BootId,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let identity = Identity { device: DeviceId::new("boiler-7")?, tag: "TT-101A", firmware: "boiler 1.2" };
//! let channels = [channel("temperature", "Cel", ValueKind::Decimal, 3)?];
//! let mut node = Node::<1, _>::new(identity, Some(boot), &channels, [0; 4096], NodeConfig::DEFAULT)?;
//! node.set_sampling(ChannelIndex(0), Sampling::every(1_000))?;
//! let mut link = BlockingLink::<_, 256>::new(uart);
//! loop {
//!     while let Some(due) = node.due(now()) {
//!         let value = Value::Decimal { mantissa: read_millidegrees(), scale: 3 };
//!         node.sample(due, value, Quality::Good, now())?;
//!     }
//!     link.turn(&mut node, now()).map_err(|_| "the link failed")?;
//! #   if node.is_drained() { return Ok(()); }
//! }
//! # }
//! ```

#![no_std]
#![forbid(unsafe_code)]

pub mod asynchronous;
pub mod backing;
pub mod blocking;
pub mod boot;
mod channels;
mod clock;
mod counters;
#[cfg(feature = "flash-queue")]
pub mod flash;
pub mod limit;
mod log;
mod node;
pub mod reduce;
mod ring;
pub mod sampler;
pub mod watchdog;
mod window;

use tidegate_protocol::{ChannelDecl, ValueKind, id::ChannelName, id::NameError};

pub use backing::{Backing, RamOnly};
pub use blocking::{BlockingLink, LinkError};
pub use channels::{SampleError, Sampling};
pub use clock::{WallClock, WallTime};
pub use counters::Counters;
pub use node::{Identity, Node, NodeConfig, NodeError, Sampled};
pub use ring::MIN_RING_BYTES;
pub use tidegate_protocol::frame::Deadband;

/// A channel's declaration. `unit` is from SenML (`Cel`, `%RH`, `m/s2`); `scale` is how many decimals a decimal
/// channel has, 0 for others.
pub fn channel<'a>(
    name: &str,
    unit: &'a str,
    kind: ValueKind,
    scale: u8,
) -> Result<ChannelDecl<&'a str>, NameError> {
    Ok(ChannelDecl { name: ChannelName::new(name)?, unit, kind, scale })
}
