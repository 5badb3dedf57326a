//! What an operator does with alarms.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use jiff::Timestamp;
use serde_json::{Value, json, value::RawValue};

use super::{filter::Filter, list, named::AlarmName};
use crate::{
    client::{Client, ClientError},
    commands::{decode, named},
    error::CliError,
    instant::{local_time, parse_duration},
    view::{Alarm, AlarmEvent, Seen},
};

/// Who does it, and why.
#[derive(Debug, clap::Args)]
pub struct By {
    /// Who you are, for the log; with a token it need not be said.
    #[arg(long = "as", env = "TIDEGATE_OPERATOR", value_name = "NAME")]
    operator: Option<String>,
    /// Why; for the operator log.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Print the event that it became as JSON, on one line.
    #[arg(long)]
    json: bool,
}

/// One alarm, and who acts on it.
#[derive(Debug, clap::Args)]
pub struct Plain {
    /// SITE/DEVICE/CHANNEL/RULE, or the first digits of an occurrence.
    alarm: String,
    #[command(flatten)]
    by: By,
}

/// Acknowledge an alarm as it is now, or all that fit a filter.
///
/// The ingest refuses where the alarm moves on between the look at it and the acknowledgement.
#[derive(Debug, clap::Args)]
pub struct Ack {
    /// SITE/DEVICE/CHANNEL/RULE, or the first digits of an occurrence.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    alarm: Option<String>,
    /// All that wait to be acknowledged and fit the filter.
    #[arg(long)]
    all: bool,
    /// With --all: do it without asking.
    #[arg(long, conflicts_with = "alarm")]
    yes: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    by: By,
}

/// Shelve an alarm for a time: it goes on being evaluated, and nobody is told of it. Again: for another time.
#[derive(Debug, clap::Args)]
pub struct Shelve {
    #[command(flatten)]
    what: Plain,
    /// For how long: 30m, 2h, 7d at most.
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration, required_unless_present = "until")]
    for_: Option<std::time::Duration>,
    /// Until when, as 2026-11-22T20:00:00Z.
    #[arg(long, value_name = "TIME", conflicts_with = "for_")]
    until: Option<Timestamp>,
}

/// Say something about an alarm, for the operator log and whoever watches.
#[derive(Debug, clap::Args)]
pub struct Comment {
    #[command(flatten)]
    what: Plain,
}

pub async fn plain(action: &str, asked: &Plain, client: &Client) -> Result<ExitCode, CliError> {
    one(action, asked, json!({}), client).await
}

pub async fn comment(asked: &Comment, client: &Client) -> Result<ExitCode, CliError> {
    if asked.what.by.comment.is_none() {
        return Err(CliError::NoComment);
    }
    one("comment", &asked.what, json!({}), client).await
}

pub async fn shelve(asked: &Shelve, client: &Client) -> Result<ExitCode, CliError> {
    let order = match (asked.until, asked.for_) {
        (Some(until), _) => json!({ "until_unix_ms": until.as_millisecond() }),
        (None, for_) => shelve_order(for_.unwrap_or_default()),
    };
    one("shelve", &asked.what, order, client).await
}

/// From now on, by the ingest's clock.
pub fn shelve_order(duration: std::time::Duration) -> Value {
    json!({ "for_ms": i64::try_from(duration.as_millis()).unwrap_or(i64::MAX) })
}

async fn one(action: &str, asked: &Plain, order: Value, client: &Client) -> Result<ExitCode, CliError> {
    let name = AlarmName::find(&asked.alarm, client).await?;
    let done = give(action, &name, order, &asked.by, client).await?;
    tell(&done, asked.by.json)?;
    Ok(ExitCode::SUCCESS)
}

async fn give(
    action: &str,
    name: &AlarmName,
    mut order: Value,
    by: &By,
    client: &Client,
) -> Result<Box<RawValue>, CliError> {
    let operator = named(by.operator.as_deref(), client)?;
    if let Some(fields) = order.as_object_mut() {
        fields.extend(operator.map(|operator| ("operator".to_owned(), operator.into())));
        fields.extend(by.comment.clone().map(|comment| ("comment".to_owned(), comment.into())));
    }
    Ok(client.order(&format!("{}/{action}", name.path()), &order).await?)
}

pub async fn acknowledge(asked: &Ack, client: &Client) -> Result<ExitCode, CliError> {
    if asked.all {
        return acknowledge_all(asked, client).await;
    }
    let name = AlarmName::find(asked.alarm.as_deref().unwrap_or_default(), client).await?;
    let alarm = client.get::<Alarm>(&name.path(), &[]).await?.body;
    let Some(seen) = alarm.lifecycle.latest else {
        return Err(CliError::NeverRaised { name: name.to_string() });
    };
    let done = give("acknowledge", &name, saw(&seen), &asked.by, client).await?;
    tell(&done, asked.by.json)?;
    Ok(ExitCode::SUCCESS)
}

/// What an acknowledgement names.
pub fn saw(seen: &Seen) -> Value {
    json!({ "occurrence": seen.occurrence, "transition": seen.transition })
}

async fn acknowledge_all(asked: &Ack, client: &Client) -> Result<ExitCode, CliError> {
    let found = list::all(client, "all", true, &asked.filter).await?;
    let alarms: Vec<Alarm> = decode(client, &found)?;
    if alarms.is_empty() {
        eprintln!("Nothing waits to be acknowledged.");
        return Ok(ExitCode::SUCCESS);
    }
    if !asked.yes && !confirmed(&alarms)? {
        return Ok(ExitCode::SUCCESS);
    }
    let mut refused = 0;
    for alarm in &alarms {
        let (name, Some(seen)) = (AlarmName::of(alarm), &alarm.lifecycle.latest) else { continue };
        match give("acknowledge", &name, saw(seen), &asked.by, client).await {
            Ok(done) => tell(&done, asked.by.json)?,
            Err(CliError::Client(ClientError::Refused { what, .. })) => {
                eprintln!("tidegate: {name}: {what}");
                refused += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks whoever sits there; where nobody does, says what would be done.
fn confirmed(alarms: &[Alarm]) -> Result<bool, CliError> {
    let mut told = std::io::stderr().lock();
    for alarm in alarms {
        writeln!(told, "{:<8}  {:<22}  {}", alarm.priority, alarm.state, AlarmName::of(alarm))?;
    }
    let count = alarms.len();
    if !std::io::stdin().is_terminal() || !told.is_terminal() {
        writeln!(told, "Nothing was changed: with --yes, these {count} are acknowledged.")?;
        return Ok(false);
    }
    write!(told, "Acknowledge these {count}? [y/N] ")?;
    told.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn tell(done: &RawValue, json: bool) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let event = serde_json::from_str::<AlarmEvent>(done.get());
    let (false, Ok(event)) = (json, event) else {
        writeln!(out, "{}", done.get())?;
        return Ok(());
    };
    let until = event.operator.as_ref().and_then(|operator| operator.until_unix_ms);
    let until = until.map(|until| format!(" until {}", local_time(until))).unwrap_or_default();
    let AlarmEvent { site, device, channel, rule, state, .. } = &event;
    let state = state.as_deref().unwrap_or(&event.transition);
    writeln!(out, "{site}/{device}/{channel}/{rule} is {state}{until}.")?;
    Ok(())
}
