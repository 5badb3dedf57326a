//! `tidegate audit`: was anything missed?

mod certificate;
pub mod ledger;
pub mod report;
pub mod verdict;
pub mod verify;

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

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
    instant::{Moment, parse_duration, parse_moment},
    paint::Paint,
};

/// How often `--wait` looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Account for every reading: stored, declared lost and why, or still on its way.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
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
    /// Write a signed statement of where every reading of the device is, to FILE or to standard output.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-", requires = "device",
          conflicts_with_all = ["json", "wait", "strict"])]
    certificate: Option<PathBuf>,
    /// Certify only from then on (`2h` ago, or an RFC 3339 time); stored readings must bracket the window.
    #[arg(long, value_name = "WHEN", value_parser = parse_moment, requires_all = ["to", "certificate"])]
    from: Option<Moment>,
    /// Certify only until then.
    #[arg(long, value_name = "WHEN", value_parser = parse_moment, requires_all = ["from", "certificate"])]
    to: Option<Moment>,
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Verify(verify::Arguments),
}

#[derive(Serialize)]
struct Judged<'a> {
    verdict: Verdict,
    findings: &'a [Finding],
    #[serde(flatten)]
    audit: &'a Audit,
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    if let Some(file) = &arguments.certificate {
        return certificate::run(arguments, file, client).await;
    }
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
    let mut query: Vec<(&str, String)> =
        selection.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
    if arguments.strict {
        // What was lost of sealed ones counts, too.
        query.push(("sealed", "each".to_owned()));
    }
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
