//! Files that must be whole: checksums, copies that are synced before they have their name.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::DoctorError;

const CHUNK_BYTES: usize = 1 << 20;

pub fn at(path: &Path) -> impl FnOnce(io::Error) -> DoctorError {
    let path = path.to_owned();
    move |error| DoctorError::File { path, error }
}

/// Size and SHA-256, in hexadecimal.
pub fn digest(path: &Path) -> Result<(u64, String), DoctorError> {
    let mut file = File::open(path).map_err(at(path))?;
    let (mut hash, mut bytes, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK_BYTES]);
    loop {
        let len = file.read(&mut chunk).map_err(at(path))?;
        let Some(read) = chunk.get(..len).filter(|read| !read.is_empty()) else { break };
        hash.update(read);
        bytes += len as u64;
    }
    Ok((bytes, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// A copy under its name only once it is on the disk.
pub fn copy(from: &Path, to: &Path) -> Result<(), DoctorError> {
    let unfinished = to.with_extension("copying");
    fs::copy(from, &unfinished).map_err(at(from))?;
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(at(&unfinished))?;
    fs::rename(&unfinished, to).map_err(at(to))?;
    sync_parent(to)
}

/// Another name for a file that never changes, or a copy where the folders lie on different disks.
pub fn link_or_copy(from: &Path, to: &Path) -> Result<(), DoctorError> {
    if fs::hard_link(from, to).is_ok() {
        return sync_parent(to);
    }
    copy(from, to)
}

/// Writes a small file that is there as a whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), DoctorError> {
    let unfinished = path.with_extension("writing");
    let write = || -> io::Result<()> {
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(at(&unfinished))?;
    fs::rename(&unfinished, path).map_err(at(path))?;
    sync_parent(path)
}

pub fn make_folder(path: &Path) -> Result<(), DoctorError> {
    fs::create_dir_all(path).map_err(at(path))?;
    sync_parent(path)
}

/// A new name lasts only once its folder is synced.
pub fn sync_parent(path: &Path) -> Result<(), DoctorError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// All files below a folder, relative to it, in order; nothing where it is missing.
pub fn below(folder: &Path) -> Result<Vec<PathBuf>, DoctorError> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        let entries = match fs::read_dir(&next) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(at(&next)(error)),
        };
        for entry in entries {
            let path = entry.map_err(at(&next))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(relative) = path.strip_prefix(folder) {
                found.push(relative.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}
