//! The ingest's store as rolls to the lake see it: transactions that fail now and then, with and without their effect, and
//! files that are cut off.

use std::{
    cell::{Ref, RefCell},
    collections::BTreeSet,
    io,
    path::PathBuf,
};

use tidegate_ingest::{
    core::batch::{Accepted, Damaged, OriginNo},
    lake::{Files, LakeError, Rows},
    store::{
        StoreError,
        journal::{Journal, JournalLook, JournalWriter, SeeEntry},
        keys::{self, IndexEntry, Intent, LakeFile},
        look::Owner,
    },
};
use tidegate_protocol::{Reading, block::Description};

use super::{coverage::Fault, dice::Dice, store::MemoryStore};

/// How likely it is that what failed had its effect all the same.
const HAD_ITS_EFFECT: f64 = 0.4;

/// The store for one step of a roll.
pub struct Rolling<'w>(RefCell<Desk<'w>>);

struct Desk<'w> {
    store: &'w mut MemoryStore,
    dice: &'w mut Dice,
    /// How likely it is that a transaction or a file fails.
    failure: f64,
    faults: Vec<Fault>,
}

pub struct Look<'j, 'w>(Ref<'j, Desk<'w>>);

type Change = Box<dyn FnOnce(&mut MemoryStore)>;

/// What a transaction does, once it is committed.
pub struct Transaction<'j, 'w> {
    desk: &'j RefCell<Desk<'w>>,
    changes: Vec<Change>,
}

impl<'w> Rolling<'w> {
    pub fn new(store: &'w mut MemoryStore, dice: &'w mut Dice, failure: f64) -> Self {
        Self(RefCell::new(Desk { store, dice, failure, faults: Vec::new() }))
    }

    /// What went wrong.
    pub fn into_faults(self) -> Vec<Fault> {
        self.0.into_inner().faults
    }
}

impl Desk<'_> {
    /// Carries an operation out, or fails with and without its effect.
    fn attempt(&mut self, fault: Fault, operation: impl FnOnce(&mut MemoryStore)) -> Result<(), ()> {
        let fails = self.dice.chance(self.failure);
        if !fails || self.dice.chance(HAD_ITS_EFFECT) {
            operation(self.store);
        }
        if fails {
            self.faults.push(fault);
            return Err(());
        }
        Ok(())
    }
}

impl<'w> Journal for &Rolling<'w> {
    type Look<'j>
        = Look<'j, 'w>
    where
        Self: 'j;
    type Writer<'j>
        = Transaction<'j, 'w>
    where
        Self: 'j;

    fn look(&self) -> Result<Look<'_, 'w>, StoreError> {
        Ok(Look(self.0.borrow()))
    }

    fn writer(&self) -> Result<Transaction<'_, 'w>, StoreError> {
        Ok(Transaction { desk: &self.0, changes: Vec::new() })
    }
}

impl JournalLook for Look<'_, '_> {
    fn intent(&self) -> Result<Option<Intent>, StoreError> {
        Ok(self.0.store.holdings.intent.clone())
    }

    fn entries(&self, from: u64, each: &mut SeeEntry<'_>) -> Result<(), StoreError> {
        for (position, entry) in self.0.store.holdings.journal.range(from..) {
            let (head, block) = match keys::decode_entry(&entry.value) {
                Ok((head, block)) => (Some(head), block),
                Err(_) => (None, entry.value.as_slice()),
            };
            if !each(*position, head, block)? {
                break;
            }
        }
        Ok(())
    }

    fn owner(&self, no: OriginNo) -> Result<Option<Owner>, StoreError> {
        Ok(self.0.store.origins.get(&no).map(Owner::from))
    }

    fn description(&self, no: OriginNo) -> Result<Option<Description>, StoreError> {
        Ok(self.0.store.description(no).cloned())
    }

    fn run_at(&self, no: OriginNo, start: u64) -> Result<Option<IndexEntry>, StoreError> {
        Ok(self.0.store.holdings.index.get(&(no, start)).copied())
    }

    fn journal_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.0.store.holdings.journal_bytes())
    }

    fn used_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.0.store.used_bytes())
    }

    fn damage_at(&self, positions: &BTreeSet<u64>) -> Result<Vec<Damaged>, StoreError> {
        Ok(positions.iter().map(|position| self.0.store.holdings.damage_at(*position)).collect())
    }
}

impl Transaction<'_, '_> {
    fn then<T>(&mut self, change: impl FnOnce(&mut MemoryStore) -> T + 'static) -> Result<(), StoreError> {
        self.changes.push(Box::new(|store| {
            change(store);
        }));
        Ok(())
    }
}

impl JournalWriter for Transaction<'_, '_> {
    fn put_intent(&mut self, intent: &Intent) -> Result<(), StoreError> {
        let intent = intent.clone();
        self.then(|store| store.holdings.intent = Some(intent))
    }

    fn count_entries(&self, intent: &Intent) -> Result<u64, StoreError> {
        let journal = &self.desk.borrow().store.holdings.journal;
        Ok(journal.range(intent.from..intent.to).count() as u64)
    }

    fn delete_run(&mut self, run: &Accepted) -> Result<(), StoreError> {
        let key = (run.origin, run.range.start);
        self.then(move |store| store.holdings.index.remove(&key))
    }

    fn put_run(&mut self, no: OriginNo, start: u64, run: &IndexEntry) -> Result<(), StoreError> {
        let run = *run;
        self.then(move |store| store.holdings.index.insert((no, start), run))
    }

    fn put_file(&mut self, file: &LakeFile) -> Result<(), StoreError> {
        let file = file.clone();
        self.then(|store| store.holdings.files.insert(file.from, file))
    }

    fn latest(&self, no: OriginNo) -> Result<Vec<Reading>, StoreError> {
        Ok(self.desk.borrow().store.holdings.latest.get(&no).cloned().unwrap_or_default())
    }

    fn put_latest(&mut self, no: OriginNo, readings: &[Reading]) -> Result<(), StoreError> {
        let readings = readings.to_vec();
        self.then(move |store| store.holdings.latest.insert(no, readings))
    }

    fn trim(&mut self, intent: &Intent) -> Result<(), StoreError> {
        let (from, to) = (intent.from, intent.to);
        self.then(move |store| {
            store.holdings.journal.retain(|position, _| !(from..to).contains(position));
            store.holdings.intent = None;
        })
    }

    fn commit(self) -> Result<u64, StoreError> {
        let Self { desk, changes } = self;
        let mut desk = desk.borrow_mut();
        let all = |store: &mut MemoryStore| changes.into_iter().for_each(|change| change(store));
        let failed = |()| StoreError::Disk("as drawn".to_owned());
        desk.attempt(Fault::RollCommitFailed, all).map_err(failed)?;
        Ok(desk.store.used_bytes())
    }
}

impl Files for &Rolling<'_> {
    fn write(&self, intent: &Intent, rows: &Rows) -> Result<LakeFile, LakeError> {
        let mut written = None;
        let put = |store: &mut MemoryStore| written = Some(store.holdings.shelf.put(intent, rows));
        let ended = self.0.borrow_mut().attempt(Fault::LakeFileFailed, put);
        ended.ok().and(written).ok_or_else(cut_off)
    }

    fn remove(&self, intent: &Intent) -> Result<(), LakeError> {
        let remove = |store: &mut MemoryStore| store.holdings.shelf.remove(intent);
        self.0.borrow_mut().attempt(Fault::LakeFileFailed, remove).map_err(|()| cut_off())
    }
}

fn cut_off() -> LakeError {
    LakeError::File { path: PathBuf::new(), error: io::Error::other("as drawn") }
}
