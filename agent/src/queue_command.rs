//! `tidegate-agent queue …`: arguments, and what is done with them.

use std::{
    cell::Cell,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use tidegate_agent::{
    Config,
    queue::{
        QueueError,
        doctor::{self, ExportError, ExportOptions, Filter, Intent, Selection},
    },
};
use tidegate_protocol::{DeviceId, Origin, SeqRange};
use tidegate_service::exit::{Exit, in_full};

use crate::{ConfigFile, queue_report as report};

#[derive(Subcommand)]
pub enum QueueCommand {
    /// The totals, in a few lines; works while the agent runs
    Stats {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// What is in the queue: origins and their ranges, times, keys, pages, quarantine; works while the agent runs
    Inspect {
        #[command(flatten)]
        queue: QueueFolder,
        /// List the blocks, too
        #[arg(long)]
        blocks: bool,
        /// Show one block in full: directory, records, first readings
        #[arg(long, value_name = "KEY", conflicts_with = "blocks")]
        key: Option<u64>,
        #[command(flatten)]
        meant: Meant,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Read everything and check every checksum; exit code 1 when anything is damaged; works while the agent runs
    Verify {
        #[command(flatten)]
        queue: QueueFolder,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write readings as lines of JSON; works while the agent runs
    Export {
        #[command(flatten)]
        queue: QueueFolder,
        #[command(flatten)]
        meant: Meant,
        /// Write to this file instead of standard output; one that exists is kept
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Replace the file if it exists
        #[arg(long, requires = "out")]
        force: bool,
        /// Losses, anchors, descriptions and closings, too
        #[arg(long)]
        records: bool,
        /// The blocks of the quarantine instead; what does not decode is written raw, as base64
        #[arg(long)]
        quarantine: bool,
    },
    /// Move damaged blocks into the quarantine, declare their readings lost, and put totals right; the agent must be
    /// stopped. Says what it would do, and does it with --yes
    Repair {
        #[command(flatten)]
        queue: QueueFolder,
        /// Do it
        #[arg(long)]
        yes: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the queue anew without its free pages; the agent must be stopped. Needs room for the copy
    Compact {
        #[command(flatten)]
        queue: QueueFolder,
    },
    /// Put blocks of the quarantine back into the queue, to be sent again once their cause is gone; the agent must be
    /// stopped. Says what it would do, and does it with --yes
    Replay {
        #[command(flatten)]
        queue: QueueFolder,
        #[command(flatten)]
        meant: Meant,
        /// Only blocks that are there for this reason
        #[arg(long)]
        reason: Option<String>,
        /// Only the block under this key of the quarantine; may be given more than once
        #[arg(long = "key", value_name = "KEY")]
        keys: Vec<u64>,
        /// Do it
        #[arg(long)]
        yes: bool,
    },
    /// List the quarantine: blocks that the cloud rejected, and damaged ones; works while the agent runs
    Quarantine {
        #[command(flatten)]
        queue: QueueFolder,
        /// As JSON, one block a line
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub struct QueueFolder {
    #[command(flatten)]
    config: ConfigFile,
    /// The data folder itself, without a configuration: a copy of an SD card, say
    #[arg(long, value_name = "DIR", conflicts_with = "path")]
    data_dir: Option<PathBuf>,
}

/// Which readings.
#[derive(Args)]
pub struct Meant {
    /// Only this device's
    #[arg(long)]
    device: Option<DeviceId>,
    /// Only this origin's: device/boot, the boot in hexadecimal
    #[arg(long, value_name = "DEVICE/BOOT", value_parser = origin)]
    origin: Option<Origin>,
    /// Only these seqs: 100..200 is 100 to 199; either end may be left out
    #[arg(long, value_name = "A..B", value_parser = range)]
    range: Option<SeqRange>,
}

impl Meant {
    const fn filter(&self) -> Filter {
        Filter { device: self.device, origin: self.origin, range: self.range }
    }
}

fn origin(text: &str) -> Result<Origin, String> {
    let (device, boot) = text.split_once('/').ok_or("an origin is device/boot")?;
    let device = DeviceId::from_str(device).map_err(|error| error.to_string())?;
    Ok(Origin::new(device, boot.parse().map_err(|_| "a boot is 16 hexadecimal digits")?))
}

fn range(text: &str) -> Result<SeqRange, String> {
    let (start, end) = text.split_once("..").ok_or("a range is A..B")?;
    let number = |text: &str, or: u64| if text.is_empty() { Ok(or) } else { text.parse::<u64>() };
    let range = number(start, 0).and_then(|start| Ok(SeqRange::new(start, number(end, u64::MAX)?)));
    match range {
        Ok(range) if !range.is_empty() => Ok(range),
        Ok(_) => Err("the range is empty".into()),
        Err(error) => Err(error.to_string()),
    }
}

pub fn run(command: QueueCommand) -> Exit {
    let done = match command {
        QueueCommand::Stats { config } => match Config::load(&config.path) {
            Ok(config) => report::stats(&config).map(|()| Exit::Ok),
            Err(error) => return refused(&error),
        },
        command => match folder(&command) {
            Ok(data_dir) => perform(command, &data_dir),
            Err(error) => return refused(&error),
        },
    };
    done.unwrap_or_else(|error| {
        eprintln!("{}", in_full(error.as_ref()));
        Exit::Failed
    })
}

fn refused(error: &dyn std::fmt::Display) -> Exit {
    eprintln!("{error}");
    Exit::Usage
}

fn folder(command: &QueueCommand) -> anyhow::Result<PathBuf> {
    let folder = match command {
        QueueCommand::Inspect { queue, .. }
        | QueueCommand::Verify { queue, .. }
        | QueueCommand::Export { queue, .. }
        | QueueCommand::Repair { queue, .. }
        | QueueCommand::Compact { queue }
        | QueueCommand::Replay { queue, .. }
        | QueueCommand::Quarantine { queue, .. } => queue,
        QueueCommand::Stats { .. } => bail!("stats reads the configuration"),
    };
    match &folder.data_dir {
        Some(data_dir) => Ok(data_dir.clone()),
        None => Ok(Config::load(&folder.config.path)?.data_dir),
    }
}

fn perform(command: QueueCommand, data_dir: &Path) -> anyhow::Result<Exit> {
    match command {
        QueueCommand::Stats { .. } => {}
        QueueCommand::Inspect { key: Some(key), json, .. } => {
            let block = doctor::block(data_dir, key)?;
            report::block(&block.with_context(|| format!("the queue has no block under key {key}"))?, json)?;
        }
        QueueCommand::Inspect { blocks, meant, json, .. } => {
            if blocks {
                let show = |block| report::block_line(&block, json);
                doctor::blocks::<anyhow::Error>(data_dir, &meant.filter(), show)
                    .or_else(when_nobody_reads)?;
            } else {
                let bar = Bar::new("blocks");
                let inspection = doctor::inspect(data_dir, &|done, of| bar.show(done, of))?;
                report::inspection(&inspection, &meant.filter(), json)?;
            }
        }
        QueueCommand::Verify { json, .. } => {
            let bar = Bar::new("blocks");
            let verified = doctor::verify(data_dir, &|done, of| bar.show(done, of))?;
            drop(bar);
            report::verified(&verified, json)?;
            return Ok(if verified.is_whole() { Exit::Ok } else { Exit::Failed });
        }
        QueueCommand::Export { meant, out, force, records, quarantine, .. } => {
            let options = ExportOptions { filter: meant.filter(), quarantine, records };
            export(data_dir, &options, out.as_deref(), force)?;
        }
        QueueCommand::Repair { yes, json, .. } => {
            let bar = Bar::new("steps");
            let now = Timestamp::now().as_millisecond();
            let repaired = doctor::repair(data_dir, intent(yes), now, &|done, of| bar.show(done, of));
            drop(bar);
            report::repaired(&repaired.map_err(stop_it_first)?, json)?;
        }
        QueueCommand::Compact { .. } => {
            report::compacted(&doctor::compact(data_dir).map_err(stop_it_first)?);
        }
        QueueCommand::Replay { meant, reason, keys, yes, .. } => {
            let selection = Selection { filter: meant.filter(), reason, keys };
            report::replayed(&doctor::replay(data_dir, &selection, intent(yes)).map_err(stop_it_first)?);
        }
        QueueCommand::Quarantine { json, .. } => {
            let show = |block| report::quarantined(&block, json);
            doctor::quarantine::<anyhow::Error>(data_dir, show).or_else(when_nobody_reads)?;
        }
    }
    Ok(Exit::Ok)
}

const fn intent(yes: bool) -> Intent {
    if yes { Intent::Write } else { Intent::Say }
}

/// The agent is not *another* agent here.
fn stop_it_first(error: QueueError) -> anyhow::Error {
    match error {
        QueueError::InUse { path, by } => {
            anyhow::anyhow!("the agent{by} uses {}; stop it first, this changes the queue", path.display())
        }
        error => error.into(),
    }
}

/// `… | head` ends early, and that is no failure.
fn when_nobody_reads(error: anyhow::Error) -> anyhow::Result<()> {
    let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    if error.chain().any(|cause| cause.downcast_ref().is_some_and(closed)) { Ok(()) } else { Err(error) }
}

fn export(data_dir: &Path, options: &ExportOptions, out: Option<&Path>, force: bool) -> anyhow::Result<()> {
    let bar = Bar::new("blocks");
    let write = |to: &mut dyn Write| doctor::export(data_dir, options, to, &|done, of| bar.show(done, of));
    let exported = match out {
        None => match write(&mut BufWriter::new(io::stdout().lock())) {
            Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            exported => exported?,
        },
        Some(path) => {
            if path.exists() && !force {
                bail!("{} exists; choose another name, or --force to replace it", path.display());
            }
            // A file of that name is replaced by a whole export or not at all.
            let mut partial = path.as_os_str().to_owned();
            partial.push(".partial");
            let partial = PathBuf::from(partial);
            let to = |path: &Path| format!("cannot write {}", path.display());
            let mut file = BufWriter::new(File::create(&partial).with_context(|| to(&partial))?);
            let exported = write(&mut file).and_then(|exported| {
                file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
                Ok(exported)
            });
            if exported.is_err() {
                let _left_over = fs::remove_file(&partial);
            }
            let exported = exported?;
            fs::rename(&partial, path).with_context(|| to(path))?;
            exported
        }
    };
    drop(bar);
    report::exported(&exported);
    Ok(())
}

/// Progress on standard error, when that is a terminal.
struct Bar {
    bar: ProgressBar,
    shown: Cell<u64>,
}

impl Bar {
    fn new(unit: &'static str) -> Self {
        let bar = ProgressBar::new(0);
        let template = format!("{{bar:40}} {{pos}}/{{len}} {unit}, {{eta}} left");
        bar.set_style(
            ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        Self { bar, shown: Cell::new(0) }
    }

    fn show(&self, done: u64, of: u64) {
        const STEP: u64 = 256;
        if done >= self.shown.get() + STEP || done >= of {
            self.shown.set(done);
            self.bar.set_length(of.max(done));
            self.bar.set_position(done);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
