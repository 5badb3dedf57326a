//! `cargo xtask deny`: licences, sources and known vulnerabilities of every dependency, those of boards too, as deny.toml has it.

use crate::firmware::template;
use crate::lint::outside_the_workspace;
use crate::repository::Repository;
use crate::steps::{Step, Steps};
use crate::tools::crates;
use anyhow::Result;
use std::process::Command;

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
    let mut manifests = outside_the_workspace(repository)?;
    // It has its dependencies from where the project is published; what they are is checked here.
    manifests.retain(|manifest| !manifest.starts_with(repository.path(template::FOLDER)));
    manifests.push(repository.path("Cargo.toml"));
    let mut result = Ok(());
    for manifest in manifests {
        // Run by path, so that no other cargo-deny on PATH is taken.
        let mut command = Command::new(&program);
        command.args(["--workspace", "--all-features", "--manifest-path"]).arg(manifest);
        command.args(["--config", "deny.toml", "check", "--hide-inclusion-graph"]).args(checks);
        result = result.and(step.run(command.current_dir(repository.root())));
    }
    result
}
