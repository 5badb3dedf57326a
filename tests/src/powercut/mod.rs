//! Power cuts on the real files: what a process really wrote and synced is recorded, every disk that a power cut could
//! leave behind is put together from it, and the production code opens each.
//!
//! ```text
//! trace    what was recorded: writes, syncs, names, and what the process acknowledged in between
//! disk     what of it is certain to be on the disk, and what may be
//! cuts     power cuts in a recording, and the disks each may leave
//! child    the program that records and checks, as a process of its own
//! run      a recording through all of its power cuts, and the count
//! ```
//! The disk writes whole sectors of 512 bytes, each or not, in any order, until a sync has returned; lengths and names likewise,
//! each by itself. It keeps what was synced, and does not touch what was not written.

pub mod child;
pub mod cuts;
pub mod disk;
pub mod run;
pub mod trace;

/// What a power cut leaves whole: the least that disks promise.
pub const SECTOR_BYTES: usize = 512;
