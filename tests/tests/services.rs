//! The units in deploy/systemd, as systemd itself judges them.

use std::{fs, process::Command};

use tidegate_tests::programs::workspace;

/// Tenths of systemd's exposure level, where 100 is the worst; what talks to a network can hardly get below 10.
const MOST_EXPOSED: &str = "20";

#[test]
fn every_unit_locks_its_service_in() {
    let folder = fs::read_dir(workspace().join("deploy/systemd")).expect("units").flatten();
    let units = folder.map(|entry| entry.path());
    let units: Vec<_> =
        units.filter(|path| path.extension().is_some_and(|ending| ending == "service")).collect();
    assert_eq!(units.len(), 4, "{units:?}");
    for unit in units {
        let mut judge = Command::new("systemd-analyze");
        judge.args(["security", "--offline=yes", "--no-pager"]).arg(format!("--threshold={MOST_EXPOSED}"));
        let judged = judge.arg(&unit).output();
        let judged = judged.expect("`cargo xtask test` installs it (apt systemd)");
        let said = [judged.stdout, judged.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(judged.status.success(), "{}: {said}", unit.display());
        // What it does not understand it passes over, and says so.
        assert!(!said.contains("ignoring") && !said.contains("Unknown"), "{}: {said}", unit.display());
    }
}
