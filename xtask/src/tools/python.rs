//! A Python environment with the other people's programs that tests compare us with.

use crate::repository::Repository;
use crate::steps::Step;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Exact versions, so that a run means the same tomorrow.
const REQUIREMENTS: &[&str] = &[
    "duckdb==1.5.6",
    "paho-mqtt==2.1.0",
    "gmqtt==0.8.0",
    "aiosmtpd==1.4.6",
    "standardwebhooks==1.1.0",
    "schemathesis==4.32.5",
];

/// The environment's interpreter, made if it is not there or was made for other versions.
pub fn ensure(repository: &Repository, step: &mut Step) -> Result<PathBuf> {
    let folder = repository.tools().join("venv");
    let interpreter = folder.join("bin/python");
    let stamp = folder.join("installed");
    let wanted = REQUIREMENTS.join("\n");
    if interpreter.exists() && fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        step.note("already there");
        return Ok(interpreter);
    }
    step.run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    step.run(
        Command::new(&interpreter)
            .args([
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                "--no-input",
                "--only-binary",
                ":all:",
            ])
            .args(REQUIREMENTS),
    )?;
    // Written last: a run that is cut short starts over.
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    step.note(REQUIREMENTS.join(", "));
    Ok(interpreter)
}
