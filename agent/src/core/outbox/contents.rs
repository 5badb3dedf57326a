//! What the blocks in memory stand for.

use tidegate_protocol::block;

use super::{
    super::{
        event::number_of,
        origin::Slot,
        parcel::{Custody, Parcel},
    },
    Outbox,
};

impl Outbox {
    /// What the blocks in memory hold that the queue holds too.
    pub fn stored_directories(&self) -> Vec<block::Directory> {
        let stored = self.parcels.values().filter(|parcel| matches!(parcel.custody, Custody::Stored(_)));
        stored.filter_map(|parcel| block::Decoder::directory(&parcel.block).ok()).collect()
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
