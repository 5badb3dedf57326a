//! `cargo xtask fuzz`: decoders under libFuzzer. `cargo xtask test` runs the same targets over seeded inputs as plain
//! tests, and here only checks that they still build.

use crate::command::{self, is_on_path};
use crate::repository::Repository;
use crate::steps::{Step, Steps};
use crate::tools::crates;
use anyhow::{Context, Result, bail};
use std::fs;
use std::process::Command;

/// How long a target runs where nobody says.
pub const SECONDS_EACH: u64 = 30;
const FOLDER: &str = "fuzz";

#[derive(clap::Args)]
pub struct Options {
    /// A file name in fuzz/fuzz_targets, without .rs
    target: Option<String>,
    /// How long to run
    #[arg(long, default_value_t = SECONDS_EACH)]
    seconds: u64,
}

pub fn run(repository: &Repository, options: &Options) -> Result<()> {
    let targets = targets(repository)?;
    let Some(target) = &options.target else {
        println!("{}", targets.join("\n"));
        return Ok(());
    };
    if !targets.contains(target) {
        bail!("there is no fuzz target `{target}`; there are: {}", targets.join(", "));
    }
    let mut steps = Steps::new(repository)?;
    steps.run(&format!("fuzz {target}"), |step| fuzz(repository, step, target, options.seconds));
    steps.finish()
}

pub fn run_every_target(repository: &Repository, steps: &mut Steps, seconds: u64) {
    let Some(targets) = steps.run("fuzz targets", |_| targets(repository)) else { return };
    for target in targets {
        steps.run(&format!("fuzz {target}"), |step| fuzz(repository, step, &target, seconds));
    }
}

/// The crate is no part of the workspace, so nothing else would notice that it no longer builds.
pub fn check(repository: &Repository, steps: &mut Steps) {
    steps.run("fuzz targets build", |step| {
        let manifest = format!("{FOLDER}/Cargo.toml");
        let mut check =
            repository.cargo(&["check", "--manifest-path", &manifest, "--target-dir", "target/fuzz"]);
        step.run_without_warnings(&mut check)
    });
}

fn targets(repository: &Repository) -> Result<Vec<String>> {
    let folder = repository.path(FOLDER).join("fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

fn fuzz(repository: &Repository, step: &mut Step, target: &str, seconds: u64) -> Result<()> {
    let program = crates::ensure(repository, step, &crates::CARGO_FUZZ)?;
    let mut command = Command::new(program);
    command.args(["run", target, "--fuzz-dir", FOLDER, "--target-dir", "target/fuzz"]);
    command.args(["--", &format!("-max_total_time={seconds}"), "-print_final_stats=1"]);
    // Sanitisers need unstable flags: a nightly compiler, or a stable one that is told to allow them.
    if has_nightly() {
        command.env("RUSTUP_TOOLCHAIN", "nightly").env_remove("CARGO").env_remove("RUSTC");
    } else {
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    let mut executed = None;
    let mut watch = |line: &str| {
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            executed = Some(count.trim().to_owned());
        }
    };
    step.run_watched(command.current_dir(repository.root()), &mut watch)?;
    let executed = executed.context("libFuzzer did not say how many inputs it tried")?;
    step.note(format!("{executed} inputs"));
    Ok(())
}

fn has_nightly() -> bool {
    let list = || command::capture(Command::new("rustup").args(["toolchain", "list"]));
    is_on_path("rustup") && list().is_ok_and(|list| list.lines().any(|line| line.starts_with("nightly")))
}
