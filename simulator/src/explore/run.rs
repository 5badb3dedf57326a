//! One seed, or many on several threads.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tidegate_service::Mutant;

use super::{BeginError, Coverage, Detail, Violation, world::World};

/// What is explored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// A deliberate fault in one of the cores; only builds with debug assertions have them.
    pub mutant: Option<Mutant>,
}

/// One schedule, run to its end.
#[derive(Clone, Debug)]
pub struct Explored {
    pub seed: u64,
    pub violation: Option<Violation>,
    pub coverage: Coverage,
    /// The same for the same seed, always.
    pub hash: u64,
    pub lines: Vec<String>,
    pub slowest_live_us: u64,
}

/// Runs one seed's schedule.
pub fn one(seed: u64, options: Options, detail: Detail) -> Result<Explored, BeginError> {
    Mutant::enable(options.mutant);
    let mut world = World::new(seed, detail)?;
    world.run();
    Mutant::enable(None);
    let World { checker, coverage, trace, .. } = world;
    let hash = trace.hash();
    Ok(Explored {
        seed,
        violation: checker.violation,
        coverage,
        hash,
        lines: trace.into_lines(),
        slowest_live_us: checker.slowest_live_us,
    })
}

/// Runs seeds in their order until a rule is broken; says how many that took, and the broken one.
pub fn hunt(
    seeds: Range<u64>,
    options: Options,
    stop: &AtomicBool,
    done: &AtomicU64,
) -> Result<Option<(u64, Explored)>, BeginError> {
    let quiet = || {
        for (count, seed) in (1..).zip(seeds) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let explored = one(seed, options, Detail::Hash)?;
            done.fetch_add(1, Ordering::Relaxed);
            if explored.violation.is_some() {
                return Ok(Some((count, one(seed, options, Detail::Last)?)));
            }
        }
        Ok(None)
    };
    tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), quiet)
}

/// Many seeds.
#[derive(Debug, Default)]
pub struct Report {
    pub coverage: Coverage,
    /// With their traces, ascending by seed.
    pub failures: Vec<Explored>,
    pub slowest_live_us: u64,
}

/// Runs all seeds on `jobs` threads, until `stop`. `done` counts what has ended.
pub fn explore(
    seeds: Range<u64>,
    jobs: usize,
    options: Options,
    stop: &AtomicBool,
    done: &AtomicU64,
) -> Result<Report, BeginError> {
    let next = AtomicU64::new(seeds.start);
    let report = Mutex::new(Report::default());
    let work = || -> Result<(), BeginError> {
        let mut own = Coverage::default();
        let mut slowest_live_us = 0;
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let explored = one(seed, options, Detail::Hash)?;
            own.merge(&explored.coverage);
            slowest_live_us = slowest_live_us.max(explored.slowest_live_us);
            done.fetch_add(1, Ordering::Relaxed);
            if explored.violation.is_some() {
                // Once more, and in words.
                let told = one(seed, options, Detail::Last)?;
                report.lock().unwrap_or_else(PoisonError::into_inner).failures.push(told);
            }
        }
        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
        report.coverage.merge(&own);
        report.slowest_live_us = report.slowest_live_us.max(slowest_live_us);
        Ok(())
    };
    // Thousands of killed programs have much to log, and the trace says it better.
    let quiet = || tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), work);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(quiet)).collect();
        let ended = workers.into_iter().map(|worker| match worker.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        ended.collect::<Result<Vec<()>, BeginError>>()
    })?;
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.failures.sort_by_key(|failure| failure.seed);
    Ok(report)
}
