//! `cargo xtask golden`: the one way to write protocol's golden byte vectors anew. A change in them is a change of the
//! wire: read the difference, say why in the commit, and see docs/wire.md.

use crate::command;
use crate::repository::Repository;
use crate::steps::Steps;
use anyhow::Result;
use std::process::Command;

pub fn run(repository: &Repository) -> Result<()> {
    let mut steps = Steps::new(repository)?;
    steps.run("golden vectors", |step| {
        let mut test = repository.cargo(&["test", "--package", "tidegate-protocol", "--test", "golden"]);
        step.run(test.env("TIDEGATE_REGENERATE_GOLDEN", "1"))
    });
    steps.finish()?;
    let changed = command::capture(
        Command::new("git").args(["status", "--short", "--", "protocol"]).current_dir(repository.root()),
    )?;
    if changed.is_empty() {
        println!("\nThe vectors are as they were.");
    } else {
        println!("\nChanged; read `git diff protocol` before you commit:\n{changed}");
    }
    Ok(())
}
