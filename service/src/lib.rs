//! The shell that every Tidegate service shares.
//!
//! - [`settings`]: one TOML file, environment overrides, and errors that name the file, the key, the line and the remedy
//! - [`logging`]: logs to standard error, as text or JSON
//! - [`signals`]: the signals that end a service and have it read its files again, the shutdown token its tasks watch, the service manager's notices
//! - [`descriptors`]: as many file descriptors as there may be connections, or a word that there are fewer
//! - [`places`]: how many connections a door holds, in all and from one address
//! - `http` (feature): HTTP/1.1 whose every connection is bounded in number, size and time
//! - [`failpoint`]: named points where a test may kill the process, compiled to nothing in release builds
//! - [`mutant`]: deliberate faults that show that checks would find them, compiled to nothing in release builds
//! - [`durable`]: files that are there whole or not at all, and folders whose names outlive a power cut
//! - [`ask`]: a password or token from the terminal or what is piped in
//! - `testing` (feature): what tests of the services listen with
//! - [`exit`]: the exit codes, the same in every program, and what is said before them
//!
//! It knows no other part of Tidegate, and holds nothing about readings, topics or wires.

pub mod ask;
pub mod descriptors;
pub mod durable;
pub mod exit;
pub mod failpoint;
#[cfg(feature = "http")]
pub mod http;
pub mod logging;
pub mod mutant;
pub mod places;
pub mod settings;
pub mod signals;
#[cfg(feature = "testing")]
pub mod testing;

pub use logging::{LogFormat, init_logging};
pub use mutant::Mutant;
pub use settings::{SettingsError, load, load_with_env, parse};
pub use signals::{Hangups, Shutdown, notify_ready, notify_reloading, notify_stopping, termination};
