//! `tidegate-sim generate`: a recording from a seed, to standard output or a file.

use std::{
    fs::File,
    io::{self, BufWriter},
    path::PathBuf,
};

use anyhow::Context;
use tidegate_service::exit::Exit;
use tidegate_simulator::generate::generate;

use super::Failure;

#[derive(clap::Args)]
pub struct Options {
    /// The same seed writes the same rows
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many rows
    #[arg(long, default_value_t = 10_000)]
    rows: u64,
    /// The file to write; standard output without it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(options: &Options) -> Result<Exit, Failure> {
    let Options { seed, rows, output } = options;
    let written = match output {
        Some(path) => File::create(path)
            .and_then(|file| generate(*seed, *rows, &mut BufWriter::new(file)))
            .with_context(|| format!("cannot write {}", path.display())),
        None => generate(*seed, *rows, &mut BufWriter::new(io::stdout().lock())).context("cannot write"),
    };
    written.map_err(Failure::runtime)?;
    Ok(Exit::Ok)
}
