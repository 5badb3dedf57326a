//! A Rust toolchain that can build for boards without an operating system.
//!
//! rustup brings the target's core library where it can download. Where it cannot, Debian packages a compiler together
//! with the library's source, and [`super::sysroot`] builds the library from that.

use super::sysroot;
use crate::command::{capture, is_on_path};
use crate::repository::Repository;
use crate::steps::Step;
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// Cortex-M0: the smallest processor that firmware is promised to fit.
pub const SMALLEST: &str = "thumbv6m-none-eabi";

/// Where the target's core library comes from.
#[derive(clap::ValueEnum, Clone, Copy)]
pub enum Source {
    /// rustup if it has the target or can add it, else Debian
    Auto,
    /// `rustup target add`, which needs its download server
    Rustup,
    /// Debian's packaged compiler and library source, unpacked below target/tools
    Debian,
}

/// What a cargo command needs in its environment to build for a board.
pub struct Toolchain {
    environment: Vec<(&'static str, OsString)>,
}

impl Toolchain {
    /// A cargo command that builds for a target, apart from the host's builds: the two may have different compilers.
    pub fn cargo(&self, repository: &Repository, target: &str, arguments: &[&str]) -> Command {
        let mut command = repository.cargo(arguments);
        command.args(["--target", target]).arg("--target-dir").arg(build_folder(repository));
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }
}

pub fn build_folder(repository: &Repository) -> PathBuf {
    repository.path("target/firmware/build")
}

/// Makes sure that all of these targets can be built for.
pub fn ensure(
    repository: &Repository,
    step: &mut Step,
    source: Source,
    targets: &[&str],
) -> Result<Toolchain> {
    match source {
        Source::Rustup => from_rustup(step, targets),
        Source::Debian => from_debian(repository, step, targets),
        Source::Auto => match from_rustup(step, targets) {
            Ok(toolchain) => Ok(toolchain),
            Err(error) => from_debian(repository, step, targets).with_context(|| {
                let targets = targets.join(" or ");
                format!("rustup could not add {targets} ({error:#}), and Debian's compiler did not serve")
            }),
        },
    }
}

fn from_rustup(step: &mut Step, targets: &[&str]) -> Result<Toolchain> {
    if !is_on_path("rustup") {
        anyhow::bail!("there is no rustup");
    }
    let installed = capture(Command::new("rustup").args(["target", "list", "--installed"]))?;
    let is_missing = |target: &&&str| !installed.lines().any(|line| line.trim() == **target);
    let missing: Vec<&str> = targets.iter().filter(is_missing).copied().collect();
    if missing.is_empty() {
        step.note("rustup has all targets");
    } else {
        step.run(Command::new("rustup").args(["target", "add"]).args(&missing))?;
        step.note(format!("rustup added {}", missing.join(", ")));
    }
    Ok(Toolchain { environment: Vec::new() })
}

fn from_debian(repository: &Repository, step: &mut Step, targets: &[&str]) -> Result<Toolchain> {
    let sysroot = sysroot::ensure(repository, step, targets)?;
    step.note(format!("Debian's compiler, core library built here for {}", targets.join(", ")));
    Ok(Toolchain { environment: sysroot.environment() })
}
