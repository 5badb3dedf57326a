//! What the boards without sensors of their own measure: things that a reader can hold against the source.

use core::{cell::RefCell, convert::Infallible};

use embassy_futures::select::select3;
use embedded_hal::delay::DelayNs;
use embedded_io::{Read, ReadReady, Write};
pub use tidegate_firmware::watchdog::NoWatchdog;
use tidegate_firmware::{
    Backing, BlockingLink, Identity, Node, NodeConfig, NodeError, RamOnly, Sampling,
    asynchronous::{ReceiveError, Watched},
    channel,
    sampler::{self, Sensor},
    watchdog::Watchdog,
};
use tidegate_protocol::{
    BootId, ChannelDecl, DeviceId, Quality, Tick, Value, ValueKind,
    id::{ChannelIndex, NameError},
};

/// One more with each sample: a gap shows at once.
pub const COUNTER: u8 = 0;
pub const UPTIME: u8 = 1;
/// An eighth more with each sample, as a float that holds it exactly.
pub const RAMP: u8 = 2;
const CHANNELS: usize = 3;

const TRANSMIT_BYTES: usize = 256;
/// After an error of the receiver: a line that is broken for long must not keep the other loops from running.
const PAUSE_MS: u32 = 10;

/// A mistake in the program, which a new start may not cure but a new flash will.
pub enum Mistake {
    Name,
    Node,
    Sampling,
    Memory,
    Loop,
}

impl From<NameError> for Mistake {
    fn from(_: NameError) -> Self {
        Self::Name
    }
}

impl From<NodeError> for Mistake {
    fn from(_: NodeError) -> Self {
        Self::Node
    }
}

pub type ExampleNode<'a> = Node<'a, CHANNELS, &'static mut [u8]>;

/// Who the board is.
pub struct Board {
    pub device: &'static str,
    pub firmware: &'static str,
    /// None: the gateway gives one.
    pub boot: Option<BootId>,
    /// Keeps what no gateway has acknowledged.
    pub ring: &'static mut [u8],
}

struct Sensors<N> {
    now: N,
    counted: u16,
    ramped: u16,
}

impl<N: Fn() -> Tick> Sensors<N> {
    const fn new(now: N) -> Self {
        Self { now, counted: 0, ramped: 0 }
    }
}

impl<N: Fn() -> Tick> Sensor for Sensors<N> {
    fn measure(&mut self, channel: ChannelIndex) -> (Value, Quality) {
        let value = match channel.0 {
            COUNTER => Value::Decimal { mantissa: i64::from(next(&mut self.counted)), scale: 0 },
            UPTIME => Value::Decimal { mantissa: (self.now)().0 as i64, scale: 3 },
            _ => Value::F32(f32::from(next(&mut self.ramped)) / 8.0),
        };
        (value, Quality::Good)
    }
}

fn next(count: &mut u16) -> u16 {
    let now = *count;
    *count = now.wrapping_add(1);
    now
}

/// Measures and sends, for ever, from the main loop.
pub fn run(
    board: Board,
    uart: impl Read + ReadReady + Write,
    mut delay: impl DelayNs,
    mut watchdog: impl Watchdog,
    now: impl Fn() -> Tick + Copy,
) -> Result<Infallible, Mistake> {
    let channels = channels()?;
    let mut node = node(board, &channels)?;
    let mut link = BlockingLink::<_, TRANSMIT_BYTES>::new(uart);
    let mut sensors = Sensors::new(now);
    sampler::run_watched(&mut node, &mut link, &mut sensors, &mut delay, &mut watchdog, now)
        .map_err(|_| Mistake::Loop)
}

/// The same with an executor: three loops over one node. Ends when nothing can be sent, or by a mistake.
pub async fn run_async<D: embedded_hal_async::delay::DelayNs + Clone>(
    board: Board,
    receiver: impl embedded_io_async::Read,
    sender: impl embedded_io_async::Write,
    delay: D,
    watchdog: impl Watchdog,
    now: impl Fn() -> Tick + Copy,
) -> Mistake {
    run_async_with(board, async |_| Some(RamOnly), receiver, sender, delay, watchdog, now).await
}

/// The same with flash behind the node, which `open` opens; none is a mistake.
pub async fn run_async_with<B: Backing, D: embedded_hal_async::delay::DelayNs + Clone>(
    board: Board,
    open: impl AsyncFnOnce(&mut ExampleNode<'_>) -> Option<B>,
    mut receiver: impl embedded_io_async::Read,
    sender: impl embedded_io_async::Write,
    delay: D,
    watchdog: impl Watchdog,
    now: impl Fn() -> Tick + Copy,
) -> Mistake {
    let Ok(channels) = channels() else { return Mistake::Name };
    let mut node = match node(board, &channels) {
        Ok(node) => node,
        Err(mistake) => return mistake,
    };
    let Some(mut backing) = open(&mut node).await else { return Mistake::Memory };
    let node = RefCell::new(node);
    let (mut buffer, watched) = ([0; TRANSMIT_BYTES], Watched::new(watchdog));
    let mut pause = delay.clone();
    let receiving = async {
        // What the line damages costs a frame, which is repeated; a new boot would cost what is in the ring.
        while let Err(ReceiveError::Io(_)) = watched.receive(&node, &mut receiver, now).await {
            pause.delay_ms(PAUSE_MS).await;
        }
    };
    select3(
        receiving,
        watched.transmit_with(&node, &mut backing, sender, &mut buffer, delay.clone(), now),
        watched.sample(&node, &mut Sensors::new(now), delay, now),
    )
    .await;
    Mistake::Loop
}

fn channels() -> Result<[ChannelDecl<&'static str>; CHANNELS], NameError> {
    Ok([
        channel("counter", "count", ValueKind::Decimal, 0)?,
        channel("uptime", "s", ValueKind::Decimal, 3)?,
        channel("ramp", "1", ValueKind::F32, 0)?,
    ])
}

fn node<'a>(board: Board, channels: &'a [ChannelDecl<&'a str>]) -> Result<ExampleNode<'a>, Mistake> {
    let Board { device, firmware, boot, ring } = board;
    let identity = Identity { device: DeviceId::new(device)?, tag: "QEMU or a desk", firmware };
    let mut node = Node::new(identity, boot, channels, ring, NodeConfig::DEFAULT)?;
    for (index, period_ms) in [(COUNTER, 100), (UPTIME, 500), (RAMP, 250)] {
        node.set_sampling(ChannelIndex(index), Sampling::every(period_ms)).map_err(|_| Mistake::Sampling)?;
    }
    Ok(node)
}
