//! Deterministic exploration: the cores of firmware, agent and ingest on one virtual clock, with everything going wrong.
//!
//! A seed is a schedule: who there is, what they measure, and which faults strike when. One thread, no clock, no file and
//! no socket: the same seed gives the same schedule for ever, so that a failure is replayed by its number.
//!
//! ```text
//! plan, incident   what a seed draws                  dice, agenda   chance and time
//! board, lines     the firmware's nodes and their lines to gateways
//! gateway, agents  the agent's core and its disk      disk           an agent's queue in memory
//! network          broker and connections             cloud, ingests the ingest's core     store   its store in memory
//! holdings, shelf  stored readings: journal, lake     lake, journal  rolls from the one to the other
//! misfortune       faults carried out                 calm           the end, when nothing goes wrong any more
//! truth            what really happened to readings   contents       what blocks say
//! checker, verdict the rules, at every moment and at the end
//! coverage, trace  what happened: counted, and told   run            many seeds
//! ```
//!
//! Bounds: a schedule has at most three boards and three gateways, and ends after its trouble (at most 24 s) and a calm of
//! at most 400 s, all of it virtual.

mod agenda;
mod agents;
mod board;
mod calm;
mod checker;
mod cloud;
mod contents;
pub mod coverage;
mod dice;
mod disk;
mod gateway;
mod holdings;
mod incident;
mod ingests;
mod journal;
mod lake;
mod lines;
mod misfortune;
mod network;
mod operator;
mod plan;
pub mod run;
mod shelf;
mod store;
mod trace;
mod truth;
mod verdict;
mod world;

pub use checker::Violation;
pub use coverage::{Coverage, Fault};
pub use run::{Explored, Options, Report, explore, hunt, one};
pub use trace::Detail;
pub use world::BeginError;
