//! `tidegate alarms list`

use std::{io::Write, process::ExitCode};

use serde_json::value::RawValue;

use super::{filter::Filter, verdicts, when};
use crate::{
    client::{Client, ClientError},
    commands::decode,
    error::CliError,
    paint::{Paint, Style, priority_style},
    table::{Align, Table},
    view::{Alarm, Alarms, show_value},
};

/// How many alarms are asked for at a time.
const PAGE: usize = 1_000;

/// List alarms, newest raise first.
#[derive(Debug, clap::Args)]
pub struct Listing {
    /// List those that are normal too.
    #[arg(long, conflicts_with = "state")]
    all: bool,
    /// Only those in these states: active, or the states that the list shows, with commas between.
    #[arg(long, value_name = "STATES")]
    state: Option<String>,
    /// Only those that wait to be acknowledged.
    #[arg(long)]
    unacknowledged: bool,
    #[command(flatten)]
    filter: Filter,
    /// Print one JSON object a line, as the API gives it.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Listing, client: &Client) -> Result<ExitCode, CliError> {
    let state = match &arguments.state {
        Some(state) => state.as_str(),
        // What waits to be acknowledged may be suppressed, but is never normal.
        None if arguments.all => "all",
        None => "standing",
    };
    let found = all(client, state, arguments.unacknowledged, &arguments.filter).await?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        for alarm in &found {
            writeln!(out, "{}", alarm.get())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let alarms: Vec<Alarm> = decode(client, &found)?;
    if alarms.is_empty() {
        let is_filtered =
            arguments.state.is_some() || arguments.unacknowledged || !arguments.filter.query().is_empty();
        let scope = match (is_filtered, arguments.all) {
            (true, _) => "No alarm fits.",
            (_, true) => "No alarm was raised yet.",
            _ => "Every alarm is normal.",
        };
        writeln!(out, "{scope}")?;
    } else {
        write!(out, "{}", table(&alarms).render(Paint::for_stdout()))?;
    }
    let differing = verdicts::differing(client).await?;
    if differing > 0 {
        writeln!(out, "\n{differing} verdicts of gateways differ: tidegate alarms verdicts --differing")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All that fit, page by page.
pub async fn all(
    client: &Client,
    state: &str,
    unacknowledged: bool,
    filter: &Filter,
) -> Result<Vec<Box<RawValue>>, ClientError> {
    let mut query = filter.query();
    query.extend([("state", state.to_owned()), ("limit", PAGE.to_string())]);
    if unacknowledged {
        query.push(("unacknowledged", "true".to_owned()));
    }
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let mut page_query = query.clone();
        page_query.extend(after.map(|after| ("after", after)));
        let page = client.get::<Alarms>("/api/v1/alarms", &page_query).await?.body;
        found.extend(page.alarms);
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

fn table(alarms: &[Alarm]) -> Table {
    let left = Align::Left;
    let mut table = Table::new([
        ("PRIORITY", left),
        ("STATE", left),
        ("RAISED", left),
        ("CLEARED", left),
        ("SITE", left),
        ("DEVICE", left),
        ("CHANNEL", left),
        ("RULE", left),
        ("VALUE", Align::Right),
        ("UNIT", left),
    ]);
    for alarm in alarms {
        let raised = alarm.raised.as_ref();
        table.row(
            style(alarm),
            [
                alarm.priority.clone(),
                alarm.state.clone(),
                raised.map(when).unwrap_or_default(),
                alarm.cleared.as_ref().map(when).unwrap_or_default(),
                alarm.site.clone(),
                alarm.device.clone(),
                alarm.channel.clone(),
                alarm.rule.clone(),
                raised.map(|raised| show_value(&raised.value)).unwrap_or_default(),
                raised.and_then(|raised| raised.unit.clone()).unwrap_or_default(),
            ],
        );
    }
    table
}

/// Colour for what calls for somebody.
pub fn style(alarm: &Alarm) -> Style {
    match alarm.state.as_str() {
        "unacknowledged" | "acknowledged" => priority_style(&alarm.priority),
        "rtn-unacknowledged" | "latched-unacknowledged" | "latched-acknowledged" => Style::Plain,
        _ => Style::Dim,
    }
}
