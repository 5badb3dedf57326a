//! An agent's queue in memory: one batch is one transaction, on the disk as a whole or not at all. What each block says is
//! kept beside it, so that it can be told at any moment what is safe here.

use std::{collections::BTreeMap, rc::Rc};

use tidegate_agent::core::{
    Batch, Entry, Key, OriginRecord, Recovered, SentToday, Totals, is_alarm, number_of,
};
use tidegate_protocol::{Origin, RangeSet, SeqRange};

use super::contents::{Contents, Library};

#[derive(Clone, Debug)]
pub struct StoredBlock {
    pub readings: u32,
    pub bytes: Vec<u8>,
    /// What it said when it was written.
    pub contents: Rc<Contents>,
}

/// In quarantine.
#[derive(Clone, Debug)]
pub struct Kept {
    pub contents: Rc<Contents>,
    /// Its readings are declared lost, as far as it can name them.
    pub is_damaged: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub blocks: BTreeMap<Key, StoredBlock>,
    pub quarantine: Vec<Kept>,
    pub origins: BTreeMap<Origin, OriginRecord>,
    totals: Totals,
    next_key: Key,
    sent_today: Option<SentToday>,
    ledger: u32,
    /// How often it was written, ever.
    pub commits: u64,
}

/// What a transaction took out of the queue.
#[derive(Debug, Default)]
pub struct Applied {
    pub deleted: Vec<Rc<Contents>>,
    pub put: Vec<Rc<Contents>>,
    pub quarantined: usize,
    /// The deleted alarm blocks.
    pub deleted_alarms: Vec<Rc<Contents>>,
    /// Other blocks with readings, whole, that were in the queue before and still are.
    pub left_below_alarms: Vec<Rc<Contents>>,
}

impl Disk {
    /// Whoever starts on this disk knows that the origin ended.
    pub fn knows_end(&self, origin: Origin) -> bool {
        let tells = |contents: &Contents| contents.closed.iter().any(|(of, _)| *of == origin);
        self.origins.get(&origin).is_some_and(|record| record.closed)
            || self.blocks.values().any(|block| tells(&block.contents))
    }

    /// Applies a batch, or says what is wrong with it.
    pub fn apply(&mut self, batch: &Batch, library: &mut Library) -> Result<Applied, String> {
        let mut applied = Applied::default();
        self.commits += 1;
        for quarantined in &batch.quarantine {
            applied.quarantined += 1;
            let is_damaged = quarantined.reason == "damaged";
            for key in &quarantined.keys {
                let moved = self.blocks.remove(key).filter(|_| quarantined.block.is_none());
                if let Some(block) = moved {
                    self.quarantine.push(Kept { contents: block.contents, is_damaged });
                }
            }
            if let Some(contents) = quarantined.block.as_ref().and_then(|block| library.contents(block)) {
                self.quarantine.push(Kept { contents, is_damaged });
            }
        }
        for key in &batch.deletes {
            match self.blocks.remove(key) {
                Some(block) => {
                    if is_alarm(*key) {
                        applied.deleted_alarms.push(Rc::clone(&block.contents));
                    }
                    applied.deleted.push(block.contents);
                }
                None => return Err(format!("key {key} is deleted twice, or was never there")),
            }
        }
        if !applied.deleted_alarms.is_empty() {
            let others = self.blocks.iter().filter(|(key, block)| !is_alarm(**key) && block.readings > 0);
            let whole = others.filter(|(_, block)| library.contents(&block.bytes).is_some());
            applied.left_below_alarms = whole.map(|(_, block)| Rc::clone(&block.contents)).collect();
        }
        for put in &batch.puts {
            if number_of(put.key) < self.next_key {
                return Err(format!("key {} is used again", put.key));
            }
            self.next_key = number_of(put.key) + 1;
            let Some(contents) = library.contents(&put.block) else {
                return Err(format!("the block put under key {} does not decode", put.key));
            };
            applied.put.push(Rc::clone(&contents));
            let block = StoredBlock { readings: put.readings, bytes: put.block.to_vec(), contents };
            self.blocks.insert(put.key, block);
        }
        for record in &batch.origins {
            self.origins.insert(record.description.origin, record.clone());
        }
        for origin in &batch.forgotten {
            self.origins.remove(origin);
        }
        self.totals = batch.totals;
        self.ledger = batch.ledger.unwrap_or(self.ledger);
        self.sent_today = batch.sent_today.or(self.sent_today);
        let readings: u64 = self.blocks.values().map(|block| u64::from(block.readings)).sum();
        let counted = (self.totals.blocks, self.totals.readings);
        if counted != (self.blocks.len() as u64, readings) {
            return Err(format!(
                "the totals say {counted:?} blocks and readings, there are {} and {readings}",
                self.blocks.len()
            ));
        }
        Ok(applied)
    }

    pub fn recovered(&self) -> Recovered {
        let keys: RangeSet = self.blocks.keys().map(|&key| SeqRange::new(key, key + 1)).collect();
        Recovered {
            keys: keys.ranges().to_vec(),
            next_key: self.next_key,
            totals: self.totals,
            origins: self.origins.values().cloned().collect(),
            sent_today: self.sent_today,
            ledger: self.ledger,
            account_due: false,
            desired: Vec::new(),
            rules: None,
        }
    }

    pub fn load(&self, keys: &[Key]) -> Vec<Entry> {
        let entry = |key: &Key| {
            let block = self.blocks.get(key)?;
            Some(Entry { key: *key, readings: block.readings, block: block.bytes.clone() })
        };
        keys.iter().filter_map(entry).collect()
    }

    /// Takes from `missing` what is safe here of an origin: readings, declared losses, and what is kept in quarantine.
    pub fn cover(&self, origin: Origin, missing: &mut RangeSet) {
        let stored = self.blocks.values().map(|block| &block.contents);
        for contents in stored.chain(self.quarantine.iter().map(|kept| &kept.contents)) {
            contents.ranges_of(origin).for_each(|range| missing.remove(range));
        }
    }
}
