//! The command line of the doctor: arguments, progress, and what was done in words.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
};

use clap::Args;

use super::{DoctorError, backup::backup, restore::Restore};
use crate::Config;

#[derive(Args)]
pub struct BackupArguments {
    /// Where to: a folder that does not exist yet, best on another disk.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

#[derive(Args)]
pub struct RestoreArguments {
    /// The backup's folder.
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// Move a store that is there aside (it is never deleted).
    #[arg(long)]
    pub replace: bool,
    /// Announce this as the ledger's number, instead of the time in seconds since 1970. Only needed when a restore was
    /// made with a clock that was ahead, and its store is gone: it must be higher than any number announced before.
    #[arg(long, value_name = "N")]
    pub ledger: Option<u32>,
}

pub fn run_backup(config: &Config, arguments: &BackupArguments) -> Result<(), DoctorError> {
    let manifest = backup(&config.data_dir, &config.lake_folder, &arguments.to, &mut show_progress())?;
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    println!(
        "{}: all below position {}, {} lake files, {bytes} bytes",
        arguments.to.display(),
        manifest.position,
        manifest.files.len().saturating_sub(1)
    );
    Ok(())
}

pub fn run_restore(config: &Config, arguments: RestoreArguments) -> Result<(), DoctorError> {
    let RestoreArguments { from, replace, ledger } = arguments;
    let restored = Restore {
        from,
        data_dir: config.data_dir.clone(),
        lake_folder: config.lake_folder.clone(),
        map_size_bytes: config.journal.map_size_bytes,
        replace,
        ledger,
    }
    .run(&mut show_progress())?;
    println!("restored: all below position {}", restored.position);
    if let Some(folder) = restored.old_store {
        println!("the store that was there is in {}", folder.display());
    }
    if let Some((count, folder)) = restored.unregistered {
        println!("{count} lake files that the backup does not have are in {}", folder.display());
    }
    println!(
        "the ledger's number is now {}: agents will hear of it and declare what it forgot",
        restored.ledger
    );
    if restored.old_count_unknown {
        println!(
            "warning: the old store could not be read. If it was restored while the clock was ahead, restore again with \
             --ledger above {} and above any number that was printed here before",
            restored.ledger
        );
    }
    Ok(())
}

/// One line, overwritten as it goes, where somebody watches.
pub(super) fn show_progress() -> impl FnMut(&str, u64, u64) {
    let watched = std::io::stderr().is_terminal();
    move |what, done, total| {
        if watched {
            let line = if total > 0 { format!("{what}: {done} of {total}") } else { format!("{what} …") };
            // Who cannot be told is not told.
            let _unseen = write!(std::io::stderr(), "\r\x1b[K{line}\r");
        }
    }
}
