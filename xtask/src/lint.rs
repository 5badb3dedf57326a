//! What can be said about the code without running it: formatting, clippy, rustdoc, an up-to-date lock file.

use crate::repository::Repository;
use crate::steps::Steps;

/// Crates that are workspaces of their own: cargo looks at them only when told.
const OUTSIDE_THE_WORKSPACE: &[&str] = &["fuzz/Cargo.toml", "firmware/boards/microbit/Cargo.toml"];

pub fn run(repository: &Repository, steps: &mut Steps) {
    steps.run("formatting", |step| {
        let mut result = step.run(&mut repository.cargo(&["fmt", "--all", "--check"]));
        for manifest in OUTSIDE_THE_WORKSPACE.iter().filter(|manifest| repository.path(manifest).exists()) {
            let outside = step.run(&mut repository.cargo(&["fmt", "--check", "--manifest-path", manifest]));
            result = result.and(outside);
        }
        result
    });
    steps.run("lock file", |step| {
        step.run(&mut repository.cargo(&["metadata", "--locked", "--quiet", "--format-version=1"]))
    });
    // The flag goes to clippy alone: in RUSTFLAGS it would rebuild every dependency.
    steps.run("clippy", |step| {
        step.run(&mut repository.cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--keep-going",
            "--",
            "-D",
            "warnings",
        ]))
    });
    steps.run("rustdoc", |step| {
        let mut doc = repository.cargo(&["doc", "--workspace", "--lib", "--no-deps", "--keep-going"]);
        step.run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    });
}
