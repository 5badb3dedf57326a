//! What a roll takes of the journal: which entries, and the rows they hold.

use std::collections::BTreeSet;

use tidegate_protocol::block::Block;

use super::rows::Rows;
use crate::{
    core::batch::{Accepted, EntryHead},
    entries::{EntryReader, accepted_of},
    readings::ReadError,
    store::{StoreError, journal::JournalLook, keys::Intent},
};

/// One file's rows are sorted in memory: about 60 bytes each.
pub const MAX_ROLL_READINGS: u64 = 1_000_000;
/// And the entries' own number is bounded, for entries without readings.
const MAX_ROLL_ENTRIES: u64 = 100_000;

/// The oldest entries of one day, up to the bounds.
pub(super) fn plan(look: &impl JournalLook) -> Result<Option<Intent>, StoreError> {
    let mut intent: Option<Intent> = None;
    let mut readings = 0_u64;
    look.entries(0, &mut |position, head, _| {
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

/// What entries hold.
#[derive(Default)]
pub(super) struct Gathering {
    pub rows: Rows,
    pub runs: Vec<Accepted>,
    /// How many there were.
    pub entries: u64,
    /// Positions of those that cannot be read: they must not keep all that follows from the lake.
    pub damaged: BTreeSet<u64>,
}

pub(super) fn gather(look: &impl JournalLook, intent: &Intent) -> Result<Gathering, ReadError> {
    let mut gathering = Gathering::default();
    let mut reader = EntryReader::new().map_err(StoreError::from)?;
    look.entries(intent.from, &mut |position, head, bytes| {
        if position >= intent.to {
            return Ok(false);
        }
        gathering.entries += 1;
        let readable = match head {
            None => false,
            Some(head) if head.accepted.is_empty() => true,
            Some(head) => match reader.read(look, position, &head, bytes)? {
                Some(block) => gathering.add_entry(look, &head, &block)?,
                None => false,
            },
        };
        if !readable {
            gathering.damaged.insert(position);
        }
        Ok(true)
    })?;
    Ok(gathering)
}

impl Gathering {
    /// Adds all of an entry's rows, or none and says so.
    fn add_entry(
        &mut self,
        look: &impl JournalLook,
        head: &EntryHead,
        block: &Block,
    ) -> Result<bool, StoreError> {
        for (accepted, _, readings) in accepted_of(head, block) {
            let no = accepted.origin;
            if !self.rows.knows(no) {
                let (Some(owner), Some(description)) = (look.owner(no)?, look.description(no)?) else {
                    return Ok(false);
                };
                self.rows.origin(no, &owner, &description);
            }
            if !self.rows.describes(no, readings) {
                return Ok(false);
            }
        }
        for (accepted, _, readings) in accepted_of(head, block) {
            self.rows.push(accepted.origin, head.from.gateway, readings);
            self.runs.push(*accepted);
        }
        Ok(true)
    }
}
