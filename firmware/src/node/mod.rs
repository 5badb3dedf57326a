//! The node core: a pure state machine between a board's drivers and its gateway.
//!
//! ```text
//! due, sample     drivers → ring          (this file)
//! poll_transmit   ring → frames           transmit.rs
//! receive         frames → ring released  receive.rs
//! next_wakeup     when to call again      transmit.rs
//! to_keep, fetch  ring → flash → frames   kept.rs
//! line            frames ⇄ the line       keyed.rs under a key, in_clear.rs
//! ```
//!
//! The caller brings time, as ticks (milliseconds since boot), and carries bytes. Every reading stays in the ring
//! until a gateway acknowledged it. When the ring is full, the oldest reading goes, and the hole is declared with
//! reason ring-overflow; the declaration is kept and repeated until it is acknowledged like a reading: `floor` stays
//! at its start. Since the oldest go first, there is never more than one such hole, at the floor (or behind what flash holds), so it
//! takes two numbers to remember however long an outage lasts.

#[cfg_attr(not(feature = "flash-queue"), path = "nothing_kept.rs")]
mod kept;
#[cfg_attr(feature = "key", path = "keyed.rs")]
#[cfg_attr(not(feature = "key"), path = "in_clear.rs")]
mod line;
mod receive;
mod transmit;

use tidegate_protocol::{
    BootId, ChannelDecl, DeviceId, Quality, Tick, Value,
    frame::{BoardTime, ChannelList, Deframer, MAX_FRAME, MAX_TEXT, encoded_len},
    id::{ChannelIndex, Seq, SeqRange},
};

#[cfg(feature = "flash-queue")]
pub(crate) use {kept::Fetch, transmit::READINGS_HEAD};

use crate::{
    channels::{Channels, SampleError, Sampling, Verdict},
    clock::{WallClock, WallTime},
    counters::Counters,
    log,
    ring::{MIN_RING_BYTES, Ring},
    window::Window,
};

/// Who the board is.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    pub device: DeviceId,
    /// Free text beside the id (`TT-101A`), at most [`MAX_TEXT`] bytes.
    pub tag: &'a str,
    /// Name and version of the firmware, at most [`MAX_TEXT`] bytes.
    pub firmware: &'a str,
}

/// Times and bounds. The defaults suit a serial line or a LAN.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NodeConfig {
    pub heartbeat_ms: u32,
    /// The first repetition of an unanswered Hello; doubled each time up to `hello_retry_max_ms`.
    pub hello_retry_ms: u32,
    pub hello_retry_max_ms: u32,
    /// How long a reading may wait for company in its frame. 0 sends at once.
    pub linger_ms: u32,
    /// The first repeat of what is not acknowledged; doubled each time up to `resend_after_max_ms`.
    pub resend_after_ms: u32,
    pub resend_after_max_ms: u32,
    /// While a loss grows, it is declared at most this often.
    pub lost_interval_ms: u32,
    /// How many readings may be sent and not acknowledged.
    pub window_readings: u32,
    /// What settings may ask of a polled channel.
    pub min_period_ms: u32,
    pub max_period_ms: u32,
    /// With a queue in flash: a reading that has not been acknowledged for so long goes there, however empty the ring. It is what a
    /// power cut in an outage can cost, and it wears the flash. By default only a ring that fills does.
    #[cfg(feature = "flash-queue")]
    pub keep_after_ms: u32,
}

impl NodeConfig {
    pub const DEFAULT: Self = Self {
        heartbeat_ms: 5_000,
        hello_retry_ms: 1_000,
        hello_retry_max_ms: 8_000,
        linger_ms: 0,
        resend_after_ms: 4_000,
        resend_after_max_ms: 60_000,
        lost_interval_ms: 250,
        window_readings: u32::MAX,
        min_period_ms: 10,
        max_period_ms: 86_400_000,
        #[cfg(feature = "flash-queue")]
        keep_after_ms: u32::MAX,
    };
}

impl NodeConfig {
    const fn periods_ms(&self) -> core::ops::RangeInclusive<u32> {
        self.min_period_ms..=self.max_period_ms
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why a node cannot be built. All are mistakes in the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NodeError {
    #[error("more channels are declared than the node has room for: raise its CHANNELS (at most 64)")]
    TooManyChannels,
    #[error("a channel's name is used twice, its unit has more than 16 bytes, or its scale is above 18")]
    BadChannel,
    #[error("the tag and the firmware's name have at most {MAX_TEXT} bytes each")]
    TextTooLong,
    #[error(
        "the channels do not fit in one Hello frame of {MAX_FRAME} bytes: declare fewer, or use shorter names"
    )]
    HelloTooLong,
    #[error("the ring needs at least {MIN_RING_BYTES} bytes")]
    RingTooSmall,
    #[cfg(feature = "key")]
    #[error("a node with a key needs a boot of its own, from a counter in flash or from random numbers")]
    KeyWithoutBoot,
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Sampled {
    /// It is a reading with this number.
    Kept(Seq),
    /// The change was below the report deadband.
    HeldBack,
    /// The channel is switched off.
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    Down,
    /// Saying Hello.
    Greeting {
        hello_at: Tick,
        retry_ms: u32,
        said_at: Option<Tick>,
    },
    Welcomed {
        heartbeat_at: Tick,
    },
}

/// `CHANNELS`: room for that many channels. `S`: the ring's bytes, such as `[u8; 4096]` or `&'static mut [u8]`.
#[derive(Debug)]
pub struct Node<'a, const CHANNELS: usize, S> {
    identity: Identity<'a>,
    config: NodeConfig,
    boot: Option<BootId>,
    channels: Channels<'a, CHANNELS>,
    ring: Ring<S>,
    /// From here up to the ring's oldest reading, readings are in flash or else lost, and the loss is not acknowledged.
    floor: Seq,
    window: Window,
    session: Session,
    /// What the last Hello said was the next seq.
    said_next: Seq,
    /// When a reading was first seen to wait for company.
    lingering_since: Option<Tick>,
    /// No reading below this waits for company.
    hurried_to: Seq,
    deframer: Deframer<{ line::DOWN_BYTES }>,
    line: line::Line,
    wall: WallClock,
    board_time: Option<BoardTime>,
    counters: Counters,
    #[cfg(feature = "flash-queue")]
    kept: kept::Kept,
}

impl<'a, const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>> Node<'a, CHANNELS, S> {
    /// `boot` is from [`crate::boot`]; None asks the gateway for one.
    pub fn new(
        identity: Identity<'a>,
        boot: Option<BootId>,
        channels: &'a [ChannelDecl<&'a str>],
        ring: S,
        config: NodeConfig,
    ) -> Result<Self, NodeError> {
        if identity.tag.len() > MAX_TEXT || identity.firmware.len() > MAX_TEXT {
            return Err(NodeError::TextTooLong);
        }
        if hello_len(&identity, channels) > MAX_FRAME {
            return Err(NodeError::HelloTooLong);
        }
        let channels = Channels::new(channels).ok_or(NodeError::TooManyChannels)?;
        ChannelList::new(channels.declared()).map_err(|_| NodeError::BadChannel)?;
        let ring = Ring::new(ring).ok_or(NodeError::RingTooSmall)?;
        let window = Window::new(ring.tail(), &config);
        Ok(Self {
            identity,
            config,
            boot,
            channels,
            ring,
            floor: Seq(0),
            window,
            session: Session::Down,
            said_next: Seq(0),
            lingering_since: None,
            hurried_to: Seq(0),
            deframer: Deframer::new(),
            line: line::Line::default(),
            wall: WallClock::default(),
            board_time: None,
            counters: Counters::default(),
            #[cfg(feature = "flash-queue")]
            kept: kept::Kept::default(),
        })
    }

    /// How a channel is sampled until settings say otherwise. Without it, a channel is not polled.
    pub fn set_sampling(&mut self, channel: ChannelIndex, sampling: Sampling) -> Result<(), SampleError> {
        self.channels.set_sampling(channel, sampling)
    }

    /// How a channel is sampled now; None if it was not declared.
    pub fn sampling(&self, channel: ChannelIndex) -> Option<&Sampling> {
        self.channels.sampling(channel)
    }

    /// A polled channel that is to be sampled now. Call until it returns None.
    pub fn due(&mut self, now: Tick) -> Option<ChannelIndex> {
        self.channels.due(now)
    }

    /// Takes a sample of a channel, measured at `tick`.
    pub fn sample(
        &mut self,
        channel: ChannelIndex,
        value: Value,
        quality: Quality,
        tick: Tick,
    ) -> Result<Sampled, SampleError> {
        self.take(channel, value, quality, tick, false)
    }

    /// Takes a sample that must not be late, such as one that crosses a [`crate::limit::Limit`]: whatever the report
    /// deadband, and it waits for no company.
    pub fn sample_at_once(
        &mut self,
        channel: ChannelIndex,
        value: Value,
        quality: Quality,
        tick: Tick,
    ) -> Result<Sampled, SampleError> {
        let sampled = self.take(channel, value, quality, tick, true)?;
        if matches!(sampled, Sampled::Kept(_)) {
            self.hurried_to = self.ring.next();
        }
        Ok(sampled)
    }

    fn take(
        &mut self,
        channel: ChannelIndex,
        value: Value,
        quality: Quality,
        tick: Tick,
        whatever_changed: bool,
    ) -> Result<Sampled, SampleError> {
        match self.channels.judge(channel, value, quality, tick, whatever_changed)? {
            Verdict::Report => {}
            Verdict::HoldBack => {
                Counters::add(&mut self.counters.held_back, 1);
                return Ok(Sampled::HeldBack);
            }
            Verdict::Off => return Ok(Sampled::Off),
        }
        let (oldest, none_was_lost) = (self.ring.tail().seq, self.lost().is_empty());
        let seq = self.ring.push(channel, value, quality, tick);
        Counters::add(&mut self.counters.measured, 1);
        Counters::add(&mut self.counters.lost, self.ring.tail().seq.0 - oldest.0);
        if none_was_lost && !self.lost().is_empty() {
            log::warn!("the ring is full: readings are lost from {} on", oldest);
        }
        Ok(Sampled::Kept(seq))
    }

    /// The link can carry bytes: say Hello.
    pub fn link_up(&mut self, now: Tick) {
        self.deframer.reset();
        self.line.link_up();
        log::info!("link up, readings from {} on are held", self.floor);
        self.greet(now);
    }

    pub fn link_down(&mut self) {
        log::info!("link down");
        if self.session != Session::Down {
            Counters::add(&mut self.counters.links_lost, 1);
        }
        self.session = Session::Down;
        self.deframer.reset();
    }

    fn greet(&mut self, now: Tick) {
        let retry_ms = self.config.hello_retry_ms;
        self.session = Session::Greeting { hello_at: now, retry_ms, said_at: None };
    }

    /// Gives the board's own wall clock, where it has one; heartbeats carry it.
    pub fn set_board_time(&mut self, time: BoardTime) {
        self.board_time = Some(time);
    }

    /// The wall time at `tick`, as the gateway's clock says.
    pub fn wall_time(&self, tick: Tick) -> Option<WallTime> {
        self.wall.at(tick)
    }

    pub fn boot(&self) -> Option<BootId> {
        self.boot
    }

    /// Whether a gateway listens: it has answered Hello since the link came up.
    pub fn is_welcomed(&self) -> bool {
        matches!(self.session, Session::Welcomed { .. })
    }

    /// The lowest seq in the board's keeping: of the oldest reading, or of a loss that is not yet acknowledged.
    pub fn floor(&self) -> Seq {
        self.floor
    }

    /// The seq of the next reading.
    pub fn next_seq(&self) -> Seq {
        self.ring.next()
    }

    /// Readings in the ring.
    pub fn held(&self) -> SeqRange {
        SeqRange::new(self.ring.tail().seq.0, self.ring.next().0)
    }

    /// Readings lost whose declaration no gateway has acknowledged.
    pub fn lost(&self) -> SeqRange {
        SeqRange::new(self.kept_end().0, self.ring.tail().seq.0)
    }

    /// Whether everything measured is in a gateway's keeping.
    pub fn is_drained(&self) -> bool {
        self.floor == self.ring.next()
    }

    /// About how many more readings the ring takes before the oldest goes.
    pub fn ring_free(&self) -> u32 {
        self.ring.free_readings()
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The buffer that [`Self::poll_transmit`] needs to send everything; a longer one packs more readings a frame.
    pub fn transmit_len(&self) -> usize {
        let hello =
            encoded_len(hello_len(&self.identity, self.channels.declared()) + self.line.extra_bytes());
        hello.max(MIN_TRANSMIT + self.line.extra_bytes())
    }
}

/// The smallest useful transmit buffer: the longest heartbeat, and a handful of readings with their head.
const MIN_TRANSMIT: usize = 128;

/// The longest that the raw Hello frame can become.
fn hello_len(identity: &Identity<'_>, channels: &[ChannelDecl<&str>]) -> usize {
    /// Version, variant, three lengths, boot and its presence, floor, next, count, checksum.
    const FIXED: usize = 1 + 1 + 3 + 11 + 10 + 10 + 1 + 4;
    /// Two lengths, kind, scale.
    const PER_CHANNEL: usize = 4;
    let texts = identity.device.byte_len() + identity.tag.len() + identity.firmware.len();
    let declared = channels.iter().map(|channel| channel.name.byte_len() + channel.unit.len() + PER_CHANNEL);
    FIXED + texts + declared.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_takes_less_than_a_kilobyte_beside_its_ring() {
        // Pointers and alignment are wider here than on a board, where it takes less still.
        let flash = if cfg!(feature = "flash-queue") { 256 } else { 0 };
        let key = if cfg!(feature = "key") { 160 } else { 0 };
        assert!(size_of::<Node<'_, 4, &'static mut [u8]>>() <= 1_024 + flash + key);
    }
}
