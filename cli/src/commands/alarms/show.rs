//! `tidegate alarms show`

use std::{io::Write, process::ExitCode};

use serde_json::value::RawValue;

use super::{history, list::style, named::AlarmName, verdicts, when};
use crate::{
    client::{Client, ClientError},
    error::CliError,
    instant::local_time,
    paint::{Paint, Style},
    table::{Align, Table},
    view::{AlarmDetail, AlarmEvent, LogLine, show_value},
};

/// Show one alarm: its state, what was done with it, and its last occurrences.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// SITE/DEVICE/CHANNEL/RULE, or the first digits of an occurrence.
    alarm: String,
    /// Print one JSON object, as the API gives it.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    let name = AlarmName::find(&arguments.alarm, client).await?;
    let raw = client.get::<Box<RawValue>>(&name.path(), &[]).await?.body;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", raw.get())?;
        return Ok(ExitCode::SUCCESS);
    }
    let detail: AlarmDetail = serde_json::from_str(raw.get()).map_err(|error| ClientError::NotAnIngest {
        url: client.url().to_owned(),
        reason: format!("unexpected JSON: {error}"),
    })?;
    write!(out, "{}", report(&name, &detail, Paint::for_stdout()))?;
    Ok(ExitCode::SUCCESS)
}

fn report(name: &AlarmName, detail: &AlarmDetail, paint: Paint) -> String {
    let alarm = &detail.alarm;
    let life = &alarm.lifecycle;
    let mut text = format!(
        "{}  {}\n",
        paint.apply(Style::Bold, &name.to_string()),
        paint.apply(style(alarm), &format!("{}, {}", alarm.state, alarm.priority))
    );
    let mut line = |what: &str, said: String| text.push_str(&format!("  {what:<13}{said}\n"));
    let told = |event: &AlarmEvent| {
        let unit = event.unit.as_deref().unwrap_or_default();
        let message = event.message.as_deref().unwrap_or_default();
        format!("{}  at {} {unit}  {message}", when(event), show_value(&event.value))
    };
    line("kind", alarm.kind.clone());
    match &alarm.raised {
        Some(raised) => line("raised", told(raised)),
        None => line("raised", "never".to_owned()),
    }
    if let Some(cleared) = &alarm.cleared {
        line("cleared", told(cleared));
    }
    if let Some(occurrence) = &alarm.occurrence {
        line("occurrence", occurrence.clone());
    }
    // The state names the first of them only.
    let mut held = Vec::new();
    held.extend(life.out_of_service.then(|| "out of service".to_owned()));
    held.extend(life.suppressed_by_design.then(|| "suppressed by design".to_owned()));
    held.extend(life.shelved_until_unix_ms.map(|until| format!("shelved until {}", local_time(until))));
    if !held.is_empty() {
        line("kept back", held.join(", "));
    }
    if !life.acknowledged {
        line("acknowledged", "no".to_owned());
    }
    if !detail.verdicts.is_empty() {
        text.push_str(&format!("\n{}", verdicts::table(&detail.verdicts).render(paint)));
    }
    if !detail.log.is_empty() {
        text.push_str(&format!("\n{}", log(&detail.log).render(paint)));
    }
    if !detail.occurrences.is_empty() {
        text.push_str(&format!("\n{}", history::table(&detail.occurrences).render(paint)));
    }
    text
}

fn log(lines: &[LogLine]) -> Table {
    let left = Align::Left;
    let mut table =
        Table::new([("WHEN", left), ("WHAT", left), ("BY", left), ("STATE AFTER", left), ("COMMENT", left)]);
    for line in lines {
        let by = if line.operator.by.is_empty() { "-" } else { &line.operator.by };
        table.row(
            Style::Plain,
            [
                local_time(line.unix_ms),
                line.action.clone(),
                by.to_owned(),
                line.state.clone().unwrap_or_default(),
                line.operator.comment.clone(),
            ],
        );
    }
    table
}
