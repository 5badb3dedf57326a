//! `cargo xtask bench`: runs benches in release mode and writes docs/benchmarks.md.
//!
//! A bench is any cargo command that ends its standard output with one JSON object on a line of its own:
//!
//! ```json
//! {"name": "wire", "rows": [{"what": "bytes per reading", "value": 2.31, "unit": "B"}], "note": "400 series"}
//! ```
//!
//! `note` may be left out. Everything before that line is shown and otherwise ignored. A bench that prints no rows has
//! failed: a table must not become empty unnoticed.

mod document;
mod machine;

use crate::command::describe;
use crate::repository::Repository;
use crate::steps::{Step, Steps};
use anyhow::{Context, Result, bail};
use machine::Machine;
use serde::Deserialize;
use std::fs;

const DOCUMENT: &str = "docs/benchmarks.md";

/// One bench that can be asked for by name.
struct Bench {
    choice: Choice,
    title: &'static str,
    /// A cargo command that has to run first; its time is not measured.
    before: Option<&'static [&'static str]>,
    command: &'static [&'static str],
}

const BENCHES: &[Bench] = &[
    Bench {
        choice: Choice::Wire,
        title: "The wire: what a block costs",
        before: None,
        command: &["bench", "--package", "tidegate-protocol", "--bench", "wire", "--", "--json"],
    },
    Bench {
        choice: Choice::Chain,
        title: "The whole chain: board frame to durable acknowledgement",
        before: Some(&["build", "--release", "--workspace", "--bins"]),
        command: &["run", "--release", "--package", "tidegate-tests", "--bin", "chain-bench", "--", "--json"],
    },
    Bench {
        choice: Choice::Alarms,
        title: "Alarms: latency under load, evaluation, and many watchers",
        before: Some(&["build", "--release", "--workspace", "--bins"]),
        command: &[
            "run",
            "--release",
            "--package",
            "tidegate-tests",
            "--bin",
            "chain-bench",
            "--",
            "alarms",
            "--json",
        ],
    },
    Bench {
        choice: Choice::Firmware,
        title: "The firmware library on a Cortex-M0",
        before: None,
        command: &["run", "--package", "xtask", "--", "firmware", "measure"],
    },
];

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Bytes and nanoseconds per reading of blocks, beside JSON and plain postcard
    Wire,
    /// Throughput, alarm latency, disk bytes and memory of all the parts together
    Chain,
    /// Alarm latency at several loads, the cost of rules, and ten thousand watchers of the event stream
    Alarms,
    /// Flash, RAM, stack and instructions of the firmware library
    Firmware,
    /// Every bench
    All,
}

#[derive(clap::Args)]
pub struct Options {
    /// Which bench
    #[arg(default_value = "all")]
    which: Choice,
}

/// What a bench prints as its last line.
#[derive(Deserialize, Debug, PartialEq)]
struct Report {
    name: String,
    rows: Vec<Row>,
    #[serde(default)]
    note: String,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Row {
    what: String,
    value: f64,
    unit: String,
}

pub fn run(repository: &Repository, options: &Options) -> Result<()> {
    let machine = Machine::describe(repository)?;
    let mut steps = Steps::new(repository)?;
    for bench in BENCHES {
        if options.which == Choice::All || options.which == bench.choice {
            steps.run(&format!("bench {}", bench.title), |step| measure(repository, step, bench, &machine));
        }
    }
    steps.finish()
}

fn measure(repository: &Repository, step: &mut Step, bench: &Bench, machine: &Machine) -> Result<()> {
    if let Some(before) = bench.before {
        step.run(&mut repository.cargo(before))?;
    }
    let mut command = repository.cargo(bench.command);
    command.env("TIDEGATE_TEST_PROGRAMS", repository.programs("release"));
    let mut last_object = String::new();
    step.stream(&mut command, |line| {
        if line.starts_with('{') {
            line.clone_into(&mut last_object);
        }
    })?;
    let report = parse(&last_object)?;
    let section = document::section(bench.title, &describe(&command), machine, &report);
    println!("\n{section}");
    let path = repository.path(DOCUMENT);
    let before = fs::read_to_string(&path).unwrap_or_default();
    let titles: Vec<&str> = BENCHES.iter().map(|bench| bench.title).collect();
    let after = document::replace_section(&before, bench.title, &section, &titles);
    fs::write(&path, after).with_context(|| format!("cannot write {}", path.display()))?;
    step.note(format!("written to {DOCUMENT}"));
    Ok(())
}

fn parse(line: &str) -> Result<Report> {
    let report: Report = serde_json::from_str(line).with_context(|| {
        format!("the bench should end with {{\"name\", \"rows\": [{{\"what\", \"value\", \"unit\"}}]}}, but gave: {line}")
    })?;
    if report.rows.is_empty() {
        bail!("bench `{}` measured nothing", report.name);
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_read_with_or_without_a_note() {
        let report =
            parse(r#"{"name":"wire","rows":[{"what":"bytes per reading","value":2.31,"unit":"B"}]}"#)
                .unwrap();
        assert_eq!(report.note, "");
        assert_eq!(report.rows, [Row { what: "bytes per reading".into(), value: 2.31, unit: "B".into() }]);
    }

    #[test]
    fn a_bench_without_rows_or_without_json_has_failed() {
        let empty = parse(r#"{"name":"wire","rows":[],"note":""}"#).unwrap_err().to_string();
        assert!(empty.contains("`wire` measured nothing"), "{empty}");
        let text = parse("done").unwrap_err().to_string();
        assert!(text.contains("but gave: done"), "{text}");
    }
}
