//! `tidegate audit`: was anything missed?

pub mod ledger;
pub mod report;
pub mod verdict;

use std::{io::Write, process::ExitCode, time::Duration};

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use self::{
    ledger::Audit,
    verdict::{Finding, Patience, Verdict, judge},
};
use crate::{
    client::{Answer, Client},
    error::CliError,
    instant::parse_duration,
    paint::Paint,
};

/// How often `--wait` looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Account for every reading: stored, declared lost and why, or still on its way.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only this device.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Only this site.
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// How long ago a device may have been heard last for its outstanding readings to count as on their way.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    grace: Duration,
    /// Look again until everything is accounted for, at most so long. Longer than the grace, it also finds holes that
    /// stay while their device goes on.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    wait: Duration,
    /// Count declared losses as missing.
    #[arg(long)]
    strict: bool,
    /// Print one JSON object: the audit, the verdict, the findings.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Judged<'a> {
    verdict: Verdict,
    findings: &'a [Finding],
    #[serde(flatten)]
    audit: &'a Audit,
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    let begun = Instant::now();
    let first = look(arguments, client).await?;
    let mut last = judge_look(arguments, &first, None);
    let mut audit = first.body.clone();
    while last.0 != Verdict::Complete && begun.elapsed() + LOOK_AGAIN <= arguments.wait {
        sleep(LOOK_AGAIN).await;
        let again = look(arguments, client).await?;
        let earlier = (begun.elapsed() >= arguments.grace).then_some(&first.body);
        last = judge_look(arguments, &again, earlier);
        audit = again.body;
    }
    let (verdict, findings) = last;
    if let Some(device) = arguments.device.as_ref().filter(|_| audit.origins.is_empty()) {
        return Err(CliError::UnknownDevice { device: device.clone() });
    }
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let judged = Judged { verdict, findings: &findings, audit: &audit };
        writeln!(out, "{}", serde_json::to_string(&judged).map_err(std::io::Error::from)?)?;
    } else {
        write!(out, "{}", report::render(&audit, verdict, &findings, Paint::for_stdout()))?;
    }
    Ok(if verdict == Verdict::Missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn look(arguments: &Arguments, client: &Client) -> Result<Answer<Audit>, CliError> {
    let selection = [("device", &arguments.device), ("site", &arguments.site)];
    let query: Vec<(&str, String)> =
        selection.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
    Ok(client.get::<Audit>("/api/v1/audit", &query).await?)
}

fn judge_look(
    arguments: &Arguments,
    look: &Answer<Audit>,
    earlier: Option<&Audit>,
) -> (Verdict, Vec<Finding>) {
    let now = look.server_unix_ms.unwrap_or_else(|| Timestamp::now().as_millisecond());
    judge(&look.body, earlier, now, Patience { grace: arguments.grace, strict: arguments.strict })
}
