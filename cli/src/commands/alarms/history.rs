//! `tidegate alarms history`

use std::{io::Write, process::ExitCode};

use super::filter::Filter;
use crate::{
    client::Client,
    commands::decode,
    error::CliError,
    instant::local_time,
    paint::{Paint, Style},
    table::{Align, Table},
    view::{History, Occurrence, OccurrencePoint, show_value},
};

/// The most that the ingest gives at a time.
const LARGEST_PAGE: usize = 10_000;

/// List settled history: raises and clears as the stored readings tell them, in the order of raising.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    filter: Filter,
    /// The newest so many, before the priority is looked at.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Print one JSON object a line, as the API gives it.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    let (mut pages, mut left, mut after) = (Vec::new(), arguments.limit, None);
    while left > 0 {
        let mut query = arguments.filter.names();
        query.push(("limit", left.min(LARGEST_PAGE).to_string()));
        query.extend(after.map(|after| ("after", after)));
        let page = client.get::<History>("/api/v1/alarms/history", &query).await?.body;
        left = left.saturating_sub(page.occurrences.len().max(1));
        pages.push(page.occurrences);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    // Pages go back in time; what is in them goes forward.
    let raw: Vec<_> = pages.into_iter().rev().flatten().collect();
    let occurrences: Vec<Occurrence> = decode(client, &raw)?;
    // Of the other kinds there is no history.
    let of_channels = arguments.filter.takes_kind("channel");
    let is_wanted = |known: &Occurrence| of_channels && arguments.filter.takes_priority(&known.priority);
    let mut out = std::io::stdout().lock();
    if arguments.json {
        for (raw, _) in raw.iter().zip(&occurrences).filter(|(_, known)| is_wanted(known)) {
            writeln!(out, "{}", raw.get())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let wanted: Vec<Occurrence> = occurrences.into_iter().filter(is_wanted).collect();
    if wanted.is_empty() {
        writeln!(out, "No such alarm is in history.")?;
    } else {
        write!(out, "{}", table(&wanted).render(Paint::for_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub fn table(occurrences: &[Occurrence]) -> Table {
    let left = Align::Left;
    let mut table = Table::new([
        ("BEGAN", left),
        ("CLEARED", left),
        ("PRIORITY", left),
        ("SITE", left),
        ("DEVICE", left),
        ("CHANNEL", left),
        ("RULE", left),
        ("PEAK", Align::Right),
    ]);
    for known in occurrences {
        table.row(
            Style::Plain,
            [
                point(&known.onset),
                known.clear.as_ref().map(point).unwrap_or_default(),
                known.priority.clone(),
                known.site.clone(),
                known.device.clone(),
                known.channel.clone(),
                known.rule.clone(),
                show_value(&known.peak.value),
            ],
        );
    }
    table
}

fn point(point: &OccurrencePoint) -> String {
    point.time_unix_ms.map_or_else(|| format!("+{} ms", point.tick_ms), local_time)
}
