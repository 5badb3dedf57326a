//! Exit codes, the same in every Tidegate program.

use std::{error::Error, process::ExitCode};

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

/// An error with its causes on one line. What says its cause itself does not have it said again.
pub fn in_full(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let own = error.to_string();
        if !words.contains(&own) {
            words.push_str(": ");
            words.push_str(&own);
        }
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failure {
        #[error("the disk is full")]
        Disk,
        #[error("the store: {0}")]
        Saying(#[source] Box<Self>),
        #[error("it cannot go on")]
        Silent(#[source] Box<Self>),
    }

    #[test]
    fn each_cause_is_said_once() {
        let error = Failure::Silent(Failure::Saying(Failure::Disk.into()).into());
        assert_eq!(in_full(&error), "it cannot go on: the store: the disk is full");
    }
}
