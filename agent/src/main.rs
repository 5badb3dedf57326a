//! `tidegate-agent`: reads arguments and configuration, builds, waits for a signal, drains with a deadline.

mod devices_command;
mod enroll_command;
mod queue_command;
mod queue_report;
mod serial_command;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use devices_command::DevicesCommand;
use enroll_command::EnrollCommand;
use queue_command::QueueCommand;
use serial_command::SerialCommand;
use tidegate_agent::{Config, core::Admit, devices::DeviceList, try_broker};
use tidegate_service::{
    LogFormat, SettingsError,
    exit::{self, Exit, in_full},
    init_logging, notify_ready, notify_stopping, termination,
};
use tidegate_trust::settings::refused_file;

/// How long it may take to make everything safe after a signal.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// The Tidegate gateway agent: keeps readings safe until the cloud has them.
#[derive(Parser)]
#[command(name = "tidegate-agent", version, after_help = exit::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the agent until SIGTERM or SIGINT
    Run {
        #[command(flatten)]
        config: ConfigFile,
        /// How logs are written to standard error
        #[arg(long, value_enum, default_value_t)]
        log_format: LogFormat,
    },
    /// Check a configuration and say what it means and which serial lines it finds, without running it
    Check {
        #[command(flatten)]
        config: ConfigFile,
        /// Also connect to the broker, beside a running agent, and say why it does not let this gateway in
        #[arg(long)]
        connect: bool,
    },
    /// Turn an invitation into a certificate for this gateway; its key is made here and never leaves
    Enroll(EnrollCommand),
    /// Which boards are welcomed, which are held, and their keys; works while the agent runs
    #[command(subcommand)]
    Devices(DevicesCommand),
    /// List the serial lines of this machine: stable names, what is plugged in, and which source takes each; works while
    /// the agent runs
    Serial(SerialCommand),
    /// Look into the queue while the agent runs, or mend it while it does not
    #[command(subcommand)]
    Queue(QueueCommand),
}

#[derive(Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(long = "config", value_name = "FILE", default_value = "/etc/tidegate/agent.toml")]
    path: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (file, task) = match arguments.command {
        Command::Devices(command) => return devices_command::run(command).into(),
        Command::Queue(command) => return queue_command::run(command).into(),
        Command::Serial(command) => return serial_command::run(&command).into(),
        Command::Enroll(command) => return told(enroll_command::run(command)),
        Command::Run { config, log_format } => (config, Task::Run(log_format)),
        Command::Check { config, connect } => (config, Task::Check { connect }),
    };
    let config = match load(&file.path, &task) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage.into();
        }
    };
    let result = match task {
        Task::Check { connect } => check(&file.path, &config, connect),
        Task::Run(log_format) => {
            init_logging(log_format);
            run(config)
        }
    };
    told(result)
}

fn told(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => Exit::Ok.into(),
        Err(error) => {
            eprintln!("{}", in_full(error.as_ref()));
            Exit::Failed.into()
        }
    }
}

enum Task {
    Run(LogFormat),
    Check { connect: bool },
}

/// A running agent goes on without certificates that can be read, and measures; who checks wants to know.
fn load(file: &Path, task: &Task) -> Result<Config, SettingsError> {
    let config = Config::load(file)?;
    if let (Task::Check { .. }, Some(files)) = (task, &config.broker.tls) {
        files.load().map_err(|error| refused_file(file, "broker.tls", &error))?;
    }
    Ok(config)
}

fn check(file: &Path, config: &Config, connect: bool) -> anyhow::Result<()> {
    println!("{}", summary(file, config));
    println!("{}", devices(config)?);
    for warning in config.local_actions.warnings() {
        println!("warning: {warning}");
    }
    print!("{}", serial_command::found(&config.serial()));
    if connect {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut say = |line: &str| println!("{line}");
        let tried = runtime.block_on(try_broker(&config.broker, config.path, &mut say));
        tried
            .map_err(|why| anyhow::anyhow!("broker {}:{}: {why}", config.broker.host, config.broker.port))?;
    }
    Ok(())
}

fn devices(config: &Config) -> anyhow::Result<String> {
    let list = DeviceList::load(&config.devices.file)?;
    let others = match config.devices.admit {
        Admit::Any => "every other board is welcomed, from the network too",
        Admit::Local => {
            "other boards are welcomed on this machine's own lines, and held if they come from the network"
        }
        Admit::None => "every other board is held",
    };
    let (listed, keys) = (list.iter().count(), list.keys().len());
    Ok(format!(
        "{listed} devices are listed in {}, {keys} with a key; {others}",
        config.devices.file.display()
    ))
}

fn summary(file: &Path, config: &Config) -> String {
    let rules = match config.rules.rules().len() {
        0 => String::new(),
        count => format!(", {count} alarm rules"),
    };
    let transport = if config.broker.tls.is_some() { "with TLS" } else { "in clear" };
    format!(
        "{}: good. Gateway {} of site {}, broker {}:{} {transport}, {} sources{rules}, queue of up to {} bytes in {}",
        file.display(),
        config.path.gateway,
        config.path.site,
        config.broker.host,
        config.broker.port,
        config.sources.len(),
        config.queue.quota_bytes,
        config.data_dir.display()
    )
}

fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut running = tidegate_agent::start(config).await?;
        notify_ready();
        tokio::select! {
            () = termination() => {}
            stopped = running.stopped() => stopped.context("the agent cannot go on")?,
        }
        notify_stopping();
        running.drain(DRAIN_DEADLINE).await?;
        Ok(())
    })
}
