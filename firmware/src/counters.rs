//! What a board counts about itself since its boot. 32 bits are enough and cheap on a Cortex-M0; they wrap.

/// All since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counters {
    /// Samples that became readings.
    pub measured: u32,
    /// Samples that the report deadband held back.
    pub held_back: u32,
    /// Readings given up because the ring was full; each is declared to the gateway.
    pub lost: u32,
    /// Readings and declared losses that a gateway has taken over.
    pub acknowledged: u32,
    pub frames_sent: u32,
    /// Readings sent more than once. Heartbeats carry this number and those that say so below.
    pub repeated: u32,
    /// Frames from the gateway that could not be read; in heartbeats.
    pub bad_frames: u32,
    /// Acknowledgements of another boot, or beyond what was sent. They release nothing; in heartbeats.
    pub refused_acks: u32,
    /// How often a link that was up went down; in heartbeats.
    pub links_lost: u32,
    /// How often a gateway welcomed the board under a boot other than its own.
    pub reassigned_boots: u32,
}

impl Counters {
    pub(crate) fn add(counter: &mut u32, count: u64) {
        *counter = counter.wrapping_add(count as u32);
    }
}
