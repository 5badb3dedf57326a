//! Whether a queue is whole: pages, trees, totals, keys, and every checksum of every entry.

use std::path::Path;

use serde::Serialize;
use tidegate_protocol::{
    RangeSet,
    block::{Decoder, Directory, Header},
};

use super::{Progress, decoder};
use crate::{
    core::{ENTRY_HEAD_BYTES, Key, OriginRecord},
    queue::{
        QueueError,
        look::{Found, Look, Looker, Table},
        records::{self, EntryHead, MetaRead, origin_key},
        structure::{self, Depth, Structure},
    },
};

/// Findings that are listed; the rest are counted.
const LISTED: usize = 1_000;

/// Something that is not as the agent writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A table of the queue, or `file`.
    pub table: &'static str,
    pub key: Option<Key>,
    pub origin: Option<String>,
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { table, key, origin, what } = self;
        write!(f, "{table}")?;
        if let Some(key) = key {
            write!(f, " {key}")?;
        }
        if let Some(origin) = origin {
            write!(f, " {origin}")?;
        }
        write!(f, ": {what}")
    }
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Verified {
    pub blocks: u64,
    pub readings: u64,
    pub quarantined: u64,
    pub origins: u64,
    /// How many findings there are; the queue is whole at none.
    pub damaged: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
    /// What is worth knowing and does no harm.
    pub notes: Vec<String>,
}

impl Verified {
    pub const fn is_whole(&self) -> bool {
        self.damaged == 0
    }

    fn find(
        &mut self,
        table: &'static str,
        key: Option<Key>,
        origin: Option<String>,
        what: impl Into<String>,
    ) {
        self.damaged += 1;
        if self.findings.len() < LISTED {
            self.findings.push(Finding { table, key, origin, what: what.into() });
        }
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < LISTED {
            self.notes.push(note);
        }
    }
}

/// Reads all there is. An error means that it could not be looked for damage; damage is in the answer.
pub fn verify(data_dir: &Path, progress: Progress<'_>) -> Result<Verified, QueueError> {
    let mut verified = Verified::default();
    let looker = match Looker::open(data_dir) {
        Ok(looker) => looker,
        Err(QueueError::Damaged { damage, .. }) => {
            verified.find("file", None, None, damage.to_string());
            return Ok(verified);
        }
        Err(error) => return Err(error),
    };
    let expected = looker.look(|look| {
        let structure = structure::check(look, Depth::Values);
        meta(look, &structure, &mut verified);
        for damage in structure.damage {
            verified.find("file", None, None, damage.to_string());
        }
        origins(look, &mut verified);
        structure.totals.blocks
    })?;
    let mut blocks = Blocks { looker: &looker, decoder: decoder()?, verified: &mut verified };
    looker.each::<QueueError>(Table::Queue, |found| {
        blocks.block(&found)?;
        progress(blocks.verified.blocks, expected);
        Ok(())
    })?;
    looker.each::<QueueError>(Table::Quarantine, |found| {
        blocks.quarantined(&found);
        Ok(())
    })?;
    Ok(verified)
}

fn meta(look: &Look<'_>, structure: &Structure, verified: &mut Verified) {
    let mut wrong = |what: String| verified.find("meta", None, None, what);
    let meta = match look.meta() {
        Ok(MetaRead::Good(meta)) => meta,
        Ok(MetaRead::Newer(_) | MetaRead::Damaged) => {
            return wrong("the record does not pass its checksum".into());
        }
        // It is among the structure's findings.
        Err(_) => return,
    };
    if meta.totals != structure.totals {
        let (said, counted) = (meta.totals, structure.totals);
        wrong(format!("the totals say {said:?}, the entries make {counted:?}"));
    }
    for (what, next, highest) in [
        ("queue", meta.next_key, structure.highest_key),
        ("quarantine", meta.next_quarantined, structure.highest_quarantined),
    ] {
        if let Some(highest) = highest.filter(|highest| *highest >= next) {
            wrong(format!("the next key of the {what} is {next}, and {highest} is taken"));
        }
    }
}

fn origins(look: &Look<'_>, verified: &mut Verified) {
    for (key, record) in look.origins(&mut Vec::new()) {
        verified.origins += 1;
        let name = || Some(readable(&key));
        match record {
            None => verified.find("origins", None, name(), "the record does not pass its checksum"),
            Some(record) if origin_key(record.description.origin) != key => {
                verified.find("origins", None, name(), "the record is of another origin");
            }
            Some(_) => {}
        }
    }
}

/// An origin's key as people write it, as far as it makes sense.
pub fn readable(key: &[u8]) -> String {
    let (device, boot) = key.split_at_checked(key.len().saturating_sub(9)).unwrap_or_default();
    let boot = boot.get(1..).and_then(|boot| boot.try_into().ok()).map_or(0, u64::from_be_bytes);
    format!("{}/{boot:016x}", String::from_utf8_lossy(device))
}

struct Blocks<'v> {
    looker: &'v Looker,
    decoder: Decoder,
    verified: &'v mut Verified,
}

impl Blocks<'_> {
    fn block(&mut self, found: &Found) -> Result<(), QueueError> {
        self.verified.blocks += 1;
        match examine(found, &mut self.decoder) {
            Err(what) => self.verified.find("queue", Some(found.key), None, what),
            Ok(directory) => {
                self.verified.readings +=
                    directory.iter().map(tidegate_protocol::block::Entry::count).sum::<u64>();
                self.safe(found.key, &directory)?;
            }
        }
        Ok(())
    }

    /// What a block holds was made safe with it. The agent may have forgotten the origin since, with the block.
    fn safe(&mut self, key: Key, directory: &Directory) -> Result<(), QueueError> {
        if directory.is_empty() {
            return Ok(());
        }
        let (records, still_there) = self.looker.look(|look| {
            let records = look.origin_records(directory.iter().map(|entry| entry.origin));
            (records, look.entry(Table::Queue, key).is_some())
        })?;
        for entry in directory.iter().filter(|_| still_there) {
            match records.get(&entry.origin) {
                None => {
                    let origin = entry.origin;
                    self.verified.note(format!(
                        "queue {key}: {origin} has no record; its board's next hello makes one"
                    ));
                }
                Some(record) if !is_safe(record, entry) => {
                    let origin = Some(entry.origin.to_string());
                    self.verified.find(
                        "queue",
                        Some(key),
                        origin,
                        "readings that the origin's record does not call safe",
                    );
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn quarantined(&mut self, found: &Found) {
        self.verified.quarantined += 1;
        let value = match &found.value {
            Ok(value) => value,
            Err(damage) => {
                return self.verified.find("quarantine", Some(found.key), None, damage.to_string());
            }
        };
        match records::quarantine_entry(value) {
            None => self.verified.note(format!("quarantine {}: why it is there cannot be read", found.key)),
            Some((reason, block)) => {
                if let Err(error) = Header::parse(block) {
                    let reason = reason.reason;
                    self.verified.note(format!("quarantine {} ({reason}): {error}", found.key));
                }
            }
        }
    }
}

pub fn is_safe(record: &OriginRecord, entry: &tidegate_protocol::block::Entry) -> bool {
    let safe = RangeSet::from_iter(record.safe.iter().copied());
    entry.ranges.iter().all(|range| safe.contains_all(*range))
}

/// What an entry of the queue holds, or what is wrong with it.
pub fn examine(found: &Found, decoder: &mut Decoder) -> Result<Directory, String> {
    let value = found.value.as_ref().map_err(ToString::to_string)?;
    if value.len() < ENTRY_HEAD_BYTES {
        return Err("the entry is too short".into());
    }
    let (head, block) = EntryHead::read(value);
    let header = Header::parse(block).map_err(|error| error.to_string())?;
    decoder.decode(block).map_err(|error| error.to_string())?;
    if head.readings != header.readings || value.get(..4) != Some(&[0; 4]) {
        return Err(WRONG_HEAD.into());
    }
    Decoder::directory(block).map_err(|error| error.to_string())
}

/// The one thing that can be put right in a block's entry.
pub const WRONG_HEAD: &str = "what stands before the block is not true of it";
