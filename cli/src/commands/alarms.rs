//! `tidegate alarms`: which alarms are up, or all that ever were.

use std::{io::Write, process::ExitCode};

use crate::{
    client::Client,
    commands::decode,
    error::CliError,
    instant::local_time,
    paint::{Paint, Style, priority_style},
    table::{Align, Table},
    view::{Alarm, AlarmEvent, Alarms, show_value},
};

/// List the active alarms.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// List cleared alarms too.
    #[arg(long)]
    all: bool,
    /// Print one JSON object a line, as the API gives it.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    let state = if arguments.all { "all" } else { "active" };
    let answer = client.get::<Alarms>("/api/v1/alarms", &[("state", state.to_owned())]).await?.body;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        for alarm in &answer.alarms {
            writeln!(out, "{}", alarm.get())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let alarms: Vec<Alarm> = decode(client, &answer.alarms)?;
    if alarms.is_empty() {
        let scope = if arguments.all { "No alarm was raised yet." } else { "No alarm is active." };
        writeln!(out, "{scope}")?;
    } else {
        write!(out, "{}", table(&alarms).render(Paint::for_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(alarms: &[Alarm]) -> Table {
    let left = Align::Left;
    let mut table = Table::new([
        ("PRIORITY", left),
        ("STATE", left),
        ("RAISED", left),
        ("CLEARED", left),
        ("SITE", left),
        ("DEVICE", left),
        ("CHANNEL", left),
        ("RULE", left),
        ("VALUE", Align::Right),
        ("UNIT", left),
    ]);
    for alarm in alarms {
        let active = alarm.state == "active";
        table.row(
            if active { priority_style(&alarm.priority) } else { Style::Dim },
            [
                alarm.priority.clone(),
                alarm.state.clone(),
                when(&alarm.raised),
                alarm.cleared.as_ref().map(when).unwrap_or_default(),
                alarm.site.clone(),
                alarm.device.clone(),
                alarm.channel.clone(),
                alarm.rule.clone(),
                show_value(&alarm.raised.value),
                alarm.raised.unit.clone().unwrap_or_default(),
            ],
        );
    }
    table
}

/// An event's wall time; without any, its origin's own milliseconds.
pub fn when(event: &AlarmEvent) -> String {
    event.time_unix_ms.map_or_else(|| format!("+{} ms", event.tick_ms), local_time)
}
