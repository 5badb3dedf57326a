//! `tidegate changes`: who changed what.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::print;
use crate::{
    client::Client,
    error::CliError,
    instant::local_time,
    paint::{Paint, Style},
    table::{Align, Table},
};

/// Show who changed what, newest first. Needs the role admin.
///
/// Each line is an order that was let in. What it changed in detail is in the log of its kind (`alarms log`, `rules log`), under the
/// revision that it became.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many, 1 to 1000.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Only those with smaller numbers.
    #[arg(long, value_name = "N")]
    before: Option<u64>,
    /// Print one JSON object a line, as the API gives it.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Page {
    changes: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Change {
    number: u64,
    unix_ms: i64,
    actor: String,
    role: Option<String>,
    by: String,
    address: Option<String>,
    method: String,
    path: String,
    outcome: Option<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    status: u16,
    operator: Option<String>,
    after: Option<String>,
    note: Option<String>,
}

pub async fn run(asked: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    let mut query = vec![("limit", asked.limit.to_string())];
    query.extend(asked.before.map(|before| ("before", before.to_string())));
    let page = client.get::<Page>("/api/v1/changes", &query).await?.body;
    print(client, &page.changes, asked.json, table)
}

fn table(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "Nobody has changed anything yet.\n".to_owned();
    }
    let left = Align::Left;
    let mut table = Table::new([
        ("NO", Align::Right),
        ("TIME", left),
        ("WHO", left),
        ("ROLE", left),
        ("BY", left),
        ("FROM", left),
        ("WHAT", left),
        ("CAME OF IT", left),
    ]);
    for change in changes {
        let said = change.outcome.as_ref().and_then(|outcome| outcome.operator.clone());
        let who = if change.actor.is_empty() { said.unwrap_or_default() } else { change.actor.clone() };
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        table.row(
            Style::Plain,
            [
                change.number.to_string(),
                local_time(change.unix_ms),
                who,
                or_dash(&change.role),
                change.by.clone(),
                or_dash(&change.address),
                format!("{} {}", change.method, change.path),
                outcome(change.outcome.as_ref()),
            ],
        );
    }
    table.render(Paint::for_stdout())
}

fn outcome(outcome: Option<&Outcome>) -> String {
    let Some(outcome) = outcome else { return "unknown: it was cut off, or goes on".to_owned() };
    let done = match outcome.status {
        200..300 => "done".to_owned(),
        status => format!("refused ({status})"),
    };
    let became = outcome.after.as_ref().map(|after| format!("now {after}"));
    let parts = [Some(done), became, outcome.note.clone()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
