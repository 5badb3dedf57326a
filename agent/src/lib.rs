//! The Tidegate agent: readings of boards and of this computer, kept safe until the cloud has them.
//!
//! ```text
//! settings ─▶ config                    what is written, and what it means
//! sources/    bytes and figures ─▶ events
//! shell       the task that owns the core: events in, effects out
//! core/       custody, blocks, lanes, resends: pure
//! queue/      LMDB, behind its own threads (store.rs alone names heed)
//! uplink      MQTT (alone names rumqttc)     links   frames back to boards
//! local_actions/  alarms that are active here: a state file, GPIO lines
//! devices     which boards are welcomed, and their keys: a file, taken over while the agent runs
//! outlook     how long the queue lasts, from rates of this run or the last
//! status      /status, /metrics, /health     clock, random   the only places that read either
//! failpoint   where tests may kill the process
//! ```
//! A frame's way into the queue: board_link → decoder → core (boards, packer, custody) → queue → store.

mod clock;
pub mod config;
pub mod core;
pub mod devices;
pub mod failpoint;
mod links;
pub mod local_actions;
mod metrics;
mod outlook;
pub mod queue;
mod random;
mod running;
mod settings;
mod shell;
pub mod sources;
mod status;
mod uplink;

pub use config::Config;
pub use running::{DrainError, Drained, Running, StartError, StoppedError, start};
pub use settings::Settings;
pub use uplink::trial::run as try_broker;
