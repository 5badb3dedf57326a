//! `tidegate readings DEVICE CHANNEL`: a channel's history, oldest first, page by page.

use std::{
    io::{StdoutLock, Write},
    process::ExitCode,
};

use jiff::Timestamp;

use crate::{
    client::Client,
    commands::decode,
    error::CliError,
    instant::{Moment, local_time, parse_moment},
    paint::{Paint, Style},
    view::{Reading, Readings, show_value},
};

/// How many readings one request asks for; a page is what is in memory at a time.
const PAGE: u64 = 1_000;

/// Print the readings of one channel.
///
/// A time with ~ is by a clock that nothing kept right, one with ? by a clock that was never set; * means that it was
/// corrected: when the reading was stored, only a worse clock was known.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The device, as `tidegate devices` lists it.
    device: String,
    /// The channel's name.
    channel: String,
    /// From when on: how long ago (10m, 2h, 7d) or a time (2026-11-22T20:00:00Z). Without it, from the beginning.
    #[arg(long, value_parser = parse_moment)]
    since: Option<Moment>,
    /// Until when; as for --since.
    #[arg(long, value_parser = parse_moment)]
    until: Option<Moment>,
    /// Only this site, where several have a device of that name.
    #[arg(long)]
    site: Option<String>,
    /// Stop after so many readings.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print one JSON object a line, as the API gives it.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn query(&self, now: Timestamp) -> Vec<(&'static str, String)> {
        let mut query = vec![("device", self.device.clone()), ("channel", self.channel.clone())];
        let moments = [("since", self.since), ("until", self.until)];
        for (name, moment) in moments {
            query.extend(moment.map(|moment| (name, moment.unix_ms(now).to_string())));
        }
        query.extend(self.site.clone().map(|site| ("site", site)));
        query
    }
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    let query = arguments.query(Timestamp::now());
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    let mut cursor: Option<String> = None;
    let mut printer =
        Printer { out: std::io::stdout().lock(), paint: Paint::for_stdout(), heading: !arguments.json };
    let mut printed = false;
    while left > 0 {
        let mut page = query.clone();
        page.push(("limit", left.min(PAGE).to_string()));
        page.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let answer = client.get::<Readings>("/api/v1/readings", &page).await?.body;
        left = left.saturating_sub(answer.readings.len() as u64);
        printed |= !answer.readings.is_empty();
        if arguments.json {
            for reading in &answer.readings {
                writeln!(printer.out, "{}", reading.get())?;
            }
        } else {
            printer.page(&decode(client, &answer.readings)?)?;
        }
        match answer.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    if !printed && !arguments.json {
        // An answer, not an error, but it does not belong among the readings.
        eprintln!("No readings of {} {} in that time.", arguments.device, arguments.channel);
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints as pages come, so column widths are fixed.
struct Printer {
    out: StdoutLock<'static>,
    paint: Paint,
    heading: bool,
}

impl Printer {
    fn page(&mut self, readings: &[Reading]) -> Result<(), CliError> {
        if !readings.is_empty() && std::mem::take(&mut self.heading) {
            let heading = format!(
                "{:<24}  {:<12}  {:>10}  {:>14}  {:<8}  QUALITY",
                "TIME", "SITE", "SEQ", "VALUE", "UNIT"
            );
            writeln!(self.out, "{}", self.paint.apply(Style::Dim, &heading))?;
        }
        for reading in readings {
            writeln!(self.out, "{}", self.paint.apply(style(reading), &line(reading)))?;
        }
        Ok(())
    }
}

fn style(reading: &Reading) -> Style {
    if reading.quality == "good" { Style::Plain } else { Style::Yellow }
}

fn line(reading: &Reading) -> String {
    format!(
        "{:<24}  {:<12}  {:>10}  {:>14}  {:<8}  {}",
        time(reading),
        reading.site,
        reading.seq,
        show_value(&reading.value),
        reading.unit.as_deref().unwrap_or_default(),
        reading.quality,
    )
}

/// Wall time, marked where it is not to be trusted or was corrected; without any, the boot and its own milliseconds.
fn time(reading: &Reading) -> String {
    let Some(at) = reading.time_unix_ms else {
        return format!("{}+{}ms", reading.boot, reading.tick_ms);
    };
    let trust = match reading.time_quality.as_str() {
        "synced" => "",
        "unsynced" => "?",
        _ => "~",
    };
    let corrected = if reading.time_corrected { "*" } else { "" };
    format!("{}{trust}{corrected}", local_time(at))
}
