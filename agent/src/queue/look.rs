//! Reads a queue beside a running agent, and one that LMDB would not open.
//!
//! A look is one state of the file, pinned so that the agent does not write over its pages. It is taken anew for each
//! batch: a pinned state keeps pages from being used again, and the file would grow. Nothing is created or changed but
//! the reader's place in LMDB's own lock file.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use tidegate_protocol::Origin;

use super::{
    QueueError, folder,
    lock::is_held,
    pages::{Damage, Data, PageFile, Snapshot, Tree},
    records::{self, FORMAT, Meta, MetaRead},
    store::Pin,
};
use crate::core::{Key, OriginRecord};

/// What one batch reads at most before the state is let go.
const BATCH_ENTRIES: usize = 256;
const BATCH_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Queue,
    Quarantine,
    Origins,
    Meta,
}

impl Table {
    pub const ALL: [Self; 4] = [Self::Queue, Self::Quarantine, Self::Origins, Self::Meta];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Quarantine => "quarantine",
            Self::Origins => "origins",
            Self::Meta => "meta",
        }
    }
}

pub struct Looker {
    data_dir: PathBuf,
    file: PageFile,
    pin: Option<Pin>,
}

/// A map for a file: what it says of its own may be damaged, and is never less than the file needs.
pub fn map_bytes(said: u64, file_bytes: u64) -> usize {
    /// Room for what only a mended queue has.
    const SPARE: u64 = 64 * 1024 * 1024;
    const MOST: u64 = 1 << 40;
    /// Maps are made of whole pages, whatever their size on this machine.
    const STEP: u64 = 64 * 1024;
    let least = file_bytes.saturating_add(SPARE);
    let said = if said > MOST { least } else { said.max(least) };
    usize::try_from(said.next_multiple_of(STEP)).unwrap_or(usize::MAX / 2)
}

/// One state of the file.
pub struct Look<'l> {
    pub file: &'l PageFile,
    pub snapshot: Snapshot,
}

/// An entry of the queue or the quarantine; its value may be unreadable.
#[derive(Debug)]
pub struct Found {
    pub key: Key,
    pub value: Result<Vec<u8>, Damage>,
}

impl Looker {
    /// Fails for what is no queue, is a newer agent's, or has lost its beginning.
    pub fn open(data_dir: &Path) -> Result<Self, QueueError> {
        let path = folder(data_dir).join("data.mdb");
        let missing = || QueueError::Missing { path: data_dir.to_owned() };
        let unreadable = |error| QueueError::Unreadable { path: path.clone(), error };
        let file = match PageFile::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
            Err(error) => return Err(unreadable(error)),
        };
        let len = file.len().map_err(unreadable)?;
        if len == 0 {
            return Err(missing());
        }
        let mut looker = Self { data_dir: data_dir.to_owned(), file, pin: None };
        let snapshot = looker.file.snapshot().map_err(|damage| looker.damaged(damage))?;
        looker.pin = looker.pinned(map_bytes(snapshot.map_bytes, len))?;
        match looker.look(|look| look.meta())? {
            Ok(MetaRead::Newer(found)) => {
                Err(QueueError::Format { path: data_dir.to_owned(), found, known: FORMAT })
            }
            _ => Ok(looker),
        }
    }

    /// Without LMDB's lock file nobody writes, or has for long; without the right to it, only a stopped queue can be read.
    fn pinned(&self, map_bytes: usize) -> Result<Option<Pin>, QueueError> {
        let folder = folder(&self.data_dir);
        if !folder.join("lock.mdb").exists() {
            return Ok(None);
        }
        match Pin::open(&folder, map_bytes) {
            Ok(pin) => Ok(Some(pin)),
            Err(_) if !is_held(&self.data_dir) => Ok(None),
            Err(error) => Err(QueueError::Beside { path: self.data_dir.clone(), error }),
        }
    }

    fn damaged(&self, damage: Damage) -> QueueError {
        QueueError::Damaged { path: self.data_dir.clone(), damage }
    }

    /// How large a map to open the file with, to change it.
    pub fn map_bytes(&self) -> Result<usize, QueueError> {
        let file_bytes = self.file.len().unwrap_or_default();
        self.look(|look| map_bytes(look.snapshot.map_bytes, file_bytes))
    }

    pub fn file(&self) -> &PageFile {
        &self.file
    }

    /// Looks at the newest state.
    pub fn look<R>(&self, at: impl FnOnce(&Look<'_>) -> R) -> Result<R, QueueError> {
        let beside = |error| QueueError::Beside { path: self.data_dir.clone(), error };
        let _held = self.pin.as_ref().map(Pin::hold).transpose().map_err(beside)?;
        let snapshot = self.file.snapshot().map_err(|damage| self.damaged(damage))?;
        Ok(at(&Look { file: &self.file, snapshot }))
    }

    /// Visits every entry of a table under numbered keys, batch by batch; returns what could not be walked. What the
    /// agent commits meanwhile may be met or not.
    pub fn each<E: From<QueueError>>(
        &self,
        table: Table,
        mut visit: impl FnMut(Found) -> Result<(), E>,
    ) -> Result<BTreeSet<Damage>, E> {
        let (mut from, mut damaged) = (0, BTreeSet::new());
        loop {
            let (batch, seen) = self.look(|look| look.batch(table, from))?;
            damaged.extend(seen);
            let Some(last) = batch.last().map(|found| found.key) else { return Ok(damaged) };
            batch.into_iter().try_for_each(&mut visit)?;
            // Keys that are out of order must not lead back.
            match last.checked_add(1) {
                Some(next) if next > from => from = next,
                _ => return Ok(damaged),
            }
        }
    }
}

impl Look<'_> {
    pub fn meta(&self) -> Result<MetaRead, Damage> {
        let Some(tree) = self.file.table(&self.snapshot, Table::Meta.name())? else {
            return Ok(MetaRead::Good(Meta::default()));
        };
        let (mut read, mut damaged) = (Ok(MetaRead::Good(Meta::default())), Vec::new());
        self.file.walk(&self.snapshot, tree, &[], &mut damaged, &mut |key, data| {
            if key == records::META.as_bytes() {
                read = self.file.value(&self.snapshot, data).map(|bytes| records::read_meta(&bytes));
            }
            ControlFlow::Continue(())
        });
        match damaged.into_iter().next() {
            Some(damage) => Err(damage),
            None => read,
        }
    }

    /// How often the queue was committed, ever; none where nobody counted.
    pub fn commits(&self) -> Option<u64> {
        let mut commits = None;
        self.walk(Table::Meta, &[], &mut Vec::new(), &mut |key, data| {
            if key == records::COMMITS.as_bytes() {
                let value = self.file.value(&self.snapshot, data).ok();
                commits = value.and_then(|bytes| records::unseal(&bytes));
            }
            ControlFlow::Continue(())
        });
        commits
    }

    /// Every origin's key with its record; none where that is damaged.
    pub fn origins(&self, damaged: &mut Vec<Damage>) -> Vec<(Vec<u8>, Option<OriginRecord>)> {
        let mut origins = Vec::new();
        self.walk(Table::Origins, &[], damaged, &mut |key, data| {
            let bytes = self.file.value(&self.snapshot, data);
            origins.push((key.to_vec(), bytes.ok().and_then(|bytes| records::unseal(&bytes))));
            ControlFlow::Continue(())
        });
        origins
    }

    pub fn tree(&self, table: Table) -> Result<Option<Tree>, Damage> {
        self.file.table(&self.snapshot, table.name())
    }

    /// Walks a table; one that is not there has no entries.
    pub fn walk(
        &self,
        table: Table,
        from: &[u8],
        damaged: &mut Vec<Damage>,
        visit: &mut dyn FnMut(&[u8], Data<'_>) -> ControlFlow<()>,
    ) -> BTreeSet<u64> {
        match self.tree(table) {
            Ok(Some(tree)) => self.file.walk(&self.snapshot, tree, from, damaged, visit),
            Ok(None) => BTreeSet::new(),
            Err(damage) => {
                damaged.push(damage);
                BTreeSet::new()
            }
        }
    }

    /// The records of these origins, where they can be read.
    pub fn origin_records(&self, origins: impl Iterator<Item = Origin>) -> BTreeMap<Origin, OriginRecord> {
        let one = |origin: Origin| {
            let wanted = records::origin_key(origin);
            let mut record = None;
            self.walk(Table::Origins, &wanted, &mut Vec::new(), &mut |key, data| {
                if key == wanted {
                    let bytes = self.file.value(&self.snapshot, data).ok();
                    record = bytes.and_then(|bytes| records::unseal(&bytes));
                }
                ControlFlow::Break(())
            });
            record.map(|record| (origin, record))
        };
        origins.filter_map(one).collect()
    }

    pub fn entry(&self, table: Table, wanted: Key) -> Option<Found> {
        let mut found = None;
        self.walk(table, &wanted.to_be_bytes(), &mut Vec::new(), &mut |key, data| {
            if records::key_of(key) == Some(wanted) {
                found = Some(Found { key: wanted, value: self.file.value(&self.snapshot, data) });
            }
            ControlFlow::Break(())
        });
        found
    }

    fn batch(&self, table: Table, from: Key) -> (Vec<Found>, Vec<Damage>) {
        let (mut batch, mut damaged, mut bytes) = (Vec::new(), Vec::new(), 0);
        self.walk(table, &from.to_be_bytes(), &mut damaged, &mut |key, data| {
            if let Some(key) = records::key_of(key) {
                let value = self.file.value(&self.snapshot, data);
                bytes += value.as_ref().map_or(0, |value| value.len() as u64);
                batch.push(Found { key, value });
            }
            if batch.len() < BATCH_ENTRIES && bytes < BATCH_BYTES {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        (batch, damaged)
    }
}
