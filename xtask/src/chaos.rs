//! `cargo xtask chaos`: builds the programs and the driver (`tests/src/bin/chaos`), and lets it loose on them.

use crate::repository::Repository;
use crate::steps::Steps;
use crate::tools::{debian, python};
use anyhow::{Context, Result, bail};
use std::process::Command;

#[derive(clap::Args)]
pub struct Options {
    /// How long faults go on; healing and the audit follow
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Draws every choice; a random one if it is left out
    #[arg(long)]
    seed: Option<u64>,
    /// How many processes are killed; by default one each two seconds
    #[arg(long)]
    kills: Option<u64>,
    /// Build and run what is shipped, without the checks of debug builds
    #[arg(long)]
    release: bool,
}

const BUILD: &[&str] = &[
    "build",
    "--package=tidegate-agent",
    "--package=tidegate-broker",
    "--package=tidegate-ingest",
    "--package=tidegate-tests",
    "--bins",
];

pub fn run(repository: &Repository, options: &Options) -> Result<()> {
    let mut build = repository.cargo(BUILD);
    if options.release {
        build.arg("--release");
    }
    let mut steps = Steps::new(repository)?;
    steps.run("debian packages", debian::ensure);
    // The audit reads the lake with a program of other people.
    let python = steps.run("python packages", |step| python::ensure(repository, step));
    steps.run("build", |step| step.run(&mut build));
    steps.finish()?;

    let programs = repository.programs(if options.release { "release" } else { "debug" });
    let mut driver = Command::new(programs.join("chaos"));
    driver.envs(python.map(|path| ("TIDEGATE_TEST_PYTHON", path)));
    driver.env("TIDEGATE_TEST_PROGRAMS", &programs).args(["--minutes", &options.minutes.to_string()]);
    for (name, value) in [("--seed", options.seed), ("--kills", options.kills)] {
        driver.args(value.map(|value| format!("{name}={value}")));
    }
    // It speaks for itself while it runs.
    let status = driver.status().context("the driver could not be started")?;
    if !status.success() {
        bail!("chaos found something; see above");
    }
    Ok(())
}
