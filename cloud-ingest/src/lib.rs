//! The Tidegate cloud ingest: blocks in from a broker, every reading stored once, alarms at once, questions answered.
//!
//! ```text
//! settings, config   the settings file, and what it means once checked
//! intake             MQTT: blocks and births in, acknowledgements and retained alarms out   heard  what a message says
//! inbox              what waits for the core, the urgent first
//! engine             the core's shell: events to the core, its effects carried out
//! core/              pure: ledger, acknowledgements, credit, alarms
//! writer             the thread that commits batches      looker  the thread that looks back for the core
//! store/             LMDB: journal, ledger, alarm state, events
//! lake/              the journal's readings as Parquet
//! data_folder        one program at a time on a data folder       descriptors   room for every connection
//! doctor/            looking into a data folder, repairing, backing up, restoring
//! entries            one journal entry, read whole or called damaged
//! readings           stored readings, from journal and lake alike
//! delivery/          alarms to people and other programs, each event until it has arrived
//! certificate/       signed statements of where every reading is
//! query, view        what the API asks, and what it shows  shown   what lives in memory only
//! operations, orders what operators want, and its way to the core    desired  settings of channels, as the API has them
//! verdicts           what gateways say is active, as the API has it    quarantine  what was not taken, likewise
//! expiry_watch       when the certificate ends that the broker is shown
//! rules              what is watched for, as the API has it     rules_file  the file that owns it, if there is one
//! door/              who comes to the HTTP API, what they may do, and what they did
//! events, api/, page/  the event stream, the HTTP API and the web page
//! running            all of it started, watched, drained
//! ```
//!
//! A block's way: `intake` → `engine` → `core` → `writer` → `store`, and its acknowledgement back the same way.

pub mod api;
pub mod certificate;
mod clock;
pub mod config;
pub mod core;
pub mod data_folder;
pub mod delivery;
pub mod desired;
pub mod doctor;
pub mod door;
mod engine;
pub mod entries;
pub mod events;
mod expiry_watch;
pub mod failpoint;
pub mod heard;
mod inbox;
mod intake;
pub mod lake;
mod looker;
pub mod operations;
pub mod orders;
pub mod quarantine;
pub mod query;
pub mod readings;
mod retained;
mod retention;
pub mod rules;
mod rules_file;
pub mod running;
pub mod settings;
mod shown;
pub mod store;
pub mod verdicts;
pub mod view;
mod writer;

pub use config::Config;
pub use running::{RunError, Running, StartError, start};
pub use settings::Settings;
