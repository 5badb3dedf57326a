//! Exit codes, the same in every Tidegate program.

use std::process::ExitCode;

/// What a program tells the shell that started it. `clap` itself ends with 2 on wrong usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked, or was asked to stop and did so cleanly.
    Ok = 0,
    /// It started and then failed.
    Failed = 1,
    /// It never started: wrong arguments, or a configuration it refuses.
    Usage = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Shown under `--help`: `#[command(after_help = exit::HELP)]`.
pub const HELP: &str = "Exit codes:\n  0  ended cleanly\n  1  failed while running\n  2  wrong usage, or a configuration that is refused";
