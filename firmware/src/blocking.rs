//! A shell for boards without an executor: a link of embedded-io, pumped from the main loop.

use core::task::{Context, Poll, Waker};

use embedded_io::{Read, ReadReady, Write};
use tidegate_protocol::Tick;

use crate::{
    backing::{Backing, RamOnly},
    node::Node,
};

/// Read at once; what comes meanwhile waits in the driver, whose buffer bounds it.
const RECEIVE_BYTES: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LinkError<E> {
    /// The driver failed. The node says Hello again with the next turn.
    #[error("the link failed: {0}")]
    Io(E),
    /// A mistake in the firmware: `TRANSMIT_BYTES` is below [`Node::transmit_len`].
    #[error("the link's transmit buffer has {have} bytes, and this node's Hello needs {need}")]
    BufferTooShort { have: usize, need: usize },
}

/// What a turn did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Turn {
    /// Bytes moved; there may be more: take the next turn at once, after a look at the sensors.
    Moved,
    /// Nothing to do before this tick, unless a sample is taken or bytes come. None: nothing at all.
    IdleUntil(Option<Tick>),
}

/// Joins a node to a serial line or a socket. One frame is sent per turn, so that sampling is never held up by more
/// than a frame's time on the line. `TRANSMIT_BYTES` is at least [`Node::transmit_len`]; 256 is enough for three
/// channels, and more packs more readings in a frame.
#[derive(Debug)]
pub struct BlockingLink<L, const TRANSMIT_BYTES: usize> {
    link: L,
    is_up: bool,
    transmit: [u8; TRANSMIT_BYTES],
}

impl<L: Read + ReadReady + Write, const TRANSMIT_BYTES: usize> BlockingLink<L, TRANSMIT_BYTES> {
    pub const fn new(link: L) -> Self {
        Self { link, is_up: false, transmit: [0; TRANSMIT_BYTES] }
    }

    /// Gives the node what has come, and sends its next frame.
    pub fn turn<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        node: &mut Node<'_, CHANNELS, S>,
        now: Tick,
    ) -> Result<Turn, LinkError<L::Error>> {
        self.turn_with(node, &mut RamOnly, now)
    }

    /// The same with flash behind the node; it waits for the flash.
    pub fn turn_with<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        node: &mut Node<'_, CHANNELS, S>,
        backing: &mut impl Backing,
        now: Tick,
    ) -> Result<Turn, LinkError<L::Error>> {
        if !self.is_up {
            let need = node.transmit_len();
            if TRANSMIT_BYTES < need {
                return Err(LinkError::BufferTooShort { have: TRANSMIT_BYTES, need });
            }
            node.link_up(now);
            self.is_up = true;
        }
        let moved = self.exchange(node, backing, now).map_err(|error| {
            node.link_down();
            self.is_up = false;
            LinkError::Io(error)
        })?;
        Ok(if moved { Turn::Moved } else { Turn::IdleUntil(node.next_wakeup(now)) })
    }

    fn exchange<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        node: &mut Node<'_, CHANNELS, S>,
        backing: &mut impl Backing,
        now: Tick,
    ) -> Result<bool, L::Error> {
        let mut moved = false;
        while self.link.read_ready()? {
            let mut received = [0; RECEIVE_BYTES];
            let len = self.link.read(&mut received)?;
            if len == 0 {
                break;
            }
            node.receive(now, received.get(..len).unwrap_or_default());
            moved = true;
        }
        let mut frame = node.poll_transmit(now, &mut self.transmit);
        if frame.is_none() && backing.prepare(node, now) {
            finish(backing.work());
            frame = backing.report(node, now, &mut self.transmit);
            moved = true;
        }
        if let Some(frame) = frame.and_then(|len| self.transmit.get(..len)) {
            self.link.write_all(frame)?;
            self.link.flush()?;
            moved = true;
        }
        Ok(moved)
    }

    /// Gives the driver back.
    pub fn release(self) -> L {
        self.link
    }
}

/// Runs what waits for nothing but flash, which an embedded-storage driver that blocks never leaves pending.
pub fn finish<F: Future>(work: F) -> F::Output {
    let mut work = core::pin::pin!(work);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
            return done;
        }
    }
}
