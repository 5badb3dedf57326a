//! A UART as the link that a node is joined to: the receiver is emptied by interrupt, since it holds a few bytes only and
//! sending a frame takes longer than that; the sender is polled.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, ReadReady, Write};

use crate::received::Received;

/// A UART that is set up, and whose interrupt puts what comes into [`Received`].
pub trait Sender {
    /// Waits until the byte is taken.
    fn send(&mut self, byte: u8);
}

pub struct Serial<S> {
    sender: S,
    received: &'static Received,
}

impl<S: Sender> Serial<S> {
    pub const fn new(sender: S, received: &'static Received) -> Self {
        Self { sender, received }
    }
}

impl<S> ErrorType for Serial<S> {
    type Error = Infallible;
}

impl<S> ReadReady for Serial<S> {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(!self.received.is_empty())
    }
}

impl<S> Read for Serial<S> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        Ok(self.received.read(buffer))
    }
}

impl<S: Sender> Write for Serial<S> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        bytes.iter().for_each(|byte| self.sender.send(*byte));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
