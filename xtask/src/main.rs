//! What developers and CI run: `cargo xtask test`, and the smaller commands it is made of.
//!
//! Every subcommand has a file of its own name. They share three things: [`repository`] (where things are),
//! [`steps`] (one line per step, with its time) and [`tools`] (what has to be fetched, and from where).

mod advisories;
mod bench;
mod chaos;
mod command;
mod deny;
mod firmware;
mod fuzz;
mod golden;
mod layers;
mod lint;
mod repository;
mod sbom;
mod steps;
mod test;
mod tools;

use clap::{Parser, Subcommand};
use repository::Repository;
use std::process::ExitCode;

/// What developers and CI run.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check everything: tools, formatting, lints, every test, board images, fuzz targets. CI runs this
    Test(test::Options),
    /// Fetch the tools that the tests need, and nothing else
    Tools(firmware::ToolchainOptions),
    /// Run the benches in release mode and write their tables into docs/benchmarks.md
    Bench(bench::Options),
    /// Kill, stop, cut, fill and damage the running programs at random, then audit every reading
    Chaos(chaos::Options),
    /// Build the boards' images, and print what they take of flash and RAM
    Firmware(firmware::Arguments),
    /// Run one fuzz target under libFuzzer; without a target, list them
    Fuzz(fuzz::Options),
    /// Write golden byte vectors of messages that have none yet; those that are there stay as they are
    Golden,
    /// Check who depends on whom, file sizes and file names
    Layers,
    /// Check licences, sources and known vulnerabilities of every dependency
    Deny(deny::Options),
    /// Take what the RustSec database has on our dependencies into advisories.toml
    Advisories(advisories::Options),
    /// Write what every program and board image is made of, as CycloneDX bills of materials, into target/sbom
    Sbom(sbom::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // The error says what failed; a backtrace through xtask would bury it.
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let repository = Repository::locate()?;
    match command {
        Command::Test(options) => test::run(&repository, &options),
        Command::Tools(options) => tools::run(&repository, options),
        Command::Bench(options) => bench::run(&repository, &options),
        Command::Chaos(options) => chaos::run(&repository, &options),
        Command::Firmware(arguments) => firmware::run(&repository, &arguments),
        Command::Fuzz(options) => fuzz::run(&repository, &options),
        Command::Golden => golden::run(&repository),
        Command::Layers => layers::run(&repository),
        Command::Deny(options) => deny::run(&repository, &options),
        Command::Advisories(options) => advisories::run(&repository, &options),
        Command::Sbom(options) => sbom::run(&repository, &options),
    }
}
