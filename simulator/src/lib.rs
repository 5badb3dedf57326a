//! Virtual boards, fleets, recordings and network faults, for tests, demos and measurements.
//!
//! ```text
//! board      VirtualBoard: the firmware's node core over TCP        link    its socket
//! plan       what a board is: channels, signals, ring, boot         script  the plan at work
//! signal, fault   seeded signals and what goes wrong with sensors   fleet   many boards
//! recording  CSV files to replay                                    generate  such files from a seed
//! explore/   the cores on one virtual clock, with everything going wrong
//! gateways   many agents and an ingest, their cores on one virtual clock
//! proxy      a TCP proxy that cuts, stalls and slows                blast   pre-encoded frames, for measurements
//! ```

#![forbid(unsafe_code)]

pub mod blast;
pub mod board;
pub mod explore;
pub mod fault;
pub mod fleet;
pub mod gateways;
pub mod generate;
mod link;
pub mod plan;
pub mod proxy;
pub mod recording;
mod script;
pub mod signal;

pub use blast::{Blast, BlastError, BlastPlan, BlastReport};
pub use board::{BoardError, BoardHandle, BoardStatus, VirtualBoard};
pub use fault::{Fault, FaultKind};
pub use fleet::{Fleet, FleetPlan, FleetStatus};
pub use plan::{BoardPlan, BootPlan, ChannelPlan, Recorded, Script};
pub use proxy::Proxy;
pub use recording::{Pace, Recording};
pub use signal::Shape;
