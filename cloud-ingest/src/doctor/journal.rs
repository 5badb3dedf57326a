//! The command line of `tidegate-ingest journal`.

use std::{
    io::{self, BufWriter, Write},
    ops::Range,
};

use clap::{Subcommand, ValueEnum};
use tidegate_protocol::{DeviceId, SeqRange};

use super::{DoctorError, command::show_progress, compact, export::Export, inspect, repair, verify};
use crate::{Config, lake::Lake, store::LmdbStore};

#[derive(Subcommand)]
pub enum JournalCommand {
    /// What the store holds; works while the ingest runs.
    Inspect {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Show the entry at this position in full.
        #[arg(long, value_name = "P")]
        position: Option<u64>,
    },
    /// Check every block, the index, the ledger and the lake's files; works while the ingest runs. Ends with 1 on a problem.
    Verify,
    /// Write lines of JSON to standard output; works while the ingest runs.
    Export {
        /// What to write.
        #[arg(long, value_enum, default_value = "readings")]
        what: What,
        /// Of this device only.
        #[arg(long)]
        device: Option<DeviceId>,
        /// Only readings with these seqs, as FROM..TO, TO excluded.
        #[arg(long, value_name = "FROM..TO", value_parser = range)]
        range: Option<Range<u64>>,
    },
    /// Put damaged entries into quarantine and set the ledger right; the ingest must not run.
    Repair,
    /// Give free pages back to the disk; the ingest must not run.
    Compact,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum What {
    Readings,
    /// Losses, anchors, descriptions, ends: those of blocks that are still in the journal.
    Records,
    Events,
    Quarantine,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let parts = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    parts.ok_or_else(|| format!("\"{text}\" is not like 100..200"))
}

pub fn run(config: &Config, command: JournalCommand) -> Result<(), DoctorError> {
    let mut progress = show_progress();
    let store = || -> Result<LmdbStore, DoctorError> {
        let folder = config.data_dir.join("store");
        if !folder.join("data.mdb").is_file() {
            return Err(DoctorError::NoStore(config.data_dir.clone()));
        }
        Ok(LmdbStore::open_read_only(&folder)?)
    };
    let mut out = BufWriter::new(io::stdout().lock());
    match command {
        JournalCommand::Inspect { json, position: None } => {
            show(&inspect::inspect(&store()?, &mut progress)?, json, &mut out)?;
        }
        JournalCommand::Inspect { position: Some(position), .. } => {
            let entry = inspect::entry(&store()?, position)?.ok_or(DoctorError::NoEntry(position))?;
            show(&entry, true, &mut out)?;
        }
        JournalCommand::Verify => {
            let lake = Lake::at(&config.lake_folder);
            let verdict = verify::verify(&store()?, &lake, &mut progress)?;
            verdict.listed.iter().try_for_each(|problem| writeln!(out, "{problem}"))?;
            let verify::Verdict { entries, origins, lake_files, problems, .. } = verdict;
            writeln!(
                out,
                "{entries} entries, {origins} origins, {lake_files} lake files: {problems} problems"
            )?;
            out.flush()?;
            return if problems == 0 { Ok(()) } else { Err(DoctorError::Problems(problems)) };
        }
        JournalCommand::Export { what, device, range } => {
            let range =
                range.map_or(SeqRange::new(0, u64::MAX), |range| SeqRange::new(range.start, range.end));
            let (export, store) = (Export { device, range }, store()?);
            match what {
                What::Readings => export.readings(&store, &Lake::at(&config.lake_folder), &mut out)?,
                What::Records => export.records(&store, &mut out)?,
                What::Events => export.events(&store, &mut out)?,
                What::Quarantine => export.quarantine(&store, &mut out)?,
            }
        }
        JournalCommand::Repair => {
            let map = config.journal.map_size_bytes;
            let done = repair::repair(&config.data_dir, &config.lake_folder, map, &mut progress)?;
            let repair::Repaired { entries, readings, left } = done;
            writeln!(out, "{entries} entries to quarantine; {readings} readings are lost (corrupt) now")?;
            out.flush()?;
            return if left == 0 { Ok(()) } else { Err(DoctorError::Problems(left)) };
        }
        JournalCommand::Compact => {
            let (before, after) = compact::compact(&config.data_dir)?;
            writeln!(out, "{before} bytes before, {after} bytes now")?;
        }
    }
    Ok(out.flush()?)
}

fn show(value: &impl serde::Serialize, json: bool, out: &mut impl Write) -> io::Result<()> {
    let value = serde_json::to_value(value)?;
    match value.as_object().filter(|_| !json) {
        Some(fields) => fields.iter().try_for_each(|(name, value)| writeln!(out, "{name:22} {value}")),
        None => writeln!(out, "{value:#}"),
    }
}
