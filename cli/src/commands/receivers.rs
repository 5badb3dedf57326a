//! `tidegate receivers`: who gets alarms, what waits for them, and what to do about it.

use std::{io::Write, process::ExitCode};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::named;
use crate::{
    client::Client,
    commands::decode,
    error::CliError,
    instant::{local_time, roughly},
    paint::{Paint, Style},
    table::{Align, Table},
};

/// See who gets alarms by webhook and email, and what has not arrived.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print JSON, one object a line, as the API gives it.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List receivers, and how they are doing (this is the default)
    List,
    /// List events that wait for a receiver, or were given up
    Deliveries {
        /// Only this receiver's.
        #[arg(long, value_name = "RECEIVER")]
        receiver: Option<String>,
        /// Only those in this state.
        #[arg(long, value_enum, default_value = "all")]
        state: State,
    },
    /// Send an event again, now
    Replay {
        receiver: String,
        /// The event's cursor, as `deliveries` shows it.
        cursor: u64,
        #[command(flatten)]
        operator: Operator,
    },
    /// Send a test message, and say whether it arrived
    Test {
        receiver: String,
        #[command(flatten)]
        operator: Operator,
    },
    /// Serve a receiver again that was disabled
    Enable {
        receiver: String,
        #[command(flatten)]
        operator: Operator,
    },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum State {
    Waiting,
    Parked,
    All,
}

#[derive(Debug, clap::Args)]
struct Operator {
    /// Who you are, for the log; with a token it need not be said.
    #[arg(long = "as", env = "TIDEGATE_OPERATOR", value_name = "NAME")]
    name: Option<String>,
}

#[derive(Serialize)]
struct Order<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
struct Receivers {
    receivers: Vec<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Receiver {
    id: String,
    r#type: String,
    to: String,
    state: String,
    waiting: u64,
    parked: u64,
    oldest_waiting_unix_ms: Option<i64>,
    last_success_unix_ms: Option<i64>,
    last_error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Deliveries {
    deliveries: Vec<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Delivery {
    receiver: String,
    cursor: u64,
    state: String,
    attempts: u32,
    due_unix_ms: Option<i64>,
    last_error: Option<String>,
    event: Option<Event>,
}

#[derive(Debug, Deserialize)]
struct Event {
    transition: String,
    priority: String,
    site: String,
    device: String,
    channel: String,
    rule: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct Tested {
    receiver: String,
    delivered: bool,
    error: Option<String>,
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    let json = arguments.json;
    match &arguments.action {
        None | Some(Action::List) => list(client, json).await,
        Some(Action::Deliveries { receiver, state }) => {
            deliveries(client, receiver.as_deref(), *state, json).await
        }
        Some(Action::Replay { receiver, cursor, operator }) => {
            let path = format!("/api/v1/deliveries/{receiver}/{cursor}/replay");
            let said = format!("event {cursor} is sent to {receiver} again");
            order(client, &path, operator, &said, json).await
        }
        Some(Action::Enable { receiver, operator }) => {
            let path = format!("/api/v1/receivers/{receiver}/enable");
            order(client, &path, operator, &format!("{receiver} is served"), json).await
        }
        Some(Action::Test { receiver, operator }) => test(client, receiver, operator, json).await,
    }
}

async fn list(client: &Client, json: bool) -> Result<ExitCode, CliError> {
    let answer = client.get::<Receivers>("/api/v1/receivers", &[]).await?;
    let mut out = std::io::stdout().lock();
    if json {
        return print_lines(&mut out, &answer.body.receivers);
    }
    let receivers: Vec<Receiver> = decode(client, &answer.body.receivers)?;
    if receivers.is_empty() {
        writeln!(out, "Nobody gets alarms: there is no [[receiver]] in the ingest's settings.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let now = answer.server_unix_ms.unwrap_or_else(|| jiff::Timestamp::now().as_millisecond());
    let (left, right) = (Align::Left, Align::Right);
    let mut table = Table::new([
        ("RECEIVER", left),
        ("TYPE", left),
        ("STATE", left),
        ("WAITING", right),
        ("PARKED", right),
        ("OLDEST", right),
        ("LAST SUCCESS", left),
        ("TO", left),
        ("LAST ERROR", left),
    ]);
    for receiver in receivers {
        let style = match receiver.state.as_str() {
            "disabled" => Style::Red,
            _ if receiver.parked > 0 => Style::Red,
            "failing" => Style::Yellow,
            _ => Style::Plain,
        };
        // An error that was overcome is no news.
        let error = receiver.last_error.filter(|_| receiver.state != "ok");
        let oldest = receiver.oldest_waiting_unix_ms.map(|oldest| roughly(now.saturating_sub(oldest).max(0)));
        table.row(
            style,
            [
                receiver.id,
                receiver.r#type,
                receiver.state,
                receiver.waiting.to_string(),
                receiver.parked.to_string(),
                oldest.unwrap_or_else(|| "-".to_owned()),
                receiver.last_success_unix_ms.map_or_else(|| "never".to_owned(), local_time),
                receiver.to,
                error.unwrap_or_default(),
            ],
        );
    }
    write!(out, "{}", table.render(Paint::for_stdout()))?;
    Ok(ExitCode::SUCCESS)
}

async fn deliveries(
    client: &Client,
    receiver: Option<&str>,
    state: State,
    json: bool,
) -> Result<ExitCode, CliError> {
    let state = match state {
        State::Waiting => "waiting",
        State::Parked => "parked",
        State::All => "all",
    };
    let mut query = vec![("state", state.to_owned())];
    query.extend(receiver.map(|receiver| ("receiver", receiver.to_owned())));
    let answer = client.get::<Deliveries>("/api/v1/deliveries", &query).await?.body;
    let mut out = std::io::stdout().lock();
    if json {
        return print_lines(&mut out, &answer.deliveries);
    }
    let deliveries: Vec<Delivery> = decode(client, &answer.deliveries)?;
    if deliveries.is_empty() {
        writeln!(out, "Nothing waits, and nothing was given up.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let (left, right) = (Align::Left, Align::Right);
    let mut table = Table::new([
        ("RECEIVER", left),
        ("CURSOR", right),
        ("STATE", left),
        ("ATTEMPTS", right),
        ("NEXT", left),
        ("PRIORITY", left),
        ("EVENT", left),
        ("LAST ERROR", left),
    ]);
    for delivery in deliveries {
        let style = if delivery.state == "parked" { Style::Red } else { Style::Plain };
        let (priority, event) = delivery.event.map_or_else(Default::default, |event| {
            let Event { transition, priority, site, device, channel, rule } = event;
            (priority, format!("{site}/{device} {channel} {rule} {transition}"))
        });
        table.row(
            style,
            [
                delivery.receiver,
                delivery.cursor.to_string(),
                delivery.state,
                delivery.attempts.to_string(),
                delivery.due_unix_ms.map_or_else(|| "-".to_owned(), local_time),
                priority,
                event,
                delivery.last_error.unwrap_or_default(),
            ],
        );
    }
    write!(out, "{}", table.render(Paint::for_stdout()))?;
    Ok(ExitCode::SUCCESS)
}

async fn order(
    client: &Client,
    path: &str,
    operator: &Operator,
    said: &str,
    json: bool,
) -> Result<ExitCode, CliError> {
    let answer = client
        .post::<Box<RawValue>>(path, &Order { operator: named(operator.name.as_deref(), client)? })
        .await?
        .body;
    let mut out = std::io::stdout().lock();
    let line = if json { answer.get() } else { said };
    writeln!(out, "{line}")?;
    Ok(ExitCode::SUCCESS)
}

async fn test(
    client: &Client,
    receiver: &str,
    operator: &Operator,
    json: bool,
) -> Result<ExitCode, CliError> {
    let path = format!("/api/v1/receivers/{receiver}/test");
    let answer = client
        .post::<Tested>(&path, &Order { operator: named(operator.name.as_deref(), client)? })
        .await?
        .body;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&answer).map_err(std::io::Error::from)?)?;
    } else if answer.delivered {
        writeln!(out, "the test message reached {receiver}")?;
    } else {
        let why = answer.error.as_deref().unwrap_or("no reason is known");
        writeln!(out, "the test message did not reach {receiver}: {why}")?;
    }
    Ok(if answer.delivered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_lines(out: &mut impl Write, lines: &[Box<RawValue>]) -> Result<ExitCode, CliError> {
    for line in lines {
        writeln!(out, "{}", line.get())?;
    }
    Ok(ExitCode::SUCCESS)
}
