//! `cargo xtask golden`: writes golden byte vectors of messages that have none yet. Those that are there are pinned for ever:
//! what would change one needs another version of the wire (docs/wire.md).

use crate::command;
use crate::repository::Repository;
use crate::steps::Steps;
use anyhow::Result;
use std::process::Command;

pub fn run(repository: &Repository) -> Result<()> {
    let mut steps = Steps::new(repository)?;
    for package in ["tidegate-protocol", "tidegate-alarms"] {
        steps.run(&format!("golden vectors of {package}"), |step| {
            let test = ["test", "--package", package, "--test", "golden", "--", "no_vector_was_changed"];
            step.run(repository.cargo(&test).env("TIDEGATE_REGENERATE_GOLDEN", "1"))
        });
    }
    steps.finish()?;
    let changed = command::capture(
        Command::new("git").args(["status", "--short", "--", "*/golden/*"]).current_dir(repository.root()),
    )?;
    if changed.is_empty() {
        println!("\nThe vectors are as they were.");
    } else {
        println!("\nNew; read them before you commit, for they stay:\n{changed}");
    }
    Ok(())
}
