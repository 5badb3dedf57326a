//! The boards: the firmware's core over TCP, and a record of all that each measured in each of its boots.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegate_protocol::{BootId, DeviceId, Reading};
use tidegate_service::Shutdown;
use tidegate_simulator::{BoardHandle, BoardPlan, BoardStatus, BootPlan, Script, VirtualBoard};

use crate::plan::BOARDS;

const READINGS_PER_S: f64 = 50.0;
/// Rides out what a run does to its link.
const RING_BYTES: usize = 1 << 20;
/// One board has a ring of some seconds: it has to give up readings, and to declare them.
const SMALL_RING_BYTES: usize = 1024;

type Readings = Arc<Mutex<Vec<Reading>>>;

/// One boot of one board.
pub struct Incarnation {
    pub device: DeviceId,
    pub boot: BootId,
    /// Names of its channels, by index.
    pub channels: Vec<String>,
    measured: Readings,
    handle: Option<BoardHandle>,
    /// What it had come to in its end.
    pub status: BoardStatus,
    /// Its plug was pulled: what it held is gone.
    pub unplugged: bool,
}

impl Incarnation {
    pub fn measured(&self) -> Vec<Reading> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was not acknowledged when its plug was pulled lies at or behind this seq: what the ring had given up last may not
    /// have been declared to anyone.
    pub fn held_from(&self) -> u64 {
        self.status.acknowledged
    }
}

pub struct Boards {
    rng: ChaCha8Rng,
    links: Vec<SocketAddr>,
    incarnations: Vec<Incarnation>,
    /// The present one of each board, in `incarnations`.
    present: Vec<usize>,
}

impl Boards {
    pub fn start(seed: u64, links: Vec<SocketAddr>) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed ^ 0xb0a2d5);
        let mut boards = Self { rng, links, incarnations: Vec::new(), present: Vec::new() };
        for board in 0..BOARDS {
            boards.plug(board);
            boards.present.push(board);
        }
        boards
    }

    fn plug(&mut self, board: usize) {
        let device = DeviceId::new(&format!("board-{board}")).expect("a slug");
        let boot = BootId(self.rng.random());
        let number = board as u64;
        let mut plan = BoardPlan::typical(device, number, self.rng.random(), READINGS_PER_S);
        plan.boot = BootPlan::Fixed(boot);
        plan.ring_bytes = if board + 1 == BOARDS { SMALL_RING_BYTES } else { RING_BYTES };
        let measured = Readings::default();
        let record = Arc::clone(&measured);
        plan.observer = Some(Arc::new(move |_, reading: &Reading| {
            record.lock().unwrap_or_else(PoisonError::into_inner).push(*reading);
        }));
        let Script::Signals { channels, .. } = &plan.script else {
            unreachable!("a typical board has signals")
        };
        let channels = channels.iter().map(|channel| channel.name.to_string()).collect();
        let handle =
            VirtualBoard::spawn(plan, self.links[board], Shutdown::new()).expect("a board from a good plan");
        let status = handle.status();
        let handle = Some(handle);
        self.incarnations.push(Incarnation {
            device,
            boot,
            channels,
            measured,
            handle,
            status,
            unplugged: false,
        });
    }

    /// Pulls the board's plug and starts it anew.
    pub async fn reboot(&mut self, board: usize) {
        let old = &mut self.incarnations[self.present[board]];
        if let Some(handle) = old.handle.take() {
            old.status = handle.stop().await;
            old.unplugged = true;
        }
        self.present[board] = self.incarnations.len();
        self.plug(board);
    }

    /// Readings measured so far.
    pub fn measured(&self) -> usize {
        let count = |one: &Incarnation| one.measured.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.incarnations.iter().map(count).sum()
    }

    pub fn stop_measuring(&self) {
        self.incarnations.iter().filter_map(|one| one.handle.as_ref()).for_each(BoardHandle::stop_measuring);
    }

    /// A board that still has something to deliver.
    pub fn unsettled(&self) -> Option<String> {
        let owes = |one: &&Incarnation| {
            let status = one.handle.as_ref().map(BoardHandle::status);
            status.is_some_and(|status| !status.done || status.settled < status.measured)
        };
        let shown =
            |one: &Incarnation| format!("{}: {:?}", one.device, one.handle.as_ref().map(BoardHandle::status));
        self.incarnations.iter().find(owes).map(shown)
    }

    /// Waits until every board has delivered or declared all it measured; who had not is told.
    pub async fn finish(&mut self, patience: Duration) -> Vec<String> {
        self.stop_measuring();
        let mut unsettled = Vec::new();
        let deadline = tokio::time::Instant::now() + patience;
        for one in &mut self.incarnations {
            let Some(handle) = one.handle.take() else { continue };
            let settled = handle.wait_until(|status| status.done && status.settled == status.measured);
            if tokio::time::timeout_at(deadline, settled).await.is_err() {
                unsettled.push(format!("{} did not deliver: {:?}", one.device, handle.status()));
            }
            one.status = handle.stop().await;
        }
        unsettled
    }

    pub fn incarnations(&self) -> &[Incarnation] {
        &self.incarnations
    }
}
