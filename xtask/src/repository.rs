//! Where things are in this checkout.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A checkout of this repository.
pub struct Repository {
    root: PathBuf,
}

impl Repository {
    /// The checkout that this program was built from.
    pub fn locate() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().context("xtask's manifest has no parent folder")?;
        Ok(Self { root: root.to_path_buf() })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// Everything that xtask fetches or builds for its own use. Safe to delete at any time.
    pub fn tools(&self) -> PathBuf {
        self.path("target/tools")
    }

    /// The full output of each step of the last run.
    pub fn logs(&self) -> PathBuf {
        self.path("target/xtask")
    }

    /// Where cargo leaves the workspace's programs.
    pub fn programs(&self, profile: &str) -> PathBuf {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.path("target"), |dir| self.path(dir));
        target.join(profile)
    }

    /// A cargo command in the root of the checkout.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = crate::command::cargo();
        command.args(arguments).current_dir(&self.root);
        command
    }
}
