//! `tidegate-agent devices …`: which boards are welcomed, which are held, and their keys.

mod asking;
mod text;

use std::{
    fs,
    io::{self, Read},
    path::PathBuf,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use tidegate_agent::{
    Config,
    devices::{DeviceList, Listed, hexadecimal},
};
use tidegate_protocol::{DeviceId, frame::keyed::DeviceKey};
use tidegate_service::exit::{Exit, in_full};

use crate::ConfigFile;

#[derive(Subcommand)]
pub enum DevicesCommand {
    /// List the boards that a running agent holds, and why
    Pending {
        #[command(flatten)]
        config: ConfigFile,
        /// Where the agent's status page is, if its configuration does not say
        #[arg(long, value_name = "ADDRESS:PORT")]
        status: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List the devices that are allowed, forbidden, or have a key; never the keys
    List {
        #[command(flatten)]
        config: ConfigFile,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Welcome a board from now on; a running agent takes it over within a second
    Allow(Named),
    /// Turn a board away from now on, whatever its key, and do not list it as pending
    Forbid(Named),
    /// Take a device off the list, and its key with it
    Remove(Named),
    /// Make a key for a device, allow it, and print once what goes into its firmware
    Key {
        #[command(flatten)]
        named: Named,
        /// Take this key of 32 hexadecimal digits from a file, or from standard input with -, instead of a new one
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Put it in the place of the key that the device has
        #[arg(long)]
        replace: bool,
        /// Do not allow it yet: it is held as an unknown board is, and listed as having proved its key
        #[arg(long)]
        held: bool,
    },
}

#[derive(Args)]
pub struct Named {
    #[command(flatten)]
    config: ConfigFile,
    /// The device, such as board-7
    device: DeviceId,
}

pub fn run(command: DevicesCommand) -> Exit {
    let done = match command {
        DevicesCommand::Pending { config, status, json } => pending(&config, status, json),
        DevicesCommand::List { config, json } => list(&config, json),
        DevicesCommand::Allow(named) => decide(&named, true),
        DevicesCommand::Forbid(named) => decide(&named, false),
        DevicesCommand::Remove(named) => remove(&named),
        DevicesCommand::Key { named, from, replace, held } => key(&named, from, replace, held),
    };
    match done {
        Ok(()) => Exit::Ok,
        Err(error) => {
            eprintln!("{}", in_full(error.as_ref()));
            match error.downcast_ref() {
                Some(tidegate_service::SettingsError { .. }) => Exit::Usage,
                None => Exit::Failed,
            }
        }
    }
}

fn pending(config: &ConfigFile, status: Option<String>, json: bool) -> anyhow::Result<()> {
    let address = match status {
        Some(address) => address,
        None => Config::load(&config.path)?.status_listen.to_string(),
    };
    let answer = asking::status(&address)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&answer.pending)?);
    } else {
        print!("{}", text::pending(&answer));
    }
    Ok(())
}

fn list(config: &ConfigFile, json: bool) -> anyhow::Result<()> {
    let config = Config::load(&config.path)?;
    let list = DeviceList::load(&config.devices.file)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&text::listed(&list))?);
    } else {
        print!("{}", text::list(&list, config.devices.admit));
    }
    Ok(())
}

fn decide(Named { config, device }: &Named, allow: bool) -> anyhow::Result<()> {
    let file = Config::load(&config.path)?.devices.file;
    let before = DeviceList::update(&file, |list| list.entry(*device).allow.replace(allow))?;
    let (done, then) = match allow {
        true => (
            "allowed",
            "a board that is held is welcomed with its next Hello, within 10 s, and what it kept follows",
        ),
        false => ("forbidden", "nothing more of it is taken"),
    };
    match before {
        Some(before) if before == allow => println!("{device} is {done} already"),
        _ => println!("{device} is {done}; {then}"),
    }
    Ok(())
}

fn remove(Named { config, device }: &Named) -> anyhow::Result<()> {
    let file = Config::load(&config.path)?.devices.file;
    match DeviceList::update(&file, |list| list.remove(*device))? {
        Some(Listed { key: Some(_), .. }) => println!("{device} is off the list, and its key is gone"),
        Some(_) => println!("{device} is off the list"),
        None => bail!("{device} is not on the list; `tidegate-agent devices list` shows who is"),
    }
    Ok(())
}

fn key(
    Named { config, device }: &Named,
    from: Option<PathBuf>,
    replace: bool,
    held: bool,
) -> anyhow::Result<()> {
    let file = Config::load(&config.path)?.devices.file;
    let is_given = from.is_some();
    let key = from.map_or_else(made, given)?;
    let taken = DeviceList::update(&file, |list| {
        let has_one = list.get(*device).is_some_and(|listed| listed.key.is_some());
        if has_one && !replace {
            return false;
        }
        let listed = list.entry(*device);
        listed.key = Some(key.clone());
        if !held && listed.allow.is_none() {
            listed.allow = Some(true);
        }
        true
    })?;
    if !taken {
        bail!(
            "{device} has a key already; with --replace its board is shut out until it is flashed with the new one"
        );
    }
    print!("{}", text::key(*device, (!is_given).then(|| hexadecimal(&key)).as_deref(), &file));
    Ok(())
}

fn made() -> anyhow::Result<DeviceKey> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
    Ok(DeviceKey::new(bytes))
}

fn given(from: PathBuf) -> anyhow::Result<DeviceKey> {
    /// A key and a line break; more is no key.
    const MOST: u64 = 128;
    let mut text = String::new();
    let reading = || format!("cannot read the key from {}", from.display());
    if from.as_os_str() == "-" {
        io::stdin().take(MOST).read_to_string(&mut text).with_context(reading)?;
    } else {
        fs::File::open(&from)
            .and_then(|file| file.take(MOST).read_to_string(&mut text))
            .with_context(reading)?;
    }
    text.trim().parse().with_context(|| format!("what is in {} is no key", from.display()))
}
