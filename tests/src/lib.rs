//! What the end-to-end suites stand on: the built programs as real processes, on real sockets.
//!
//! - [`programs`]: the binaries beside the test, built when needed
//! - [`daemon`]: one running program: its addresses, its log, how it is killed and how it is asked to end
//! - [`chain`]: broker, ingest and agent with their configuration files in one temporary folder
//! - [`api`]: the ingest's HTTP API and the agent's status
//! - [`lake`]: the Parquet lake as another program (DuckDB) reads it
//! - [`eventually`]: waiting for something that a process will do, with a bound
//!
//! Nothing here reads the programs' source: what a user cannot see, these tests do not use.

pub mod api;
pub mod chain;
pub mod daemon;
pub mod eventually;
pub mod lake;
pub mod programs;
