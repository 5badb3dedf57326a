//! What a recorded process did to the files below one folder, in order. Paths are relative to it.

use std::{
    io::{Read, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Create {
        path: String,
    },
    /// `through`: the call returned only once these bytes were on the disk (O_DSYNC, O_SYNC).
    Write {
        path: String,
        offset: u64,
        bytes: Vec<u8>,
        through: bool,
    },
    Length {
        path: String,
        len: u64,
    },
    /// All of the file's bytes and its length are on the disk.
    Sync {
        path: String,
    },
    /// The folder's names are on the disk.
    SyncFolder {
        path: String,
    },
    MakeFolder {
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        path: String,
    },
    /// A file was mapped so that it can be written past every recorded call.
    MapWritable {
        path: String,
    },
    /// A call that changes files in a way that is not understood here.
    Unknown {
        call: String,
        path: String,
    },
    /// The process is about to commit its n-th piece of work.
    Begun(u32),
    /// It was told that the n-th is safe.
    Acknowledged(u32),
}

impl Step {
    /// Length, then postcard.
    pub fn write(&self, to: &mut impl Write) -> std::io::Result<()> {
        let bytes = postcard::to_extend(self, Vec::new()).map_err(std::io::Error::other)?;
        to.write_all(&(bytes.len() as u32).to_le_bytes())?;
        to.write_all(&bytes)
    }
}

/// # Panics
/// When the file is no recording: there is nothing to test then.
pub fn read(log: &Path) -> Vec<Step> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(log).and_then(|mut file| file.read_to_end(&mut bytes));
    read.unwrap_or_else(|error| panic!("no recording in {}: {error}", log.display()));
    let (mut rest, mut steps) = (bytes.as_slice(), Vec::new());
    while let Some((len, behind)) = rest.split_first_chunk::<4>() {
        let (step, behind) = behind.split_at(u32::from_le_bytes(*len) as usize);
        steps.push(postcard::from_bytes(step).expect("a recorded step decodes"));
        rest = behind;
    }
    steps
}

/// Lock files say who runs, and nothing that must outlive them.
pub fn is_a_lock(path: &str) -> bool {
    path.ends_with("lock.mdb") || path.ends_with(".lock")
}
