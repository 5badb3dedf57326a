//! `tidegate-agent serial`: the serial lines of this machine, and what of the configuration takes each.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use tidegate_agent::{
    Config,
    sources::board_serial::{Doubled, Found, Port, SerialSettings, permission, ports, scan},
};
use tidegate_service::{SettingsError, exit::Exit};

const CONFIG: &str = "/etc/tidegate/agent.toml";

#[derive(Args)]
pub struct SerialCommand {
    /// The configuration whose sources are looked up; without it, /etc/tidegate/agent.toml if it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listing {
    lines: Vec<Listed>,
    /// What the configuration names and is not there.
    absent: Vec<String>,
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    port: Port,
    served_by: Option<Taker>,
    /// Why this user cannot open it.
    problem: Option<String>,
}

#[derive(Serialize)]
struct Taker {
    entry: String,
    /// The name by which it is found.
    path: PathBuf,
    baud: u32,
}

pub fn run(command: &SerialCommand) -> Exit {
    let entries = match entries(command.config.as_deref()) {
        Ok(entries) => entries,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage;
        }
    };
    let listing = listing(ports(), entries.as_deref().unwrap_or_default());
    if command.json {
        match serde_json::to_string_pretty(&listing) {
            Ok(text) => println!("{text}"),
            Err(error) => {
                eprintln!("{error}");
                return Exit::Failed;
            }
        }
    } else {
        print!("{}", text(&listing, entries.is_some()));
    }
    Exit::Ok
}

/// None where there is no configuration and none was asked for.
fn entries(file: Option<&Path>) -> Result<Option<Vec<SerialSettings>>, SettingsError> {
    match file {
        None if !Path::new(CONFIG).exists() => Ok(None),
        file => Config::load(file.unwrap_or(Path::new(CONFIG))).map(|config| Some(config.serial())),
    }
}

fn listing(mut ports: Vec<Port>, entries: &[SerialSettings]) -> Listing {
    let scan = scan(entries);
    // A configuration may name lines that the kernel does not list, such as a pseudo-terminal.
    for found in &scan.lines {
        if !ports.iter().any(|port| port.device == found.device) {
            ports.push(Port { device: found.device.clone(), stable: Vec::new(), usb: None });
        }
    }
    let taker = |found: &Found| {
        let settings = entries.get(found.entry)?;
        Some(Taker { entry: settings.to_string(), path: found.path.clone(), baud: settings.baud })
    };
    let lines = ports.into_iter().map(|port| Listed {
        served_by: scan.lines.iter().find(|found| found.device == port.device).and_then(taker),
        problem: permission(&port.device).err().map(|error| error.to_string()),
        port,
    });
    let absent = scan.empty.iter().filter_map(|&entry| entries.get(entry)).map(ToString::to_string);
    Listing { lines: lines.collect(), absent: absent.collect() }
}

fn text(listing: &Listing, configured: bool) -> String {
    let mut text = String::new();
    if listing.lines.is_empty() {
        text.push_str("no serial lines here\n");
    }
    for Listed { port, served_by, problem } in &listing.lines {
        let _infallible = line(&mut text, port, served_by.as_ref(), problem.as_deref(), configured);
    }
    for entry in &listing.absent {
        let _infallible = writeln!(text, "{entry}: nothing is there");
    }
    text
}

fn line(
    text: &mut String,
    port: &Port,
    served_by: Option<&Taker>,
    problem: Option<&str>,
    configured: bool,
) -> std::fmt::Result {
    writeln!(text, "{}", port.device.display())?;
    for name in &port.stable {
        writeln!(text, "  {}", name.display())?;
    }
    if let Some(usb) = &port.usb {
        let names: Vec<&str> =
            [&usb.manufacturer, &usb.product].into_iter().flatten().map(String::as_str).collect();
        let serial = match &usb.serial_number {
            Some(serial) => format!("serial number {serial}"),
            None => "no serial number: name it by its path".to_owned(),
        };
        writeln!(text, "  USB {} {}, {serial}", usb.id, names.join(" "))?;
    }
    match served_by {
        Some(taker) => {
            writeln!(text, "  {} takes it as {}, {} baud", taker.entry, taker.path.display(), taker.baud)?;
        }
        None if configured => {
            writeln!(text, "  no source takes it; path = \"{}\" would", port.name().display())?;
        }
        None => {}
    }
    problem.map_or(Ok(()), |problem| writeln!(text, "  {problem}"))
}

/// What `check` says of each entry for serial lines: what it finds now, and what keeps it from that.
pub fn found(entries: &[SerialSettings]) -> String {
    let scan = scan(entries);
    let mut text = String::new();
    for (at, settings) in entries.iter().enumerate() {
        let lines: Vec<&Found> = scan.lines.iter().filter(|found| found.entry == at).collect();
        let doubled = scan.doubled.iter().filter(|doubled| doubled.entry == at);
        let _infallible = match lines.len() {
            0 if scan.empty.contains(&at) => writeln!(text, "{settings}: nothing is there now"),
            1 => writeln!(text, "{settings}: 1 line, {} baud", settings.baud),
            count => writeln!(text, "{settings}: {count} lines, {} baud", settings.baud),
        };
        for found in lines {
            let _infallible = writeln!(text, "  {} is {}", found.path.display(), found.device.display());
            if let Err(error) = permission(&found.path) {
                let _infallible = writeln!(text, "    {error}");
            }
        }
        for Doubled { path, by, .. } in doubled {
            let taker = entries.get(by.entry).map(ToString::to_string).unwrap_or_default();
            let path = path.display();
            let _infallible = match by.path.display() {
                by if by.to_string() == path.to_string() => writeln!(text, "  {path} is left to {taker}"),
                by => writeln!(text, "  {path} is the same line as {by}, which {taker} takes"),
            };
        }
    }
    text
}
