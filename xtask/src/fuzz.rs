//! `cargo xtask fuzz`: parsers under libFuzzer, one or all of them. `cargo xtask test` runs the same bodies over their corpora as plain
//! tests, and here only checks that they still build.
//!
//! What libFuzzer finds worth keeping goes to `target/fuzz/corpus`, and an input that ends a body to `target/fuzz/artifacts`;
//! `fuzz/corpus` is read and never written.

mod campaign;
mod running;

use crate::command::{self, is_on_path};
use crate::repository::Repository;
use crate::steps::{Step, Steps};
use crate::tools::crates;
use anyhow::{Context, Result, bail};
use campaign::Campaign;
use running::Program;
use std::fs;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::Command;

/// How long a target runs where nobody says.
pub const SECONDS_EACH: u64 = 30;
const FOLDER: &str = "fuzz";
const BUILT: &str = "target/fuzz";

#[derive(clap::Args)]
pub struct Options {
    /// A file name in fuzz/fuzz_targets, without .rs
    target: Option<String>,
    /// Run every target, and print a table of what came of each
    #[arg(long, conflicts_with_all = ["target", "input"])]
    every: bool,
    /// How long to run each
    #[arg(long, default_value_t = SECONDS_EACH)]
    seconds: u64,
    /// How many run at the same time
    #[arg(long, default_value = "1", requires = "every")]
    jobs: NonZero<usize>,
    /// Run the target over this file once, and nothing else
    #[arg(long, requires = "target")]
    input: Vec<PathBuf>,
}

pub fn run(repository: &Repository, options: &Options) -> Result<()> {
    let targets = targets(repository)?;
    let chosen = match &options.target {
        None if options.every => targets,
        None => {
            println!("{}", targets.join("\n"));
            return Ok(());
        }
        Some(target) if targets.contains(target) => vec![target.clone()],
        Some(target) => bail!("there is no fuzz target `{target}`; there are: {}", targets.join(", ")),
    };
    let mut steps = Steps::new(repository)?;
    let built = steps.run("build fuzz targets", |step| build(repository, step, options.target.as_deref()));
    let (Some(built), []) = (built, &options.input[..]) else {
        steps.finish()?;
        // What is given is relative to where the caller stands, and libFuzzer runs there too.
        return Program::new(repository, &built_folder(repository)?, &chosen.concat()).replay(&options.input);
    };
    steps.finish()?;
    let programs = chosen.iter().map(|target| Program::new(repository, &built, target)).collect();
    Campaign { programs, seconds: options.seconds, jobs: options.jobs.get() }.run()
}

pub fn run_every_target(repository: &Repository, steps: &mut Steps, seconds: u64) {
    let Some(targets) = steps.run("fuzz targets", |_| targets(repository)) else { return };
    let Some(built) = steps.run("build fuzz targets", |step| build(repository, step, None)) else { return };
    for target in targets {
        let program = Program::new(repository, &built, &target);
        steps.run(&format!("fuzz {target}"), |step| {
            let ran = program.run(seconds, |_| {})?;
            step.note(format!("{} inputs", ran.executions));
            ran.verdict(&target)
        });
    }
}

/// The crate is no part of the workspace, so nothing else would notice that it no longer builds.
pub fn check(repository: &Repository, steps: &mut Steps) {
    steps.run("fuzz targets build", |step| {
        let manifest = format!("{FOLDER}/Cargo.toml");
        let mut check = repository.cargo(&["check", "--manifest-path", &manifest, "--target-dir", BUILT]);
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

/// Builds one target, or all; returns the folder that they are in.
fn build(repository: &Repository, step: &mut Step, target: Option<&str>) -> Result<PathBuf> {
    let program = crates::ensure(repository, step, &crates::CARGO_FUZZ)?;
    let mut command = Command::new(program);
    command.arg("build").args(target).args(["--fuzz-dir", FOLDER, "--target-dir", BUILT]);
    // Sanitisers need unstable flags: a nightly compiler, or a stable one that is told to allow them.
    if has_nightly() {
        command.env("RUSTUP_TOOLCHAIN", "nightly").env_remove("CARGO").env_remove("RUSTC");
    } else {
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    step.run(command.current_dir(repository.root()))?;
    built_folder(repository)
}

/// cargo-fuzz builds for a target that it names: the compiler's own.
fn built_folder(repository: &Repository) -> Result<PathBuf> {
    Ok(repository.path(BUILT).join(command::host()?).join("release"))
}

fn has_nightly() -> bool {
    let list = || command::capture(Command::new("rustup").args(["toolchain", "list"]));
    is_on_path("rustup") && list().is_ok_and(|list| list.lines().any(|line| line.starts_with("nightly")))
}
