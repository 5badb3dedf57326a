//! Files and folders that outlive a power cut: names count as much as bytes.
//!
//! A file that was synced may still be gone after a power cut, when the folder that names it was not; and a file that is
//! made in several steps may be found half made. So a store's file is made in a folder beside its place
//! ([`UNFINISHED`]), moved there once it is whole, and every folder down to it synced before anything in it is promised.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};

/// Within a store's folder, while its file is being made. What a cut left in it was promised to nobody.
pub const UNFINISHED: &str = "unfinished";

/// A file that is being made.
#[derive(Debug)]
pub struct Draft {
    folder: PathBuf,
    name: &'static str,
}

impl Draft {
    /// Makes `folder` where it is missing, and clears away what a cut left unfinished. None where the file is there already;
    /// an empty one counts as missing.
    pub fn of_missing(folder: &Path, name: &'static str) -> io::Result<Option<Self>> {
        fs::create_dir_all(folder)?;
        let draft = Self { folder: folder.to_owned(), name };
        draft.clear()?;
        match fs::metadata(folder.join(name)) {
            Ok(file) if file.len() > 0 => return Ok(None),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir(draft.place())?;
        Ok(Some(draft))
    }

    /// The folder to make the file in.
    pub fn place(&self) -> PathBuf {
        self.folder.join(UNFINISHED)
    }

    /// The file is whole, and closed: syncs it and moves it to its place.
    pub fn publish(self) -> io::Result<()> {
        let made = self.place().join(self.name);
        File::open(&made)?.sync_all()?;
        fs::rename(&made, self.folder.join(self.name))?;
        sync_folder(&self.folder)?;
        self.clear()
    }

    fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.place()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Puts a whole file in the place of another one, or of none: after a power cut there is the one or the other. It has this mode
/// from its first byte on, and belongs to whom the old one did, or else the folder does: what an administrator's command writes, the
/// daemon must be able to read. A folder where everybody may write belongs to nobody.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or(ErrorKind::InvalidFilename)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new_name = OsString::from(".");
    new_name.push(name);
    new_name.push(".new");
    let new = folder.join(new_name);
    // What a cut left may have another mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    let owner = match fs::metadata(path) {
        Ok(old) => Some(old),
        Err(_) => Some(fs::metadata(folder)?).filter(|folder| folder.mode() & 0o002 == 0),
    };
    let own = file.metadata()?;
    if let Some(owner) = owner.filter(|owner| (owner.uid(), owner.gid()) != (own.uid(), own.gid())) {
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_folder(folder)
}

/// Returns once the names in a folder are on the disk.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Returns once the names in a folder, its own and those of all above it are on the disk; up to where the file system
/// is mounted. Folders above that cannot be opened were made by someone else, before.
pub fn sync_down_to(folder: &Path) -> io::Result<()> {
    let folder = folder.canonicalize()?;
    sync_folder(&folder)?;
    let device = fs::metadata(&folder)?.dev();
    for above in folder.ancestors().skip(1) {
        if fs::metadata(above)?.dev() != device {
            break;
        }
        match sync_folder(above) {
            Err(error) if error.kind() != ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_in_its_place_only_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("a/store");
        let draft = Draft::of_missing(&store, "data").unwrap().expect("nothing is there yet");
        fs::write(draft.place().join("data"), "half").unwrap();
        assert!(!store.join("data").exists());
        // Cut off here, it begins anew.
        let draft = Draft::of_missing(&store, "data").unwrap().expect("nothing is there still");
        assert!(!draft.place().join("data").exists(), "what was half made is gone");
        fs::write(draft.place().join("data"), "whole").unwrap();
        draft.publish().unwrap();
        assert_eq!(fs::read_to_string(store.join("data")).unwrap(), "whole");
        assert_eq!(fs::read_dir(&store).unwrap().count(), 1, "and nothing is left of the making");
        assert!(Draft::of_missing(&store, "data").unwrap().is_none());
        sync_down_to(&store).unwrap();
    }

    #[test]
    fn a_replaced_file_is_whole_and_has_its_mode_whatever_a_cut_left() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (file, left) = (folder.path().join("key"), folder.path().join(".key.new"));
        fs::write(&left, "half, and open to all").unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).unwrap();
        for text in ["one", "two"] {
            replace(&file, text.as_bytes(), 0o600).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(replace(Path::new("/"), b"", 0o600).unwrap_err().kind(), ErrorKind::InvalidFilename);
    }

    /// Where root writes for a daemon. Another user finds its own files its own, and can see no more.
    #[test]
    fn a_replaced_file_belongs_to_whom_the_old_one_did_and_a_new_one_to_whom_the_folder_does() {
        let (folder, other) = (tempfile::tempdir().unwrap(), 12_345);
        let is_root = std::os::unix::fs::chown(folder.path(), Some(other), Some(other)).is_ok();
        let file = folder.path().join("list");
        let owner = |expected: u32| {
            let about = fs::metadata(&file).unwrap();
            let expected = if is_root { expected } else { fs::metadata(folder.path()).unwrap().uid() };
            assert_eq!((about.uid(), about.mode() & 0o777), (expected, 0o600));
        };
        replace(&file, b"new", 0o600).unwrap();
        owner(other);
        if is_root {
            std::os::unix::fs::chown(&file, Some(other + 1), None).unwrap();
        }
        replace(&file, b"another", 0o600).unwrap();
        owner(other + 1);
    }

    #[test]
    fn what_a_cut_left_unfinished_beside_a_whole_file_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("data"), "whole").unwrap();
        fs::create_dir(folder.path().join(UNFINISHED)).unwrap();
        assert!(Draft::of_missing(folder.path(), "data").unwrap().is_none());
        assert!(!folder.path().join(UNFINISHED).exists());
        assert_eq!(fs::read_to_string(folder.path().join("data")).unwrap(), "whole");
    }
}
