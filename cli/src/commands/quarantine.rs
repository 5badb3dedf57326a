//! `tidegate quarantine`: what the ingest did not take, and keeps for people to look at.

use std::{io::Write, process::ExitCode};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    client::{Client, ClientError},
    commands::decode,
    error::CliError,
    instant::local_time,
    paint::{Paint, Style},
    table::{Align, Table},
};

/// See blocks that came with another content than what is stored, or could not be read.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print JSON, one object a line, as the API gives it.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the blocks, oldest first: who brought them, when, and why they were not taken (this is the default)
    List(Which),
    /// Show one block with its readings
    Show {
        /// As `list` shows it.
        number: u64,
    },
}

#[derive(Debug, Default, clap::Args)]
struct Which {
    /// Only from this site.
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Only from this gateway.
    #[arg(long, value_name = "GATEWAY")]
    gateway: Option<String>,
    /// Only for this reason: boot-conflict or corrupt.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Page {
    blocks: Vec<Box<RawValue>>,
    next: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Block {
    number: u64,
    site: String,
    gateway: String,
    arrival_unix_ms: i64,
    times: u64,
    last_gateway: String,
    reason: String,
    because: String,
    content: String,
    stamp: Option<Stamp>,
    readings: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Stamp {
    lane: String,
    epoch: String,
    number: u64,
}

#[derive(Debug, Deserialize)]
struct Detail {
    block: Block,
    content: Vec<Reading>,
}

#[derive(Debug, Deserialize)]
struct Reading {
    device: String,
    boot: String,
    seq: u64,
    channel_index: u8,
    tick_ms: u64,
    value: serde_json::Value,
    quality: String,
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    match &arguments.action {
        None => list(client, &Which::default(), arguments.json).await,
        Some(Action::List(which)) => list(client, which, arguments.json).await,
        Some(Action::Show { number }) => show(client, *number, arguments.json).await,
    }
}

async fn list(client: &Client, which: &Which, as_json: bool) -> Result<ExitCode, CliError> {
    let asked = [("site", &which.site), ("gateway", &which.gateway), ("reason", &which.reason)];
    let asked: Vec<(&str, String)> =
        asked.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
    let (mut from, mut blocks) = (Some(0), Vec::new());
    while let Some(number) = from {
        let query = [asked.as_slice(), &[("from", number.to_string())]].concat();
        let page = client.get::<Page>("/api/v1/quarantine", &query).await?.body;
        // Whatever answers, this ends.
        from = page.next.filter(|next| *next > number);
        blocks.extend(page.blocks);
    }
    let mut out = std::io::stdout().lock();
    if as_json {
        for block in &blocks {
            writeln!(out, "{}", block.get())?;
        }
    } else if blocks.is_empty() {
        writeln!(out, "Nothing is in quarantine.")?;
    } else {
        write!(out, "{}", table(&decode(client, &blocks)?).render(Paint::for_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(blocks: &[Block]) -> Table {
    let (left, right) = (Align::Left, Align::Right);
    let mut table = Table::new([
        ("NUMBER", right),
        ("FIRST CAME", left),
        ("SITE", left),
        ("GATEWAY", left),
        ("TIMES", right),
        ("READINGS", right),
        ("REASON", left),
        ("BECAUSE", left),
    ]);
    for block in blocks {
        let style = if block.reason == "boot-conflict" { Style::Red } else { Style::Yellow };
        table.row(
            style,
            [
                block.number.to_string(),
                local_time(block.arrival_unix_ms),
                block.site.clone(),
                block.gateways(),
                block.times.to_string(),
                block.readings.map_or_else(|| "-".to_owned(), |count| count.to_string()),
                block.reason.clone(),
                block.because.clone(),
            ],
        );
    }
    table
}

impl Block {
    fn gateways(&self) -> String {
        if self.gateway == self.last_gateway {
            self.gateway.clone()
        } else {
            format!("{}, then {}", self.gateway, self.last_gateway)
        }
    }
}

async fn show(client: &Client, number: u64, as_json: bool) -> Result<ExitCode, CliError> {
    let path = format!("/api/v1/quarantine/{number}");
    let raw = client.get::<Box<RawValue>>(&path, &[]).await?.body;
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{}", raw.get())?;
        return Ok(ExitCode::SUCCESS);
    }
    let detail: Detail = serde_json::from_str(raw.get()).map_err(|error| ClientError::NotAnIngest {
        url: client.url().to_owned(),
        reason: format!("unexpected JSON: {error}"),
    })?;
    write!(out, "{}", shown(&detail, Paint::for_stdout()))?;
    Ok(ExitCode::SUCCESS)
}

fn shown(detail: &Detail, paint: Paint) -> String {
    let block = &detail.block;
    let stamp = block.stamp.as_ref().map_or_else(
        || "unreadable".to_owned(),
        |stamp| format!("{} {} on lane {}", stamp.epoch, stamp.number, stamp.lane),
    );
    let mut text = format!(
        "block {}, of {} by {}\nfirst came {}, {} times\nsent as {stamp}\ncontent {}\n{}: {}\n",
        block.number,
        block.site,
        block.gateways(),
        local_time(block.arrival_unix_ms),
        block.times,
        block.content,
        block.reason,
        block.because,
    );
    if detail.content.is_empty() {
        return text;
    }
    let (left, right) = (Align::Left, Align::Right);
    let mut table = Table::new([
        ("DEVICE", left),
        ("BOOT", left),
        ("SEQ", right),
        ("CHANNEL", right),
        ("TICK", right),
        ("VALUE", right),
        ("QUALITY", left),
    ]);
    for reading in &detail.content {
        table.row(
            Style::Plain,
            [
                reading.device.clone(),
                reading.boot.clone(),
                reading.seq.to_string(),
                reading.channel_index.to_string(),
                reading.tick_ms.to_string(),
                reading.value.to_string(),
                reading.quality.clone(),
            ],
        );
    }
    text.push('\n');
    text.push_str(&table.render(paint));
    let left_out = block.readings.unwrap_or(0).saturating_sub(detail.content.len() as u64);
    if left_out > 0 {
        text.push_str(&format!("and {left_out} more\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail() -> Detail {
        serde_json::from_value(serde_json::json!({
            "block": {
                "number": 7, "content": "ab", "site": "plant", "gateway": "gw-a", "arrival_unix_ms": 0, "times": 3,
                "last_gateway": "gw-b", "last_unix_ms": 5, "reason": "boot-conflict", "because": "not what is stored",
                "bytes": 90, "stamp": { "lane": "live", "epoch": "0000000000000009", "number": 4 }, "readings": 3,
                "holds": [],
            },
            "content": [{
                "device": "press-4", "boot": "000000000000000a", "seq": 12, "channel_index": 1, "tick_ms": 300,
                "value": 2.5, "quality": "good",
            }],
        }))
        .expect("an answer of the API")
    }

    #[test]
    fn a_block_is_told_with_who_brought_it_and_what_it_says() {
        let text = shown(&detail(), Paint::always(false));
        for part in [
            "block 7, of plant by gw-a, then gw-b",
            "3 times",
            "0000000000000009 4 on lane live",
            "and 2 more",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
        let row = text.lines().find(|line| line.contains("press-4")).expect("its reading");
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells, ["press-4", "000000000000000a", "12", "1", "300", "2.5", "good"]);
        let listed = table(&[detail().block]).render(Paint::always(false));
        assert!(listed.contains("boot-conflict") && listed.contains("not what is stored"), "{listed}");
    }
}
