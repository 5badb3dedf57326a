//! What a virtual board is: its name, its channels and their signals, its ring, its boot.

use std::sync::Arc;

use tidegate_firmware::NodeConfig;
use tidegate_protocol::{
    BootId, DeviceId, Reading, Value, ValueKind, frame::keyed::DeviceKey, id::ChannelName,
};

use crate::{
    fault::Fault,
    recording::{Pace, Recording},
    signal::{Shape, derive_seed},
};

/// One channel of a virtual board.
#[derive(Clone, Debug)]
pub struct ChannelPlan {
    pub name: ChannelName,
    /// SenML.
    pub unit: &'static str,
    pub kind: ValueKind,
    pub scale: u8,
    /// The sensor's step: values are its multiples. 0 for none.
    pub resolution: f64,
    pub shape: Shape,
    pub period_ms: u32,
    pub faults: Vec<Fault>,
}

impl ChannelPlan {
    /// The value as the channel's kind, rounded to the sensor's resolution.
    pub fn quantise(&self, value: f64) -> Value {
        let stepped =
            if self.resolution > 0.0 { (value / self.resolution).round() * self.resolution } else { value };
        match self.kind {
            ValueKind::Bool => Value::Bool(stepped >= 0.5),
            ValueKind::Decimal => {
                let mantissa =
                    (stepped * tidegate_protocol::reading::power_of_ten(self.scale)).round() as i64;
                Value::Decimal { mantissa, scale: self.scale }
            }
            ValueKind::F32 => Value::F32(stepped as f32),
            ValueKind::F64 => Value::F64(stepped),
        }
    }
}

/// Where a board's boot id comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootPlan {
    /// A test's own choice; it answers for never using it twice.
    Fixed(BootId),
    Random,
    FromGateway,
}

/// What a board measures.
#[derive(Clone, Debug)]
pub enum Script {
    Signals { channels: Vec<ChannelPlan>, seed: u64 },
    Recording(Recorded),
}

/// A recording on one channel.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub recording: Arc<Recording>,
    pub channel: ChannelName,
    pub unit: String,
    pub pace: Pace,
}

/// Sees every reading as it is measured, on the board's own task: it must be quick.
pub type Observer = Arc<dyn Fn(&DeviceId, &Reading) + Send + Sync>;

#[derive(Clone)]
pub struct BoardPlan {
    pub device: DeviceId,
    pub tag: String,
    pub script: Script,
    pub boot: BootPlan,
    /// The device's own, which its gateways must have too; it needs a boot that is not from the gateway.
    pub key: Option<DeviceKey>,
    /// The bound of what the board keeps. When it is full, the oldest readings are lost and declared.
    pub ring_bytes: usize,
    pub node: NodeConfig,
    pub observer: Option<Observer>,
}

/// The ring of a board that must ride out minutes of outage at some ten readings a second.
pub const DEFAULT_RING_BYTES: usize = 64 * 1024;

impl BoardPlan {
    pub fn new(device: DeviceId, script: Script) -> Self {
        Self {
            device,
            tag: String::new(),
            script,
            boot: BootPlan::Random,
            key: None,
            ring_bytes: DEFAULT_RING_BYTES,
            node: NodeConfig::DEFAULT,
            observer: None,
        }
    }

    /// The board with this number in a fleet: a room, a machine, a meter or a tank, each with channels of several
    /// kinds, that together give `rate` readings a second.
    pub fn typical(device: DeviceId, number: u64, seed: u64, rate: f64) -> Self {
        let (tag, mut channels) = match number % 4 {
            1 => ("ROOM", room()),
            2 => ("MACHINE", machine()),
            3 => ("METER", meter()),
            _ => ("TANK", tank()),
        };
        let period_ms =
            (channels.len() as f64 * 1_000.0 / rate).round().clamp(1.0, f64::from(u32::MAX)) as u32;
        for channel in &mut channels {
            channel.period_ms = period_ms;
        }
        let script = Script::Signals { channels, seed: derive_seed(seed, number) };
        Self { tag: format!("{tag}-{number:03}"), ..Self::new(device, script) }
    }
}

/// A channel that is sampled each second and has no faults.
pub fn channel(
    name: &str,
    unit: &'static str,
    kind: ValueKind,
    scale: u8,
    shape: Shape,
) -> Result<ChannelPlan, tidegate_protocol::id::NameError> {
    let name = ChannelName::new(name)?;
    Ok(ChannelPlan { name, unit, kind, scale, resolution: 0.0, shape, period_ms: 1_000, faults: Vec::new() })
}

/// As [`channel`], for the names below, which are all good ones.
fn fixed(
    name: &str,
    unit: &'static str,
    kind: ValueKind,
    scale: u8,
    resolution: f64,
    shape: Shape,
) -> Option<ChannelPlan> {
    channel(name, unit, kind, scale, shape).ok().map(|channel| ChannelPlan { resolution, ..channel })
}

fn room() -> Vec<ChannelPlan> {
    let temperature = Shape::Wave { mean: 21.0, swing: 1.5, period_s: 900.0, wander: 0.01, noise: 0.02 };
    let humidity = Shape::Wave { mean: 45.0, swing: 6.0, period_s: 1_400.0, wander: 0.05, noise: 0.2 };
    let door = Shape::Door { open_s: 8.0, shut_s: 40.0 };
    [
        fixed("temperature", "Cel", ValueKind::Decimal, 2, 0.01, temperature),
        fixed("humidity", "%RH", ValueKind::Decimal, 1, 0.1, humidity),
        fixed("door", "", ValueKind::Bool, 0, 0.0, door),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn machine() -> Vec<ChannelPlan> {
    let vibration = Shape::Vibration { idle: 0.05, running: 2.4, burst: 6.0, cycle_s: 45.0 };
    let bearing = Shape::Wave { mean: 58.0, swing: 9.0, period_s: 300.0, wander: 0.05, noise: 0.1 };
    [
        fixed("vibration", "m/s2", ValueKind::F32, 0, 0.01, vibration),
        fixed("bearing_temperature", "Cel", ValueKind::Decimal, 4, 0.0625, bearing),
        fixed("parts", "count", ValueKind::Decimal, 0, 1.0, Shape::Counter { per_s: 0.8 }),
        fixed("guard_open", "", ValueKind::Bool, 0, 0.0, Shape::Door { open_s: 4.0, shut_s: 60.0 }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn meter() -> Vec<ChannelPlan> {
    let power = Shape::Wave { mean: 3_200.0, swing: 900.0, period_s: 240.0, wander: 8.0, noise: 25.0 };
    let voltage = Shape::Wave { mean: 230.0, swing: 1.2, period_s: 400.0, wander: 0.02, noise: 0.15 };
    [
        fixed("power", "W", ValueKind::F64, 0, 0.0, power),
        fixed("voltage", "V", ValueKind::F32, 0, 0.1, voltage),
        fixed("energy", "Wh", ValueKind::Decimal, 0, 1.0, Shape::Counter { per_s: 0.9 }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn tank() -> Vec<ChannelPlan> {
    let level = Shape::Sawtooth { low: 0.4, high: 3.6, period_s: 180.0, noise: 0.004 };
    let pressure = Shape::Wave { mean: 101_300.0, swing: 250.0, period_s: 2_000.0, wander: 1.0, noise: 4.0 };
    let flow = Shape::Wave { mean: 12.0, swing: 3.0, period_s: 90.0, wander: 0.02, noise: 0.1 };
    [
        fixed("level", "m", ValueKind::F32, 0, 0.001, level),
        fixed("pressure", "Pa", ValueKind::Decimal, 0, 1.0, pressure),
        fixed("flow", "l/s", ValueKind::F64, 0, 0.01, flow),
        fixed("valve_open", "", ValueKind::Bool, 0, 0.0, Shape::Door { open_s: 30.0, shut_s: 30.0 }),
    ]
    .into_iter()
    .flatten()
    .collect()
}
