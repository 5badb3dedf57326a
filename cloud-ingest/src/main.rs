//! `tidegate-ingest`: reads arguments and settings, starts, waits for a signal, drains.

use std::{path::PathBuf, pin::pin, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::{Parser, Subcommand};
use tidegate_ingest::{
    Config,
    doctor::{
        DoctorError,
        command::{self, BackupArguments, RestoreArguments},
        journal::{self, JournalCommand},
    },
    door::command::{self as door, TokensCommand, UsersCommand},
    start,
};
use tidegate_service::{
    Hangups, LogFormat, SettingsError, exit,
    exit::{Exit, in_full},
    init_logging, notify_ready, notify_reloading, notify_stopping, termination,
};
use tidegate_trust::settings::refused_file;

/// How long it may take to commit and acknowledge what was taken before it ends.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// Stores every reading once, raises alarms at once, and answers where each reading is.
#[derive(Parser)]
#[command(name = "tidegate-ingest", version, after_help = exit::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How log lines are written to standard error.
    #[arg(long, value_enum, default_value = "text", global = true)]
    log_format: LogFormat,
}

#[derive(Subcommand)]
enum Command {
    /// Run until SIGTERM or SIGINT; on SIGHUP read the rules file and the HTTP certificate again.
    Run(SettingsFile),
    /// Check the settings and rules, say what they mean, and end.
    Check(SettingsFile),
    /// Look into the store, check it, set it right.
    Journal {
        #[command(flatten)]
        file: SettingsFile,
        #[command(subcommand)]
        command: JournalCommand,
    },
    /// Users of the HTTP door, by whoever may write the data folder; the first admin is made so.
    Users {
        #[command(flatten)]
        file: SettingsFile,
        #[command(subcommand)]
        command: UsersCommand,
    },
    /// Tokens of the HTTP door, by whoever may write the data folder.
    Tokens {
        #[command(flatten)]
        file: SettingsFile,
        #[command(subcommand)]
        command: TokensCommand,
    },
    /// Back up store and lake, also while the ingest runs.
    Backup {
        #[command(flatten)]
        file: SettingsFile,
        #[command(flatten)]
        arguments: BackupArguments,
    },
    /// Put a backup in the place of the store; agents will declare what it does not have any more.
    Restore {
        #[command(flatten)]
        file: SettingsFile,
        #[command(flatten)]
        arguments: RestoreArguments,
    },
}

#[derive(clap::Args)]
struct SettingsFile {
    /// The settings file.
    #[arg(long, global = true, default_value = "/etc/tidegate/ingest.toml")]
    config: PathBuf,
}

impl Command {
    fn settings_file(&self) -> &SettingsFile {
        match self {
            Self::Run(file)
            | Self::Check(file)
            | Self::Journal { file, .. }
            | Self::Users { file, .. }
            | Self::Tokens { file, .. }
            | Self::Backup { file, .. }
            | Self::Restore { file, .. } => file,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    init_logging(arguments.log_format);
    let config = match load(&arguments.command) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage.into();
        }
    };
    let done = match arguments.command {
        Command::Run(_) => run(config),
        Command::Check(_) => {
            explain(&config);
            Ok(())
        }
        Command::Journal { command, .. } => told(journal::run(&config, command)),
        Command::Users { command, .. } => door::users(&config.data_dir, command).map_err(Into::into),
        Command::Tokens { command, .. } => door::tokens(&config.data_dir, command).map_err(Into::into),
        Command::Backup { arguments, .. } => told(command::run_backup(&config, &arguments)),
        Command::Restore { arguments, .. } => told(command::run_restore(&config, arguments)),
    };
    match done {
        Ok(()) => Exit::Ok.into(),
        Err(error) => {
            eprintln!("{}", in_full(error.as_ref()));
            Exit::Failed.into()
        }
    }
}

/// A running ingest goes on without certificates that can be read, and answers; who checks wants to know.
fn load(command: &Command) -> Result<Config, SettingsError> {
    let file = &command.settings_file().config;
    let config = Config::load(file)?;
    if let (Command::Check(_), Some(files)) = (command, &config.broker.tls) {
        files.load().map_err(|error| refused_file(file, "broker.tls", &error))?;
    }
    Ok(config)
}

fn told(done: Result<(), DoctorError>) -> anyhow::Result<()> {
    Ok(done?)
}

fn explain(config: &Config) {
    println!("data in {}", config.data_dir.display());
    let transport = if config.broker.tls.is_some() { "with TLS" } else { "in clear" };
    println!(
        "broker {}:{} {transport}, as {}",
        config.broker.host, config.broker.port, config.broker.client_id
    );
    let http = &config.http;
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    let asked =
        if http.policy.asks { "everybody is asked who they are" } else { "nobody is asked who they are" };
    println!("page and API on {scheme}://{}; {asked}", http.listen);
    match &config.rules_file {
        Some(_) => println!("{} alarm rules", config.rules.rules().len()),
        None => println!("alarm rules as the API was given them"),
    }
    for (rule, unit) in config.rules.unknown_units() {
        println!(
            "warning: rule {rule}: SenML knows no unit {unit:?}; it watches channels with that very unit only"
        );
    }
    for receiver in &config.receivers {
        let (id, kind, place) = (&receiver.id, receiver.target.kind(), receiver.target.place());
        println!("alarms to {id}: {kind}, {place}");
    }
    if let Some(place) = &config.heartbeat.place {
        println!("heartbeat to {}, every {} s", place.shown(), config.heartbeat.interval.as_secs());
    }
    match config.lake {
        Some(lake) => {
            println!("lake in {}, every {} s", config.lake_folder.display(), lake.interval_ms / 1_000)
        }
        None => println!("no lake: the journal keeps all readings"),
    }
}

fn run(config: Config) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(async {
            let mut hangups = Hangups::listen();
            let mut running = start(config).await?;
            notify_ready();
            let mut ending = pin!(termination());
            loop {
                tokio::select! {
                    () = &mut ending => break,
                    ended = running.stopped() => return Ok(ended?),
                    () = hangups.next() => {}
                }
                notify_reloading();
                running.reload().await;
                notify_ready();
            }
            notify_stopping();
            Ok(running.drain(DRAIN_DEADLINE).await?)
        })
}
