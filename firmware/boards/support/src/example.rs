//! What the boards without sensors of their own measure: things that a reader can hold against the source.

use core::convert::Infallible;

use embedded_io::{Read, ReadReady, Write};
use tidegate_firmware::{
    BlockingLink, Identity, Node, NodeConfig, NodeError, Sampling, channel,
    sampler::{self, Sensor},
};
use tidegate_protocol::{
    BootId, DeviceId, Quality, Value, ValueKind,
    id::{ChannelIndex, NameError},
};

use crate::systick::Clock;

/// One more with each sample: a gap shows at once.
pub const COUNTER: u8 = 0;
pub const UPTIME: u8 = 1;
/// An eighth more with each sample, as a float that holds it exactly.
pub const RAMP: u8 = 2;

const TRANSMIT_BYTES: usize = 256;

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

struct Sensors<'a> {
    clock: &'a Clock,
    counted: u16,
    ramped: u16,
}

impl Sensor for Sensors<'_> {
    fn measure(&mut self, channel: ChannelIndex) -> (Value, Quality) {
        let value = match channel.0 {
            COUNTER => Value::Decimal { mantissa: i64::from(next(&mut self.counted)), scale: 0 },
            UPTIME => Value::Decimal { mantissa: self.clock.now().0 as i64, scale: 3 },
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

/// Measures and sends, for ever. `ring` keeps what no gateway has acknowledged.
pub fn run(
    device: &str,
    firmware: &str,
    boot: Option<BootId>,
    ring: &mut [u8],
    uart: impl Read + ReadReady + Write,
    clock: &Clock,
) -> Result<Infallible, Mistake> {
    let identity = Identity { device: DeviceId::new(device)?, tag: "QEMU or a desk", firmware };
    let channels = [
        channel("counter", "count", ValueKind::Decimal, 0)?,
        channel("uptime", "s", ValueKind::Decimal, 3)?,
        channel("ramp", "1", ValueKind::F32, 0)?,
    ];
    let mut node = Node::<3, _>::new(identity, boot, &channels, ring, NodeConfig::DEFAULT)?;
    for (index, period_ms) in [(COUNTER, 100), (UPTIME, 500), (RAMP, 250)] {
        node.set_sampling(ChannelIndex(index), Sampling::every(period_ms)).map_err(|_| Mistake::Sampling)?;
    }
    let mut link = BlockingLink::<_, TRANSMIT_BYTES>::new(uart);
    let mut sensors = Sensors { clock, counted: 0, ramped: 0 };
    sampler::run(&mut node, &mut link, &mut sensors, &mut &*clock, || clock.now()).map_err(|_| Mistake::Loop)
}
