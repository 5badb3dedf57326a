//! `tidegate`: the face of Tidegate for people.
//!
//! Every command but `demo`, `rules` on files, `watch --raw`, and those of the authority asks the HTTP API of a running ingest. Standard output
//! carries what was asked for and nothing else; one line on standard error says what went wrong.

mod client;
mod commands;
mod demo;
mod error;
mod http;
mod instant;
mod paint;
mod sse;
mod table;
mod token;
mod view;

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    client::{Client, Trust},
    commands::*,
    error::CliError,
};

const EXIT_CODES: &str = "Exit codes:\n  \
    0  it did what was asked; for audit and demo: every reading is accounted for\n  \
    1  it failed; for audit and demo: something is missing; for settings --wait: they are not applied;\n     \
    for rules: the file is wrong; for receivers test: it did not arrive\n  \
    2  wrong usage; audit could not check, demo could not start";

/// See what Tidegate's sensors say, which alarms are up, and whether any reading is missing.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Arguments {
    /// Where the ingest's HTTP API listens.
    #[arg(long, global = true, env = "TIDEGATE_URL", value_name = "URL", default_value = client::DEFAULT_URL)]
    url: String,

    /// The authority of the ingest's certificate, in PEM, for https.
    #[arg(long, global = true, env = "TIDEGATE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,

    /// A file with the token that says who you are; or the token itself in TIDEGATE_TOKEN.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Devices(devices::Arguments),
    Gateways(gateways::Arguments),
    Device(device::Arguments),
    Readings(readings::Arguments),
    Settings(settings::Arguments),
    Alarms(alarms::Arguments),
    #[command(subcommand)]
    Rules(rules::Command),
    Receivers(receivers::Arguments),
    Watch(watch::Arguments),
    Audit(audit::Arguments),
    Changes(changes::Arguments),
    Tokens(tokens::Arguments),
    Users(users::Arguments),
    Quarantine(quarantine::Arguments),
    #[command(subcommand)]
    Keys(keys::Command),
    #[command(subcommand)]
    Ca(ca::Command),
    #[command(subcommand)]
    Gateway(gateway::Command),
    #[command(subcommand)]
    Broker(broker::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(code) => code,
        // Whoever reads our output has heard enough (`tidegate readings … | head`).
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let paint = paint::Paint::for_stderr();
            // Without a standard error there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "{} {error}", paint.bold_red("tidegate:"));
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    let client = || {
        let token = token::given(arguments.token_file.as_deref())?;
        Client::new(&arguments.url, &Trust { ca: arguments.ca.as_deref(), token })
    };
    match arguments.command {
        Command::Demo(asked) => demo::run(&asked).await,
        Command::Devices(asked) => devices::run(&asked, &client()?).await,
        Command::Gateways(asked) => gateways::run(&asked, &client()?).await,
        Command::Device(asked) => device::run(&asked, &client()?).await,
        Command::Settings(asked) => settings::run(&asked, &client()?).await,
        Command::Readings(asked) => readings::run(&asked, &client()?).await,
        Command::Alarms(asked) => alarms::run(&asked, &client()?).await,
        Command::Rules(rules::Command::Check(asked)) => rules::check::run(&asked),
        Command::Rules(rules::Command::Test(asked)) => rules::test::run(&asked, client).await,
        Command::Rules(rules::Command::List(asked)) => rules::kept::list(&asked, &client()?).await,
        Command::Rules(rules::Command::Show(asked)) => rules::kept::show(&asked, &client()?).await,
        Command::Rules(rules::Command::Log(asked)) => rules::kept::log(&asked, &client()?).await,
        Command::Rules(rules::Command::Put(asked)) => rules::put::run(&asked, &client()?).await,
        Command::Receivers(asked) => receivers::run(&asked, &client()?).await,
        Command::Watch(asked) if asked.raw => raw::run(&asked).await,
        Command::Watch(asked) => watch::run(&asked, &client()?).await,
        Command::Changes(asked) => changes::run(&asked, &client()?).await,
        Command::Tokens(asked) => tokens::run(&asked, &client()?).await,
        Command::Users(asked) => users::run(&asked, &client()?).await,
        Command::Quarantine(asked) => quarantine::run(&asked, &client()?).await,
        Command::Keys(asked) => keys::run(&asked),
        Command::Ca(asked) => ca::run(asked).await,
        Command::Gateway(asked) => gateway::run(asked),
        Command::Broker(asked) => broker::run(&asked),
        Command::Audit(audit::Arguments { command: Some(audit::Command::Verify(asked)), .. }) => {
            audit::verify::run(&asked)
        }
        Command::Audit(asked) => match client() {
            Ok(client) => audit::run(&asked, &client).await,
            Err(error) => Err(error.into()),
        }
        .map_err(CliError::could_not_check),
    }
}
