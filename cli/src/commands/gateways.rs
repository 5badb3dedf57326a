//! `tidegate gateways`: who brings readings, and by which alarm rules they judge.

use std::process::ExitCode;

use jiff::Timestamp;

use crate::{
    client::Client,
    commands::print,
    error::CliError,
    instant::roughly,
    paint::{Paint, Style},
    table::{Align, Table},
    view::{Gateway, Gateways},
};

/// List the gateways, whether they are online, and the alarm rules that are in force there.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print one JSON object a line, as the API gives it.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    let answer = client.get::<Gateways>("/api/v1/gateways", &[]).await?;
    let now = answer.server_unix_ms.unwrap_or_else(|| Timestamp::now().as_millisecond());
    print(client, &answer.body.gateways, arguments.json, |gateways: &[Gateway]| match gateways {
        [] => "No gateway was heard yet.\n".to_owned(),
        gateways => table(gateways, now).render(Paint::for_stdout()),
    })
}

fn table(gateways: &[Gateway], now_unix_ms: i64) -> Table {
    let left = Align::Left;
    let mut table = Table::new([
        ("SITE", left),
        ("GATEWAY", left),
        ("LINK", left),
        ("VERSION", left),
        ("LAST BLOCK", Align::Right),
        ("ALARM RULES", left),
    ]);
    for gateway in gateways {
        let ago = |at: i64| format!("{} ago", roughly(now_unix_ms.saturating_sub(at)));
        let rules = gateway.rules.as_ref().map_or_else(
            || "-".to_owned(),
            |rules| match rules.state.as_str() {
                "in-force" => format!("edition {}", rules.edition),
                "declined" => "its own".to_owned(),
                other => format!("edition {}: {other}", rules.edition),
            },
        );
        let is_well = gateway.online
            && gateway.rules.as_ref().is_none_or(|rules| ["in-force", "declined"].contains(&&*rules.state));
        table.row(
            if is_well { Style::Plain } else { Style::Yellow },
            [
                gateway.site.clone(),
                gateway.gateway.clone(),
                if gateway.online { "online" } else { "offline" }.to_owned(),
                gateway.version.clone(),
                gateway.last_block_unix_ms.map_or_else(|| "never".to_owned(), ago),
                rules,
            ],
        );
    }
    table
}
