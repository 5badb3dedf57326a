//! A backup in the place of a store.
//!
//! Whatever this ingest acknowledged after the backup was made is gone, and the agents have deleted it. So the restored
//! ledger's number is raised above every one that was ever announced: agents hear of it with the first acknowledgement, and
//! declare what was lost (`docs/decisions/0011`). The number is the time in seconds since 1970, or what is known plus
//! one if that is more: the same backup on a fresh disk a second time must not give the number of the first.
//! Event cursors go on above all that were given, so that who watches is told that something is missing.
//!
//! In order, and done again over the same names when it was cut off: the backup is verified; a mark is set that keeps an
//! ingest from starting; the new store is made beside the old one; lake files that the backup does not have are moved
//! aside; the old store gets another name, and the new one its name, in one step; the mark is removed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    DoctorError, Progress,
    backup::{LAKE, STORE},
    files::{self, at},
    manifest::Manifest,
};
use crate::{
    data_folder::{self, UNFINISHED_RESTORE},
    store::LmdbStore,
};

/// What is to be restored, and where.
#[derive(Clone, Debug)]
pub struct Restore {
    pub from: PathBuf,
    pub data_dir: PathBuf,
    pub lake_folder: PathBuf,
    pub map_size_bytes: u64,
    /// A store that is there is moved aside.
    pub replace: bool,
    /// The number to announce, where the operator knows better.
    pub ledger: Option<u32>,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub position: u64,
    /// The number that is announced from now on.
    pub ledger: u32,
    /// Where the store is that was there before.
    pub old_store: Option<PathBuf>,
    /// Its number could not be read: where the clock was set back since, it may be as high.
    pub old_count_unknown: bool,
    /// Lake files that the backup does not have, and where they are.
    pub unregistered: Option<(u64, PathBuf)>,
}

impl Restore {
    pub fn run(&self, progress: Progress<'_>) -> Result<Restored, DoctorError> {
        let _lock = data_folder::lock(&self.data_dir)?;
        let store = self.data_dir.join("store");
        let (current, mark) = (store.join("data.mdb"), self.data_dir.join(UNFINISHED_RESTORE));
        let exists = current.exists();
        if exists && !self.replace {
            return Err(DoctorError::StoreExists(self.data_dir.clone()));
        }
        let manifest = Manifest::verified(&self.from, progress)?;
        let old = if exists { count_of(&store) } else { None };
        let ledger = self.number(&manifest, old)?;
        files::write_whole(&mark, self.from.display().to_string().as_bytes())?;

        progress("copying the store", 0, 0);
        let made = self.data_dir.join("store.restoring");
        remove_unfinished(&made)?;
        files::make_folder(&made)?;
        files::copy(&self.from.join(STORE), &made.join("data.mdb"))?;
        let restored = LmdbStore::open(&made, self.map_size_bytes)?;
        restored.set_ledger_count(ledger)?;
        restored.set_cursor_base(cursor_base(ledger))?;
        drop(restored);

        let aside = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let unregistered = self.lake(&manifest, &aside, progress)?;
        let old_store = exists.then(|| self.set_aside(&current, &aside)).transpose()?;
        files::make_folder(&store)?;
        let new = made.join("data.mdb");
        fs::rename(&new, &current).map_err(at(&current))?;
        files::sync_parent(&current)?;
        // Those who looked into the old file must not be counted among the readers of this one.
        remove_if_there(&store.join("lock.mdb"))?;
        remove_unfinished(&made)?;
        fs::remove_file(&mark).map_err(at(&mark))?;
        files::sync_parent(&mark)?;
        let old_count_unknown = exists && old.is_none() && self.ledger.is_none();
        Ok(Restored { position: manifest.position, ledger, old_store, old_count_unknown, unregistered })
    }

    /// Above every one that is known to have been announced, and those of restores that left no trace.
    fn number(&self, manifest: &Manifest, old: Option<u32>) -> Result<u32, DoctorError> {
        let known = manifest.ledger.max(old.unwrap_or(0));
        match self.ledger {
            Some(given) if given <= known => Err(DoctorError::LedgerTooLow { given, known }),
            Some(given) => Ok(given),
            None => Ok(known.saturating_add(1).max(now_s())),
        }
    }

    fn set_aside(&self, current: &Path, time: &str) -> Result<PathBuf, DoctorError> {
        let folder = unused(&self.data_dir.join(format!("store.replaced-{time}")));
        files::make_folder(&folder)?;
        files::link_or_copy(current, &folder.join("data.mdb"))?;
        Ok(folder)
    }

    /// The lake as the backup has it: what it does not have is moved aside, what is missing is copied.
    fn lake(
        &self,
        manifest: &Manifest,
        time: &str,
        progress: Progress<'_>,
    ) -> Result<Option<(u64, PathBuf)>, DoctorError> {
        let aside = unused(&self.lake_folder.join(format!("unregistered-{time}")));
        let prefix = format!("{LAKE}/");
        let listed = manifest.files.iter().filter_map(|file| Some((file.path.strip_prefix(&prefix)?, file)));
        let listed: std::collections::BTreeMap<&Path, _> =
            listed.map(|(path, file)| (Path::new(path), file)).collect();
        let mut moved = 0;
        for path in files::below(&self.lake_folder.join("readings"))? {
            let path = Path::new("readings").join(path);
            let here = self.lake_folder.join(&path);
            let same = match listed.get(path.as_path()) {
                Some(file) => files::digest(&here)? == (file.bytes, file.sha256.clone()),
                None => false,
            };
            if !same {
                let target = aside.join(&path);
                target.parent().map_or(Ok(()), files::make_folder)?;
                fs::rename(&here, &target).map_err(at(&here))?;
                files::sync_parent(&target)?;
                moved += 1;
            }
        }
        let total = listed.len() as u64;
        for (done, path) in (0..).zip(listed.keys()) {
            progress("lake files", done, total);
            let target = self.lake_folder.join(path);
            if !target.exists() {
                target.parent().map_or(Ok(()), files::make_folder)?;
                files::copy(&self.from.join(LAKE).join(path), &target)?;
            }
        }
        Ok((moved > 0).then_some((moved, aside)))
    }
}

/// Above every event cursor that was given before: nobody gives a million events a second, and counts ascend where the clock does
/// not. With a whole 32-bit count it stays below 2^53, which any reader of JSON keeps exactly.
fn cursor_base(ledger: u32) -> u64 {
    u64::from(now_s().max(ledger)) << 20
}

/// The count of a store that may be damaged, of another format, or empty.
fn count_of(store: &Path) -> Option<u32> {
    LmdbStore::open_read_only(store).and_then(|store| store.look()?.ledger_count()).ok()
}

/// A clock that shows no possible time counts for nothing.
fn now_s() -> u32 {
    u32::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
}

/// What a restore that was cut off left behind; it is made anew.
fn remove_unfinished(folder: &Path) -> Result<(), DoctorError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(folder)(error)),
        _ => Ok(()),
    }
}

fn remove_if_there(file: &Path) -> Result<(), DoctorError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(file)(error)),
        _ => Ok(()),
    }
}

/// Two restores within one second do not share a folder.
fn unused(path: &Path) -> PathBuf {
    let numbered = (2..).map(|number| PathBuf::from(format!("{}-{number}", path.display())));
    std::iter::once(path.to_owned()).chain(numbered).find(|path| !path.exists()).unwrap_or(path.to_owned())
}
