//! Keeps one state's pages from being written over while another process reads them from the file.

use std::path::Path;

use heed::{Env, EnvFlags, EnvOpenOptions, RoTxn};

pub struct Pin {
    env: Env,
}

/// The state is kept until this is dropped.
pub struct Held<'p> {
    _txn: RoTxn<'p, heed::WithTls>,
}

impl Pin {
    /// `map_bytes`: no less than the file has, whatever the file says of its map.
    pub fn open(folder: &Path, map_bytes: usize) -> Result<Self, String> {
        let mut options = EnvOpenOptions::new();
        options.map_size(map_bytes);
        // SAFETY: the map is read only and nothing is read through it but LMDB's metas, which were found whole; LMDB's
        // lock file keeps what this reader sees from reuse.
        #[allow(unsafe_code)]
        let env = unsafe { options.flags(EnvFlags::READ_ONLY).open(folder) };
        env.map(|env| Self { env }).map_err(|error| error.to_string())
    }

    pub fn hold(&self) -> Result<Held<'_>, String> {
        self.env.read_txn().map(|txn| Held { _txn: txn }).map_err(|error| error.to_string())
    }
}
