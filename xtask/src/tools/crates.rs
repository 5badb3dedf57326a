//! Cargo subcommands at a fixed version, built from crates.io into target/tools.

use crate::repository::Repository;
use crate::steps::Step;
use anyhow::{Result, bail};
use std::fs;
use std::path::PathBuf;

pub struct Subcommand {
    crate_name: &'static str,
    version: &'static str,
}

pub const CARGO_CYCLONEDX: Subcommand = Subcommand { crate_name: "cargo-cyclonedx", version: "0.5.9" };
pub const CARGO_DENY: Subcommand = Subcommand { crate_name: "cargo-deny", version: "0.20.2" };
pub const CARGO_FUZZ: Subcommand = Subcommand { crate_name: "cargo-fuzz", version: "0.13.2" };

/// The program's path, built if it is not there at this version.
pub fn ensure(repository: &Repository, step: &mut Step, wanted: &Subcommand) -> Result<PathBuf> {
    let Subcommand { crate_name, version } = wanted;
    let root = repository.tools();
    let program = root.join("bin").join(crate_name);
    let stamp = root.join(format!("{crate_name}.version"));
    if program.exists() && fs::read_to_string(&stamp).is_ok_and(|found| found == *version) {
        return Ok(program);
    }
    let build = root.join("build");
    step.run(
        repository
            .cargo(&["install", "--locked", "--force", "--version", version, crate_name])
            .arg("--root")
            .arg(&root)
            .arg("--target-dir")
            .arg(&build),
    )?;
    // The build is some 500 MB and of no further use.
    fs::remove_dir_all(&build)?;
    if !program.exists() {
        bail!("{crate_name} was installed, but {} is not there", program.display());
    }
    fs::write(&stamp, version)?;
    step.note(format!("built {crate_name} {version}"));
    Ok(program)
}
