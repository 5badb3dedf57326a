//! Other people's programs, from PyPI.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value as Json;

/// A Python with what these tests need.
///
/// # Panics
/// When there is none; the message names the command that makes one.
pub fn interpreter() -> PathBuf {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/venv/bin/python");
    let python = std::env::var_os("TIDEGATE_TEST_PYTHON").map_or(made, PathBuf::from);
    let probe = Command::new(&python).args(["-c", "import aiosmtpd, standardwebhooks"]).output();
    assert!(
        probe.is_ok_and(|probe| probe.status.success()),
        "{} is no Python with aiosmtpd and standardwebhooks: `cargo xtask test` makes one (or set TIDEGATE_TEST_PYTHON)",
        python.display()
    );
    python
}

/// Runs a script that reads JSON and prints JSON; an error is what it said.
pub fn run(script: &str, given: &Json) -> Result<Json, String> {
    let mut child = Command::new(interpreter())
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(given.to_string().as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
}
