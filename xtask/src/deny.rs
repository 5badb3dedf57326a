//! `cargo xtask deny`: licences, sources and known vulnerabilities of every dependency, those of boards too, as deny.toml has it.

use crate::advisories;
use crate::firmware::template;
use crate::lint::outside_the_workspace;
use crate::repository::Repository;
use crate::steps::{Step, Steps};
use crate::tools::crates;
use anyhow::Result;
use std::process::Command;

const RULES: &str = "deny.toml";
/// Checks that need no download; `cargo xtask test` runs these.
pub const OFFLINE_CHECKS: &[&str] = &["bans", "licenses", "sources"];

#[derive(clap::Args)]
pub struct Options {
    /// Leave out today's list of vulnerabilities, which has to be downloaded: advisories.toml is what there is
    #[arg(long)]
    offline: bool,
}

pub fn run(repository: &Repository, options: &Options) -> Result<()> {
    let mut steps = Steps::new(repository)?;
    steps.run("licences and sources", |step| check(repository, step, OFFLINE_CHECKS));
    steps.run("known vulnerabilities", |step| advisories::check(repository, step));
    if !options.offline {
        steps.run("vulnerabilities of today", |step| check(repository, step, &["advisories"]));
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
        command.args(["--config", RULES, "check", "--hide-inclusion-graph"]).args(checks);
        result = result.and(step.run(command.current_dir(repository.root())));
    }
    result
}
