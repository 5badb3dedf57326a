//! The built programs.
//!
//! They lie beside the test's own executable (`target/<profile>/`). The first use in a process asks cargo to build
//! them, which does nothing when they are up to date.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

const PACKAGES: [&str; 5] =
    ["tidegate-agent", "tidegate-broker", "tidegate-ingest", "tidegate-simulator", "tidegate-cli"];

/// Where `name` is, up to date.
///
/// # Panics
/// When it cannot be built: no test can go on then.
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build).join(name)
}

/// The workspace's root, two levels above this crate's sources.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace").to_owned()
}

fn build() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    // target/<profile>/deps/<test>, or target/<profile>/<program> for a bench
    let folder = test.ancestors().skip(1).find(|folder| !folder.ends_with("deps")).expect("a target folder");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace()).args(["build", "--quiet", "--bins"]);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    for package in PACKAGES {
        cargo.args(["--package", package]);
    }
    let built = cargo.stdin(Stdio::null()).status().expect("cargo starts");
    assert!(built.success(), "the programs under test do not build; see cargo's messages above");
    folder.to_owned()
}
