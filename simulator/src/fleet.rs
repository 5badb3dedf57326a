//! Many boards at once.

use std::{net::SocketAddr, time::Duration};

use tidegate_protocol::DeviceId;
use tidegate_service::Shutdown;

use crate::{
    board::{BoardError, BoardHandle, BoardStatus, VirtualBoard},
    fault::{Fault, FaultKind},
    plan::{BoardPlan, BootPlan, Script},
};

#[derive(Clone, Debug)]
pub struct FleetPlan {
    pub boards: u64,
    /// Readings a second of each board.
    pub rate: f64,
    pub seed: u64,
    /// Devices are named `{prefix}-000`, `{prefix}-001` …
    pub prefix: String,
    pub ring_bytes: usize,
    pub boot: BootPlan,
}

/// From some 20 degrees to over 80 within nine seconds, once a minute.
const OVERHEATING: Fault =
    Fault { kind: FaultKind::Drift { per_s: 8.0 }, from_ms: 5_000, for_ms: 9_000, every_ms: 60_000 };
const STAGGER_MS: u64 = 2_500;

/// The highest rate of one board: its fewest channels (three) once a millisecond.
pub const MAX_RATE: f64 = 3_000.0;
pub const MAX_BOARDS: u64 = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error("a fleet has 1 to {MAX_BOARDS} boards, not {0}")]
    Boards(u64),
    #[error("a board gives more than 0 and at most {MAX_RATE} readings a second, not {0}")]
    Rate(f64),
    #[error("`{0}` cannot begin a device's name: use a-z, 0-9 and -, at most 26 characters")]
    Prefix(String),
    #[error(transparent)]
    Board(#[from] BoardError),
}

/// What became of all boards' readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetStatus {
    pub boards: usize,
    pub welcomed: usize,
    pub measured: u64,
    pub acknowledged: u64,
    pub lost: u64,
    pub settled: u64,
}

impl FleetStatus {
    fn add(mut self, status: &BoardStatus) -> Self {
        self.boards += 1;
        self.welcomed += usize::from(status.welcomed);
        self.measured += status.measured;
        self.acknowledged += status.acknowledged;
        self.lost += status.lost;
        self.settled += status.settled;
        self
    }
}

/// Lets room thermometers run hot now and then, one board after the other, so that there is an alarm to see.
pub fn overheat(plans: &mut [BoardPlan]) {
    for (number, plan) in (0..).zip(plans) {
        let Script::Signals { channels, .. } = &mut plan.script else { continue };
        for channel in channels.iter_mut().filter(|channel| channel.name.as_str() == "temperature") {
            channel.faults.push(Fault { from_ms: OVERHEATING.from_ms + number * STAGGER_MS, ..OVERHEATING });
        }
    }
}

#[derive(Debug)]
pub struct Fleet {
    boards: Vec<BoardHandle>,
}

impl Fleet {
    pub fn plans(plan: &FleetPlan) -> Result<Vec<BoardPlan>, FleetError> {
        if !(1..=MAX_BOARDS).contains(&plan.boards) {
            return Err(FleetError::Boards(plan.boards));
        }
        if !(plan.rate > 0.0 && plan.rate <= MAX_RATE) {
            return Err(FleetError::Rate(plan.rate));
        }
        let board = |number| {
            let name = format!("{}-{number:03}", plan.prefix);
            let device = DeviceId::new(&name).map_err(|_| FleetError::Prefix(plan.prefix.clone()))?;
            let typical = BoardPlan::typical(device, number, plan.seed, plan.rate);
            Ok(BoardPlan { ring_bytes: plan.ring_bytes, boot: plan.boot, ..typical })
        };
        (0..plan.boards).map(board).collect()
    }

    pub fn spawn(plan: &FleetPlan, gateway: SocketAddr, shutdown: &Shutdown) -> Result<Self, FleetError> {
        Self::spawn_plans(Self::plans(plan)?, gateway, shutdown)
    }

    pub fn spawn_plans(
        plans: Vec<BoardPlan>,
        gateway: SocketAddr,
        shutdown: &Shutdown,
    ) -> Result<Self, FleetError> {
        let spawn = |plan| VirtualBoard::spawn(plan, gateway, shutdown.clone());
        let boards = plans.into_iter().map(spawn).collect::<Result<_, _>>()?;
        Ok(Self { boards })
    }

    pub fn boards(&self) -> &[BoardHandle] {
        &self.boards
    }

    pub fn status(&self) -> FleetStatus {
        self.boards.iter().fold(FleetStatus::default(), |sum, board| sum.add(&board.status()))
    }

    /// Every board has stopped measuring and all it measured is settled. Until a board is done it may take one more
    /// reading, so the sums alone do not tell.
    pub fn is_settled(&self) -> bool {
        let settled = |status: BoardStatus| status.done && status.settled == status.measured;
        self.boards.iter().all(|board| settled(board.status()))
    }

    /// No board takes more readings; what they hold goes on being sent.
    pub fn stop_measuring(&self) {
        self.boards.iter().for_each(BoardHandle::stop_measuring);
    }

    /// Stops measuring, waits at most `patience` until all is settled, and ends the boards.
    pub async fn finish(self, patience: Duration) -> FleetStatus {
        self.stop_measuring();
        let settled = async {
            for board in &self.boards {
                board.wait_until(|status| status.done && status.settled == status.measured).await;
            }
        };
        // Out of patience is no error here: the status tells what is not settled.
        let _in_time = tokio::time::timeout(patience, settled).await;
        let mut sum = FleetStatus::default();
        for board in self.boards {
            sum = sum.add(&board.stop().await);
        }
        sum
    }
}
