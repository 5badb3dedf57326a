//! What stands behind a node besides its ring: flash, or nothing.

use tidegate_protocol::Tick;

use crate::node::Node;

/// Works for a node in steps of three parts, so that no node is borrowed while flash works: look, work, tell. A pair is one that does both.
pub trait Backing {
    /// Whether there is something to do: then [`Self::work`] and [`Self::report`] follow. Asked when the node has nothing to send.
    fn prepare<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        node: &Node<'_, CHANNELS, S>,
        now: Tick,
    ) -> bool;

    /// Does it.
    fn work(&mut self) -> impl Future<Output = ()>;

    /// Tells the node what came of it, and writes the frame that is to be sent, if it is one; its length.
    fn report<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        node: &mut Node<'_, CHANNELS, S>,
        now: Tick,
        out: &mut [u8],
    ) -> Option<usize>;
}

/// A board without flash to write to.
#[derive(Clone, Copy, Debug, Default)]
pub struct RamOnly;

impl Backing for RamOnly {
    fn prepare<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        _node: &Node<'_, CHANNELS, S>,
        _now: Tick,
    ) -> bool {
        false
    }

    async fn work(&mut self) {}

    fn report<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        _node: &mut Node<'_, CHANNELS, S>,
        _now: Tick,
        _out: &mut [u8],
    ) -> Option<usize> {
        None
    }
}

impl<A: Backing, B: Backing> Backing for (A, B) {
    fn prepare<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        node: &Node<'_, CHANNELS, S>,
        now: Tick,
    ) -> bool {
        let (first, second) = (self.0.prepare(node, now), self.1.prepare(node, now));
        first || second
    }

    async fn work(&mut self) {
        self.0.work().await;
        self.1.work().await;
    }

    fn report<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        node: &mut Node<'_, CHANNELS, S>,
        now: Tick,
        out: &mut [u8],
    ) -> Option<usize> {
        match self.0.report(node, now, out) {
            // The second writes no frame over that of the first: it is told of nothing to send.
            Some(len) => {
                self.1.report(node, now, &mut []);
                Some(len)
            }
            None => self.1.report(node, now, out),
        }
    }
}
