//! Starting other programs.

use anyhow::{Context, Result, bail};
use std::env;
use std::ffi::OsString;
use std::process::{Command, Stdio};

/// The cargo that runs xtask, with the environment that a plain shell would give it.
///
/// `cargo run` describes xtask itself in CARGO_PKG_* and CARGO_MANIFEST_*. Build scripts of some dependencies ask to
/// be run again when those change; left in place, they would make every xtask run and every plain `cargo test` rebuild
/// what the other one built.
pub fn cargo() -> Command {
    let mut command = Command::new(cargo_program());
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        if describes_this_package(text) {
            command.env_remove(&name);
        }
    }
    command
}

pub fn cargo_program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn describes_this_package(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_")
        || variable.starts_with("CARGO_MANIFEST_")
        || matches!(variable, "CARGO_CRATE_NAME" | "CARGO_BIN_NAME" | "CARGO_PRIMARY_PACKAGE")
}

/// Standard output of a short command; its standard error is part of the error if it fails.
pub fn capture(command: &mut Command) -> Result<String> {
    let shown = describe(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{shown}` could not be started; is it installed?"))?;
    if !output.status.success() {
        bail!("`{shown}` failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// In UTC.
pub fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// What the compiler builds for where nobody says.
pub fn host() -> Result<String> {
    let about = capture(Command::new("rustc").arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say what it builds for")
}

/// A command as a person would type it.
pub fn describe(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Whether a program of this name is on PATH.
pub fn is_on_path(program: &str) -> bool {
    find_on_path(program).is_some()
}

pub fn find_on_path(program: &str) -> Option<std::path::PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_described_without_the_folder_of_its_program() {
        let mut command = Command::new("/usr/bin/some-tool");
        command.args(["check", "--all"]);
        assert_eq!(describe(&command), "some-tool check --all");
    }

    #[test]
    fn only_variables_that_describe_xtask_are_removed() {
        assert!(describes_this_package("CARGO_PKG_NAME"));
        assert!(describes_this_package("CARGO_MANIFEST_DIR"));
        assert!(!describes_this_package("CARGO_HOME"));
        assert!(!describes_this_package("CARGO_TERM_COLOR"));
    }

    #[test]
    fn a_failing_command_reports_what_it_said() {
        let error = capture(Command::new("cargo").arg("--no-such-option-here")).unwrap_err().to_string();
        assert!(error.contains("cargo --no-such-option-here"), "{error}");
        assert!(error.contains("unexpected argument"), "{error}");
    }
}
