//! Tests that mount something: each is run again in a mount namespace of its own, so that nothing outlives it and
//! nobody else sees it.

use std::{path::Path, process::Command};

/// Set in the process that may mount.
const INSIDE: &str = "TIDEGATE_TEST_IN_NAMESPACE";

/// Runs a test of the calling program again where it may mount, as root of a user namespace if need be; false inside.
pub fn outside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return false;
    }
    let own = std::env::current_exe().expect("this test's program");
    let run = |flags: &str| {
        let mut command = Command::new("unshare");
        command.args([flags, "--"]).arg(&own).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
        command.output().expect("unshare, of util-linux, is needed for this test")
    };
    let mut ended = run("-m");
    if !ended.status.success() && !String::from_utf8_lossy(&ended.stdout).contains("running 1 test") {
        ended = run("-Urm");
    }
    let told =
        format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{told}");
    assert!(told.contains("1 passed"), "it did not run: {told}");
    true
}

/// A disk of so many bytes at `folder`.
pub fn mount_small_disk(folder: &Path, bytes: u64) {
    let size = format!("size={bytes}");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).status();
    assert!(mounted.expect("mount is needed for this test").success());
}
