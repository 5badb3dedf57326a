//! `tidegate devices`: who measures, and what.

use std::process::ExitCode;

use jiff::Timestamp;

use crate::{
    client::Client,
    commands::print,
    error::CliError,
    instant::roughly,
    paint::{Paint, Style},
    table::{Align, Table},
    view::{Channel, Device, Devices},
};

/// List the devices that were heard, their channels and gateways.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print one JSON object a line, as the API gives it.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    let answer = client.get::<Devices>("/api/v1/devices", &[]).await?;
    let now = answer.server_unix_ms.unwrap_or_else(|| Timestamp::now().as_millisecond());
    print(client, &answer.body.devices, arguments.json, |devices: &[Device]| match devices {
        [] => "No device was heard yet.\n".to_owned(),
        devices => table(devices, now).render(Paint::for_stdout()),
    })
}

fn table(devices: &[Device], now_unix_ms: i64) -> Table {
    let left = Align::Left;
    let mut table = Table::new([
        ("SITE", left),
        ("DEVICE", left),
        ("TAG", left),
        ("FIRMWARE", left),
        ("GATEWAYS", left),
        ("LAST HEARD", Align::Right),
        ("CHANNELS", left),
    ]);
    for device in devices {
        let heard = device.last_arrival_unix_ms.map_or_else(
            || "never".to_owned(),
            |at| format!("{} ago", roughly(now_unix_ms.saturating_sub(at))),
        );
        let channels: Vec<String> = device.channels.iter().map(channel).collect();
        table.row(
            Style::Plain,
            [
                device.site.clone(),
                device.device.clone(),
                device.tag.clone().unwrap_or_default(),
                device.firmware.clone().unwrap_or_default(),
                device.gateways.join(" "),
                heard,
                channels.join(", "),
            ],
        );
    }
    table
}

fn channel(channel: &Channel) -> String {
    match channel.unit.as_deref() {
        None | Some("") => channel.name.clone(),
        Some(unit) => format!("{} [{unit}]", channel.name),
    }
}
