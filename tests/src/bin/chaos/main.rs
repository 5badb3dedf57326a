//! Real chaos: broker, ingest and two agents as processes, boards on the firmware's core, every link through a proxy that
//! cuts, stalls and slows it, small disks of their own; and whatever can happen to them at moments drawn from a seed.
//!
//! ```text
//! plan         what is done, and when, from a seed       trial   carries it out, heals, waits
//! programs     the processes under their supervisor      switchboard   the links between them
//! disk         full, read-only, without permission       damage  bits flipped in blocks of stopped programs
//! boards       what was measured                         audit   what the cloud says of it    report   the table
//! ```
//!
//! It ends with the audit, and with 0 only if every reading is where it should be. What it promises and has shown is in
//! docs/reliability.md.

mod audit;
mod boards;
mod damage;
mod disk;
mod plan;
mod programs;
mod report;
mod switchboard;
mod trial;

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use clap::Parser;
use rustix::thread::CapabilitySet;
use tidegate_tests::programs::program;

use plan::Wanted;
use trial::Trial;

/// Kill, stop, cut, fill and damage the running chain, and audit every reading afterwards.
#[derive(Parser)]
#[command(name = "cargo xtask chaos", max_term_width = 100)]
struct Arguments {
    /// How long faults go on
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Draws every choice; a random one if it is left out
    #[arg(long)]
    seed: Option<u64>,
    /// How many processes are killed; by default one each two seconds
    #[arg(long)]
    kills: Option<u64>,
}

/// Set in the process that has mounts of its own.
const ISOLATED: &str = "TIDEGATE_CHAOS_ISOLATED";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mounts = std::env::var_os(ISOLATED).is_some();
    if !mounts {
        // Does not return where it works.
        isolate();
    }
    // Permissions bind our programs even where root runs them.
    for capability in [CapabilitySet::DAC_OVERRIDE, CapabilitySet::DAC_READ_SEARCH] {
        // Refused where they are not held, which is what is wanted.
        let _refused = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    match run(&arguments, mounts) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this program again where its mounts are nobody else's and vanish with it; returns where that cannot be had.
fn isolate() {
    let Ok(this) = std::env::current_exe() else { return };
    for flags in [&["--mount"][..], &["--user", "--map-root-user", "--mount"]] {
        let works = Command::new("unshare").args(flags).arg("true").stderr(Stdio::null()).status();
        if works.is_ok_and(|status| status.success()) {
            let mut again = Command::new("unshare");
            let _failed =
                again.args(flags).arg(&this).args(std::env::args_os().skip(1)).env(ISOLATED, "1").exec();
        }
    }
    eprintln!("no mounts can be made here (see `man unshare`): disks will not be full or read-only");
}

fn run(arguments: &Arguments, mounts: bool) -> std::io::Result<bool> {
    // Short, since it is to be typed again.
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => u64::from(getrandom::u32()?),
    };
    let length_ms = (arguments.minutes.clamp(0.05, 10_000.0) * 60_000.0) as u64;
    let kills = arguments.kills.unwrap_or(length_ms / 2_000);
    let wanted = Wanted { seed, length_ms, kills, mounts };
    let replay = format!("cargo xtask chaos --minutes {} --kills {kills} --seed {seed}", arguments.minutes);
    eprintln!("seed {seed}: {replay}");
    let folder = run_folder(seed)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut trial = Trial::start(&folder, wanted, replay).await?;
        tokio::select! {
            done = trial.go() => done?,
            // Dropped, the trial takes its processes with it.
            () = tidegate_service::termination() => return Err(std::io::ErrorKind::Interrupted.into()),
        }
        audit::audit(&mut trial).await;
        let failed = !trial.report.violations.is_empty();
        if failed {
            trial.keep()?;
        }
        trial.end()?;
        let failed = !trial.report.violations.is_empty();
        println!("{}", trial.report);
        drop(trial);
        if failed {
            println!("logs, settings and data: {}", folder.display());
        } else {
            std::fs::remove_dir_all(&folder)?;
        }
        Ok(!failed)
    })
}

/// Below the target folder that the programs are in; of this process alone, whoever runs the same seed beside it.
fn run_folder(seed: u64) -> std::io::Result<PathBuf> {
    let broker = program("tidegate-broker");
    let target = broker.ancestors().nth(2).unwrap_or(Path::new("target"));
    let folder = target.join("chaos").join(format!("seed-{seed}-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    folder.canonicalize()
}
