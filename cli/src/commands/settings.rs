//! `tidegate settings`: how channels are measured and reported, and what their boards made of that.

use std::{
    io::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{decode, device::only_site};
use crate::{
    client::{Client, ClientError},
    error::CliError,
    instant::{parse_duration, roughly},
    paint::{Paint, Style},
    table::{Align, Table},
};

/// How often `--wait` looks.
const LOOK_EACH: Duration = Duration::from_millis(200);

/// Say how channels are measured and reported, and see what their boards made of it.
///
/// Settings are kept by the ingest and sent to the board through its gateway, again whenever it starts. A board takes them or
/// refuses them: `list` and `show` say which, and why. Change them on the ingest's own machine.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    List(List),
    Show(Show),
    Set(Set),
    Clear(Clear),
}

/// List the channels that have settings.
#[derive(Debug, clap::Args)]
struct List {
    /// Only this device's.
    device: Option<String>,
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Print one JSON object a line, as the API gives it.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Place {
    device: String,
    /// As `tidegate devices` lists it.
    channel: String,
    /// The device's site; needed only where several have a device of that name.
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Print one JSON object, as the API gives it.
    #[arg(long)]
    json: bool,
}

/// Show one channel's settings.
#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    place: Place,
}

/// Set some of a channel's settings; the others stay as they are.
#[derive(Debug, clap::Args)]
struct Set {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    patience: Patience,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// Measure this often: 500ms, 10s; 0 for a channel that is not polled.
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    period: Option<u32>,
    /// Report only changes from this: 0.5 in the channel's unit, 2% of what was reported last, `true` of a channel that is true or
    /// false, or `none`.
    #[arg(long, value_name = "WIDTH", value_parser = parse_deadband)]
    report_deadband: Option<Deadband>,
    /// Report at least this often whatever the deadband; 0 for no such limit.
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    max_silence: Option<u32>,
    /// Whether the channel is measured at all.
    #[arg(long, value_name = "BOOL")]
    enabled: Option<bool>,
}

#[derive(Debug, clap::Args)]
struct Patience {
    /// Wait until the board has answered; exit with 1 where it refuses, or does not answer in time.
    #[arg(long)]
    wait: bool,
    /// How long to wait.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
}

/// Want nothing of a channel any more.
///
/// Its board goes on as it does, and measures as its firmware has it from its next start.
#[derive(Debug, clap::Args)]
struct Clear {
    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Deadband {
    None,
    Bool(bool),
    Absolute(f64),
    Percent(f64),
}

fn parse_span(text: &str) -> Result<u32, String> {
    let ms = if text == "0" { 0 } else { parse_duration(text)?.as_millis() };
    u32::try_from(ms).map_err(|_| "that is too long".to_owned())
}

fn parse_deadband(text: &str) -> Result<Deadband, String> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let read = match text {
        "none" => Some(Deadband::None),
        "true" => Some(Deadband::Bool(true)),
        _ => match text.strip_suffix('%') {
            Some(percent) => number(percent).map(Deadband::Percent),
            None => number(text).map(Deadband::Absolute),
        },
    };
    read.ok_or_else(|| "write a width as 0.5, a percentage as 2%, `true` or `none`".to_owned())
}

#[derive(Debug, Deserialize)]
struct Listed {
    settings: Vec<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Settings {
    site: String,
    device: String,
    channel: String,
    unit: Option<String>,
    revision: u32,
    desired: Option<Desired>,
    set_unix_ms: Option<i64>,
    state: String,
    code: Option<String>,
    reported: Option<Reported>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Desired {
    enabled: bool,
    period_ms: u32,
    report_deadband: Option<serde_json::Value>,
    max_silence_ms: u32,
}

#[derive(Debug, Deserialize)]
struct Reported {
    revision: u32,
    gateway: String,
    unix_ms: i64,
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    match &arguments.action {
        Action::List(asked) => list(asked, client).await,
        Action::Show(Show { place }) => {
            let path = path(place, client).await?;
            let answer = client.get::<Box<RawValue>>(&path, &[]).await?;
            tell(place, client, &answer.body, answer.server_unix_ms)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Set(asked) => set(asked, client).await,
        Action::Clear(Clear { place }) => {
            let path = path(place, client).await?;
            let answer = client.delete::<Box<RawValue>>(&path).await?;
            tell(place, client, &answer.body, answer.server_unix_ms)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(asked: &List, client: &Client) -> Result<ExitCode, CliError> {
    let mut query = Vec::new();
    query.extend(asked.site.iter().map(|site| ("site", site.clone())));
    query.extend(asked.device.iter().map(|device| ("device", device.clone())));
    let listed = client.get::<Listed>("/api/v1/settings", &query).await?.body.settings;
    let mut out = std::io::stdout().lock();
    if asked.json {
        for settings in &listed {
            writeln!(out, "{}", settings.get())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let settings: Vec<Settings> = decode(client, &listed)?;
    if settings.is_empty() {
        writeln!(out, "Nothing is wanted of any channel; each is measured as its firmware has it.")?;
    } else {
        write!(out, "{}", table(&settings).render(Paint::for_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn set(asked: &Set, client: &Client) -> Result<ExitCode, CliError> {
    let place = &asked.place;
    let path = path(place, client).await?;
    let before = client.get::<Settings>(&path, &[]).await?.body;
    let wanted = asked.changes.applied_to(before.desired)?;
    // What somebody else changed since that look is not overwritten.
    let mut answer = client.put::<Box<RawValue>>(&path, &wanted, Some(before.revision)).await?;
    let mut now = read(client, &answer.body)?;
    let (revision, until) = (now.revision, Instant::now() + asked.patience.timeout);
    while asked.patience.wait && now.state == "pending" && now.revision == revision {
        if Instant::now() >= until {
            return Err(CliError::Unanswered { channel: place.channel.clone() });
        }
        tokio::time::sleep(LOOK_EACH).await;
        answer = client.get(&path, &[]).await?;
        now = read(client, &answer.body)?;
    }
    tell(place, client, &answer.body, answer.server_unix_ms)?;
    let is_done = now.revision == revision && now.state == "applied";
    Ok(if asked.patience.wait && !is_done { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Changes {
    fn applied_to(&self, before: Option<Desired>) -> Result<Desired, CliError> {
        let mut wanted = match (before, self.period) {
            (Some(before), _) => before,
            (None, Some(period_ms)) => {
                Desired { enabled: true, period_ms, report_deadband: None, max_silence_ms: 0 }
            }
            (None, None) => return Err(CliError::NoPeriod),
        };
        wanted.period_ms = self.period.unwrap_or(wanted.period_ms);
        wanted.max_silence_ms = self.max_silence.unwrap_or(wanted.max_silence_ms);
        wanted.enabled = self.enabled.unwrap_or(wanted.enabled);
        if let Some(deadband) = self.report_deadband {
            wanted.report_deadband = match deadband {
                Deadband::None => None,
                Deadband::Bool(changes) => Some(serde_json::json!({ "absolute": changes })),
                Deadband::Absolute(width) => Some(serde_json::json!({ "absolute": width })),
                Deadband::Percent(percent) => Some(serde_json::json!({ "percent": percent })),
            };
        }
        Ok(wanted)
    }
}

async fn path(place: &Place, client: &Client) -> Result<String, CliError> {
    let Place { device, channel, site, .. } = place;
    let site = match site {
        Some(site) => site.clone(),
        None => only_site(client, device).await?,
    };
    Ok(format!("/api/v1/devices/{site}/{device}/channels/{channel}/settings"))
}

fn read(client: &Client, raw: &RawValue) -> Result<Settings, ClientError> {
    serde_json::from_str(raw.get()).map_err(|error| ClientError::NotAnIngest {
        url: client.url().to_owned(),
        reason: format!("unexpected JSON: {error}"),
    })
}

fn tell(place: &Place, client: &Client, raw: &RawValue, server_unix_ms: Option<i64>) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    if place.json {
        writeln!(out, "{}", raw.get())?;
    } else {
        let now = server_unix_ms.unwrap_or_else(|| Timestamp::now().as_millisecond());
        write!(out, "{}", report(&read(client, raw)?, now))?;
    }
    Ok(())
}

fn report(settings: &Settings, now_unix_ms: i64) -> String {
    let ago = |unix_ms: i64| format!("{} ago", roughly(now_unix_ms.saturating_sub(unix_ms).max(0)));
    let Settings { site, device, channel, revision, .. } = settings;
    let name = format!("{site}/{device} {channel}");
    let Some(desired) = &settings.desired else {
        return format!("{name}: nothing is wanted; it is measured as the firmware has it.\n");
    };
    let answer = settings.reported.as_ref().filter(|answer| answer.revision == *revision);
    let who = answer.map_or_else(
        || settings.set_unix_ms.map_or_else(String::new, |set| format!(", set {}", ago(set))),
        |answer| format!(", {} through {}", ago(answer.unix_ms), answer.gateway),
    );
    let rows = [
        ("enabled", yes_or_no(desired.enabled)),
        ("period", span(desired.period_ms, "not polled")),
        ("report deadband", deadband(settings, desired)),
        ("max silence", span(desired.max_silence_ms, "no limit")),
    ];
    let mut text = format!("{name}, revision {revision}: {}{who}\n", state(settings));
    for (what, value) in rows {
        text.push_str(&format!("  {what:<15}  {value}\n"));
    }
    text
}

fn table(all: &[Settings]) -> Table {
    let left = Align::Left;
    let mut table = Table::new([
        ("SITE", left),
        ("DEVICE", left),
        ("CHANNEL", left),
        ("REVISION", Align::Right),
        ("ENABLED", left),
        ("PERIOD", Align::Right),
        ("DEADBAND", Align::Right),
        ("MAX SILENCE", Align::Right),
        ("STATE", left),
    ]);
    for settings in all {
        let Some(desired) = &settings.desired else { continue };
        let style = if settings.state == "rejected" { Style::Red } else { Style::Plain };
        table.row(
            style,
            [
                settings.site.clone(),
                settings.device.clone(),
                settings.channel.clone(),
                settings.revision.to_string(),
                yes_or_no(desired.enabled),
                span(desired.period_ms, "not polled"),
                deadband(settings, desired),
                span(desired.max_silence_ms, "no limit"),
                state(settings),
            ],
        );
    }
    table
}

fn state(settings: &Settings) -> String {
    match &settings.code {
        Some(code) => format!("{} ({code})", settings.state),
        None => settings.state.clone(),
    }
}

fn yes_or_no(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

/// To the millisecond: what was asked for is what is shown.
fn span(ms: u32, none: &str) -> String {
    match ms {
        0 => none.to_owned(),
        ms if ms.is_multiple_of(1_000) => format!("{} s", ms / 1_000),
        ms => format!("{ms} ms"),
    }
}

fn deadband(settings: &Settings, desired: &Desired) -> String {
    let Some(deadband) = &desired.report_deadband else { return "none".to_owned() };
    let unit = settings.unit.as_deref().filter(|unit| !unit.is_empty());
    match (&deadband["absolute"], &deadband["percent"]) {
        (serde_json::Value::Bool(_), _) => "changes only".to_owned(),
        (serde_json::Value::Null, percent) => format!("{percent} %"),
        (width, _) => unit.map_or_else(|| width.to_string(), |unit| format!("{width} {unit}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(period: Option<u32>, report_deadband: Option<Deadband>) -> Changes {
        Changes { period, report_deadband, max_silence: None, enabled: None }
    }

    #[test]
    fn deadbands_are_read_as_people_write_them() {
        for (text, read) in [
            ("0.5", Some(Deadband::Absolute(0.5))),
            ("2%", Some(Deadband::Percent(2.0))),
            ("2.5 %", Some(Deadband::Percent(2.5))),
            ("none", Some(Deadband::None)),
            ("true", Some(Deadband::Bool(true))),
            ("", None),
            ("%", None),
            ("nan", None),
            ("0.5 Cel", None),
        ] {
            assert_eq!(parse_deadband(text).ok(), read, "{text}");
        }
        assert_eq!((parse_span("0"), parse_span("90s")), (Ok(0), Ok(90_000)));
        assert!(parse_span("90").is_err() && parse_span("60d").is_err());
    }

    #[test]
    fn what_is_not_given_stays_and_a_first_time_needs_a_period() {
        let before = Desired {
            enabled: false,
            period_ms: 900,
            report_deadband: Some(serde_json::json!({ "percent": 2.0 })),
            max_silence_ms: 5,
        };
        let after = changes(Some(500), None).applied_to(Some(before.clone())).expect("settings");
        assert_eq!(after, Desired { period_ms: 500, ..before.clone() });
        let after = changes(None, Some(Deadband::None)).applied_to(Some(before.clone())).expect("settings");
        assert_eq!(after, Desired { report_deadband: None, ..before });
        assert!(matches!(changes(None, Some(Deadband::None)).applied_to(None), Err(CliError::NoPeriod)));
        let first = changes(Some(500), Some(Deadband::Absolute(0.5))).applied_to(None).expect("settings");
        assert_eq!(first.report_deadband, Some(serde_json::json!({ "absolute": 0.5 })));
    }
}
