//! `cargo xtask advisories`: what the RustSec database has on the crates we use, taken into advisories.toml.
//!
//! The database lies where a machine may not reach it, and its answer changes by the day. What was taken of it is in the repository, so
//! that the same commit is checked against the same list anywhere; `cargo xtask deny` asks the database itself.

mod exceptions;
mod table;

use crate::command;
use crate::lint::outside_the_workspace;
use crate::repository::Repository;
use crate::steps::{Step, Steps};
use anyhow::{Context, Result, bail};
use rustsec::{Database, Lockfile};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use table::Table;

const RULES: &str = "deny.toml";
const TABLE: &str = "advisories.toml";
const COPY: &str = "target/advisory-db";

#[derive(clap::Args)]
pub struct Options {
    /// A git repository of the RustSec database: a URL or a folder
    #[arg(long, default_value = "https://github.com/RustSec/advisory-db")]
    database: String,
}

pub fn run(repository: &Repository, options: &Options) -> Result<()> {
    let mut steps = Steps::new(repository)?;
    steps.run("advisory database", |step| take(repository, step, &options.database));
    steps.run("known vulnerabilities", |step| check(repository, step));
    steps.finish()
}

fn take(repository: &Repository, step: &mut Step, source: &str) -> Result<()> {
    let copy = repository.path(COPY);
    if copy.exists() {
        fs::remove_dir_all(&copy).with_context(|| format!("cannot remove {}", copy.display()))?;
    }
    step.run(Command::new("git").args(["clone", "--quiet", "--depth", "1", source]).arg(&copy))?;
    let table = Table::of(&Database::open(&copy)?, date_of(&copy)?, lock_files(repository)?.values());
    fs::write(repository.path(TABLE), table.to_string()).with_context(|| format!("cannot write {TABLE}"))?;
    step.note(format!("{table:#}"));
    Ok(())
}

/// Every lock file against the table, with the exceptions of deny.toml.
pub fn check(repository: &Repository, step: &mut Step) -> Result<()> {
    let text = fs::read_to_string(repository.path(TABLE)).with_context(|| format!("cannot read {TABLE}"))?;
    let table: Table = toml::from_str(&text).with_context(|| format!("{TABLE} is not what it should be"))?;
    let rules = fs::read_to_string(repository.path(RULES)).with_context(|| format!("cannot read {RULES}"))?;
    let (today, locks) = (command::today(), lock_files(repository)?);
    let excepted = exceptions::read(&rules, today).with_context(|| format!("{RULES} is not accepted"))?;
    let faults = table.faults(&locks, &excepted, today);
    step.note(format!("{table:#}, {} lock files", locks.len()));
    if !faults.is_empty() {
        bail!("{}", faults.join("\n  "));
    }
    Ok(())
}

/// By the path that people know them by.
fn lock_files(repository: &Repository) -> Result<BTreeMap<String, Lockfile>> {
    let mut manifests = outside_the_workspace(repository)?;
    manifests.push(repository.path("Cargo.toml"));
    let mut locks = BTreeMap::new();
    for path in manifests.iter().map(|manifest| manifest.with_extension("lock")) {
        let lock = Lockfile::load(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.strip_prefix(repository.root()).unwrap_or(&path);
        locks.insert(name.display().to_string(), lock);
    }
    Ok(locks)
}

/// Of its last commit: the day the copy speaks of, whenever it was made.
fn date_of(copy: &Path) -> Result<jiff::civil::Date> {
    let asked = ["log", "-1", "--format=%cd", "--date=format:%Y-%m-%d"];
    let date = command::capture(Command::new("git").arg("-C").arg(copy).args(asked))?;
    date.trim().parse().with_context(|| format!("git gives the date of {} as {date}", copy.display()))
}
