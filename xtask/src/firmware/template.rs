//! `firmware/template`, as it is built by one who copied it out of this repository. It takes the library by git, which no test can reach:
//! cargo is told to take this repository's folders in place of that, which it does only where the lock file names them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::elf;
use crate::repository::Repository;
use crate::steps::Step;
use crate::tools::bare_metal::{self, SMALLEST, Toolchain};

/// Relative to the repository.
pub const FOLDER: &str = "firmware/template";
const PROGRAM: &str = "tidegate-template";
const MANIFEST: &str = "Cargo.toml";
const LOCK: &str = "Cargo.lock";
/// What stands in its manifest as the library's address.
const ADDRESS: &str = env!("CARGO_PKG_REPOSITORY");
const CRATES: [(&str, &str); 3] = [
    ("tidegate-drivers", "firmware/drivers"),
    ("tidegate-firmware", "firmware"),
    ("tidegate-protocol", "protocol"),
];

pub fn build(repository: &Repository, step: &mut Step, toolchain: &Toolchain) -> Result<()> {
    let copy = repository.path("target/firmware/template");
    self::copy(repository, &copy)?;
    lock(repository, step, &repository.path(FOLDER), &copy)?;
    for features in [&[][..], &["--features", "defmt"]] {
        let mut build = toolchain.cargo(repository, SMALLEST, &["build", "--release", "--locked"]);
        for (name, folder) in CRATES {
            let folder = repository.path(folder);
            build.arg("--config").arg(format!("patch.{ADDRESS:?}.{name}.path={folder:?}"));
        }
        step.run_without_warnings(build.args(features).current_dir(&copy))?;
        let built = bare_metal::build_folder(repository).join(SMALLEST).join("release").join(PROGRAM);
        let image = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
        let size = elf::size(&image).with_context(|| format!("{PROGRAM} is not as expected"))?;
        let what = if features.is_empty() { "" } else { "with defmt " };
        step.note(format!("{what}flash {} B, RAM {} B", size.flash_bytes, size.ram_bytes));
    }
    Ok(())
}

/// Copies it to where nothing else is then.
pub fn copy(repository: &Repository, place: &Path) -> Result<()> {
    if place.exists() {
        fs::remove_dir_all(place)?;
    }
    copy_folder(&repository.path(FOLDER), place)
}

/// Has cargo bring the lock file up to date with the library as it is here, in the template as well.
fn lock(repository: &Repository, step: &mut Step, template: &Path, copy: &Path) -> Result<()> {
    let manifest = fs::read_to_string(copy.join(MANIFEST))?;
    fs::write(copy.join(MANIFEST), by_path(&manifest, |folder| repository.path(folder))?)?;
    step.run(repository.cargo(&["fetch", "--target", SMALLEST]).current_dir(copy))?;
    fs::write(copy.join(MANIFEST), manifest)?;
    let locked = fs::read(copy.join(LOCK))?;
    if fs::read(template.join(LOCK)).ok().as_ref() != Some(&locked) {
        fs::write(template.join(LOCK), locked)?;
        step.note(format!("{FOLDER}/{LOCK} was out of date"));
    }
    Ok(())
}

/// The manifest with the library's crates by path.
pub fn by_path<P: AsRef<Path>>(manifest: &str, locate: impl Fn(&'static str) -> P) -> Result<String> {
    let mut text = manifest.to_owned();
    for (name, folder) in CRATES {
        let by_git = format!("{name} = {{ git = {ADDRESS:?}");
        if !text.contains(&by_git) {
            bail!("{FOLDER}/{MANIFEST} does not say `{by_git}`");
        }
        text = text.replace(&by_git, &format!("{name} = {{ path = {:?}", locate(folder).as_ref()));
    }
    Ok(text)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("{} is missing", from.display()))? {
        let entry = entry?;
        let (source, place) = (entry.path(), to.join(entry.file_name()));
        if !entry.file_type()?.is_dir() {
            fs::copy(source, place)?;
        } else if entry.file_name() != "target" {
            copy_folder(&source, &place)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_names_its_place_in_this_repository_is_refused() {
        let by_git =
            CRATES.map(|(name, _)| format!("{name} = {{ git = {ADDRESS:?}, features = [] }}\n")).concat();
        let by_paths = by_path(&by_git, |folder| Path::new("/here").join(folder)).unwrap();
        assert!(by_paths.contains("tidegate-drivers = { path = \"/here/firmware/drivers\", features = [] }"));
        assert!(!by_paths.contains("git"), "{by_paths}");
        let error = by_path(&by_paths, Path::new).unwrap_err().to_string();
        assert!(error.starts_with("firmware/template/Cargo.toml does not say `tidegate-drivers"), "{error}");
    }
}
