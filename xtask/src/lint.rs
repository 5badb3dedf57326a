//! What can be said about the code without running it: formatting, clippy, rustdoc, an up-to-date lock file.

use crate::firmware::{boards, template};
use crate::repository::Repository;
use crate::steps::Steps;
use anyhow::Result;
use std::path::PathBuf;

/// Crates that are workspaces of their own: cargo looks at them only when told.
pub fn outside_the_workspace(repository: &Repository) -> Result<Vec<PathBuf>> {
    let folders = ["fuzz", "firmware/meter", template::FOLDER];
    let mut manifests: Vec<PathBuf> =
        folders.iter().map(|folder| repository.path(folder).join("Cargo.toml")).collect();
    for entry in std::fs::read_dir(repository.path(boards::FOLDER))? {
        manifests.push(entry?.path().join("Cargo.toml"));
    }
    manifests.retain(|manifest| manifest.exists());
    manifests.sort();
    Ok(manifests)
}

pub fn run(repository: &Repository, steps: &mut Steps) {
    steps.run("formatting", |step| {
        let mut result = step.run(&mut repository.cargo(&["fmt", "--all", "--check"]));
        for manifest in outside_the_workspace(repository)? {
            let mut outside = repository.cargo(&["fmt", "--check", "--manifest-path"]);
            result = result.and(step.run(outside.arg(manifest)));
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
