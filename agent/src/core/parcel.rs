//! A block with what the agent must remember of it until the cloud has it.

use std::sync::Arc;

use tidegate_protocol::{SeqRange, topic::Lane};

use super::{event::Key, origin::Slot, time::Time};

/// By when something unsafe must be committed, in either weather.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub healthy: Time,
    pub outage: Time,
}

impl Due {
    pub fn sooner(self, other: Self) -> Self {
        Self { healthy: self.healthy.min(other.healthy), outage: self.outage.min(other.outage) }
    }

    pub const fn when(self, outage: bool) -> Time {
        if outage { self.outage } else { self.healthy }
    }
}

/// A place in the queue, with what the totals lose when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub key: Key,
    pub readings: u32,
    pub bytes: u64,
}

/// Where else the block is, besides in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Custody {
    /// Nowhere: it must be acknowledged or committed by then.
    Ram(Due),
    Committing(Stored),
    Stored(Vec<Stored>),
}

/// What of one origin becomes safe with the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub slot: Slot,
    pub ranges: Vec<SeqRange>,
    /// Ranges the origin itself declared lost.
    pub lost: Vec<SeqRange>,
    /// The origin's closing of this number is inside.
    pub closes: Option<u32>,
}

impl Content {
    pub const fn of(slot: Slot) -> Self {
        Self { slot, ranges: Vec::new(), lost: Vec::new(), closes: None }
    }
}

#[derive(Debug)]
pub struct Parcel {
    pub lane: Lane,
    pub block: Arc<[u8]>,
    pub readings: u32,
    pub custody: Custody,
    /// Empty for what comes out of the queue: that is safe already.
    pub contents: Vec<Content>,
    /// Origins whose description is inside.
    pub described: Vec<Slot>,
    /// The newest numbers it was sent under, ascending: an acknowledgement of any of them counts.
    pub numbers: Vec<u64>,
    /// Numbers from here on carry the present bytes; those before had fewer descriptions.
    pub rewritten_at: u64,
    /// The number of the transmission that is under way.
    pub flight: Option<u64>,
    /// Transmissions so far.
    pub attempts: u32,
    /// How many of them were lost while later ones were answered.
    pub overtaken: u32,
    /// How often the cloud asked for descriptions.
    pub undescribed: u8,
}

impl Parcel {
    /// Readings on their way that are in the queue too, or will be, and are no alarm.
    pub fn is_stored_below_alarms(&self) -> bool {
        self.lane != Lane::Alarm && self.readings > 0 && !matches!(self.custody, Custody::Ram(_))
    }

    /// The end of a boot, and a restart would not know of it. It does not leave: the cloud would have a boot for ended of which
    /// the agent, after a kill, would not say what it had held in memory.
    pub fn is_unwritten_end(&self) -> bool {
        !matches!(self.custody, Custody::Stored(_))
            && self.contents.iter().any(|content| content.closes.is_some())
    }

    pub const fn new(lane: Lane, block: Arc<[u8]>, readings: u32, custody: Custody) -> Self {
        Self {
            lane,
            block,
            readings,
            custody,
            contents: Vec::new(),
            described: Vec::new(),
            numbers: Vec::new(),
            rewritten_at: 0,
            flight: None,
            attempts: 0,
            overtaken: 0,
            undescribed: 0,
        }
    }

    pub fn len(&self) -> u64 {
        self.block.len() as u64
    }
}
