//! What a write error means.

use std::{io, path::Path};

use crate::core::CommitFailure;

/// LMDB reports a write that the disk took in part as an input/output error; it is a full disk when this little is free
/// beside what was to be written.
const SLACK_BYTES: u64 = 1024 * 1024;

/// A full disk is survived. After any other error nobody knows what the disk kept; the kernel may have thrown away pages
/// that it could not write, and would say so only once.
pub fn failure(error: &io::Error, folder: &Path, written_bytes: u64) -> CommitFailure {
    use io::ErrorKind::{FileTooLarge, OutOfMemory, QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => CommitFailure::Full,
        OutOfMemory => CommitFailure::Failed,
        _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
            && free_bytes(folder).is_some_and(|free| free < written_bytes + SLACK_BYTES) =>
        {
            CommitFailure::Full
        }
        _ => CommitFailure::Poisoned,
    }
}

/// What this user may still write to the disk of a folder.
fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_broken_one() {
        let folder = Path::new("/");
        let failure = |errno: rustix::io::Errno, bytes| failure(&errno.into(), folder, bytes);
        assert_eq!(failure(rustix::io::Errno::NOSPC, 0), CommitFailure::Full);
        assert_eq!(failure(rustix::io::Errno::DQUOT, 0), CommitFailure::Full);
        assert_eq!(failure(rustix::io::Errno::NOMEM, 0), CommitFailure::Failed);
        assert_eq!(failure(rustix::io::Errno::ROFS, 0), CommitFailure::Poisoned);
        // A short write of more than the disk can take, and an error where there is room.
        assert_eq!(failure(rustix::io::Errno::IO, u64::MAX / 2), CommitFailure::Full);
        assert_eq!(failure(rustix::io::Errno::IO, 0), CommitFailure::Poisoned);
    }
}
