//! Sensors as channels: the seam between drivers (embedded-hal 1.0) and the node.

use core::convert::Infallible;

use embedded_hal::{delay::DelayNs, digital::InputPin};
use embedded_io::{Read, ReadReady, Write};
use tidegate_protocol::{Quality, Tick, Value, id::ChannelIndex};

use crate::{
    blocking::{BlockingLink, LinkError, Turn},
    channels::SampleError,
    node::Node,
    watchdog::{NoWatchdog, Watchdog},
};

/// Something that can be asked for a channel's value. A driver that fails answers with its last or a neutral value
/// and [`Quality::Bad`]: that a sensor does not answer is worth a reading, too.
pub trait Sensor {
    fn measure(&mut self, channel: ChannelIndex) -> (Value, Quality);
}

impl<F: FnMut(ChannelIndex) -> (Value, Quality)> Sensor for F {
    fn measure(&mut self, channel: ChannelIndex) -> (Value, Quality) {
        self(channel)
    }
}

/// A contact on an input pin: a door, a float switch.
#[derive(Debug)]
pub struct Contact<P> {
    pin: P,
    last: bool,
}

impl<P: InputPin> Contact<P> {
    pub const fn new(pin: P) -> Self {
        Self { pin, last: false }
    }
}

impl<P: InputPin> Sensor for Contact<P> {
    fn measure(&mut self, _channel: ChannelIndex) -> (Value, Quality) {
        match self.pin.is_high() {
            Ok(high) => {
                self.last = high;
                (Value::Bool(high), Quality::Good)
            }
            Err(_) => (Value::Bool(self.last), Quality::Bad),
        }
    }
}

/// Samples every channel whose time has come.
pub fn sample_due<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
    node: &mut Node<'_, CHANNELS, S>,
    sensor: &mut impl Sensor,
    now: Tick,
) -> Result<(), SampleError> {
    while let Some(channel) = node.due(now) {
        let (value, quality) = sensor.measure(channel);
        node.sample(channel, value, quality, now)?;
    }
    Ok(())
}

/// Why a board's main loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RunError<E> {
    #[error(transparent)]
    Sample(#[from] SampleError),
    #[error(transparent)]
    Link(#[from] LinkError<E>),
}

/// How long the loop sleeps at most, so that frames from the gateway are not left lying.
const LOOK_MS: u64 = 5;

/// A board's main loop: samples, sends, sleeps. Ends with an error only; after one of the link, start it again.
pub fn run<const CHANNELS: usize, const TRANSMIT_BYTES: usize, S, L, D>(
    node: &mut Node<'_, CHANNELS, S>,
    link: &mut BlockingLink<L, TRANSMIT_BYTES>,
    sensor: &mut impl Sensor,
    delay: &mut D,
    now: impl FnMut() -> Tick,
) -> Result<Infallible, RunError<L::Error>>
where
    S: AsRef<[u8]> + AsMut<[u8]>,
    L: Read + ReadReady + Write,
    D: DelayNs,
{
    run_watched(node, link, sensor, delay, &mut NoWatchdog, now)
}

/// The same under a watchdog, which is fed after each round: not while a measurement or the link hangs.
pub fn run_watched<const CHANNELS: usize, const TRANSMIT_BYTES: usize, S, L, D>(
    node: &mut Node<'_, CHANNELS, S>,
    link: &mut BlockingLink<L, TRANSMIT_BYTES>,
    sensor: &mut impl Sensor,
    delay: &mut D,
    watchdog: &mut impl Watchdog,
    mut now: impl FnMut() -> Tick,
) -> Result<Infallible, RunError<L::Error>>
where
    S: AsRef<[u8]> + AsMut<[u8]>,
    L: Read + ReadReady + Write,
    D: DelayNs,
{
    loop {
        sample_due(node, sensor, now())?;
        let turn = link.turn(node, now())?;
        watchdog.feed();
        if let Turn::IdleUntil(until) = turn {
            let wait = until.map_or(LOOK_MS, |until| until.0.saturating_sub(now().0));
            delay.delay_ms(wait.min(LOOK_MS) as u32);
        }
    }
}
