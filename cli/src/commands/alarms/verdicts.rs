//! `tidegate alarms verdicts`: what gateways say is active, beside the cloud's verdict.

use std::process::ExitCode;

use crate::{
    client::{Client, ClientError},
    commands::print,
    error::CliError,
    instant::local_time,
    paint::{Paint, Style},
    table::{Align, Table},
    view::{Verdict, Verdicts},
};

use super::filter::Filter;

/// List what gateways say is active by their own evaluation, and where the cloud's verdict differs.
///
/// A gateway's word raises nothing. A difference is shown once it has been there for some seconds, since readings are on their way.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only those that differ.
    #[arg(long)]
    differing: bool,
    #[command(flatten)]
    filter: Filter,
    /// Print one JSON object a line, as the API gives it.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    let mut query = arguments.filter.names();
    if arguments.differing {
        query.push(("differing", "true".to_owned()));
    }
    let found = client.get::<Verdicts>("/api/v1/verdicts", &query).await?.body.verdicts;
    print(client, &found, arguments.json, |verdicts: &[Verdict]| match verdicts {
        [] if arguments.differing => "No gateway's verdict differs.\n".to_owned(),
        [] => "Nothing is active at any gateway.\n".to_owned(),
        verdicts => table(verdicts).render(Paint::for_stdout()),
    })
}

/// How many differ.
pub async fn differing(client: &Client) -> Result<usize, ClientError> {
    let query = [("differing", "true".to_owned())];
    Ok(client.get::<Verdicts>("/api/v1/verdicts", &query).await?.body.verdicts.len())
}

pub fn table(verdicts: &[Verdict]) -> Table {
    let left = Align::Left;
    let mut table = Table::new([
        ("ALARM", left),
        ("GATEWAY", left),
        ("ACTIVE THERE SINCE", left),
        ("ITS REVISION", left),
        ("THE CLOUD'S", left),
        ("DIFFERENCE", left),
    ]);
    for verdict in verdicts {
        let Verdict { site, device, channel, rule, gateway, .. } = verdict;
        let there = verdict.at_gateway.as_ref();
        let style = if verdict.difference.is_some() { Style::Yellow } else { Style::Plain };
        table.row(
            style,
            [
                format!("{site}/{device}/{channel}/{rule}"),
                gateway.clone(),
                there.map_or_else(|| "not active".to_owned(), |raised| local_time(raised.since_unix_ms)),
                there.map_or_else(|| "-".to_owned(), |raised| raised.revision.clone()),
                verdict.here.clone().unwrap_or_else(|| "not active".to_owned()),
                verdict.difference.clone().unwrap_or_else(|| "-".to_owned()),
            ],
        );
    }
    table
}
