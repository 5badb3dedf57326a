//! Users and tokens on disk: one file, replaced as a whole, that only its owner may read.
//!
//! ```text
//! access/access.json   {"format":1,"book":{"users":[…],"tokens":[…]}}
//! access/lock          locked while the file is changed
//! ```
//!
//! It is no table of the store: a backup that is restored takes the store back, and must not bring back a token that was
//! revoked since. The ingest and a command beside it may both change it; each reads what the other wrote before it asks or changes
//! anything. What cannot be read lets nobody in.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use tidegate_access::{Book, BookError};
use tidegate_service::durable::{self, sync_down_to};
use tidegate_trust::files::Fingerprint;

/// Within the data folder.
pub const FOLDER: &str = "access";
const FILE: &str = "access.json";
const LOCK: &str = "lock";
const FORMAT: u32 = 1;
/// All users and tokens that there may be take less.
const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    #[error("{}: {error}; give the ingest's user that folder", path.display())]
    Unusable { path: PathBuf, error: io::Error },
    #[error("{}: {problem}; put a good copy in its place, or remove it and make users again", path.display())]
    Wrong { path: PathBuf, problem: String },
    #[error(transparent)]
    Refused(#[from] BookError),
}

/// The file as it is.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    book: Book,
}

#[derive(Debug)]
pub struct Kept {
    folder: PathBuf,
    read: Mutex<Option<(Fingerprint, Arc<Book>)>>,
}

/// Held while the folder is changed.
pub struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        let _closed_by_the_system_at_last = self.0.unlock();
    }
}

/// Makes the folder where it is missing: nobody else may look into it.
pub fn make_folder(data_dir: &Path) -> Result<PathBuf, KeptError> {
    let folder = data_dir.join(FOLDER);
    let unusable = |error| KeptError::Unusable { path: folder.clone(), error };
    fs::create_dir_all(data_dir).map_err(unusable)?;
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unusable(error)),
        _ => {}
    }
    sync_down_to(&folder).map_err(unusable)?;
    Ok(folder)
}

/// Waits for whoever changes the folder now.
pub fn lock(folder: &Path) -> io::Result<Locked> {
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join(LOCK))?;
    file.lock()?;
    Ok(Locked(file))
}

impl Kept {
    pub fn open(data_dir: &Path) -> Result<Self, KeptError> {
        let kept = Self { folder: make_folder(data_dir)?, read: Mutex::default() };
        kept.book()?;
        Ok(kept)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// As it is now: whether the file is another is looked at each time, so that a revocation counts at once.
    pub fn book(&self) -> Result<Arc<Book>, KeptError> {
        let path = self.folder.join(FILE);
        // Before it is read: what changes in between is seen next time.
        let now = Fingerprint::of(std::slice::from_ref(&path));
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, book)) = &*read
            && *known == now
        {
            return Ok(Arc::clone(book));
        }
        // Nobody is let in by what was read before.
        *read = None;
        let book = Arc::new(read_file(&path)?);
        *read = Some((now, Arc::clone(&book)));
        Ok(book)
    }

    /// Changes it; durable when this returns.
    pub fn change<T>(&self, change: impl FnOnce(&mut Book) -> Result<T, BookError>) -> Result<T, KeptError> {
        let unusable = |error| KeptError::Unusable { path: self.folder.clone(), error };
        let _locked = lock(&self.folder).map_err(unusable)?;
        let mut book = self.book()?.as_ref().clone();
        let done = change(&mut book)?;
        let text = serde_json::to_vec_pretty(&Written { format: FORMAT, book })
            .map_err(|error| unusable(error.into()))?;
        durable::replace(&self.folder.join(FILE), &text, 0o600).map_err(unusable)?;
        Ok(done)
    }
}

/// Nobody is in a file that is not there.
fn read_file(path: &Path) -> Result<Book, KeptError> {
    let unusable = |error| KeptError::Unusable { path: path.to_owned(), error };
    let wrong = |problem: String| KeptError::Wrong { path: path.to_owned(), problem };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Book::default()),
        Err(error) => return Err(unusable(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unusable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(wrong(format!("it is longer than {MAX_FILE_BYTES} bytes")));
    }
    // Where, and not what: its words could show what is in the file.
    let read: Written = serde_json::from_slice(&bytes).map_err(|error| {
        wrong(format!("it cannot be read (line {}, column {})", error.line(), error.column()))
    })?;
    if read.format != FORMAT {
        return Err(wrong(format!("it has format {}; this program reads {FORMAT}", read.format)));
    }
    Ok(read.book)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tidegate_access::{Role, password};

    use super::*;

    fn add(kept: &Kept, name: &str) -> Result<(), KeptError> {
        let record = password::hash(&"tide and gate and tide".into(), [7; password::SALT_BYTES]).unwrap();
        kept.change(|book| book.add_user(name.parse().unwrap(), Role::Admin, record, 1))
    }

    fn names(kept: &Kept) -> Vec<String> {
        kept.book().unwrap().users().iter().map(|user| user.name.to_string()).collect()
    }

    #[test]
    fn what_another_program_changes_counts_at_once_and_is_not_overwritten() {
        let data = tempfile::tempdir().unwrap();
        let [ours, theirs] = [0, 1].map(|_| Kept::open(data.path()).unwrap());
        add(&ours, "eva").unwrap();
        add(&theirs, "tom").unwrap();
        add(&ours, "kim").unwrap();
        assert_eq!(names(&theirs), ["eva", "tom", "kim"]);
        assert!(matches!(add(&theirs, "kim"), Err(KeptError::Refused(BookError::UserExists(_)))));
        assert_eq!(names(&Kept::open(data.path()).unwrap()), ["eva", "tom", "kim"]);
    }

    #[test]
    fn nobody_else_may_read_it() {
        let data = tempfile::tempdir().unwrap();
        let kept = Kept::open(data.path()).unwrap();
        add(&kept, "eva").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(kept.folder()), mode(&kept.folder().join(FILE))), (0o700, 0o600));
    }

    #[test]
    fn what_cannot_be_read_lets_nobody_in_and_is_not_replaced() {
        let data = tempfile::tempdir().unwrap();
        let kept = Kept::open(data.path()).unwrap();
        add(&kept, "eva").unwrap();
        let file = kept.folder().join(FILE);
        for broken in [
            r#"{"format":1,"book":{"users":[{"name":"$argon2id$secret"#,
            r#"{"format":2,"book":{"users":[],"tokens":[]}}"#,
        ] {
            fs::write(&file, broken).unwrap();
            let error = kept.book().unwrap_err().to_string();
            assert!(error.contains("access.json") && !error.contains("secret"), "{error}");
            assert!(kept.book().is_err(), "not the second time either");
            assert!(add(&kept, "tom").is_err());
            assert_eq!(fs::read_to_string(&file).unwrap(), broken);
        }
        assert!(Kept::open(data.path()).is_err());
    }
}
