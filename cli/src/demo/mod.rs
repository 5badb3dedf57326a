//! `tidegate demo`: the whole chain on this computer, with an account at the end.
//!
//! ```text
//! system         the parts: boards, agents, proxies, broker, ingest      configuration   their files
//! fleet          what the boards measure, and how they misbehave         sampled         when each reading was taken
//! alarms         the event stream, counted and timed                     latency         percentiles
//! outage         when the link is cut and comes back                     drained         has the backlog arrived?
//! status_line    the live line                                           report          the JSON at the end
//! secured        who is who, by certificates
//! ```

mod alarms;
mod configuration;
mod drained;
mod error;
mod fleet;
mod latency;
mod outage;
mod report;
mod sampled;
mod secured;
mod show;
mod status_line;
mod system;

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use tidegate_service::{LogFormat, logging::init_logging_with, termination};
use tidegate_simulator::plan::Observer;

pub use self::error::DemoError;
use self::{
    configuration::{Folder, Trust},
    outage::Outage,
    sampled::Sampled,
    secured::Secured,
    show::Show,
    system::System,
};
use crate::{client::Client, commands::audit::verdict::Verdict, error::CliError, instant::parse_duration};

/// The parts say on standard error what a person should know, and no more. The agents' complaints about the link are
/// left out, since cutting it is part of the show, and rumqttd's, which the broker handles; that nobody is asked who they are is said
/// in the greeting.
const LOG_FILTER: &str = "warn,tidegate_agent=error,tidegate_ingest::running=error,rumqttd=off";
/// What a shell reports for a program that SIGINT ended.
const EXIT_INTERRUPTED: i32 = 130;

/// Run the whole chain here: ten virtual boards and this computer's own sensors, two gateways, broker, ingest.
///
/// Prints the page's address, a live line and alarms as they come. Ctrl-C delivers what is on its way and prints the
/// audit; a second Ctrl-C ends at once.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// End after this long instead of with Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    length: Option<Duration>,
    /// Cut the gateways' link to the broker for this long, in the middle.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    outage: Option<Duration>,
    /// The port of the page and the API; 0 for any free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Keep data and configuration files in this folder instead of a temporary one that is removed.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The seed of the boards' signals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Encrypt, and have everybody known by a certificate: makes an authority, and the gateways enrol with it.
    #[arg(long)]
    secure: bool,
    /// Print nothing but one JSON object at the end.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    Ok(show(arguments).await?)
}

async fn show(arguments: &Arguments) -> Result<ExitCode, DemoError> {
    // Refused before anything is started.
    Outage::plan(Instant::now(), arguments.outage, arguments.length)?;
    let http = free_address(arguments.port)?;
    let temporary = match arguments.data {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(DemoError::TemporaryFolder)?),
    };
    let root = arguments.data.as_deref().or(temporary.as_ref().map(|folder| folder.path()));
    let root = root.unwrap_or(Path::new("."));
    init_logging_with(LogFormat::Text, LOG_FILTER);
    let secured = if arguments.secure { Some(Secured::start(root).await?) } else { None };
    let trust = match &secured {
        Some(secured) => Trust::Certificates { service: secured.service() },
        None => Trust::Password(password()?),
    };
    let folder = Folder::prepare(root, trust)?;

    let sampled = Sampled::default();
    let system = System::start(&folder, http, arguments.seed, &observer(&sampled)).await?;
    let client = Client::new(&format!("http://{}", system.http()), &crate::client::Trust::default())?;
    let outage = Outage::plan(Instant::now(), arguments.outage, arguments.length)?;
    let mut show = Show::begin(system, client, sampled, outage, secured.as_ref(), arguments.json).await?;

    let stop = termination();
    show.run(arguments.length, stop).await?;
    tokio::spawn(async {
        termination().await;
        std::process::exit(EXIT_INTERRUPTED);
    });
    let report = show.finish().await?;
    if let Some(secured) = secured {
        secured.stop().await;
    }
    if arguments.json {
        let text = serde_json::to_string(&report).map_err(std::io::Error::from)?;
        writeln!(std::io::stdout(), "{text}")?;
    }
    Ok(if report.verdict == Verdict::Complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tried here, so that the message can speak of the demo's own option.
fn free_address(port: u16) -> Result<SocketAddr, DemoError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).map_err(|error| DemoError::Port { port, error })?;
    Ok(address)
}

/// The parts' shared password; anyone may read, nobody else may write.
fn password() -> Result<String, DemoError> {
    let random = getrandom::u64().map_err(|e| DemoError::part("demo")(e.into()))?;
    Ok(format!("{random:016x}"))
}

fn observer(sampled: &Sampled) -> Observer {
    let sampled = sampled.clone();
    Arc::new(move |device, reading| sampled.note(device, reading, Instant::now()))
}
