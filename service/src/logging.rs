//! Logs go to standard error, so that standard output stays free for what a program was asked to print.
//!
//! `RUST_LOG` chooses what is shown (`info`, `tidegate_agent=debug,info`). Without it, or when it cannot be
//! understood, the default filter applies.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One line a person reads.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Shows `info` and above unless `RUST_LOG` says otherwise.
pub fn init_logging(format: LogFormat) {
    init_logging_with(format, "info");
}

/// As [`init_logging`], with the program's own default filter. A second call in one process changes nothing,
/// so that several services can live in one process.
pub fn init_logging_with(format: LogFormat, default_filter: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    // The only error is "already initialised", which is the documented no-op.
    let _already_initialised = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
