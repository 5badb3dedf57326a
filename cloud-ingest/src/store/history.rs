//! Alarm history, the states on its way, and the rules that it follows.

use std::collections::HashMap;

use tidegate_alarms::{RevisedRule, RuleId};
use tidegate_protocol::{ClockAnchor, SeqRange};

use super::{
    StoreError, keys,
    lmdb::Table,
    look::{Look, from_json},
};
use crate::core::{
    batch::{Checkpoint, Occurrence, OriginNo, RewindTo},
    rulebook::RulesOperation,
};

impl Look<'_> {
    /// All revisions of all rules.
    pub fn rules(&self) -> Result<Vec<RevisedRule>, StoreError> {
        self.reader().scan(Table::Rules, &[])?.map(|pair| keys::decode(pair?.1)).collect()
    }

    /// All revisions of one rule.
    pub fn rule(&self, id: &RuleId) -> Result<Option<RevisedRule>, StoreError> {
        self.reader().get(Table::Rules, &keys::rule(id))?.map(keys::decode).transpose()
    }

    pub fn rules_edition(&self) -> Result<u64, StoreError> {
        self.reader().get(Table::Meta, keys::META_RULES_EDITION)?.map_or(Ok(0), keys::read_number)
    }

    /// The log of rules, oldest first.
    pub fn rules_log(&self) -> Result<Vec<RulesOperation>, StoreError> {
        self.reader().scan(Table::RulesLog, &[])?.map(|pair| from_json(pair?.1)).collect()
    }

    /// The last checkpoint at or before a place; the one before all seqs where there is none.
    pub fn checkpoint(&self, no: OriginNo, to: RewindTo) -> Result<Checkpoint, StoreError> {
        let mut seq = to.seq;
        if to.tick < u64::MAX {
            self.runs(no, SeqRange::new(0, u64::MAX), |run| {
                let reaches = run.ticks.1 >= to.tick;
                seq = if reaches { seq.min(run.range.start) } else { seq };
                Ok(!reaches)
            })?;
        }
        let Some((key, states)) = self.reader().floor(Table::Checkpoints, &keys::index(no, seq))? else {
            return Ok(Checkpoint::default());
        };
        match keys::read_index(key)? {
            (of, seq) if of == no => Ok(Checkpoint { seq, states: keys::decode(states)? }),
            _ => Ok(Checkpoint::default()),
        }
    }

    /// Those behind the range's start, its end included.
    pub fn checkpoints(&self, no: OriginNo, range: SeqRange) -> Result<Vec<Checkpoint>, StoreError> {
        let mut found = Vec::new();
        for pair in self.reader().scan(Table::Checkpoints, &keys::index(no, range.start.saturating_add(1)))? {
            let (key, states) = pair?;
            let (of, seq) = keys::read_index(key)?;
            if of != no || seq > range.end {
                break;
            }
            found.push(Checkpoint { seq, states: keys::decode(states)? });
        }
        Ok(found)
    }

    /// What history tells to have been raised in a range.
    pub fn raised_in(&self, no: OriginNo, range: SeqRange) -> Result<Vec<Occurrence>, StoreError> {
        let mut found = Vec::new();
        let end = keys::index(no, range.end);
        for pair in self.reader().scan(Table::History, &keys::index(no, range.start))? {
            let (key, value) = pair?;
            if key >= end.as_slice() {
                break;
            }
            found.push(keys::decode(value)?);
        }
        Ok(found)
    }

    pub fn history(&self) -> Result<Vec<(OriginNo, Occurrence)>, StoreError> {
        self.all(Table::History, keys::read_origin)
    }

    /// The keys of cleared occurrences that are older.
    pub(super) fn history_before(&self, unix_ms: i64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut owners: HashMap<OriginNo, (Option<ClockAnchor>, Option<i64>)> = HashMap::new();
        owners
            .extend(self.sealed()?.iter().map(|(no, row)| (*no, (row.anchor, Some(row.last_heard_unix_ms)))));
        owners.extend(self.origins()?.iter().map(|(no, record)| (*no, (record.anchor, None))));
        let mut old = Vec::new();
        for pair in self.reader().scan(Table::History, &[])? {
            let (key, value) = pair?;
            let known: Occurrence = keys::decode(value)?;
            let (Some(cleared), Some((anchor, heard))) =
                (known.cleared, owners.get(&keys::read_origin(key)?))
            else {
                continue;
            };
            let at = anchor.map(|anchor| anchor.unix_ms_at(cleared.tick)).or(*heard);
            if at.is_some_and(|at| at < unix_ms) {
                old.push(key.to_vec());
            }
            if old.len() >= limit {
                break;
            }
        }
        Ok(old)
    }
}
