//! `tidegate device`: what an operator does to one device.

use std::{collections::BTreeSet, io::Write, process::ExitCode};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{audit::ledger::Audit, named};
use crate::{client::Client, error::CliError, instant::roughly};

/// A device that was heard of so lately may not be gone.
const SEEMS_ALIVE_MS: i64 = 10 * 60 * 1000;

/// Act on one device.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Retire(Retire),
}

/// Close a device's boots, and write off the readings that will never come.
///
/// Without --yes it only says what it would do. What it does is in the ledger with the reason `written-off`, and in the
/// operator log (`/api/v1/operations`). Readings that come all the same are stored, and counted. A device
/// that starts again simply lives again. Needs the role engineer.
#[derive(Debug, clap::Args)]
struct Retire {
    device: String,
    /// The device's site; needed only where several have a device of that name.
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Only this boot (as `tidegate audit` shows it).
    #[arg(long, value_name = "BOOT")]
    boot: Option<String>,
    /// Why; for the operator log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who you are, for the log; with a token it need not be said.
    #[arg(long = "as", env = "TIDEGATE_OPERATOR", value_name = "NAME")]
    operator: Option<String>,
    /// Do it.
    #[arg(long)]
    yes: bool,
    /// Print one JSON object: what was, or would be, done.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Order<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<&'a str>,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<&'a str>,
    confirm: bool,
}

#[derive(Debug, Deserialize, Serialize)]
struct Retired {
    site: String,
    device: String,
    dry_run: bool,
    written_off: u64,
    boots: Vec<RetiredBoot>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_heard_unix_ms: Option<i64>,
}

#[derive(Debug, Deserialize, Serialize)]
struct RetiredBoot {
    boot: String,
    closed: bool,
    written_off: u64,
    ranges: Vec<(u64, u64)>,
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    let Action::Retire(asked) = &arguments.action;
    let device = asked.device.clone();
    let site = match &asked.site {
        Some(site) => site.clone(),
        None => only_site(client, &device).await?,
    };
    let (operator, reason, boot) =
        (named(asked.operator.as_deref(), client)?, asked.reason.as_str(), asked.boot.as_deref());
    let order = Order { operator, reason, boot, confirm: asked.yes };
    let path = format!("/api/v1/devices/{site}/{device}/retire");
    let answer = client.post::<Retired>(&path, &order).await?;
    let mut out = std::io::stdout().lock();
    if asked.json {
        writeln!(out, "{}", serde_json::to_string(&answer.body).map_err(std::io::Error::from)?)?;
    } else {
        let now = answer.server_unix_ms.unwrap_or_else(|| Timestamp::now().as_millisecond());
        write!(out, "{}", report(&answer.body, now))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The one site that has a device of this name.
pub async fn only_site(client: &Client, device: &str) -> Result<String, CliError> {
    let query = [("device", device.to_owned())];
    let audit = client.get::<Audit>("/api/v1/audit", &query).await?.body;
    let sites: BTreeSet<String> = audit.origins.into_iter().map(|origin| origin.site).collect();
    let mut sites: Vec<String> = sites.into_iter().collect();
    match sites.len() {
        0 => Err(CliError::UnknownDevice { device: device.to_owned() }),
        1 => Ok(sites.swap_remove(0)),
        _ => Err(CliError::SeveralSites { device: device.to_owned(), sites }),
    }
}

fn report(done: &Retired, now_unix_ms: i64) -> String {
    let name = format!("{}/{}", done.site, done.device);
    if done.boots.is_empty() {
        return format!("Nothing to do: {name} is closed, and nothing of it is missing.\n");
    }
    let mut text = String::new();
    for retired in &done.boots {
        let ends = if retired.closed { "ends" } else { "had ended" };
        text.push_str(&format!("boot {} {ends}, {} written off", retired.boot, retired.written_off));
        let ranges: Vec<String> =
            retired.ranges.iter().map(|(start, end)| format!("{start}..{end}")).collect();
        if !ranges.is_empty() {
            let listed: u64 = retired.ranges.iter().map(|(start, end)| end - start).sum();
            let more = if listed < retired.written_off { ", …" } else { "" };
            text.push_str(&format!(": seq {}{more}", ranges.join(", ")));
        }
        text.push('\n');
    }
    let silent_ms = done.last_heard_unix_ms.map(|heard| now_unix_ms.saturating_sub(heard).max(0));
    if let Some(silent_ms) = silent_ms.filter(|silent_ms| done.dry_run && *silent_ms < SEEMS_ALIVE_MS) {
        text.push_str(&format!("It was heard of {} ago: it seems to be alive.\n", roughly(silent_ms)));
    }
    let written_off = done.written_off;
    text.push_str(&if done.dry_run {
        format!(
            "Nothing was changed: with --yes, {name} is retired and {written_off} readings are written off.\n"
        )
    } else {
        format!("{name} is retired; {written_off} readings are written off.\n")
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retired(dry_run: bool, boots: Vec<RetiredBoot>) -> Retired {
        let written_off = boots.iter().map(|boot| boot.written_off).sum();
        let last_heard_unix_ms = dry_run.then_some(1_000);
        Retired { site: "s".into(), device: "b".into(), dry_run, written_off, boots, last_heard_unix_ms }
    }

    #[test]
    fn a_dry_run_says_what_would_be_done_and_whether_the_device_lives() {
        let boots = || {
            let ranges = vec![(3, 5), (7, 8)];
            vec![RetiredBoot { boot: "0a".into(), closed: true, written_off: 12, ranges }]
        };
        let text = report(&retired(true, boots()), 61_000);
        let expected = "\
boot 0a ends, 12 written off: seq 3..5, 7..8, …
It was heard of 60 s ago: it seems to be alive.
Nothing was changed: with --yes, s/b is retired and 12 readings are written off.
";
        assert_eq!(text, expected);
        assert!(!report(&retired(true, boots()), i64::MAX).contains("alive"));
        assert!(
            report(&retired(false, boots()), 0).ends_with("s/b is retired; 12 readings are written off.\n")
        );
        assert!(report(&retired(false, Vec::new()), 0).starts_with("Nothing to do"));
    }
}
