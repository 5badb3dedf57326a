//! `tidegate rules test`: what would these rules have raised?

use std::{io::Write, path::Path, path::PathBuf, process::ExitCode, str::FromStr};

use jiff::{Timestamp, tz::TimeZone};
use tidegate_alarms::RuleBook;
use tidegate_protocol::{ChannelName, DeviceId, SiteId, id::NameError};
use tidegate_simulator::{Recording, recording::ReadOptions};

use super::{
    backtest, chart,
    check::counted,
    file, report,
    series::{Samples, Series},
    stored::{self, Wanted},
};
use crate::{
    client::{Client, ClientError},
    error::CliError,
    instant::{Moment, parse_moment},
    paint::Paint,
};

/// Try a rules file on readings of the past, and show what it would have raised.
///
/// The readings are those that a running ingest keeps (--since), or a recording (--against): a CSV file with the columns
/// timestamp and value. Alarms go on over boots, as live alarms do. Stale rules are tried on the gaps.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("readings").required(true).args(["against", "since"]))]
pub struct Arguments {
    /// The rules file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Try them on a recording. Without --device or --channel every rule is tried on it, whatever the rule selects.
    #[arg(long, value_name = "RECORDING")]
    against: Option<PathBuf>,
    /// Try them on what the ingest stored from then on: how long ago (10m, 2h, 7d) or a time (2026-11-22T20:00:00Z).
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    since: Option<Moment>,
    /// Until when; as for --since.
    #[arg(long, value_name = "WHEN", value_parser = parse_moment, requires = "since")]
    until: Option<Moment>,
    /// Only this site; of a recording, where it was taken.
    #[arg(long)]
    site: Option<SiteId>,
    /// Only this device; of a recording, what took it.
    #[arg(long)]
    device: Option<DeviceId>,
    /// Only this channel; of a recording, what it is of.
    #[arg(long)]
    channel: Option<ChannelName>,
    /// The recording's unit (SenML: Cel, %RH, m/s2 …).
    #[arg(long, default_value = "", requires = "against")]
    unit: String,
    /// Where the recording's times without an offset were taken, as Europe/Berlin.
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    timezone: String,
    /// Draw the series with limits and alarms into this file.
    #[arg(long, value_name = "OUT.svg")]
    svg: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub async fn run(
    arguments: &Arguments,
    client: impl FnOnce() -> Result<Client, ClientError>,
) -> Result<ExitCode, CliError> {
    let book = book(arguments)?;
    let series = match (&arguments.against, arguments.since) {
        (Some(recording), _) => vec![recorded(arguments, recording)?],
        (None, Some(since)) => {
            let wanted = Wanted {
                since,
                until: arguments.until,
                site: arguments.site.as_ref().map(SiteId::as_str),
                device: arguments.device.as_ref().map(DeviceId::as_str),
                channel: arguments.channel.as_ref().map(ChannelName::as_str),
            };
            stored::read(&client()?, &book, &wanted).await?
        }
        // The arguments' parser asks for one of them.
        (None, None) => Vec::new(),
    };
    if series.is_empty() {
        let why = "the ingest has no readings of any channel that these rules watch in that time".to_owned();
        return Err(CliError::NoSeries { why });
    }
    let tried = backtest::run(&book, &series);
    if let Some(file) = &arguments.svg {
        let write = std::fs::write(file, chart::draw(&series, &book, &tried));
        write.map_err(|error| CliError::Chart { file: file.clone(), error })?;
    }
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", report::json(&book, &tried))?;
    } else {
        write!(out, "{}", report::tables(&book, &tried, Paint::for_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn book(arguments: &Arguments) -> Result<RuleBook, CliError> {
    let checked = file::read(&arguments.file)?;
    let Some(rules) = &checked.rules else {
        let problems = counted(checked.problems(), "problem");
        return Err(CliError::WrongRules { file: arguments.file.clone(), problems });
    };
    let mut book = RuleBook::default();
    book.merge(rules, Timestamp::now().as_millisecond());
    Ok(book)
}

fn recorded(arguments: &Arguments, path: &Path) -> Result<Series, CliError> {
    let timezone = TimeZone::get(&arguments.timezone)
        .map_err(|_| CliError::TimeZone { name: arguments.timezone.clone() })?;
    let recording = Recording::read_with(path, &ReadOptions { timezone, strict: false })?;
    if let (left_out, Some((line, problem))) = recording.left_out() {
        let rows = counted(usize::try_from(left_out).unwrap_or(usize::MAX), "row");
        eprintln!("{}: {rows} left out; the first is line {line}: {problem}", path.display());
    }
    Ok(Series {
        site: named(arguments.site, "recorded")?,
        device: named(arguments.device, "recording")?,
        channel: named(arguments.channel, "value")?,
        unit: arguments.unit.clone(),
        tag: String::new(),
        is_anybodys: arguments.device.is_none() && arguments.channel.is_none(),
        samples: Samples::Recorded(recording),
    })
}

fn named<T: FromStr<Err = NameError>>(given: Option<T>, otherwise: &str) -> Result<T, CliError> {
    given.map_or_else(|| otherwise.parse(), Ok).map_err(|error| CliError::NoSeries { why: error.to_string() })
}
