//! `tidegate rules put`: the ingest's rules are those of a file from now on.

use std::{io::Write, path::PathBuf, process::ExitCode};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{check::counted, file, kept::in_words};
use crate::{
    client::Client,
    commands::{decode, named},
    error::CliError,
};

/// Give the ingest other rules, as a whole: what the file does not have any more is retired.
///
/// Needs the role engineer. An ingest whose settings name a rules file refuses: there the file is changed, and read
/// again on SIGHUP. What changes is in force from now on; what was judged before stays.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The rules file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Who you are, for the log; with a token it need not be said.
    #[arg(long = "as", env = "TIDEGATE_OPERATOR", value_name = "NAME")]
    operator: Option<String>,
    /// Why; for the log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
    /// Only if this is the present edition, as `rules list` tells it.
    #[arg(long, value_name = "N")]
    edition: Option<u64>,
    /// Print JSON, as the API gives it.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Deserialize)]
struct Change {
    edition: u64,
    added: Vec<String>,
    changed: Vec<String>,
    retired: Vec<String>,
    warnings: Vec<String>,
}

pub async fn run(asked: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    let text = tidegate_service::settings::read(&asked.file)?;
    let checked = file::check(&asked.file, &text);
    if checked.rules.is_none() {
        let problems = counted(checked.problems(), "problem");
        return Err(CliError::WrongRules { file: asked.file.clone(), problems });
    }
    let mut query = vec![("reason", asked.reason.clone())];
    query.extend(named(asked.operator.as_deref(), client)?.map(|name| ("operator", name.to_owned())));
    if asked.dry_run {
        query.push(("dry_run", "true".to_owned()));
    }
    let raw: Box<RawValue> = client.put_toml("/api/v1/rules", &query, text, asked.edition).await?.body;
    let mut out = std::io::stdout().lock();
    if asked.json {
        writeln!(out, "{}", raw.get())?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(change) = decode::<Change>(client, &[raw])?.pop() else { return Ok(ExitCode::SUCCESS) };
    let Change { edition, added, changed, retired, warnings } = change;
    for warning in warnings {
        writeln!(std::io::stderr(), "warning: {warning}")?;
    }
    match (in_words(&added, &changed, &retired), asked.dry_run) {
        (what, _) if what.is_empty() => writeln!(out, "The rules say that already (edition {edition}).")?,
        (what, true) => writeln!(out, "Nothing was changed (edition {edition}); it would be: {what}.")?,
        (what, false) => writeln!(out, "Edition {edition}: {what}.")?,
    }
    Ok(ExitCode::SUCCESS)
}
