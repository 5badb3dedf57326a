//! `tidegate watch`: alarms as they happen, as lines or as a screen.
//!
//! The stream is followed for as long as it lasts. When it breaks, it is asked for again with growing pauses, from
//! the last committed event on, so that nothing between is missed; what comes twice is shown once. Where the ingest cannot go
//! on from there, it tells what stands, and that is shown.

pub mod print;
mod screen;
mod snapshot;
pub mod stream;

use std::{path::PathBuf, process::ExitCode};

use futures_util::StreamExt;
use secrecy::SecretString;
use tokio::time::sleep;

use self::{
    print::Printer,
    stream::{Backoff, Position, Start},
};
use super::alarms::filter::Filter;
use crate::{
    client::Client,
    error::CliError,
    paint::Paint,
    sse,
    view::{Alarm, AlarmEvent},
};

/// Follow the alarm stream, as lines or with --full-screen; with --raw, follow every reading on the broker.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print one JSON object a line: every event as the stream gives it, provisional ones too.
    #[arg(long)]
    pub json: bool,
    /// Begin with the first event ever recorded instead of now.
    #[arg(long, conflicts_with = "raw")]
    from_beginning: bool,
    /// Show only events whose reading is durably stored.
    #[arg(long, conflicts_with = "raw")]
    committed: bool,
    /// Show the alarms that stand, live, and act on them with keys.
    #[arg(long, conflicts_with_all = ["raw", "json", "from_beginning", "committed"])]
    full_screen: bool,
    /// Who you are, for what you do with alarms in --full-screen.
    #[arg(long = "as", requires = "full_screen", env = "TIDEGATE_OPERATOR", value_name = "NAME")]
    operator: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// Subscribe to the MQTT broker and print every reading of every block that passes.
    #[arg(long, conflicts_with_all = ["site", "device", "channel", "rule", "priority", "kind"])]
    pub raw: bool,
    /// The broker, for --raw.
    #[arg(long, requires = "raw", value_name = "HOST:PORT", default_value = "127.0.0.1:1883")]
    pub mqtt: String,
    /// The authority of the broker's certificate, for --raw: then the connection is encrypted.
    #[arg(long, requires = "raw", value_name = "FILE")]
    pub mqtt_ca: Option<PathBuf>,
    /// Key and certificate of an observer in one file, for --raw: see `tidegate ca issue role observer`.
    #[arg(long, requires = "mqtt_ca", value_name = "FILE")]
    pub mqtt_identity: Option<PathBuf>,
    /// Talk in clear to a broker on another machine, where everybody on the network can read along.
    #[arg(long, requires = "raw", conflicts_with = "mqtt_ca")]
    pub insecure: bool,
    /// The broker's user, for --raw; one with the role `observer` is enough.
    #[arg(long, requires = "raw", env = "TIDEGATE_MQTT_USER")]
    pub user: Option<String>,
    /// The user's password, for --raw.
    #[arg(long, requires = "raw", env = "TIDEGATE_MQTT_PASSWORD", hide_env_values = true)]
    pub password: Option<SecretString>,
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    if arguments.full_screen {
        let operator = arguments.operator.clone();
        return screen::run(client.clone(), arguments.filter.clone(), operator).await;
    }
    let start = if arguments.from_beginning { Start::Beginning } else { Start::Now };
    let mut position = Position::new(start, arguments.committed);
    let mut printer = Printer::new(arguments.json, Paint::for_stdout());
    // The first connection must stand: a wrong address is told at once, not retried for ever.
    let mut response = position.open(client).await?;
    let mut backoff = Backoff::default();
    loop {
        let why = follow(response, &mut position, &arguments.filter, &mut printer, &mut backoff).await?;
        eprintln!("tidegate: the event stream broke ({why}); connecting again");
        response = loop {
            sleep(backoff.next()).await;
            match position.open(client).await {
                Ok(response) => break response,
                Err(error) => eprintln!("tidegate: {error}"),
            }
        };
    }
}

/// Prints events until the stream ends; returns why it did.
async fn follow(
    response: crate::http::Response,
    position: &mut Position,
    filter: &Filter,
    printer: &mut Printer,
    backoff: &mut Backoff,
) -> Result<String, CliError> {
    let mut chunks = response.chunks();
    let mut parser = sse::Parser::default();
    while let Some(chunk) = chunks.next().await {
        let events = match chunk {
            Ok(chunk) => parser.push(&chunk),
            Err(error) if error.is_silence => return Ok("it fell silent".to_owned()),
            Err(_) => return Ok("the connection was lost".to_owned()),
        };
        let Ok(events) = events else { return Ok("it sent an event that is too long".to_owned()) };
        // Only a stream that says something is a good one; one that is accepted and dropped backs off.
        backoff.reset();
        for event in events {
            show(&event, filter, printer)?;
            // After printing: an event that was not shown must come again.
            position.passed(&event);
        }
    }
    Ok("the ingest closed it".to_owned())
}

fn show(event: &sse::Event, filter: &Filter, printer: &mut Printer) -> Result<(), CliError> {
    let unread = |error| eprintln!("tidegate: an event could not be read and is skipped: {error}");
    match event.name.as_str() {
        "alarm" => match serde_json::from_str::<AlarmEvent>(&event.data) {
            Ok(alarm) if filter.takes(&alarm) => printer.event(&alarm, &event.data)?,
            Ok(_) => {}
            Err(error) => unread(error),
        },
        "reset" => {
            let why = if event.data.contains("expired") {
                "events in between are past their retention"
            } else {
                "this ingest's store is another one"
            };
            eprintln!("tidegate: {why}; these alarms stand now:");
            printer.other(event)?;
        }
        "snapshot" => match serde_json::from_str::<Alarm>(&event.data) {
            Ok(alarm) if filter.takes_alarm(&alarm) => printer.standing(&alarm, event)?,
            Ok(_) => {}
            Err(error) => unread(error),
        },
        "snapshot-end" => {
            printer.other(event)?;
            eprintln!("tidegate: that is all; the stream goes on from there");
        }
        _ => {}
    }
    Ok(())
}
