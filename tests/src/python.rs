//! The Python with other people's programs, from PyPI.

use std::{path::PathBuf, process::Command};

use crate::programs::workspace;

/// Where it is; whether it is there, nobody looked.
pub fn python() -> PathBuf {
    std::env::var_os("TIDEGATE_TEST_PYTHON")
        .map_or_else(|| workspace().join("target/tools/venv/bin/python"), PathBuf::from)
}

/// One that has a module.
///
/// # Panics
/// When there is none; the message names the command that makes one.
pub fn python_with(module: &str) -> PathBuf {
    let python = python();
    let imports = Command::new(&python).args(["-c", &format!("import {module}")]).status();
    assert!(
        imports.is_ok_and(|status| status.success()),
        "no Python with {module} at {}: `cargo xtask test` installs it (or set TIDEGATE_TEST_PYTHON)",
        python.display()
    );
    python
}
