//! `tidegate tokens`: what programs show to say who they are.

use std::{io::Write, process::ExitCode, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tidegate_access::{Name, Role, TokenId};

use super::print;
use crate::{
    client::Client,
    error::CliError,
    instant::{local_time, parse_duration},
    paint::{Paint, Style},
    table::{Align, Table},
};

/// Make, list and revoke tokens. Needs the role admin.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// Print JSON, one object a line, as the API gives it.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a token and print it, once
    Create {
        /// Who it is for: what it does is done in this name.
        owner: Name,
        /// viewer, operator, engineer or admin, each with what those before it may do.
        #[arg(long)]
        role: Role,
        /// After so long it ends: 12h, 90d; 366d at most.
        #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = parse_duration)]
        expires: Duration,
        /// What it is for.
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
    },
    /// List tokens, those that ended in the last 90 days too
    List,
    /// Revoke a token, by its id: it counts no more from now on
    Revoke { id: TokenId },
}

#[derive(Deserialize)]
struct Tokens {
    tokens: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    owner: String,
    role: String,
    note: String,
    state: String,
    expires_unix_ms: i64,
    last_used_unix_ms: Option<i64>,
}

#[derive(Deserialize)]
struct Made {
    id: String,
    token: String,
    expires_unix_ms: i64,
}

pub async fn run(asked: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    match &asked.action {
        Action::List => {
            let tokens = client.get::<Tokens>("/api/v1/tokens", &[]).await?.body.tokens;
            print(client, &tokens, asked.json, table)
        }
        Action::Create { owner, role, expires, note } => {
            let life_ms = i64::try_from(expires.as_millis()).unwrap_or(i64::MAX);
            let order = json!({ "owner": owner, "role": role, "note": note, "expires_in_ms": life_ms });
            let made = client.post::<Value>("/api/v1/tokens", &order).await?.body;
            let mut out = std::io::stdout().lock();
            let (false, Ok(made)) = (asked.json, serde_json::from_value::<Made>(made.clone())) else {
                writeln!(out, "{made}")?;
                return Ok(ExitCode::SUCCESS);
            };
            writeln!(out, "{}", made.token)?;
            let until = local_time(made.expires_unix_ms);
            writeln!(std::io::stderr(), "token {} until {until}; it is not shown again", made.id)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Revoke { id } => {
            let raw = client.delete::<Box<RawValue>>(&format!("/api/v1/tokens/{id}")).await?.body;
            let mut out = std::io::stdout().lock();
            if asked.json {
                writeln!(out, "{}", raw.get())?
            } else {
                writeln!(out, "token {id} is revoked")?
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "There are no tokens.\n".to_owned();
    }
    let left = Align::Left;
    let mut table = Table::new([
        ("ID", left),
        ("OWNER", left),
        ("ROLE", left),
        ("STATE", left),
        ("UNTIL", left),
        ("LAST USED", left),
        ("FOR", left),
    ]);
    for row in rows {
        let used = row.last_used_unix_ms.map_or_else(|| "never".to_owned(), local_time);
        let [id, owner, role, state, note] =
            [&row.id, &row.owner, &row.role, &row.state, &row.note].map(Clone::clone);
        table.row(Style::Plain, [id, owner, role, state, local_time(row.expires_unix_ms), used, note]);
    }
    table.render(Paint::for_stdout())
}
