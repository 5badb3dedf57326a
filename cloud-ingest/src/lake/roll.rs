//! When the journal goes to the lake, and how (rule j).
//!
//! A roll takes the oldest entries that arrived on one day (UTC), up to a bound; it is due when the oldest entry is older than
//! `interval_ms`, or the journal is larger than `bytes`. Each of its three steps can be the last before a crash, and all
//! that others commit in between is seen. It runs on a thread of its own.

use std::sync::Arc;

use tidegate_service::Mutant;

use super::{
    Lake, LakeError,
    gather::{Gathering, gather, plan},
    rows::Rows,
};
use crate::{
    core::batch::Damaged,
    failpoint::FailPoint,
    readings::ReadError,
    store::{
        LmdbStore, StoreError,
        journal::{Journal, JournalLook},
        keys::{Intent, LakeFile},
        roll::{self, Written},
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollSettings {
    pub interval_ms: u64,
    pub bytes: u64,
}

/// Where lake files go.
pub trait Files {
    /// Writes an intent's file, durable under its name; one of before is gone then.
    fn write(&self, intent: &Intent, rows: &Rows) -> Result<LakeFile, LakeError>;
    /// Deletes an intent's file, where an earlier try has left one.
    fn remove(&self, intent: &Intent) -> Result<(), LakeError>;
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

/// What the second step leaves to the third.
#[derive(Debug)]
pub enum Gathered {
    Written(Written),
    Damaged(Vec<Damaged>),
}

pub struct Roller<J = Arc<LmdbStore>, F = Lake> {
    journal: J,
    files: F,
    settings: RollSettings,
}

impl<J: Journal, F: Files> Roller<J, F> {
    pub fn new(journal: J, files: F, settings: RollSettings) -> Self {
        Self { journal, files, settings }
    }

    /// Ends a roll that was begun before a crash or an error.
    pub fn resume(&self) -> Result<Option<Rolled>, ReadError> {
        let begun = self.journal.look()?.intent()?;
        begun.map(|intent| self.carry_out(intent)).transpose()
    }

    /// Rolls once if a roll is due.
    pub fn roll_if_due(&self, now_unix_ms: i64) -> Result<Option<Rolled>, ReadError> {
        self.set_out(now_unix_ms)?.map(|intent| self.carry_out(intent)).transpose()
    }

    /// Rolls the oldest entries now; `None` where the journal is empty.
    pub fn roll_now(&self) -> Result<Option<Rolled>, ReadError> {
        self.begin(|_| Ok(true))?.map(|intent| self.carry_out(intent)).transpose()
    }

    fn carry_out(&self, intent: Intent) -> Result<Rolled, ReadError> {
        let gathered = self.write_out(intent)?;
        FailPoint::AfterRenameBeforeRegister.hit();
        let rolled = self.register(gathered)?;
        FailPoint::AfterRegister.hit();
        Ok(rolled)
    }

    /// The first step: what is to be rolled, if a roll is due or was begun before.
    pub fn set_out(&self, now_unix_ms: i64) -> Result<Option<Intent>, ReadError> {
        self.begin(|look| self.is_due(look, now_unix_ms))
    }

    fn begin(
        &self,
        is_due: impl FnOnce(&J::Look<'_>) -> Result<bool, StoreError>,
    ) -> Result<Option<Intent>, ReadError> {
        let look = self.journal.look()?;
        if let Some(begun) = look.intent()? {
            return Ok(Some(begun));
        }
        let intent = if is_due(&look)? { plan(&look)? } else { None };
        // While the look lasts, pages that others free cannot be used again.
        drop(look);
        let Some(intent) = intent else { return Ok(None) };
        roll::begin(&self.journal, &intent)?;
        FailPoint::AfterIntent.hit();
        Ok(Some(intent))
    }

    fn is_due(&self, look: &J::Look<'_>, now_unix_ms: i64) -> Result<bool, StoreError> {
        let mut oldest = None;
        look.entries(0, &mut |_, head, _| {
            // What is damaged has waited long enough.
            oldest = Some(head.map_or(i64::MIN, |head| head.arrival_unix_ms));
            Ok(false)
        })?;
        let Some(oldest) = oldest else { return Ok(false) };
        // One that is far ahead was damaged, or the clock was: it must not hold up all that follow it.
        let age_ms = now_unix_ms.abs_diff(oldest);
        Ok(age_ms >= self.settings.interval_ms || look.journal_bytes()? >= self.settings.bytes)
    }

    /// The second step: the entries' readings in a file of their own.
    pub fn write_out(&self, intent: Intent) -> Result<Gathered, ReadError> {
        let look = self.journal.look()?;
        let Gathering { mut rows, runs, entries, damaged } = gather(&look, &intent)?;
        if !damaged.is_empty() {
            return Ok(Gathered::Damaged(look.damage_at(&damaged)?));
        }
        drop(look);
        rows.sort();
        let file = if rows.is_empty() {
            // Entries that an earlier try had read may have been damaged since.
            if !Mutant::LakeFileLeft.is_on() {
                self.files.remove(&intent)?;
            }
            None
        } else {
            Some(self.files.write(&intent, &rows)?)
        };
        Ok(Gathered::Written(Written { intent, entries, runs, file, latest: rows.latest() }))
    }

    /// The third step: one transaction, from which on the readings are the file's and no more the journal's.
    pub fn register(&self, gathered: Gathered) -> Result<Rolled, ReadError> {
        let (file, used_bytes, damaged) = match gathered {
            Gathered::Damaged(damaged) => (None, None, damaged),
            Gathered::Written(written) => {
                let used_bytes = roll::finish(&self.journal, &written)?;
                (used_bytes.and(written.file), used_bytes, Vec::new())
            }
        };
        // Where nothing was registered, the next roll does the same again.
        let used_bytes = used_bytes.map_or_else(|| self.journal.look()?.used_bytes(), Ok)?;
        Ok(Rolled { file, used_bytes, damaged })
    }
}
