//! `tidegate rules list | show | log`: the rules of a running ingest.

use std::{io::Write, process::ExitCode};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    client::Client,
    commands::decode,
    error::CliError,
    instant::local_time,
    paint::{Paint, Style, priority_style},
    table::{Align, Table},
};

/// List the rules of the ingest: in force, announced and retired.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Print JSON, one rule a line, as the API gives it.
    #[arg(long)]
    json: bool,
}

/// Show a rule with all its revisions.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// The rule's id.
    #[arg(value_name = "ID")]
    id: String,
    /// Print JSON, as the API gives it.
    #[arg(long)]
    json: bool,
}

/// List who changed the rules, newest first.
#[derive(Debug, clap::Args)]
pub struct Log {
    /// The newest so many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// Print JSON, one change a line, as the API gives it.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Deserialize)]
struct Rules {
    edition: u64,
    owner: String,
    rules: Vec<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    id: String,
    state: String,
    kind: String,
    priority: String,
    condition: String,
    revisions: Vec<Revision>,
}

#[derive(Debug, Deserialize)]
struct Revision {
    effective_from_unix_ms: Option<i64>,
    revision: Option<String>,
    says: Option<Says>,
}

#[derive(Debug, Deserialize)]
struct Says {
    priority: String,
    condition: String,
    select: Select,
    unit: Option<String>,
    group: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Select {
    site: String,
    device: String,
    channel: String,
}

#[derive(Debug, Deserialize)]
struct Changes {
    log: Vec<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Change {
    unix_ms: i64,
    operator: String,
    reason: String,
    edition: u64,
    added: Vec<String>,
    changed: Vec<String>,
    retired: Vec<String>,
}

pub async fn list(asked: &List, client: &Client) -> Result<ExitCode, CliError> {
    let Rules { edition, owner, rules: raw } = client.get("/api/v1/rules", &[]).await?.body;
    let mut out = std::io::stdout().lock();
    if asked.json {
        return lines(&mut out, &raw);
    }
    let rules: Vec<Rule> = decode(client, &raw)?;
    if !rules.is_empty() {
        let left = Align::Left;
        let mut table = Table::new([
            ("RULE", left),
            ("STATE", left),
            ("KIND", left),
            ("PRIORITY", left),
            ("REVISIONS", Align::Right),
            ("CONDITION", left),
        ]);
        for rule in rules {
            let style = if rule.state == "in-force" { priority_style(&rule.priority) } else { Style::Dim };
            let revisions = rule.revisions.len().to_string();
            table.row(style, [rule.id, rule.state, rule.kind, rule.priority, revisions, rule.condition]);
        }
        write!(out, "{}", table.render(Paint::for_stdout()))?;
        writeln!(out)?;
    }
    let how = match owner.as_str() {
        "file" => "they are those of the ingest's rules file",
        _ => "they are changed with `tidegate rules put`",
    };
    writeln!(out, "Edition {edition}; {how}.")?;
    Ok(ExitCode::SUCCESS)
}

pub async fn show(asked: &Show, client: &Client) -> Result<ExitCode, CliError> {
    if !is_id(&asked.id) {
        return Err(CliError::RuleId { id: asked.id.clone() });
    }
    let raw: Box<RawValue> = client.get(&format!("/api/v1/rules/{}", asked.id), &[]).await?.body;
    let mut out = std::io::stdout().lock();
    if asked.json {
        return lines(&mut out, &[raw]);
    }
    let Some(rule) = decode::<Rule>(client, &[raw])?.pop() else { return Ok(ExitCode::SUCCESS) };
    writeln!(out, "{}: {}, {}", rule.id, rule.state, rule.kind)?;
    let left = Align::Left;
    let mut table = Table::new([
        ("FROM", left),
        ("REVISION", left),
        ("PRIORITY", left),
        ("SELECTS", left),
        ("SAYS", left),
    ]);
    for revision in rule.revisions {
        let from = revision.effective_from_unix_ms.map_or_else(|| "always".to_owned(), local_time);
        let none = || "-".to_owned();
        let name = revision.revision.unwrap_or_else(none);
        match revision.says {
            Some(says) => {
                let Select { site, device, channel } = &says.select;
                let selects = format!("{site}/{device}/{channel}");
                table.row(Style::Plain, [from, name, says.priority.clone(), selects, says.in_words()]);
            }
            None => table.row(Style::Dim, [from, name, none(), none(), "retired".to_owned()]),
        }
    }
    write!(out, "{}", table.render(Paint::for_stdout()))?;
    Ok(ExitCode::SUCCESS)
}

pub async fn log(asked: &Log, client: &Client) -> Result<ExitCode, CliError> {
    let query = [("limit", asked.limit.to_string())];
    let Changes { log: raw } = client.get("/api/v1/rules/log", &query).await?.body;
    let mut out = std::io::stdout().lock();
    if asked.json {
        return lines(&mut out, &raw);
    }
    let changes: Vec<Change> = decode(client, &raw)?;
    if changes.is_empty() {
        writeln!(out, "Nobody has changed the rules yet.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let left = Align::Left;
    let mut table = Table::new([
        ("TIME", left),
        ("EDITION", Align::Right),
        ("BY", left),
        ("REASON", left),
        ("WHAT", left),
    ]);
    for change in changes {
        let Change { unix_ms, operator, reason, edition, added, changed, retired } = change;
        let what = in_words(&added, &changed, &retired);
        table.row(Style::Plain, [local_time(unix_ms), edition.to_string(), operator, reason, what]);
    }
    write!(out, "{}", table.render(Paint::for_stdout()))?;
    Ok(ExitCode::SUCCESS)
}

/// `added a, b; retired c`
pub fn in_words(added: &[String], changed: &[String], retired: &[String]) -> String {
    let parts = [("added", added), ("changed", changed), ("retired", retired)].into_iter();
    let parts = parts.filter(|(_, ids)| !ids.is_empty());
    let parts: Vec<String> = parts.map(|(what, ids)| format!("{what} {}", ids.join(", "))).collect();
    parts.join("; ")
}

impl Says {
    fn in_words(&self) -> String {
        let unit = self.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
        let group = self.group.as_ref().map(|group| format!(", group = {group}")).unwrap_or_default();
        format!("{}{unit}{group}", self.condition)
    }
}

/// Anything else would be another path.
fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn lines(out: &mut impl Write, raw: &[Box<RawValue>]) -> Result<ExitCode, CliError> {
    for raw in raw {
        writeln!(out, "{}", raw.get())?;
    }
    Ok(ExitCode::SUCCESS)
}
