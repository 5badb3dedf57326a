//! What survives a power cut, in a board's flash.
//!
//! ```text
//! keeper    Keeper: readings that the ring has no room for, and those of boots before
//! records   what stands in the queue: Hellos and Readings frames
//! memory    Memory: the boot counter, and settings by the name of their channel
//! wear      how much was written and erased
//! ```
//!
//! Two ranges of flash: one for the queue, one for the memory. Both are by sequential-storage, which goes around its pages so that all
//! wear alike, and which a power cut at any moment leaves readable. Flash is whatever has embedded-storage-async's
//! `MultiwriteNorFlash`; a driver that blocks becomes one by `embassy_embedded_hal::adapter::BlockingAsync`.

mod keeper;

mod memory;
mod records;
mod wear;

pub use keeper::{KeepError, Keeper};

pub use memory::{Memory, MemoryError};
pub use wear::Wear;
