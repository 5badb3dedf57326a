//! Settings: one TOML file per program.
//!
//! The text becomes the program's raw serde struct (use `deny_unknown_fields`); the program then validates that
//! into its own `Config` and reports what it refuses with [`SettingsError::invalid`].
//!
//! Environment variables override the file: `TIDEGATE_BROKER__LIMITS__MAX_CONNECTIONS=64` sets
//! `limits.max_connections`, `TIDEGATE_BROKER__USERS__0__PASSWORD=…` a key of the first `[[users]]`. The value is
//! read as TOML (`64`, `true`, `["a", "b"]`); anything else, and anything where text is expected, is text.

mod environment;
mod error;
mod key_path;
mod reading;

use std::{ffi::OsString, path::Path};

use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

pub use error::SettingsError;

/// Reads and parses a settings file.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, SettingsError> {
    parse(path, &read(path)?)
}

/// Reads and parses a file that a `key` of the settings file names.
pub fn load_named<T: DeserializeOwned>(
    settings_file: &Path,
    key: &str,
    path: &Path,
) -> Result<T, SettingsError> {
    if !path.is_file() {
        let problem = format!("there is no file at {}", path.display());
        let remedy = "create it, or correct the path";
        return Err(SettingsError::invalid(settings_file, key, problem, remedy));
    }
    load(path)
}

/// Parses settings from text; `path_for_messages` is only named in errors.
pub fn parse<T: DeserializeOwned>(path_for_messages: &Path, text: &str) -> Result<T, SettingsError> {
    reading::read(path_for_messages, text, Vec::new(), false)
}

/// The same of a file that holds secrets: what is wrong is told without repeating any value.
pub fn parse_secret<T: DeserializeOwned>(path_for_messages: &Path, text: &str) -> Result<T, SettingsError> {
    reading::read(path_for_messages, text, Vec::new(), true)
}

/// As [`load`], with the environment variables that start with `prefix` and two underscores laid over the file.
pub fn load_with_env<T: DeserializeOwned>(path: &Path, prefix: &str) -> Result<T, SettingsError> {
    parse_with_env(path, &read(path)?, prefix, std::env::vars_os())
}

/// As [`parse`], with those of the variables laid over the text that start with `prefix` and two underscores.
pub fn parse_with_env<T: DeserializeOwned>(
    path_for_messages: &Path,
    text: &str,
    prefix: &str,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<T, SettingsError> {
    reading::read(path_for_messages, text, environment::overrides(prefix, variables), false)
}

/// Reads a secret from the file that a `…_file` key names; a relative path starts at the settings file's folder.
/// One trailing line break is not part of the secret.
pub fn read_secret(
    settings_file: &Path,
    key: &str,
    secret_file: &Path,
) -> Result<SecretString, SettingsError> {
    let folder = settings_file.parent().unwrap_or(Path::new(""));
    let path = folder.join(secret_file);
    let refused = |problem: String| {
        let remedy = "create the file with the secret on one line, readable by this program's user";
        SettingsError::invalid(settings_file, key, problem, remedy)
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| refused(format!("cannot read {} ({error})", path.display())))?;
    let text = SecretString::from(text);
    let text = text.expose_secret();
    let secret = text.strip_suffix('\n').unwrap_or(text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err(refused(format!("{} is empty", path.display())));
    }
    Ok(secret.into())
}

/// A settings file as text, not parsed.
pub fn read(path: &Path) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|error| SettingsError::unreadable(path, &error))
}
