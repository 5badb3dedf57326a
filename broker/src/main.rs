//! `tidegate-broker`: reads arguments and configuration, builds, waits for a signal, drains with a deadline.

use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tidegate_broker::Config;
use tidegate_service::exit::{self, Exit, in_full};
use tidegate_service::logging::init_logging_with;
use tidegate_service::{
    Hangups, LogFormat, descriptors, notify_ready, notify_reloading, notify_stopping, termination,
};

/// How long connections may take to end after a signal.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);
/// The setting to lower where the system allows fewer.
const MAX_CONNECTIONS: &str = "limits.max_connections";
/// The router logs every packet; its warnings are enough.
const DEFAULT_FILTER: &str = "info,rumqttd=warn";

/// The Tidegate MQTT broker.
#[derive(Parser)]
#[command(name = "tidegate-broker", version, after_help = exit::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the broker until SIGTERM or SIGINT; on SIGHUP read certificates and revocation lists again
    Run {
        #[command(flatten)]
        config: ConfigFile,
        /// How logs are written to standard error
        #[arg(long, value_enum, default_value_t)]
        log_format: LogFormat,
    },
    /// Check a configuration and say what it means, without running it
    Check {
        #[command(flatten)]
        config: ConfigFile,
    },
}

#[derive(Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(long = "config", value_name = "FILE", default_value = "/etc/tidegate/broker.toml")]
    path: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (Command::Run { config: file, .. } | Command::Check { config: file }) = &arguments.command;
    let config = match Config::load(&file.path) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage.into();
        }
    };
    let result = match arguments.command {
        Command::Check { .. } => {
            println!("{}: {}", file.path.display(), summary(&config));
            if let Some(shortage) = descriptors::shortage(config.limits.max_connections, MAX_CONNECTIONS) {
                println!("warning: {shortage}");
            }
            Ok(())
        }
        Command::Run { log_format, .. } => {
            init_logging_with(log_format, DEFAULT_FILTER);
            run(config)
        }
    };
    match result {
        Ok(()) => Exit::Ok.into(),
        Err(error) => {
            eprintln!("{}", in_full(error.as_ref()));
            Exit::Failed.into()
        }
    }
}

fn summary(config: &Config) -> String {
    format!(
        "good. MQTT on {} ({}), metrics on {}, {} users, up to {} connections",
        config.listen,
        transport(config),
        config.metrics_listen,
        config.users.identities().len(),
        config.limits.max_connections
    )
}

fn transport(config: &Config) -> &'static str {
    match config.tls.as_ref().map(|tls| &tls.files.clients) {
        Some(Some(clients)) if clients.required => "TLS, clients known by certificate",
        Some(Some(_)) => "TLS, clients known by certificate or password",
        Some(None) => "TLS, clients known by password",
        None => "in clear",
    }
}

fn run(mut config: Config) -> anyhow::Result<()> {
    let limits = &mut config.limits;
    limits.max_connections = descriptors::make_room(limits.max_connections, MAX_CONNECTIONS);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut hangups = Hangups::listen();
        let mut running = tidegate_broker::start(config).await?;
        notify_ready();
        let mut ending = pin!(termination());
        loop {
            tokio::select! {
                () = &mut ending => break,
                stopped = running.stopped() => {
                    stopped.context("the broker cannot go on")?;
                    break;
                }
                () = hangups.next() => {}
            }
            notify_reloading();
            running.reload().await;
            notify_ready();
        }
        notify_stopping();
        running.drain(DRAIN_DEADLINE).await?;
        Ok(())
    });
    // A router that hangs may hold a blocking thread; that must not keep the process alive.
    runtime.shutdown_background();
    result
}
