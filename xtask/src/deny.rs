//! `cargo xtask deny`: licences, sources and known vulnerabilities of every dependency, as deny.toml has it.

use crate::repository::Repository;
use crate::steps::{Step, Steps};
use crate::tools::crates;
use anyhow::Result;

/// Checks that need no download; `cargo xtask test` runs these.
pub const OFFLINE_CHECKS: &[&str] = &["bans", "licenses", "sources"];

#[derive(clap::Args)]
pub struct Options {
    /// Leave out the vulnerabilities, whose list has to be downloaded
    #[arg(long)]
    offline: bool,
}

pub fn run(repository: &Repository, options: &Options) -> Result<()> {
    let mut steps = Steps::new(repository)?;
    steps.run("licences and sources", |step| check(repository, step, OFFLINE_CHECKS));
    if !options.offline {
        steps.run("vulnerabilities", |step| check(repository, step, &["advisories"]));
    }
    steps.finish()
}

pub fn check(repository: &Repository, step: &mut Step, checks: &[&str]) -> Result<()> {
    let program = crates::ensure(repository, step, &crates::CARGO_DENY)?;
    // Run by path, so that no other cargo-deny on PATH is taken.
    let mut command = std::process::Command::new(program);
    command.args(["--workspace", "--all-features", "check", "--hide-inclusion-graph"]);
    step.run(command.args(checks).current_dir(repository.root()))
}
