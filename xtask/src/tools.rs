//! What the tests need and a Rust toolchain does not bring. Everything fetched goes below target/tools, except Debian
//! packages, which only root can install.

pub mod bare_metal;
pub mod crates;
pub mod debian;
pub mod node;
pub mod python;
pub mod sysroot;

use crate::firmware::{self, boards::Boards};
use crate::repository::Repository;
use crate::steps::Steps;
use anyhow::Result;

/// `cargo xtask tools`
pub fn run(repository: &Repository, firmware: firmware::ToolchainOptions) -> Result<()> {
    let boards = Boards::read(repository)?;
    let mut steps = Steps::new(repository)?;
    steps.run("debian packages", debian::ensure);
    steps.run("python packages", |step| python::ensure(repository, step));
    steps.run("npm packages", |step| node::ensure(repository, step));
    steps.run("cargo-deny", |step| crates::ensure(repository, step, &crates::CARGO_DENY));
    steps.run("cargo-cyclonedx", |step| crates::ensure(repository, step, &crates::CARGO_CYCLONEDX));
    steps.run("bare-metal toolchain", |step| {
        bare_metal::ensure(repository, step, firmware.source, &boards.targets())
    });
    steps.finish()
}
