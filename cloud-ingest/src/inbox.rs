//! What waits for the core: live and alarm blocks, births, before backlog. So a backlog that drains does not hold up what
//! is happening now.
//!
//! The bound is [`WAITING_BYTES`] for blocks of each kind: at it the broker's connection is not read. Agents that keep to
//! their credit never reach it. What waits is a copy of its own: what the client read is a part of its buffer, which grew to the
//! largest message, and would be held as a whole by the smallest.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_protocol::{block::MAX_BLOCK_BYTES, topic::Lane};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::core::Event;

/// Bytes of blocks that wait, for each of the two kinds.
pub const WAITING_BYTES: usize = 32 * 1024 * 1024;
/// Even an empty message takes this much of it, which bounds their number.
const LEAST_BYTES: usize = 4 * 1024;

struct Waiting {
    event: Event,
    /// Given back when the event is taken.
    _room: OwnedSemaphorePermit,
}

/// Where the intake puts what it hears.
#[derive(Clone)]
pub struct Postbox {
    urgent: Lot,
    backlog: Lot,
}

#[derive(Clone)]
struct Lot {
    sender: mpsc::UnboundedSender<Waiting>,
    room: Arc<Semaphore>,
}

/// Where the core takes it from.
pub struct Inbox {
    urgent: mpsc::UnboundedReceiver<Waiting>,
    backlog: mpsc::UnboundedReceiver<Waiting>,
}

pub fn inbox() -> (Postbox, Inbox) {
    let lot = || {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Lot { sender, room: Arc::new(Semaphore::new(WAITING_BYTES)) }, receiver)
    };
    let ((urgent, urgent_receiver), (backlog, backlog_receiver)) = (lot(), lot());
    (Postbox { urgent, backlog }, Inbox { urgent: urgent_receiver, backlog: backlog_receiver })
}

impl Postbox {
    /// Waits for room. What nobody takes any more is dropped: the core has stopped.
    pub async fn put(&self, mut event: Event) {
        let (lot, bytes) = match &event {
            Event::Block { lane: Lane::Backlog | Lane::Bulk, bytes, .. } => (&self.backlog, bytes.len()),
            Event::Block { bytes, .. } => (&self.urgent, bytes.len()),
            _ => (&self.urgent, 0),
        };
        let takes = bytes.clamp(LEAST_BYTES, MAX_BLOCK_BYTES.max(LEAST_BYTES)) as u32;
        if let Ok(room) = Arc::clone(&lot.room).acquire_many_owned(takes).await {
            if let Event::Block { bytes, .. } = &mut event {
                *bytes = Bytes::copy_from_slice(bytes);
            }
            let _core_has_stopped = lot.sender.send(Waiting { event, _room: room });
        }
    }
}

impl Inbox {
    /// The next event, the urgent first; `None` when the intake is gone. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Event> {
        let waiting = tokio::select! {
            biased;
            Some(waiting) = self.urgent.recv() => waiting,
            Some(waiting) = self.backlog.recv() => waiting,
            else => return None,
        };
        Some(waiting.event)
    }

    pub fn try_recv(&mut self) -> Option<Event> {
        let waiting = self.urgent.try_recv().or_else(|_| self.backlog.try_recv());
        waiting.ok().map(|waiting| waiting.event)
    }

    pub fn is_closed(&self) -> bool {
        self.urgent.is_closed() && self.backlog.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{GatewayId, SiteId, topic::GatewayPath};

    use super::*;

    fn block(lane: Lane, len: usize) -> Event {
        let from = GatewayPath::new(SiteId::new("plant").unwrap(), GatewayId::new("gw-a").unwrap());
        Event::Block { from, lane, bytes: Bytes::from(vec![0; len]), arrival_unix_ms: 0 }
    }

    fn lane(event: Option<Event>) -> Option<Lane> {
        match event {
            Some(Event::Block { lane, .. }) => Some(lane),
            _ => None,
        }
    }

    #[tokio::test]
    async fn what_happens_now_passes_what_waited() {
        let (postbox, mut inbox) = inbox();
        for lane in [Lane::Backlog, Lane::Bulk, Lane::Live, Lane::Alarm] {
            postbox.put(block(lane, 10)).await;
        }
        let order = [
            lane(inbox.recv().await),
            lane(inbox.try_recv()),
            lane(inbox.recv().await),
            lane(inbox.try_recv()),
        ];
        assert_eq!(order, [Lane::Live, Lane::Alarm, Lane::Backlog, Lane::Bulk].map(Some));
        assert!(inbox.try_recv().is_none());
    }

    #[tokio::test]
    async fn a_full_backlog_holds_up_its_sender_and_not_the_live_lane() {
        let (postbox, mut inbox) = inbox();
        for _ in 0..WAITING_BYTES / MAX_BLOCK_BYTES {
            postbox.put(block(Lane::Backlog, MAX_BLOCK_BYTES)).await;
        }
        let mut one_more = Box::pin(postbox.put(block(Lane::Backlog, 1)));
        assert!(futures_util::poll!(&mut one_more).is_pending());
        postbox.put(block(Lane::Live, 1)).await;
        assert_eq!(lane(inbox.recv().await), Some(Lane::Live));
        assert!(futures_util::poll!(&mut one_more).is_pending());
        assert_eq!(lane(inbox.recv().await), Some(Lane::Backlog));
        one_more.await;
    }

    /// As the client brings them: parts of one buffer.
    #[tokio::test]
    async fn what_waits_holds_no_more_than_itself() {
        let (postbox, mut inbox) = inbox();
        let read = Bytes::from(vec![7; 1024 * 1024]);
        for (lane, part) in [(Lane::Live, 10..20), (Lane::Backlog, 0..MAX_BLOCK_BYTES)] {
            let Event::Block { from, arrival_unix_ms, .. } = block(lane, 0) else { unreachable!("a block") };
            postbox.put(Event::Block { from, lane, bytes: read.slice(part), arrival_unix_ms }).await;
        }
        assert!(read.is_unique(), "nothing that waits is a part of it");
        for expected in [10, MAX_BLOCK_BYTES] {
            let Some(Event::Block { bytes, .. }) = inbox.recv().await else { panic!("a block waits") };
            assert_eq!(bytes, vec![7; expected]);
        }
    }
}
