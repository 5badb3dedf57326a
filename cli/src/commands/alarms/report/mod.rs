//! `tidegate alarms report`

mod text;
mod view;

use std::{io::Write, process::ExitCode};

use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::{
    client::{Client, ClientError},
    error::CliError,
    instant::{Moment, parse_moment},
    paint::Paint,
};

/// Report what the alarms of a stretch of time were like: EEMUA 191 and ISA-18.2.
///
/// How many there were, whether their priorities are spread as they should be, floods, the alarms that were raised most, those
/// that chatter or are gone at once, with a delay or a deadband that would quiet them, how long it took to acknowledge; and of
/// now, what has been active or unacknowledged for more than a day, and what is shelved.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// From when on: so long ago (24h, 7d), or a time. Absent: for a day; at most 30 days.
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    since: Option<Moment>,
    /// Until when. Absent: now.
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    until: Option<Moment>,
    /// Only of these sites; * stands for any run of characters, ? for one.
    #[arg(long, value_name = "PATTERN")]
    site: Option<String>,
    /// Print one JSON object, as the API gives it.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    let now = Timestamp::now();
    let at = |moment: Moment| moment.unix_ms(now).to_string();
    let mut query = Vec::new();
    if let Some(since) = arguments.since {
        query.push(("from", at(since)));
        // By the same clock: else 30d may be more than 30 days.
        query.push(("to", at(arguments.until.unwrap_or(Moment::At(now)))));
    } else if let Some(until) = arguments.until {
        query.push(("to", at(until)));
    }
    query.extend(arguments.site.clone().map(|site| ("site", site)));
    let raw = client.get::<Box<RawValue>>("/api/v1/alarms/report", &query).await?.body;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", raw.get())?;
        return Ok(ExitCode::SUCCESS);
    }
    let report: view::ReportView = serde_json::from_str(raw.get()).map_err(|error| {
        ClientError::NotAnIngest { url: client.url().to_owned(), reason: format!("unexpected JSON: {error}") }
    })?;
    write!(out, "{}", text::text(&report, Paint::for_stdout()))?;
    Ok(ExitCode::SUCCESS)
}
