//! What a reading costs in rules, where the states of many channels do not fit into the processor's caches.

use std::{hint::black_box, time::Instant};

use tidegate_alarms::{ReadingAt, RuleSet, RulesSettings, State};
use tidegate_protocol::{BootId, Quality, Seq, Tick, Value};

use super::report::{Report, quantile};

const CHANNELS: usize = 100_000;
const RULES_EACH: usize = 3;
/// One reading of each channel.
const ROUNDS: u64 = 21;
const RULES: &str = r#"
[[rule]]
id = "high"
above = 90.0
deadband = 2.0
[[rule]]
id = "low"
below = 10.0
on_delay = "5s"
[[rule]]
id = "band"
outside = [20.0, 80.0]
deadband = 2.0
on_delay = "2s"
off_delay = "2s"
"#;

pub fn measure(report: &mut Report) {
    let settings: RulesSettings = toml::from_str(RULES).expect("TOML");
    let rules = RuleSet::from_settings(settings).expect("good rules");
    assert_eq!(rules.rules().len(), RULES_EACH);
    let mut channels: Vec<[State; RULES_EACH]> = (0..CHANNELS).map(|_| Default::default()).collect();
    let (mut costs, mut transitions) = (Vec::new(), 0_u64);
    for round in 0..ROUNDS {
        let begin = Instant::now();
        for (number, states) in (0..).zip(&mut channels) {
            let reading = reading(number, round);
            for (rule, state) in rules.rules().iter().zip(states) {
                transitions += u64::from(black_box(rule.step(state, black_box(&reading))).is_some());
            }
        }
        costs.push(begin.elapsed().as_nanos() as f64 / CHANNELS as f64);
    }
    assert!(transitions > 0, "rules that nothing meets measure nothing");
    let cost = quantile(&mut costs, 0.5);
    report.row("a reading through 3 rules, 100,000 channels in turn, on one core", cost, "ns/reading");
    report.row("a rule's state of one channel", size_of::<State>() as f64, "B");
    report.row(
        "raises and clears among them",
        transitions as f64 / (ROUNDS as f64 * CHANNELS as f64),
        "1/reading",
    );
}

/// Channels wander between 0 and 100, each with a phase of its own.
fn reading(channel: u64, round: u64) -> ReadingAt {
    let phase = (channel.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / (1 << 24) as f64;
    let place = (phase + round as f64 / 20.0).fract();
    let value = Value::F64(100.0 * (1.0 - 2.0 * (place - 0.5).abs()));
    ReadingAt { boot: BootId(1), seq: Seq(round), tick: Tick(round * 1_000), value, quality: Quality::Good }
}
