//! `tidegate-sim`: virtual boards, recordings and generated files on the command line.

mod commands;

use clap::{Parser, Subcommand};
use commands::{blast, explore, fleet, generate, replay};
use std::process::ExitCode;
use tidegate_service::{
    exit::{self, Exit},
    logging::{LogFormat, init_logging},
};

/// Virtual sensor boards for Tidegate: they run the firmware's own core, over TCP, against an agent.
#[derive(Parser)]
#[command(version, after_help = exit::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How log lines look, on standard error
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Subcommand)]
enum Command {
    /// Run many boards at once
    Fleet(fleet::Options),
    /// Replay a CSV recording (timestamp,value) as one board
    Replay(replay::Options),
    /// Write a recording from a seed
    Generate(generate::Options),
    /// Run seeded schedules of faults against the cores of board, agent and ingest, on one virtual clock
    Explore(explore::Options),
    /// Send pre-encoded frames as fast as they are acknowledged, to measure what is behind
    Blast(blast::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    init_logging(arguments.log_format);
    let ended = match arguments.command {
        Command::Fleet(options) => fleet::run(options).await,
        Command::Replay(options) => replay::run(options).await,
        Command::Generate(options) => generate::run(&options),
        Command::Explore(options) => explore::run(options).await,
        Command::Blast(options) => blast::run(options).await,
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(commands::Failure { exit, error }) => {
            eprintln!("tidegate-sim: {error:#}");
            Exit::into(exit)
        }
    }
}
