//! What a technician asks of a queue, and what may be done to one.
//!
//! ```text
//! inspect   what is in it          export   its readings as lines of JSON     these read, beside a running agent
//! verify    whether it is whole    quarantine  what nobody took
//! repair    damaged blocks out, losses declared      salvage  a new queue out of what is left of one
//! compact   without free pages                       replay   out of the quarantine again     these need it stopped
//! ```
//! Reading never creates or changes anything and keeps no state pinned for longer than a batch. Writing is one
//! transaction, or a new queue that takes the old one's place at once.

mod compact;
mod export;
mod inspect;
mod quarantine;
mod repair;
mod replay;
mod salvage;
mod verify;

use serde::Serialize;
use tidegate_protocol::{
    DeviceId, Origin, SeqRange,
    block::{Directory, Entry as DirectoryEntry},
};

pub use compact::{Compacted, compact};
pub use export::{ExportError, ExportOptions, Exported, export};
pub use inspect::{BlockContent, BlockView, Inspection, OriginView, block, blocks, inspect};
pub use quarantine::{QuarantinedBlock, quarantine};
pub use repair::{Intent, Repaired, RepairedBlock, repair};
pub use replay::{Replayed, Selection, replay};
pub use verify::{Finding, Verified, verify};

use super::QueueError;

/// Hears how many of how many entries are done.
pub type Progress<'p> = &'p dyn Fn(u64, u64);

/// Which readings are meant; all where nothing is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    pub device: Option<DeviceId>,
    pub origin: Option<Origin>,
    pub range: Option<SeqRange>,
}

impl Filter {
    pub fn takes_origin(&self, origin: Origin) -> bool {
        self.device.is_none_or(|device| device == origin.device)
            && self.origin.is_none_or(|only| only == origin)
    }

    pub fn takes(&self, origin: Origin, seq: u64) -> bool {
        self.takes_origin(origin) && self.range.is_none_or(|range| range.contains(seq))
    }

    /// Whether a block with this directory holds any of what is meant.
    pub fn meets(&self, directory: &[DirectoryEntry]) -> bool {
        let is_open = self.device.is_none() && self.origin.is_none() && self.range.is_none();
        is_open
            || directory.iter().any(|entry| {
                let within =
                    |range: &SeqRange| self.range.is_none_or(|of| !of.intersection(*range).is_empty());
                self.takes_origin(entry.origin) && entry.ranges.iter().any(within)
            })
    }
}

/// Which readings of an origin something holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    pub device: String,
    pub boot: String,
    pub ranges: Vec<SeqRange>,
}

fn held(directory: Directory) -> Vec<Held> {
    let one = |entry: DirectoryEntry| Held {
        device: entry.origin.device.to_string(),
        boot: entry.origin.boot.to_string(),
        ranges: entry.ranges,
    };
    directory.into_iter().map(one).collect()
}

fn decoder() -> Result<tidegate_protocol::block::Decoder, QueueError> {
    tidegate_protocol::block::Decoder::new().map_err(QueueError::Memory)
}
