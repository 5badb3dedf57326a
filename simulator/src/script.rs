//! A script at work: what a board measures next, and when. Pure; the board's task brings the time.

use tidegate_firmware::{Node, Sampled, Sampling};
use tidegate_protocol::{
    ChannelDecl, Quality, Reading, Tick, Value, ValueKind,
    frame::{BoardTime, MAX_CHANNELS},
    id::ChannelIndex,
};

use crate::{
    fault::Faults,
    plan::{ChannelPlan, Recorded, Script},
    recording::Pace,
    signal::{Signal, derive_seed},
};

/// A virtual board's node: the firmware's own core, with room for any declaration and a ring on the heap.
pub(crate) type VirtualNode<'a> = Node<'a, MAX_CHANNELS, Vec<u8>>;

/// How many rows one turn replays at most, so that acknowledgements are heard in between.
const ROWS_PER_TURN: usize = 4_096;
/// A replay at full speed keeps this much of the ring free, since a recording is not to be lost by haste.
const RESERVED_READINGS: u32 = 16;

/// The channels as the node declares them.
pub(crate) fn declarations(script: &Script) -> Vec<ChannelDecl<&str>> {
    match script {
        Script::Signals { channels, .. } => {
            let declared = |plan: &ChannelPlan| {
                let ChannelPlan { name, unit, kind, scale, .. } = *plan;
                ChannelDecl { name, unit, kind, scale: if kind == ValueKind::Decimal { scale } else { 0 } }
            };
            channels.iter().map(declared).collect()
        }
        Script::Recording(Recorded { channel, unit, .. }) => {
            vec![ChannelDecl { name: *channel, unit: unit.as_str(), kind: ValueKind::F64, scale: 0 }]
        }
    }
}

pub(crate) enum Player<'a> {
    Signals(Vec<(&'a ChannelPlan, Signal, Faults)>),
    Recording { recorded: &'a Recorded, row: usize },
}

impl<'a> Player<'a> {
    pub(crate) fn new(script: &'a Script, node: &mut VirtualNode<'_>) -> Self {
        match script {
            Script::Signals { channels, seed } => {
                for (index, plan) in (0_u8..).zip(channels) {
                    // Only an undeclared channel is refused, and these are the declared ones.
                    let _declared = node.set_sampling(ChannelIndex(index), Sampling::every(plan.period_ms));
                }
                let signal = |(part, plan): (u64, &'a ChannelPlan)| {
                    let faults = Faults::new(plan.faults.clone());
                    (plan, Signal::new(plan.shape, derive_seed(*seed, part)), faults)
                };
                Self::Signals((0..).zip(channels).map(signal).collect())
            }
            Script::Recording(recorded) => {
                let unix_ms = recorded.recording.start_unix_ms();
                node.set_board_time(BoardTime { tick: Tick(0), unix_ms, error_ms: 0 });
                Self::Recording { recorded, row: 0 }
            }
        }
    }

    /// Takes the samples whose time has come; hands over each that became a reading.
    pub(crate) fn play(&mut self, node: &mut VirtualNode<'_>, now: Tick, mut each: impl FnMut(Reading)) {
        match self {
            Self::Signals(signals) => {
                while let Some(channel) = node.due(now) {
                    let Some((plan, signal, faults)) = signals.get_mut(usize::from(channel.0)) else {
                        return;
                    };
                    let truth = signal.at(now.0 as f64 / 1_000.0);
                    let (value, quality) = faults.apply(truth, now.0);
                    sample(node, channel, plan.quantise(value), quality, now, &mut each);
                }
            }
            Self::Recording { recorded, row } => {
                let rows = recorded.recording.rows();
                for next in rows.iter().skip(*row).take(ROWS_PER_TURN) {
                    let waits = match recorded.pace {
                        Pace::Max => node.ring_free() <= RESERVED_READINGS,
                        Pace::Times(speed) => next.tick.0 as f64 / speed > now.0 as f64,
                    };
                    if waits {
                        break;
                    }
                    sample(node, ChannelIndex(0), Value::F64(next.value), next.quality, next.tick, &mut each);
                    *row += 1;
                }
            }
        }
    }

    /// When to play again; None when only an acknowledgement can bring something new, or nothing is left. The
    /// polled channels' times are the node's own.
    pub(crate) fn next_at(&self, node: &VirtualNode<'_>) -> Option<Tick> {
        let Self::Recording { recorded, row } = self else { return None };
        let next = recorded.recording.rows().get(*row)?;
        match recorded.pace {
            Pace::Max => (node.ring_free() > RESERVED_READINGS).then_some(Tick(0)),
            Pace::Times(speed) => Some(Tick((next.tick.0 as f64 / speed).ceil() as u64)),
        }
    }

    /// Whether everything has been measured; signals never end.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Signals(_) => false,
            Self::Recording { recorded, row } => *row >= recorded.recording.rows().len(),
        }
    }
}

fn sample(
    node: &mut VirtualNode<'_>,
    channel: ChannelIndex,
    value: Value,
    quality: Quality,
    tick: Tick,
    each: &mut impl FnMut(Reading),
) {
    // Declarations and values come from one plan, so that the node has no reason to refuse.
    if let Ok(Sampled::Kept(seq)) = node.sample(channel, value, quality, tick) {
        each(Reading { seq, channel, tick, value, quality });
    }
}
