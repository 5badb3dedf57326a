//! A shell for boards with an executor (embassy, RTIC): three loops over one node, joined in one task.
//!
//! ```ignore
//! let node = RefCell::new(node);
//! join3(
//!     asynchronous::receive(&node, uart_rx, now),
//!     asynchronous::transmit(&node, uart_tx, &mut buffer, Delay, now),
//!     asynchronous::sample(&node, &mut sensor, Delay, now),
//! ).await
//! ```
//! The node is borrowed between awaits only, so the loops must share one executor; that is also why a `RefCell`
//! is enough. Each ends only with an error, which is for the caller to answer (reconnect, then start them again).
//! [`Watched`] has the same three under a watchdog.

use core::{
    cell::{Cell, RefCell},
    convert::Infallible,
};

use embedded_hal_async::delay::DelayNs;
use embedded_io_async::{Read, Write};
use tidegate_protocol::{Quality, Tick, Value, id::ChannelIndex};

use crate::{
    backing::{Backing, RamOnly},
    blocking::LinkError,
    channels::SampleError,
    node::Node,
    sampler::Sensor,
    watchdog::{NoWatchdog, Watchdog},
};

const RECEIVE_BYTES: usize = 64;
/// How late a sample or a received frame may be noticed by the other loops.
const LOOK_MS: u64 = 10;

/// Why the receiving loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ReceiveError<E> {
    #[error("the link failed: {0}")]
    Io(E),
    #[error("the other side closed the link")]
    Closed,
}

/// A [`Sensor`] that waits for its chip (embedded-hal-async) while the other loops go on. Every `Sensor` is one that never waits.
// Its futures stay on one executor, so nobody needs them to be `Send`.
#[allow(async_fn_in_trait)]
pub trait AsyncSensor {
    async fn measure(&mut self, channel: ChannelIndex) -> (Value, Quality);
}

impl<T: Sensor> AsyncSensor for T {
    async fn measure(&mut self, channel: ChannelIndex) -> (Value, Quality) {
        Sensor::measure(self, channel)
    }
}

/// Gives the node what comes. Ends with the link.
pub async fn receive<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>, R: Read>(
    node: &RefCell<Node<'_, CHANNELS, S>>,
    reader: R,
    now: impl Fn() -> Tick,
) -> Result<Infallible, ReceiveError<R::Error>> {
    Watched::new(NoWatchdog).receive(node, reader, now).await
}

/// Says Hello and sends what the node has. `buffer` holds at least [`Node::transmit_len`] bytes. Ends with the link.
pub async fn transmit<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>, W: Write>(
    node: &RefCell<Node<'_, CHANNELS, S>>,
    writer: W,
    buffer: &mut [u8],
    delay: impl DelayNs,
    now: impl Fn() -> Tick,
) -> Result<Infallible, LinkError<W::Error>> {
    Watched::new(NoWatchdog).transmit(node, writer, buffer, delay, now).await
}

/// Samples the polled channels as they fall due. Ends only when the sensor gives what its channel does not take.
pub async fn sample<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
    node: &RefCell<Node<'_, CHANNELS, S>>,
    sensor: &mut impl AsyncSensor,
    delay: impl DelayNs,
    now: impl Fn() -> Tick,
) -> Result<Infallible, SampleError> {
    Watched::new(NoWatchdog).sample(node, sensor, delay, now).await
}

/// The three loops under a watchdog. It is fed each time that both transmitting and sampling have gone round, as long as receiving waits
/// for bytes: a silent line is no fault, and a loop that hangs or has ended is one.
#[derive(Debug)]
pub struct Watched<W> {
    watchdog: RefCell<W>,
    is_receiving: Cell<bool>,
    has_transmitted: Cell<bool>,
    has_sampled: Cell<bool>,
}

impl<W: Watchdog> Watched<W> {
    pub const fn new(watchdog: W) -> Self {
        Self {
            watchdog: RefCell::new(watchdog),
            is_receiving: Cell::new(false),
            has_transmitted: Cell::new(false),
            has_sampled: Cell::new(false),
        }
    }

    /// As [`receive`].
    pub async fn receive<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>, R: Read>(
        &self,
        node: &RefCell<Node<'_, CHANNELS, S>>,
        mut reader: R,
        now: impl Fn() -> Tick,
    ) -> Result<Infallible, ReceiveError<R::Error>> {
        let _until_it_ends = Receiving::begin(&self.is_receiving);
        let mut received = [0; RECEIVE_BYTES];
        loop {
            let len = reader.read(&mut received).await.map_err(ReceiveError::Io)?;
            if len == 0 {
                node.borrow_mut().link_down();
                return Err(ReceiveError::Closed);
            }
            node.borrow_mut().receive(now(), received.get(..len).unwrap_or_default());
        }
    }

    /// As [`transmit`].
    pub async fn transmit<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>, L: Write>(
        &self,
        node: &RefCell<Node<'_, CHANNELS, S>>,
        writer: L,
        buffer: &mut [u8],
        delay: impl DelayNs,
        now: impl Fn() -> Tick,
    ) -> Result<Infallible, LinkError<L::Error>> {
        self.transmit_with(node, &mut RamOnly, writer, buffer, delay, now).await
    }

    /// As [`transmit`], with flash behind the node.
    pub async fn transmit_with<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>, L: Write>(
        &self,
        node: &RefCell<Node<'_, CHANNELS, S>>,
        backing: &mut impl Backing,
        mut writer: L,
        buffer: &mut [u8],
        mut delay: impl DelayNs,
        now: impl Fn() -> Tick,
    ) -> Result<Infallible, LinkError<L::Error>> {
        let (have, need) = (buffer.len(), node.borrow().transmit_len());
        if have < need {
            return Err(LinkError::BufferTooShort { have, need });
        }
        node.borrow_mut().link_up(now());
        loop {
            let mut frame = node.borrow_mut().poll_transmit(now(), buffer);
            let mut has_worked = false;
            if frame.is_none() && backing.prepare(&node.borrow(), now()) {
                backing.work().await;
                frame = backing.report(&mut node.borrow_mut(), now(), buffer);
                has_worked = true;
            }
            match frame.and_then(|len| buffer.get(..len)) {
                Some(frame) => {
                    if let Err(error) = send(&mut writer, frame).await {
                        node.borrow_mut().link_down();
                        return Err(LinkError::Io(error));
                    }
                }
                None => {
                    let until = if has_worked { Some(now()) } else { node.borrow().next_wakeup(now()) };
                    let wait = wait_ms(until, now());
                    delay.delay_ms(wait).await;
                }
            }
            self.went_round(&self.has_transmitted);
        }
    }

    /// As [`sample`].
    pub async fn sample<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &self,
        node: &RefCell<Node<'_, CHANNELS, S>>,
        sensor: &mut impl AsyncSensor,
        mut delay: impl DelayNs,
        now: impl Fn() -> Tick,
    ) -> Result<Infallible, SampleError> {
        loop {
            // Of one time, so that measurements which take longer than their period do not make a round without an end.
            let round = now();
            while let Some(channel) = due(node, round) {
                let (value, quality) = sensor.measure(channel).await;
                node.borrow_mut().sample(channel, value, quality, now())?;
            }
            delay.delay_ms(wait_ms(None, now())).await;
            self.went_round(&self.has_sampled);
        }
    }

    fn went_round(&self, which: &Cell<bool>) {
        which.set(true);
        if self.is_receiving.get() && self.has_transmitted.get() && self.has_sampled.get() {
            self.has_transmitted.set(false);
            self.has_sampled.set(false);
            self.watchdog.borrow_mut().feed();
        }
    }
}

/// Says that the receiving loop runs, until it ends or is dropped.
struct Receiving<'a>(&'a Cell<bool>);

impl<'a> Receiving<'a> {
    fn begin(is_receiving: &'a Cell<bool>) -> Self {
        is_receiving.set(true);
        Self(is_receiving)
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Apart, so that the node is free again when the sensor is asked.
fn due<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
    node: &RefCell<Node<'_, CHANNELS, S>>,
    round: Tick,
) -> Option<ChannelIndex> {
    node.borrow_mut().due(round)
}

async fn send<W: Write>(writer: &mut W, frame: &[u8]) -> Result<(), W::Error> {
    writer.write_all(frame).await?;
    writer.flush().await
}

/// At least a millisecond, so that no loop keeps the others from running.
fn wait_ms(until: Option<Tick>, now: Tick) -> u32 {
    let wait = until.map_or(LOOK_MS, |until| until.0.saturating_sub(now.0));
    wait.clamp(1, LOOK_MS) as u32
}
