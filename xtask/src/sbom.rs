//! `cargo xtask sbom`: what each program and each board's image is made of, in CycloneDX, into target/sbom.
//!
//! `cargo-cyclonedx` knows how to say it. What it says is held against `cargo tree` here: a bill that leaves something out is worse than
//! none, for it is believed.

use crate::command;
use crate::firmware::boards::{self, Boards};
use crate::repository::Repository;
use crate::steps::{Step, Steps};
use crate::tools::crates;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = "target/sbom";
const SPEC_VERSION: &str = "1.5";
/// cargo-cyclonedx writes beside each manifest, one file for each program.
const WRITTEN_AS: &str = "_bin.cdx.json";

#[derive(clap::Args)]
pub struct Options {
    /// What the programs are built for, if not for this machine: what is in them depends on it
    #[arg(long)]
    target: Option<String>,
}

pub fn run(repository: &Repository, options: &Options) -> Result<()> {
    let mut steps = Steps::new(repository)?;
    steps.run("bill of materials", |step| write(repository, step, options.target.as_deref()));
    steps.finish()?;
    println!("\nWritten to {FOLDER}.");
    Ok(())
}

/// Of the workspace's programs for `target` (of this machine, if none), and of every board's image.
pub fn write(repository: &Repository, step: &mut Step, target: Option<&str>) -> Result<()> {
    let program = crates::ensure(repository, step, &crates::CARGO_CYCLONEDX)?;
    let folder = repository.path(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let host = command::host()?;
    let mut parts = vec![(repository.root().to_owned(), target.unwrap_or(&host).to_owned())];
    for (name, board) in Boards::read(repository)?.iter() {
        parts.push((repository.path(boards::FOLDER).join(name), board.target.clone()));
    }
    let (mut bills, mut components) = (0, 0);
    for (workspace, target) in parts {
        let mut command = Command::new(&program);
        command.args(["cyclonedx", "--quiet", "--format", "json", "--describe", "binaries", "--target"]);
        command.arg(&target).args(["--spec-version", SPEC_VERSION, "--manifest-path"]);
        command.arg(workspace.join("Cargo.toml")).envs(date_of_the_commit(repository));
        let ran = step.run(command.current_dir(repository.root()));
        // Whatever it wrote is taken out of the checkout before anything can fail.
        let written = taken(repository, &workspace)?;
        ran?;
        for Found { package, name, text } in written {
            let bill = Bill::parse(&text).with_context(|| format!("the bill of {name} is wrong"))?;
            let linked = in_the_program(repository, &package, &target)?;
            let left_out: Vec<_> = linked.difference(&bill.0).cloned().collect();
            if !left_out.is_empty() {
                bail!("the bill of {name} leaves out {}", left_out.join(", "));
            }
            let path = folder.join(format!("{name}.cdx.json"));
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            (bills, components) = (bills + 1, components + bill.0.len());
        }
    }
    if bills == 0 {
        bail!("cargo-cyclonedx found no program");
    }
    step.note(format!("{bills} bills, {components} components"));
    Ok(())
}

/// The same checkout makes the same bills.
fn date_of_the_commit(repository: &Repository) -> Option<(&'static str, String)> {
    let mut log = Command::new("git");
    log.args(["log", "-1", "--format=%ct"]).current_dir(repository.root());
    command::capture(&mut log).ok().map(|seconds| ("SOURCE_DATE_EPOCH", seconds.trim().to_owned()))
}

/// A program's bill as it was found.
struct Found {
    /// Where its package is.
    package: PathBuf,
    name: String,
    text: String,
}

/// Takes the bills away from beside the manifests, and returns those of what is published, without this machine's paths.
fn taken(repository: &Repository, workspace: &Path) -> Result<Vec<Found>> {
    let here = format!("file://{}", repository.root().display());
    let mut found = Vec::new();
    for (package, published) in packages(repository, workspace)? {
        let entries = fs::read_dir(&package).with_context(|| format!("cannot list {}", package.display()))?;
        for entry in entries {
            let path = entry?.path();
            let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let Some(name) = file.strip_suffix(WRITTEN_AS) else { continue };
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            if published {
                let text = text.replace(&here, "file://");
                found.push(Found { package: package.clone(), name: name.to_owned(), text });
            }
        }
    }
    Ok(found)
}

/// The folders of a workspace's packages; tests and tools are no default members, and not published.
fn packages(repository: &Repository, workspace: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let mut metadata = repository.cargo(&["metadata", "--no-deps", "--format-version=1", "--manifest-path"]);
    let metadata = command::capture(metadata.arg(workspace.join("Cargo.toml")))?;
    let metadata: Metadata = serde_json::from_str(&metadata).context("cargo metadata is not as expected")?;
    let folder = |package: &Package| package.manifest_path.parent().map(Path::to_owned);
    let published = |package: &Package| metadata.workspace_default_members.contains(&package.id);
    Ok(metadata.packages.iter().filter_map(|package| Some((folder(package)?, published(package)))).collect())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_default_members: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    manifest_path: PathBuf,
}

/// What of a package's dependencies ends up in its program: each with its version. What only builds it runs on another machine, and is
/// in a bill (as `excluded`) as far as cargo-cyclonedx finds it.
fn in_the_program(repository: &Repository, package: &Path, target: &str) -> Result<BTreeSet<String>> {
    let mut tree = repository.cargo(&["tree", "--locked", "--edges=normal,no-proc-macro", "--prefix=none"]);
    tree.args(["--format={p}", "--target", target, "--manifest-path"]).arg(package.join("Cargo.toml"));
    Ok(in_the_tree(&command::capture(&mut tree)?))
}

/// "tidegate-agent v0.1.0 (/home/…)", then a line for each that it is made of, some more than once.
fn in_the_tree(tree: &str) -> BTreeSet<String> {
    let named = |line: &str| {
        let (name, version) = line.split_once(" v")?;
        Some(format!("{name} {}", version.split(' ').next()?))
    };
    tree.lines().skip(1).filter_map(named).collect()
}

/// What a bill lists.
#[derive(Debug)]
struct Bill(BTreeSet<String>);

impl Bill {
    /// Reads a bill as whoever gets it will; one that cannot be used to look for vulnerabilities and licences is an error.
    fn parse(text: &str) -> Result<Self> {
        let bill: Document = serde_json::from_str(text).context("it is no CycloneDX")?;
        if (bill.bom_format.as_str(), bill.spec_version.as_str()) != ("CycloneDX", SPEC_VERSION) {
            bail!("it is {} {}", bill.bom_format, bill.spec_version);
        }
        let mut listed = BTreeSet::new();
        for component in bill.components {
            let Component { bom_ref, name, version, purl, licenses, hashes } = component;
            if !purl.starts_with(&format!("pkg:cargo/{name}@{version}")) {
                bail!("{name} {version} goes by another name: {purl}");
            }
            if licenses.is_empty() {
                bail!("{name} {version} has no licence");
            }
            // What is of this repository is named by the commit.
            if bom_ref.starts_with("registry+") && !hashes.iter().any(|hash| hash.alg == "SHA-256") {
                bail!("{name} {version} has no checksum");
            }
            listed.insert(format!("{name} {version}"));
        }
        Ok(Self(listed))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    bom_format: String,
    spec_version: String,
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    name: String,
    version: String,
    purl: String,
    #[serde(default)]
    licenses: Vec<IgnoredAny>,
    #[serde(default)]
    hashes: Vec<Hash>,
}

#[derive(Deserialize)]
struct Hash {
    alg: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn bill() -> Value {
        let component = json!({
            "bom-ref": "registry+https://example.org#cobs@0.5.1",
            "name": "cobs",
            "version": "0.5.1",
            "purl": "pkg:cargo/cobs@0.5.1",
            "licenses": [{ "expression": "MIT OR Apache-2.0" }],
            "hashes": [{ "alg": "SHA-256", "content": "00" }],
        });
        json!({ "bomFormat": "CycloneDX", "specVersion": SPEC_VERSION, "components": [component] })
    }

    #[test]
    fn a_bill_is_held_against_what_is_linked() {
        let tree = "board v0.1.0 (/somewhere/board)\ncobs v0.5.1\nserde_derive v1.0.229 (proc-macro)\ncobs v0.5.1 (*)\n";
        let linked = in_the_tree(tree);
        assert_eq!(linked, BTreeSet::from(["cobs 0.5.1".to_owned(), "serde_derive 1.0.229".to_owned()]));
        let listed = Bill::parse(&bill().to_string()).unwrap().0;
        assert_eq!(linked.difference(&listed).collect::<Vec<_>>(), ["serde_derive 1.0.229"]);
    }

    #[test]
    fn a_bill_of_no_use_is_refused() {
        let refused = |pointer: &str, value: Value| {
            let mut bill = bill();
            *bill.pointer_mut(pointer).unwrap() = value;
            format!("{:#}", Bill::parse(&bill.to_string()).unwrap_err())
        };
        assert_eq!(refused("/components/0/licenses", json!([])), "cobs 0.5.1 has no licence");
        assert_eq!(refused("/components/0/hashes", json!([])), "cobs 0.5.1 has no checksum");
        assert_eq!(refused("/specVersion", json!("1.3")), "it is CycloneDX 1.3");
        let renamed = refused("/components/0/purl", json!("pkg:cargo/cobs@0.5.0"));
        assert_eq!(renamed, "cobs 0.5.1 goes by another name: pkg:cargo/cobs@0.5.0");
        assert!(refused("/components", json!(7)).starts_with("it is no CycloneDX"));
    }
}
