//! Other people's JavaScript that tests compare us with, from npm. Exact versions and their hashes are those of
//! tests/clients/package-lock.json; from which registry they come is npm's own setting.

use crate::repository::Repository;
use crate::steps::Step;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const MANIFEST: &str = "package.json";
const LOCK: &str = "package-lock.json";

/// The folder of modules, made if it is not there or was made for other versions.
pub fn ensure(repository: &Repository, step: &mut Step) -> Result<PathBuf> {
    let wanted = repository.path("tests/clients");
    let folder = repository.tools().join("node");
    let modules = folder.join("node_modules");
    let stamp = folder.join("installed");
    let lock = read(&wanted.join(LOCK))?;
    if modules.exists() && fs::read_to_string(&stamp).is_ok_and(|found| found == lock) {
        step.note("already there");
        return Ok(modules);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for name in [MANIFEST, LOCK] {
        let text = read(&wanted.join(name))?;
        fs::write(folder.join(name), text)
            .with_context(|| format!("cannot write to {}", folder.display()))?;
    }
    let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"];
    step.run(Command::new("npm").args(install).current_dir(&folder))?;
    // Written last: a run that is cut short starts over.
    fs::write(&stamp, lock).with_context(|| format!("cannot write {}", stamp.display()))?;
    step.note("mqtt, mqtt-packet, puppeteer-core");
    Ok(modules)
}

fn read(path: &std::path::Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
