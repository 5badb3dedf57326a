//! The built programs.
//!
//! They lie beside the test's own executable (`target/<profile>/`). The first use of one in a process asks cargo to
//! build it, which does nothing when it is up to date. `TIDEGATE_TEST_PROGRAMS` names a folder of programs to be tested
//! as they are, such as an installed release.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

/// Program and package.
const PROGRAMS: [(&str, &str); 5] = [
    ("tidegate-agent", "tidegate-agent"),
    ("tidegate-broker", "tidegate-broker"),
    ("tidegate-ingest", "tidegate-ingest"),
    ("tidegate-sim", "tidegate-simulator"),
    ("tidegate", "tidegate-cli"),
];

/// Where `name` is, up to date.
///
/// # Panics
/// When it cannot be built: no test can go on then.
pub fn program(name: &str) -> PathBuf {
    if let Some(given) = std::env::var_os("TIDEGATE_TEST_PROGRAMS") {
        return PathBuf::from(given).join(name);
    }
    static BUILT: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let folder = folder();
    // Whoever panicked while building has said why; the next one tries and says it again.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    if !built.contains(name) {
        build(name, &folder);
        built.insert(name.to_owned());
    }
    folder.join(name)
}

/// The workspace's root, two levels above this crate's sources.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace").to_owned()
}

/// `target/<profile>`: the test lies in its `deps`, a bench in itself.
fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    let folder = test.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    folder.expect("a target folder").to_owned()
}

fn build(name: &str, folder: &Path) {
    let package = PROGRAMS.iter().find(|(program, _)| *program == name).map(|(_, package)| *package);
    let package = package.unwrap_or_else(|| panic!("no package makes {name}"));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace()).args(["build", "--quiet", "--package", package, "--bin", name]);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.stdin(Stdio::null()).status().expect("cargo starts");
    assert!(built.success(), "{name} does not build; see cargo's messages above");
}
