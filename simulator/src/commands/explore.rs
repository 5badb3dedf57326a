//! `tidegate-sim explore`: seeded schedules of faults against the cores, on one virtual clock.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::{anyhow, bail};
use tidegate_service::{Mutant, exit::Exit};
use tidegate_simulator::explore::{
    Coverage, Detail, Explored, Fault, Options as Exploring, Report, explore, hunt, one,
};

use super::{
    Failure,
    progress::{EVERY, Progress},
};

/// With so many schedules, every fault must have happened.
const ENOUGH_FOR_EVERY_FAULT: u64 = 2_000;

#[derive(clap::Args)]
#[command(after_long_help = "\
Each seed is one schedule: boards, gateways and an ingest, their production cores on one virtual clock, with seeded faults \
of network, disks, broker, clocks and power. A checker looks on. It ends with code 1 when a rule was broken, or when \
(with 2,000 schedules or more) some fault never happened.

Examples:
  tidegate-sim explore --seeds 0..2000 --jobs 2
  tidegate-sim explore --seed 1234 --trace
  tidegate-sim explore --mutant ack-before-commit")]
pub struct Options {
    /// The seeds to run, the last one excluded
    #[arg(long, default_value = "0..2000", value_parser = seeds, value_name = "FROM..TO")]
    seeds: Range<u64>,
    /// One seed alone
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Threads
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Tell everything that happened, not only the last of a failure
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Break one rule in a core on purpose, and run seeds until the checker finds it: a name, or `all` for a table. Only in
    /// builds with debug assertions
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,
    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("`{text}` is no range of seeds; write it as 0..2000");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range = from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}

pub async fn run(options: Options) -> Result<Exit, Failure> {
    let mutants = mutants(options.mutant.as_deref()).map_err(Failure::usage)?;
    let mutant = mutants.first().copied();
    let exploring = Exploring { mutant };
    match (options.seed, mutant) {
        (Some(seed), _) => run_one(seed, exploring, &options),
        (None, Some(_)) => run_hunts(mutants, options).await,
        (None, None) => run_many(exploring, options).await,
    }
}

/// The mutants that a name stands for.
fn mutants(name: Option<&str>) -> anyhow::Result<Vec<Mutant>> {
    let Some(name) = name else { return Ok(Vec::new()) };
    if !cfg!(debug_assertions) {
        bail!(
            "this build has no mutants: run it with `cargo run --bin tidegate-sim -- explore --mutant {name}`"
        );
    }
    match (name, Mutant::by_name(name)) {
        ("all", _) => Ok(Mutant::ALL.to_vec()),
        (_, Some(mutant)) => Ok(vec![mutant]),
        (_, None) => {
            let names: Vec<&str> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
            bail!("there is no mutant `{name}`; there are {}, and `all`", names.join(", "))
        }
    }
}

/// Hunts each mutant over the seeds; fails when one gets through.
async fn run_hunts(mutants: Vec<Mutant>, options: Options) -> Result<Exit, Failure> {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let watching = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            tidegate_service::termination().await;
            stop.store(true, Ordering::Relaxed);
        }
    });
    let mut all_found = true;
    println!("| mutant | schedules until found | rule | seed |\n|---|---|---|---|");
    for mutant in mutants {
        let exploring = Exploring { mutant: Some(mutant) };
        let (seeds, stop, done) = (options.seeds.clone(), Arc::clone(&stop), Arc::clone(&done));
        let hunting = tokio::task::spawn_blocking(move || hunt(seeds, exploring, &stop, &done));
        let found =
            hunting.await.map_err(|panic| Failure::runtime(anyhow!("a schedule panicked: {panic}")))?;
        match found.map_err(Failure::runtime)? {
            Some((count, Explored { seed, violation: Some(violation), .. })) => {
                println!("| {} | {count} | {} | {seed} |", mutant.name(), violation.rule);
            }
            _ => {
                all_found = false;
                println!("| {} | not within {:?} | | |", mutant.name(), options.seeds);
            }
        }
    }
    watching.abort();
    Ok(if all_found { Exit::Ok } else { Exit::Failed })
}

fn run_one(seed: u64, exploring: Exploring, options: &Options) -> Result<Exit, Failure> {
    let detail = if options.trace { Detail::All } else { Detail::Last };
    let explored = one(seed, exploring, detail).map_err(Failure::runtime)?;
    if options.trace {
        explored.lines.iter().for_each(|line| println!("{line}"));
    }
    let failed = explored.violation.is_some();
    if failed {
        tell_failure(&explored, options.trace, options.mutant.as_deref());
    } else {
        let Coverage { readings, events, virtual_us, .. } = explored.coverage;
        println!(
            "seed {seed}: all rules held; {readings} readings, {events} events in {:.1} s of virtual time, trace {:016x}",
            virtual_us as f64 / 1e6,
            explored.hash
        );
    }
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

async fn run_many(exploring: Exploring, options: Options) -> Result<Exit, Failure> {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (seeds, jobs) = (options.seeds.clone(), options.jobs);
    let started = Instant::now();
    let mut working = tokio::task::spawn_blocking({
        let (stop, done, seeds) = (Arc::clone(&stop), Arc::clone(&done), seeds.clone());
        move || explore(seeds, jobs, exploring, &stop, &done)
    });
    let mut progress = Progress::start();
    let count = seeds.end - seeds.start;
    let asked_to_stop = tidegate_service::termination();
    tokio::pin!(asked_to_stop);
    let report = loop {
        tokio::select! {
            report = &mut working => break report,
            () = &mut asked_to_stop, if !stop.load(Ordering::Relaxed) => stop.store(true, Ordering::Relaxed),
            () = tokio::time::sleep(EVERY) => {
                let ended = done.load(Ordering::Relaxed);
                let per_minute = per_minute(ended, started);
                progress.show(format!("{ended}/{count} schedules, {per_minute:.0} a minute"));
            }
        }
    };
    progress.end();
    let report = report.map_err(|panic| Failure::runtime(anyhow!("a schedule panicked: {panic}")))?;
    let report = report.map_err(Failure::runtime)?;
    for failure in &report.failures {
        tell_failure(failure, false, None);
    }
    let rate = per_minute(report.coverage.schedules, started);
    if options.json {
        summary_json(&report, rate)
    } else {
        summary(&report, rate)
    }
    let missing = report.coverage.never_happened();
    let incomplete = report.coverage.schedules >= ENOUGH_FOR_EVERY_FAULT && !missing.is_empty();
    for fault in missing.iter().filter(|_| incomplete) {
        eprintln!("never happened: {}", fault.words());
    }
    Ok(if incomplete || !report.failures.is_empty() { Exit::Failed } else { Exit::Ok })
}

fn per_minute(schedules: u64, started: Instant) -> f64 {
    schedules as f64 / started.elapsed().as_secs_f64().max(0.001) * 60.0
}

fn tell_failure(explored: &Explored, told_already: bool, mutant: Option<&str>) {
    let Some(violation) = &explored.violation else { return };
    let seed = explored.seed;
    if !told_already {
        explored.lines.iter().for_each(|line| eprintln!("{line}"));
    }
    eprintln!("seed {seed} breaks `{}` at {:.3} s:", violation.rule, violation.at_us as f64 / 1e6);
    eprintln!("  {}", violation.words);
    let mutant = mutant.map(|name| format!(" --mutant {name}")).unwrap_or_default();
    eprintln!("  replay: tidegate-sim explore --seed {seed}{mutant}");
}

fn summary(report: &Report, rate: f64) {
    let Coverage { schedules, virtual_us, readings, events, .. } = report.coverage;
    println!("{schedules} schedules, {rate:.0} a minute; {} failed", report.failures.len());
    println!(
        "{:.1} hours of virtual time, {readings} readings, {events} events; slowest live reading {} ms",
        virtual_us as f64 / 3.6e9,
        report.slowest_live_us / 1_000
    );
    for &fault in Fault::ALL {
        println!("  {:<58} {:>10}", fault.words(), grouped(report.coverage.of(fault)));
    }
    for failure in &report.failures {
        let rule = failure.violation.as_ref().map_or("", |violation| violation.rule);
        println!("  failed: tidegate-sim explore --seed {} ({rule})", failure.seed);
    }
}

/// `41,233`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn summary_json(report: &Report, rate: f64) {
    let faults: serde_json::Map<String, serde_json::Value> = Fault::ALL
        .iter()
        .map(|fault| (fault.words().to_owned(), report.coverage.of(*fault).into()))
        .collect();
    let failures: Vec<serde_json::Value> = report
        .failures
        .iter()
        .filter_map(|failure| {
            let violation = failure.violation.as_ref()?;
            Some(
                serde_json::json!({ "seed": failure.seed, "rule": violation.rule, "words": violation.words }),
            )
        })
        .collect();
    let object = serde_json::json!({
        "schedules": report.coverage.schedules,
        "schedules_per_minute": rate.round(),
        "virtual_s": report.coverage.virtual_us / 1_000_000,
        "readings": report.coverage.readings,
        "events": report.coverage.events,
        "slowest_live_ms": report.slowest_live_us / 1_000,
        "faults": faults,
        "failures": failures,
    });
    println!("{object}");
}
