//! What the blocks in memory stand for.

use std::sync::Arc;

use tidegate_protocol::{SeqRange, block};

use super::{
    super::{
        event::number_of,
        origin::Slot,
        parcel::{Content, Custody, Parcel},
    },
    Outbox,
};

impl Outbox {
    /// What the blocks in memory hold that the queue holds too.
    pub fn stored_directories(&self) -> Vec<block::Directory> {
        let stored = self.parcels.values().filter(|parcel| matches!(parcel.custody, Custody::Stored(_)));
        stored.filter_map(|parcel| block::Decoder::directory(&parcel.block).ok()).collect()
    }

    /// Blocks that are not safe yet and bring readings of these ranges.
    pub fn blocks_with(&self, slot: Slot, ranges: &[SeqRange]) -> Vec<Arc<[u8]>> {
        let brings = |content: &Content| {
            let mut pairs =
                content.ranges.iter().flat_map(|own| ranges.iter().map(|range| own.intersection(*range)));
            content.slot == slot && pairs.any(|both| !both.is_empty())
        };
        let parcels = self.parcels.values().filter(|parcel| parcel.contents.iter().any(brings));
        parcels.map(|parcel| Arc::clone(&parcel.block)).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    pub fn has_stored_below_alarms(&self) -> bool {
        self.parcels.values().any(Parcel::is_stored_below_alarms)
    }

    /// Whether any parcel concerns this origin, or stands for a block up to the last one that may.
    pub fn concerns(&self, slot: Slot, last_number: Option<u64>) -> bool {
        self.parcels.values().any(|parcel| {
            let stored = match &parcel.custody {
                Custody::Stored(stored) => {
                    stored.iter().any(|stored| Some(number_of(stored.key)) <= last_number)
                }
                Custody::Ram(_) | Custody::Committing(_) => false,
            };
            stored || parcel.contents.iter().any(|content| content.slot == slot)
        })
    }
}
