//! What the board measures and says, whatever chip it runs on: three loops over one node, joined in one task. One receives, one sends, one
//! measures.

use core::{cell::RefCell, convert::Infallible};

use embassy_futures::select::select3;
use embassy_time::{Delay, Duration, Instant, Timer};
use embedded_io_async::{Read, Write};
use tidegate_firmware::{
    Deadband, Identity, Node, NodeConfig, NodeError, SampleError, Sampling,
    asynchronous::{AsyncSensor, ReceiveError, Watched},
    watchdog::Watchdog,
};
use tidegate_protocol::{
    BootId, ChannelDecl, DeviceId, Tick, Value,
    id::{ChannelIndex, NameError},
};

/// CHANGE: who this is. A device has one id for all its life, and no other has the same.
const DEVICE: &str = "pico-1";
/// CHANGE: what people call it, such as the number on its plate. At most 64 bytes.
const TAG: &str = "my desk";
const FIRMWARE: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// CHANGE: the channels, in the order in which the chip gives them. A channel keeps its name for ever.
pub const NAMES: [&str; 2] = ["temperature", "humidity"];
pub const TEMPERATURE: ChannelIndex = ChannelIndex(0);
pub const HUMIDITY: ChannelIndex = ChannelIndex(1);
const CHANNELS: usize = NAMES.len();

/// CHANGE: how often each is measured, in ms, and which changes are too small to be told. Settings from the gateway replace this.
const SAMPLING: [(ChannelIndex, Sampling); CHANNELS] =
    [(TEMPERATURE, told_beyond(50, 1_000)), (HUMIDITY, told_beyond(500, 1_000))];

/// Told where it is so many thousandths away from what was told last, and each minute whatever it is.
const fn told_beyond(thousandths: i64, period_ms: u32) -> Sampling {
    let deadband = Deadband::Absolute(Value::Decimal { mantissa: thousandths, scale: 3 });
    Sampling { enabled: true, period_ms, report_deadband: Some(deadband), max_silence_ms: 60_000 }
}

/// A frame at its longest: three channels fit in a Hello of that.
const FRAME_BYTES: usize = 256;
/// After an error of the receiver, so that a broken line does not keep the other loops from running.
const PAUSE: Duration = Duration::from_millis(10);

/// Why the program ended. All but `Link` are mistakes in it, which a new start will not cure; `Setup` is of the chip or its memory.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(not(feature = "defmt"), expect(dead_code, reason = "only a probe shows what is in it"))]
pub enum Ended {
    Name,
    Node(NodeError),
    Sampling(SampleError),
    Setup,
    Link,
}

impl From<NameError> for Ended {
    fn from(_: NameError) -> Self {
        Self::Name
    }
}

impl From<NodeError> for Ended {
    fn from(error: NodeError) -> Self {
        Self::Node(error)
    }
}

impl From<SampleError> for Ended {
    fn from(error: SampleError) -> Self {
        Self::Sampling(error)
    }
}

/// Milliseconds since the board's start.
fn now() -> Tick {
    Tick(Instant::now().as_millis())
}

/// `ring` is where readings wait until a gateway has acknowledged them. Without a `boot`, the gateway gives one.
pub async fn run(
    boot: Option<BootId>,
    ring: &mut [u8],
    channels: [ChannelDecl<&str>; CHANNELS],
    mut sensor: impl AsyncSensor,
    mut receiver: impl Read,
    sender: impl Write,
    watchdog: impl Watchdog,
) -> Result<Infallible, Ended> {
    let identity = Identity { device: DeviceId::new(DEVICE)?, tag: TAG, firmware: FIRMWARE };
    let mut node = Node::<CHANNELS, _>::new(identity, boot, &channels, ring, NodeConfig::DEFAULT)?;
    for (channel, sampling) in SAMPLING {
        node.set_sampling(channel, sampling)?;
    }
    let (node, watched) = (RefCell::new(node), Watched::new(watchdog));
    let receiving = async {
        // What the line damages costs a frame, which is repeated; a new boot would cost what is in the ring.
        while let Err(ReceiveError::Io(_)) = watched.receive(&node, &mut receiver, now).await {
            Timer::after(PAUSE).await;
        }
    };
    let mut frame = [0; FRAME_BYTES];
    let sending = watched.transmit(&node, sender, &mut frame, Delay, now);
    let measuring = watched.sample(&node, &mut sensor, Delay, now);
    select3(receiving, sending, measuring).await;
    Err(Ended::Link)
}
