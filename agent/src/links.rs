//! Where frames to boards go: one short queue per open link.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tidegate_protocol::frame::{Down, keyed::Challenge};
use tidegate_service::places::Full;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::core::LinkId;

/// Frames that wait for a slow link. Beyond it they are dropped: acknowledgements are cumulative, and a board that
/// misses a Welcome says Hello again.
const WAITING_FRAMES: usize = 64;

/// What goes to a board.
#[derive(Clone, Copy, Debug)]
pub enum ToBoard {
    Frame(Down),
    Challenge(Challenge),
}

#[derive(Clone, Default)]
pub struct Links {
    open: Arc<Mutex<HashMap<LinkId, Sender<ToBoard>>>>,
    next: Arc<AtomicU64>,
    refused_in_all: Arc<AtomicU64>,
    refused_of_address: Arc<AtomicU64>,
}

impl Links {
    pub fn open(&self) -> (LinkId, Receiver<ToBoard>) {
        let link = LinkId(self.next.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = channel(WAITING_FRAMES);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(link, sender);
        (link, receiver)
    }

    /// A board found no place.
    pub fn refused(&self, why: Full) {
        let count = match why {
            Full::All => &self.refused_in_all,
            Full::OfAddress => &self.refused_of_address,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were, by the setting that bounds them.
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        let counts =
            [("max-links", &self.refused_in_all), ("max-links-per-address", &self.refused_of_address)];
        counts.into_iter().map(|(why, count)| (why, count.load(Ordering::Relaxed))).collect()
    }

    pub fn close(&self, link: LinkId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&link);
    }

    pub fn send(&self, link: LinkId, frame: ToBoard) {
        if let Some(sender) = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&link) {
            let _full_or_gone = sender.try_send(frame);
        }
    }
}
