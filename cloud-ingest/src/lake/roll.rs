//! When the journal goes to the lake, and how (rule j).
//!
//! A roll takes the oldest entries that arrived on one day (UTC), up to [`MAX_ROLL_READINGS`]; it is due when the oldest
//! entry is older than `interval_ms`, or the journal is larger than `bytes`. It runs on a thread of its own.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::Path,
    sync::Arc,
};

use tidegate_protocol::block::{Block, Decoder};

use super::{Lake, LakeError, TEMPORARY, file_error, parquet_file, path_of, rows::Rows};
use crate::{
    core::batch::{Damaged, EntryHead},
    failpoint::FailPoint,
    readings::{ReadError, accepted_of},
    store::{
        LmdbStore, Look, StoreError,
        keys::{Intent, LakeFile},
    },
};

/// One file's rows are sorted in memory: about 60 bytes each.
pub const MAX_ROLL_READINGS: u64 = 1_000_000;
/// And the entries' own number is bounded, for entries without readings.
const MAX_ROLL_ENTRIES: u64 = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollSettings {
    pub interval_ms: u64,
    pub bytes: u64,
}

/// What a roll did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rolled {
    /// `None` where the entries held no readings.
    pub file: Option<LakeFile>,
    pub used_bytes: u64,
    /// Entries that cannot be read. While there are any, nothing was rolled: once the core has put them into quarantine
    /// the same roll goes on without them.
    pub damaged: Vec<Damaged>,
}

pub struct Roller {
    store: Arc<LmdbStore>,
    lake: Lake,
    settings: RollSettings,
}

impl Roller {
    pub fn new(store: Arc<LmdbStore>, lake: Lake, settings: RollSettings) -> Self {
        Self { store, lake, settings }
    }

    /// Ends a roll that was begun before a crash or an error.
    pub fn resume(&self) -> Result<Option<Rolled>, ReadError> {
        let intent = self.store.look()?.intent()?;
        intent.map(|intent| self.carry_out(&intent)).transpose()
    }

    /// Rolls once if a roll is due.
    pub fn roll_if_due(&self, now_unix_ms: i64) -> Result<Option<Rolled>, ReadError> {
        if let Some(rolled) = self.resume()? {
            return Ok(Some(rolled));
        }
        if !self.is_due(&self.store.look()?, now_unix_ms)? {
            return Ok(None);
        }
        self.roll_now()
    }

    /// Rolls the oldest entries now; `None` where the journal is empty.
    pub fn roll_now(&self) -> Result<Option<Rolled>, ReadError> {
        // The look ends here: while it lasts, pages that others free cannot be used again.
        let intent = plan(&self.store.look()?)?;
        let Some(intent) = intent else { return Ok(None) };
        self.store.begin_roll(&intent)?;
        FailPoint::AfterIntent.hit();
        self.carry_out(&intent).map(Some)
    }

    fn is_due(&self, look: &Look<'_>, now_unix_ms: i64) -> Result<bool, StoreError> {
        let mut oldest = None;
        look.journal_as_it_is(0, |_, head, _| {
            // What is damaged has waited long enough.
            oldest = Some(head.map_or(i64::MIN, |head| head.arrival_unix_ms));
            Ok(false)
        })?;
        let Some(oldest) = oldest else { return Ok(false) };
        let age_ms = u64::try_from(now_unix_ms.saturating_sub(oldest)).unwrap_or(0);
        Ok(age_ms >= self.settings.interval_ms || look.journal_bytes()? >= self.settings.bytes)
    }

    fn carry_out(&self, intent: &Intent) -> Result<Rolled, ReadError> {
        let look = self.store.look()?;
        let (mut rows, damaged) = gather(&look, intent)?;
        if !damaged.is_empty() {
            let (used_bytes, damaged) = (look.used_bytes()?, look.damage_at(&damaged)?);
            return Ok(Rolled { file: None, used_bytes, damaged });
        }
        drop(look);
        rows.sort();
        let file = (!rows.rows.is_empty()).then(|| self.write(intent, &rows)).transpose()?;
        FailPoint::AfterRenameBeforeRegister.hit();
        let used_bytes = self.store.finish_roll(intent, file.as_ref(), &rows.latest())?;
        FailPoint::AfterRegister.hit();
        Ok(Rolled { file, used_bytes, damaged: Vec::new() })
    }

    /// Writes the file, durable under its name.
    fn write(&self, intent: &Intent, rows: &Rows) -> Result<LakeFile, LakeError> {
        let path = path_of(intent);
        let target = self.lake.folder.join(&path);
        let day = target.parent().unwrap_or(&self.lake.folder);
        fs::create_dir_all(day).map_err(|error| file_error(day, error))?;
        let temporary = target.with_extension(TEMPORARY);
        let bytes = parquet_file::write(&temporary, rows)?;
        fs::rename(&temporary, &target).map_err(|error| file_error(&target, error))?;
        // The folder may be new as well: its own entry must last, too.
        sync_folder(day)?;
        day.parent().map_or(Ok(()), sync_folder)?;
        Ok(LakeFile { from: intent.from, to: intent.to, path, rows: rows.rows.len() as u64, bytes })
    }
}

pub(super) fn sync_folder(folder: &Path) -> Result<(), LakeError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| file_error(folder, error))
}

/// The oldest entries of one day, up to the bounds.
fn plan(look: &Look<'_>) -> Result<Option<Intent>, StoreError> {
    let mut intent: Option<Intent> = None;
    let mut readings = 0_u64;
    look.journal_as_it_is(0, |position, head, _| {
        // A damaged entry goes with those before it, or by itself.
        let Some(head) = head else {
            let alone = Intent { from: position, to: position + 1, arrived: day_of(0) };
            let stop = intent.is_none();
            intent.get_or_insert(alone).to = position + 1;
            return Ok(!stop);
        };
        let arrived = day_of(head.arrival_unix_ms);
        readings += head.accepted.iter().map(|accepted| accepted.range.len()).sum::<u64>();
        match &mut intent {
            None => intent = Some(Intent { from: position, to: position + 1, arrived }),
            Some(intent) => {
                let full = readings > MAX_ROLL_READINGS || position - intent.from >= MAX_ROLL_ENTRIES;
                if full || intent.arrived != arrived {
                    return Ok(false);
                }
                intent.to = position + 1;
            }
        }
        Ok(true)
    })?;
    Ok(intent)
}

/// `YYYY-MM-DD` in UTC; a time beyond the calendar counts as its first day.
pub(super) fn day_of(unix_ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(unix_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%d").to_string()
}

/// The rows of the entries, and the positions of those entries that cannot be read: they must not keep all that follows
/// from the lake.
fn gather(look: &Look<'_>, intent: &Intent) -> Result<(Rows, BTreeSet<u64>), ReadError> {
    let (mut rows, mut damaged) = (Rows::default(), BTreeSet::new());
    let mut decoder = Decoder::new().map_err(StoreError::from)?;
    look.journal_as_it_is(intent.from, |position, head, bytes| {
        if position >= intent.to {
            return Ok(false);
        }
        let Some(head) = head else {
            damaged.insert(position);
            return Ok(true);
        };
        if head.accepted.is_empty() {
            return Ok(true);
        }
        let readable = match decoder.decode(bytes) {
            Ok(block) => add_entry(look, &head, &block, &mut rows)?,
            Err(_) => false,
        };
        if !readable {
            damaged.insert(position);
        }
        Ok(true)
    })?;
    Ok((rows, damaged))
}

/// Adds all of an entry's rows, or none and says so.
fn add_entry(look: &Look<'_>, head: &EntryHead, block: &Block, rows: &mut Rows) -> Result<bool, StoreError> {
    if accepted_of(head, block).count() != head.accepted.len() {
        return Ok(false);
    }
    for (accepted, readings) in accepted_of(head, block) {
        let no = accepted.origin;
        if !rows.knows(no) {
            let (Some(owner), Some(description)) = (look.owner(no)?, look.description(no)?) else {
                return Ok(false);
            };
            rows.origin(no, &owner, &description);
        }
        let complete = readings.len() as u64 == accepted.range.len();
        if !complete || !rows.describes(no, readings) {
            return Ok(false);
        }
    }
    for (accepted, readings) in accepted_of(head, block) {
        rows.push(accepted.origin, head.from.gateway, readings);
    }
    Ok(true)
}
