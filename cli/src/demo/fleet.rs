//! Ten boards that are worth watching: typical ones, some of which misbehave on a schedule.

use tidegate_protocol::{DeviceId, id::NameError};
use tidegate_simulator::{
    fault::{Fault, FaultKind},
    plan::{BoardPlan, Observer, Script},
};

pub const BOARDS: u64 = 10;
const READINGS_PER_SECOND: f64 = 10.0;

/// Channel, how far it jumps beyond its rule's limit, when first, for how long, how often.
const FAULTS: [(&str, FaultKind, u64, u64, u64); 4] = [
    ("temperature", FaultKind::Spike { height: 12.0 }, 1_500, 4_000, 20_000),
    ("vibration", FaultKind::Spike { height: 9.0 }, 2_000, 2_500, 15_000),
    ("humidity", FaultKind::Drift { per_s: 5.0 }, 20_000, 12_000, 60_000),
    ("flow", FaultKind::DropOut, 10_000, 3_000, 30_000),
];
/// Boards misbehave one after the other, not all at once.
const STAGGER_MS: u64 = 300;

/// The boards, `board-01` and on. Signals follow the seed; `observer` sees every reading as it is measured.
pub fn plans(seed: u64, observer: &Observer) -> Result<Vec<BoardPlan>, NameError> {
    (1..=BOARDS).map(|number| plan(number, seed, observer)).collect()
}

fn plan(number: u64, seed: u64, observer: &Observer) -> Result<BoardPlan, NameError> {
    let device = DeviceId::new(&format!("board-{number:02}"))?;
    let mut plan = BoardPlan::typical(device, number, seed, READINGS_PER_SECOND);
    plan.observer = Some(observer.clone());
    if let Script::Signals { channels, .. } = &mut plan.script {
        for channel in channels {
            let planned = FAULTS.iter().filter(|(name, ..)| *name == channel.name.as_str());
            channel.faults.extend(planned.map(|&(_, kind, from_ms, for_ms, every_ms)| Fault {
                kind,
                from_ms: from_ms + number * STAGGER_MS,
                for_ms,
                every_ms,
            }));
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn some_board_crosses_a_limit_in_the_first_five_seconds() {
        let observer: Observer = Arc::new(|_, _| {});
        let plans = plans(1, &observer).expect("good names");
        assert_eq!(plans.len() as u64, BOARDS);
        let spikes = plans.iter().filter_map(|plan| match &plan.script {
            Script::Signals { channels, .. } => {
                channels.iter().flat_map(|channel| &channel.faults).map(|fault| fault.from_ms).min()
            }
            Script::Recording(_) => None,
        });
        assert!(spikes.min().is_some_and(|first_ms| first_ms < 5_000));
    }
}
