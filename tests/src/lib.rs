//! What the end-to-end suites stand on: the built programs as real processes, on real sockets.
//!
//! - [`programs`]: the binaries beside the test, built when needed
//! - [`daemon`]: one running program: its addresses, its log, how it is killed and how it is asked to end
//! - [`chain`]: broker, ingest and agent with their configuration files in one temporary folder
//! - [`api`]: the ingest's HTTP API and the agent's status
//! - [`hostile`]: what tests look at that mean harm: memory, counters, other addresses
//! - [`lake`]: the Parquet lake as another program (DuckDB) reads it
//! - [`python`]: the Python that has other people's programs
//! - [`node`]: Node.js with other people's modules
//! - [`events`]: the ingest's event stream
//! - [`eventually`]: waiting for something that a process will do, with a bound
//! - [`measured`]: what a test's boards measured, held against lake and alarm history
//! - [`powercut`]: every disk that a power cut could leave of the files that were really written
//! - [`devices`]: which boards an agent welcomes, and under which keys
//! - [`emulated`]: a board's image in QEMU
//! - [`authority`]: an authority, as its commands make it
//! - [`cable`]: a serial line that is plugged in and out
//! - [`tee`]: a board's line that several gateways share
//! - [`secured`]: the chain under mutual TLS, and the authority that all of it trusts
//! - [`tidegate`]: the command line
//! - [`recording`]: recordings read plainly, and what a rule must make of them
//!
//! The programs are used as a user would: what he cannot see, these tests do not use. Only boards, recordings and
//! network faults come from the simulator's library.

pub mod api;
pub mod authority;
pub mod cable;
pub mod chain;
pub mod daemon;
pub mod devices;
pub mod emulated;
pub mod events;
pub mod eventually;
pub mod hostile;
pub mod lake;
pub mod measured;
pub mod node;
pub mod powercut;
pub mod programs;
pub mod python;
pub mod recording;
pub mod secured;
pub mod tee;
pub mod tidegate;
