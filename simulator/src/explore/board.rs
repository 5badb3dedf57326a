//! A board: the firmware's own node, what it measured, and its lines to the gateways.

use std::collections::VecDeque;

use tidegate_agent::{core::LinkId, sources::decoder::Decoder};
use tidegate_firmware::{Identity, Node, NodeConfig, Sampled, channel};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, DeviceId, Origin, Quality, Reading, Seq, SeqRange, Tick, Value,
    ValueKind, id::NameError,
};

use super::{
    dice::Dice,
    plan::{BoardPlan, BootKind},
    truth::Truth,
};

const CHANNELS: usize = 3;

/// Frames that wait for a gateway that takes none; beyond, the line pushes back and the board sends nothing.
pub const WAITING_FRAMES: usize = 32;

pub type Declarations = [ChannelDecl<&'static str>; CHANNELS];

pub fn declarations() -> Result<Declarations, NameError> {
    Ok([
        channel("temperature", "Cel", ValueKind::Decimal, 1)?,
        channel("door", "", ValueKind::Bool, 0)?,
        channel("level", "m", ValueKind::F32, 0)?,
    ])
}

/// The line to one gateway, as that gateway sees it.
#[derive(Default)]
pub struct Line {
    /// Set while it is open.
    pub link: Option<LinkId>,
    pub decoder: Decoder,
    /// Frames the gateway has no memory for.
    pub waiting: VecDeque<Vec<u8>>,
    /// Frames keep their order: none arrives before the one before it.
    pub up_free_us: u64,
    pub down_free_us: u64,
    /// Until then nothing gets through in this direction.
    pub up_dead_until_us: u64,
    pub down_dead_until_us: u64,
}

pub struct Board {
    pub device: DeviceId,
    pub plan: BoardPlan,
    declared: &'static Declarations,
    pub node: Node<'static, CHANNELS, Vec<u8>>,
    /// Which life since the schedule began; what was meant for an earlier one is void.
    pub life: u64,
    booted_us: u64,
    boot: Option<BootId>,
    /// What it measured in this life, in order.
    samples: Vec<Reading>,
    /// The place in `samples` of the seq 0 of its present boot.
    offset: u64,
    temperature: i64,
    pub lines: Vec<Line>,
    /// The gateway it is plugged into.
    pub home: usize,
    pub wakes_at_us: Option<u64>,
    pub powered: bool,
}

/// Quick, so that a schedule of seconds sees what takes a minute in the field.
const NODE: NodeConfig = NodeConfig {
    heartbeat_ms: 1_000,
    hello_retry_ms: 200,
    hello_retry_max_ms: 1_600,
    linger_ms: 0,
    resend_after_ms: 700,
    resend_after_max_ms: 5_000,
    lost_interval_ms: 100,
    ..NodeConfig::DEFAULT
};

impl Board {
    /// None for a plan that makes no board.
    pub fn new(at: usize, plan: BoardPlan, declared: &'static Declarations, gateways: usize) -> Option<Self> {
        let device = DeviceId::new(&format!("board-{at}")).ok()?;
        let node = node(device, None, declared, plan.ring_bytes)?;
        Some(Self {
            device,
            declared,
            node,
            life: 0,
            booted_us: 0,
            boot: None,
            samples: Vec::new(),
            offset: 0,
            temperature: 450,
            lines: (0..gateways).map(|_| Line::default()).collect(),
            home: at % gateways,
            wakes_at_us: None,
            powered: false,
            plan,
        })
    }

    pub fn tick(&self, now_us: u64) -> Tick {
        Tick(now_us.saturating_sub(self.booted_us) / 1_000)
    }

    /// The time at which its tick has this value.
    pub fn time_of(&self, tick: Tick) -> u64 {
        self.booted_us.saturating_add(tick.0.saturating_mul(1_000))
    }

    pub fn origin(&self) -> Option<Origin> {
        self.boot.map(|boot| Origin::new(self.device, boot))
    }

    /// Power comes back: a new life, an empty ring.
    pub fn power_up(&mut self, now_us: u64, dice: &mut Dice, truth: &mut Truth) {
        let boot = match self.plan.boot {
            BootKind::Own => Some(BootId(dice.bits())),
            BootKind::Asked => None,
            BootKind::Repeated => Some(BootId(7)),
        };
        let Some(node) = node(self.device, boot, self.declared, self.plan.ring_bytes) else { return };
        self.node = node;
        self.life += 1;
        self.powered = true;
        self.booted_us = now_us;
        self.boot = boot;
        self.samples.clear();
        self.offset = 0;
        self.wakes_at_us = None;
        if let Some(origin) = self.origin() {
            truth.begins(origin);
        }
    }

    /// Power goes: what the ring held is gone. Says how many readings nobody had acknowledged.
    pub fn power_down(&mut self, truth: &mut Truth) -> u64 {
        let held = SeqRange::new(self.node.floor().0, self.node.next_seq().0);
        if let Some(origin) = self.origin() {
            truth.ends(origin, held);
        }
        self.powered = false;
        held.len()
    }

    /// Takes one sample; says how many readings the ring gave up for it.
    pub fn measure(&mut self, now_us: u64, dice: &mut Dice, truth: &mut Truth) -> Option<u64> {
        self.temperature = (self.temperature + dice.between(0, 180) as i64 - 90).clamp(0, 900);
        let (channel, value) = match dice.between(0, 3) {
            0 | 1 => (0, Value::Decimal { mantissa: self.temperature, scale: 1 }),
            2 => (1, Value::Bool(dice.chance(0.3))),
            _ => (2, Value::F32(f32::from_bits(dice.bits() as u32 & 0x7f7f_ffff))),
        };
        let quality = if dice.chance(0.05) { Quality::Bad } else { Quality::Good };
        let (channel, tick) = (ChannelIndex(channel), self.tick(now_us));
        let oldest = self.node.held().start;
        let Ok(Sampled::Kept(seq)) = self.node.sample(channel, value, quality, tick) else { return None };
        let reading = Reading { seq, channel, tick, value, quality };
        self.samples.push(reading);
        let dropped = SeqRange::new(oldest, self.node.held().start);
        if let Some(origin) = self.origin() {
            truth.measured(origin, reading);
            truth.overflowed(origin, dropped);
        }
        Some(dropped.len())
    }

    /// Hears bytes; says when it was given another boot.
    pub fn hear(&mut self, now_us: u64, bytes: &[u8], truth: &mut Truth) -> Option<Origin> {
        let (floor, next) = (self.node.floor().0, self.node.next_seq().0);
        self.node.receive(self.tick(now_us), bytes);
        let boot = self.node.boot();
        if boot == self.boot {
            return None;
        }
        if let Some(old) = self.origin() {
            truth.ends(old, SeqRange::new(floor, next));
        }
        self.boot = boot;
        self.offset += floor;
        let origin = self.origin()?;
        truth.begins(origin);
        // What it held is numbered anew from zero.
        for (seq, reading) in (0..).zip(self.samples.iter().skip(self.offset as usize)) {
            truth.measured(origin, Reading { seq: Seq(seq), ..*reading });
        }
        truth.overflowed(origin, SeqRange::new(0, self.node.held().start));
        Some(origin)
    }

    pub fn is_open(&self) -> bool {
        self.lines.iter().any(|line| line.link.is_some())
    }

    /// A gateway does not take what was sent, and the line is full.
    pub fn is_held_back(&self) -> bool {
        self.lines.iter().any(|line| line.link.is_some() && line.waiting.len() >= WAITING_FRAMES)
    }
}

fn node(
    device: DeviceId,
    boot: Option<BootId>,
    declared: &'static Declarations,
    ring_bytes: usize,
) -> Option<Node<'static, CHANNELS, Vec<u8>>> {
    let identity = Identity { device, tag: "TT-1", firmware: "explored" };
    Node::new(identity, boot, declared, vec![0; ring_bytes], NODE).ok()
}
