//! `tidegate rules check`: is this file good?

use std::{io::Write, path::PathBuf, process::ExitCode};

use super::file;
use crate::{
    error::CliError,
    paint::{Paint, Style},
};

/// Check a rules file, and say everything that is wrong with it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The rules file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let checked = file::read(&arguments.file)?;
    let paint = Paint::for_stdout();
    let mut out = std::io::stdout().lock();
    for note in &checked.notes {
        let line = note.line.map(|line| format!("{line}:")).unwrap_or_default();
        let kind = match note.is_problem {
            true => paint.apply(Style::BoldRed, "error:"),
            false => paint.apply(Style::Yellow, "warning:"),
        };
        writeln!(out, "{}:{line} {kind} {}", arguments.file.display(), note.text)?;
    }
    let (problems, warnings) = (checked.problems(), checked.warnings());
    let warned = if warnings == 0 { String::new() } else { format!(", {}", counted(warnings, "warning")) };
    match checked.rules {
        Some(rules) => {
            writeln!(out, "{}: good{warned}", counted(rules.rules().len(), "rule"))?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            writeln!(out, "{}{warned}", counted(problems, "problem"))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// `1 rule`, `2 rules`.
pub fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
