//! A virtual board: the firmware's own node core over a TCP socket, measuring by script, reconnecting for ever.
//!
//! It measures on while it is not connected, as a board does. What it holds is bounded by its plan's `ring_bytes`;
//! past that the oldest readings are lost, counted and declared. Its handle shows what became of every reading.

use std::{net::SocketAddr, time::Duration};

use tidegate_firmware::NodeError;
use tidegate_protocol::{BootId, DeviceId, Tick};
use tidegate_service::Shutdown;
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use crate::{
    link::{Heard, Link},
    plan::{BoardPlan, BootPlan},
    script::{Player, VirtualNode, declarations},
};

/// Frames are gathered up to this many bytes before they are written.
const GATHER_BYTES: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    #[error("board {device}: {problem}")]
    Plan { device: DeviceId, problem: NodeError },
    #[error("no random numbers for a boot id: {0}")]
    Entropy(getrandom::Error),
}

/// What became of a board's readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoardStatus {
    pub boot: Option<BootId>,
    pub welcomed: bool,
    /// Readings taken, whatever became of them.
    pub measured: u64,
    /// Readings that a gateway acknowledged.
    pub acknowledged: u64,
    /// Readings that the ring had no room for; each is declared.
    pub lost: u64,
    /// Readings taken, less those held and those whose loss is not acknowledged: what is settled for good.
    pub settled: u64,
    /// The script has come to its end, or measuring was stopped.
    pub done: bool,
    pub connections: u32,
    /// Readings sent more than once.
    pub repeated: u32,
    pub bad_frames: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Orders {
    measure_no_more: bool,
    stop: bool,
}

/// Starts boards.
#[derive(Debug)]
pub struct VirtualBoard;

impl VirtualBoard {
    /// Starts a board on the current runtime. It runs until it is stopped or `shutdown` is triggered.
    pub fn spawn(
        plan: BoardPlan,
        gateway: SocketAddr,
        shutdown: Shutdown,
    ) -> Result<BoardHandle, BoardError> {
        let boot = match plan.boot {
            BootPlan::Fixed(boot) => Some(boot),
            BootPlan::FromGateway => None,
            BootPlan::Random => Some(BootId(getrandom::u64().map_err(BoardError::Entropy)?)),
        };
        let device = plan.device;
        // Built once here, so that a plan that makes no board is an error of the caller's and not of a task's.
        node(&plan, &declarations(&plan.script), boot)?;
        let (status, watched) = watch::channel(BoardStatus { boot, ..BoardStatus::default() });
        let (orders, heard) = watch::channel(Orders::default());
        let task = tokio::spawn(live(plan, boot, gateway, shutdown, status, heard));
        Ok(BoardHandle { device, status: watched, orders, task })
    }
}

fn node<'a>(
    plan: &'a BoardPlan,
    channels: &'a [tidegate_protocol::ChannelDecl<&'a str>],
    boot: Option<BootId>,
) -> Result<VirtualNode<'a>, BoardError> {
    let device = plan.device;
    let identity = tidegate_firmware::Identity { device, tag: &plan.tag, firmware: FIRMWARE };
    let refused = |problem| BoardError::Plan { device, problem };
    let mut node =
        VirtualNode::new(identity, boot, channels, vec![0; plan.ring_bytes], plan.node).map_err(refused)?;
    if let Some(key) = &plan.key {
        node.set_key(key.clone()).map_err(refused)?;
    }
    Ok(node)
}

const FIRMWARE: &str = concat!("tidegate-sim ", env!("CARGO_PKG_VERSION"));

/// A running board. Dropping it leaves the board running until its shutdown is triggered.
#[derive(Debug)]
pub struct BoardHandle {
    device: DeviceId,
    status: watch::Receiver<BoardStatus>,
    orders: watch::Sender<Orders>,
    task: JoinHandle<()>,
}

impl BoardHandle {
    pub fn device(&self) -> DeviceId {
        self.device
    }

    pub fn status(&self) -> BoardStatus {
        *self.status.borrow()
    }

    pub fn measured(&self) -> u64 {
        self.status().measured
    }

    pub fn acknowledged(&self) -> u64 {
        self.status().acknowledged
    }

    pub fn lost(&self) -> u64 {
        self.status().lost
    }

    /// Resolves when the status is as asked, or the board has ended; returns it either way.
    pub async fn wait_until(&self, is: impl FnMut(&BoardStatus) -> bool) -> BoardStatus {
        let mut status = self.status.clone();
        match status.wait_for(is).await {
            Ok(status) => *status,
            Err(_) => *self.status.borrow(),
        }
    }

    /// Resolves when all that has been measured by now is settled: acknowledged, or lost and its loss acknowledged.
    pub async fn wait_acknowledged(&self) -> BoardStatus {
        let measured = self.measured();
        self.wait_until(|status| status.settled >= measured).await
    }

    /// The board takes no more readings; it goes on sending what it holds.
    pub fn stop_measuring(&self) {
        self.orders.send_modify(|orders| orders.measure_no_more = true);
    }

    /// Stops measuring, waits until all is settled, and ends the board. Bound it with a timeout.
    pub async fn finish(self) -> BoardStatus {
        self.stop_measuring();
        self.wait_until(|status| status.done).await;
        self.wait_acknowledged().await;
        self.stop().await
    }

    /// Ends the board at once, as pulling its plug does: what it holds is gone.
    pub async fn stop(self) -> BoardStatus {
        self.orders.send_modify(|orders| orders.stop = true);
        // A task that panicked has told what it had; its status is the last one it showed.
        let _ended = self.task.await;
        *self.status.borrow()
    }
}

struct Board<'a> {
    plan: &'a BoardPlan,
    node: VirtualNode<'a>,
    player: Player<'a>,
    link: Link,
    measured: u64,
    lost: u64,
    measuring: bool,
}

async fn live(
    plan: BoardPlan,
    boot: Option<BootId>,
    gateway: SocketAddr,
    shutdown: Shutdown,
    status: watch::Sender<BoardStatus>,
    mut orders: watch::Receiver<Orders>,
) {
    let channels = declarations(&plan.script);
    let Ok(mut node) = node(&plan, &channels, boot) else { return };
    let player = Player::new(&plan.script, &mut node);
    let link = Link::new(gateway);
    let mut board = Board { plan: &plan, node, player, link, measured: 0, lost: 0, measuring: true };
    let started = Instant::now();
    let now = || Tick(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    loop {
        board.turn(now());
        board.show(&status);
        let Orders { measure_no_more, stop } = *orders.borrow_and_update();
        if stop || shutdown.is_triggered() {
            return;
        }
        board.measuring = !measure_no_more;
        let wakeup = board.wakeup(now());
        let owed = !board.node.is_drained() || !board.node.is_welcomed();
        let timer = tokio::time::sleep_until(started + Duration::from_millis(wakeup.0));
        tokio::select! {
            // Sending and hearing come first: a board whose script never rests must still listen.
            biased;
            () = shutdown.wait() => return,
            heard = board.link.wait(now(), owed) => board.hear(heard, now()),
            changed = orders.changed() => {
                // Without a handle nobody can stop this board but its shutdown.
                if changed.is_err() {
                    shutdown.wait().await;
                    return;
                }
            }
            () = timer => {}
        }
    }
}

impl Board<'_> {
    /// Measures what is due and hands frames to the link.
    fn turn(&mut self, now: Tick) {
        let oldest = self.node.held().start;
        if self.measuring {
            let Self { plan, node, player, measured, .. } = self;
            player.play(node, now, |reading| {
                *measured += 1;
                if let Some(observer) = &plan.observer {
                    observer(&plan.device, &reading);
                }
            });
        }
        self.lost += self.node.held().start - oldest;
        self.link.gather(GATHER_BYTES, |out| self.node.poll_transmit(now, out));
    }

    fn hear(&mut self, heard: Heard, now: Tick) {
        match heard {
            Heard::Connected => self.node.link_up(now),
            Heard::Bytes => {
                self.link.drain_received(|bytes| self.node.receive(now, bytes));
                if self.node.is_welcomed() {
                    self.link.is_good();
                }
            }
            Heard::Written => {}
            Heard::Down(reason) => {
                tracing::debug!(device = %self.plan.device, %reason, "link down");
                self.node.link_down();
            }
        }
    }

    fn wakeup(&self, now: Tick) -> Tick {
        /// A look around, should nothing else call.
        const IDLE_MS: u64 = 1_000;
        let player = if self.measuring { self.player.next_at(&self.node) } else { None };
        // While frames wait for the socket, more of them must not turn this loop into a busy one.
        let node = if self.link.is_choked() { None } else { self.node.next_wakeup(now) };
        let times = [player, node, self.link.deadline()];
        times.into_iter().flatten().min().unwrap_or(Tick(u64::MAX)).min(Tick(now.0 + IDLE_MS))
    }

    fn show(&self, status: &watch::Sender<BoardStatus>) {
        let held = self.node.held();
        let pending = self.node.next_seq().0 - self.node.floor().0;
        let shown = BoardStatus {
            boot: self.node.boot(),
            welcomed: self.node.is_welcomed(),
            measured: self.measured,
            acknowledged: self.measured - self.lost - held.len(),
            lost: self.lost,
            settled: self.measured - pending,
            done: !self.measuring || self.player.is_done(),
            connections: self.link.connections(),
            repeated: self.node.counters().repeated,
            bad_frames: self.node.counters().bad_frames,
        };
        status.send_if_modified(|status| {
            let changed = *status != shown;
            *status = shown;
            changed
        });
    }
}
