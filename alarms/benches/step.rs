//! What a reading costs in a rule, in nanoseconds: medians over rounds, on one core.
//!
//! ```text
//! cargo bench -p tidegate-alarms --bench step
//! ```

use std::{hint::black_box, time::Instant};

use tidegate_alarms::{ReadingAt, RuleSet, RulesSettings, State};
use tidegate_protocol::{BootId, Quality, Seq, Tick, Value};

const READINGS: u64 = 1_000_000;
const ROUNDS: usize = 9;

const RULES: [(&str, &str); 6] = [
    ("above, hardly ever raised", "above = 99.9\ndeadband = 1"),
    ("above, raised half of the time", "above = 50\ndeadband = 1"),
    ("outside, with delays", "outside = [20, 80]\non_delay = \"5s\"\noff_delay = \"5s\""),
    ("equals, four values", "equals = [1, 2, 3, 4]"),
    ("rate over 60 readings", "rate = { above = 1e9, per = \"1m\", over = \"1m\" }"),
    ("deviation over 60 readings", "deviation = { above = 1e9, over = \"1m\" }"),
];

fn main() {
    let readings: Vec<ReadingAt> = (0..READINGS).map(reading).collect();
    println!("state of a plain limit: {} bytes", size_of::<State>());
    println!("{:<32} {:>12}", "rule", "ns a reading");
    for (what, condition) in RULES {
        let text = format!("[[rule]]\nid = \"it\"\n{condition}");
        let settings: RulesSettings = toml::from_str(&text).expect("TOML");
        let rules = RuleSet::from_settings(settings).expect("a good rule");
        let mut times: Vec<f64> = (0..ROUNDS).map(|_| round(&rules, &readings)).collect();
        times.sort_by(f64::total_cmp);
        println!("{what:<32} {:>12.1}", times[ROUNDS / 2]);
    }
}

/// A second apart, between 0 and 100, wandering like a slow wave with noise on it.
fn reading(n: u64) -> ReadingAt {
    let wave = (n as f64 / 500.0).sin() * 45.0 + 50.0;
    let noise = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / (1 << 24) as f64 * 5.0;
    let value = Value::F64(wave + noise);
    ReadingAt { boot: BootId(1), seq: Seq(n), tick: Tick(n * 1_000), value, quality: Quality::Good }
}

fn round(rules: &RuleSet, readings: &[ReadingAt]) -> f64 {
    let mut state = State::default();
    let begin = Instant::now();
    for rule in rules.rules() {
        for reading in readings {
            black_box(rule.step(&mut state, black_box(reading)));
        }
    }
    begin.elapsed().as_nanos() as f64 / readings.len() as f64
}
