//! A compiler with a bare-metal core library, made of Debian packages, for machines that reach no rustup server.
//!
//! Debian keeps a recent compiler for its browser builds: `rustc-web`, with the library's source in `rust-web-src`.
//! The packages are unpacked below target/tools (nothing is installed), core and alloc are built once per target with
//! cargo's build-std, and the results are laid where that compiler looks for them. The linker is rust-lld of the
//! toolchain that runs xtask. A stamp, written last, makes a second run free and an interrupted one start over.

use super::debian;
use crate::command::{self, capture};
use crate::repository::Repository;
use crate::steps::Step;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler and the library's source; what the compiler needs is found by [`packages`].
const ROOTS: [&str; 2] = ["rustc-web", "rust-web-src"];
/// Of the dependencies only these are not on every machine that can build Rust at all.
const FOLLOWED: [&str; 2] = ["libstd-rust-web", "libllvm"];

/// An unpacked compiler whose core libraries are in place.
pub struct Sysroot {
    usr: PathBuf,
}

impl Sysroot {
    /// Makes a cargo of any origin use this compiler.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("RUSTC", self.usr.join("bin/rustc").into_os_string()),
            ("LD_LIBRARY_PATH", self.usr.join("lib").join(multiarch()).into_os_string()),
        ]
    }

    fn rustlib(&self) -> PathBuf {
        self.usr.join("lib/rustlib")
    }
}

pub fn ensure(repository: &Repository, step: &mut Step, targets: &[&str]) -> Result<Sysroot> {
    let folder = repository.tools().join("bare-metal");
    let sysroot = Sysroot { usr: folder.join("unpacked/usr") };
    if !folder.join("unpacked.done").exists() {
        unpack(step, &folder)?;
        fs::write(folder.join("unpacked.done"), "")?;
    }
    for target in targets {
        let stamp = folder.join(format!("{target}.done"));
        if !stamp.exists() {
            link_the_linker(&sysroot)?;
            build_core(repository, step, &folder, &sysroot, target)?;
            fs::write(stamp, "")?;
        }
    }
    Ok(sysroot)
}

fn unpack(step: &mut Step, folder: &Path) -> Result<()> {
    if !command::is_on_path("apt-get") {
        bail!("this is not Debian: install rustup and run `rustup target add`");
    }
    if debian::is_root() {
        debian::refresh_lists(step)?;
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let archives = folder.join("archives");
    fs::create_dir_all(&archives)?;
    let packages = packages(&depends).context("run `apt-get update` as root and try again")?;
    // Without this option root's download is handed to a user who may not write below a private checkout.
    let mut download = debian::apt_get(&["-o", "APT::Sandbox::User=", "download"]);
    step.run(download.args(&packages).current_dir(&archives))?;
    for archive in fs::read_dir(&archives)? {
        let mut extract = Command::new("dpkg-deb");
        step.run(extract.arg("--extract").arg(archive?.path()).arg(folder.join("unpacked")))?;
    }
    Ok(fs::remove_dir_all(&archives)?)
}

/// The packages to unpack: the roots and, transitively, their dependencies of the followed families. The names carry
/// versions (libllvm22), so they are asked for, not written down.
fn packages(depends: &dyn Fn(&str) -> Result<String>) -> Result<Vec<String>> {
    let mut found: Vec<String> = ROOTS.iter().map(|name| (*name).to_owned()).collect();
    let mut next = 0;
    while let Some(name) = found.get(next) {
        let listing = depends(name)?;
        let names = listing.lines().filter_map(|line| line.trim_start().strip_prefix("Depends: "));
        for name in names.filter(|name| FOLLOWED.iter().any(|family| name.starts_with(family))) {
            if !found.iter().any(|known| known == name) {
                found.push(name.to_owned());
            }
        }
        next += 1;
    }
    Ok(found)
}

fn depends(package: &str) -> Result<String> {
    capture(Command::new("apt-cache").args(["depends", package]))
}

fn link_the_linker(sysroot: &Sysroot) -> Result<()> {
    let host = host()?;
    let own = capture(Command::new("rustc").args(["--print", "sysroot"]))?;
    let linker = Path::new(own.trim()).join("lib/rustlib").join(&host).join("bin/rust-lld");
    if !linker.exists() {
        bail!("{} is missing; a toolchain from rustup has it", linker.display());
    }
    let folder = sysroot.rustlib().join(&host).join("bin");
    fs::create_dir_all(&folder)?;
    let link = folder.join("rust-lld");
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link)?;
    }
    Ok(std::os::unix::fs::symlink(linker, link)?)
}

fn build_core(
    repository: &Repository,
    step: &mut Step,
    folder: &Path,
    sysroot: &Sysroot,
    target: &str,
) -> Result<()> {
    let empty = folder.join("empty-crate");
    fs::create_dir_all(empty.join("src"))?;
    let manifest = "[package]\nname = \"empty\"\nedition = \"2024\"\n[profile.release]\npanic = \"abort\"\n[workspace]\n";
    fs::write(empty.join("Cargo.toml"), manifest)?;
    fs::write(empty.join("src/lib.rs"), "#![no_std]\n")?;
    let mut build = repository.cargo(&["build", "--release", "-Zbuild-std=core,alloc", "--target", target]);
    build.args(["-Zbuild-std-features=compiler-builtins-mem", "--target-dir", "target"]).current_dir(&empty);
    // Bitcode, so that firmware can be linked with full link-time optimisation.
    build.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Cembed-bitcode=yes").envs(sysroot.environment());
    step.run(&mut build)?;
    let built = empty.join("target").join(target).join("release/deps");
    let place = sysroot.rustlib().join(target).join("lib");
    fs::create_dir_all(&place)?;
    let copied = copy_libraries(&built, &place)?;
    if copied != 3 {
        bail!("expected core, alloc and compiler_builtins in {}, found {copied} libraries", built.display());
    }
    Ok(fs::remove_dir_all(&empty)?)
}

fn copy_libraries(from: &Path, to: &Path) -> Result<usize> {
    let mut copied = 0;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let wanted =
            ["libcore-", "liballoc-", "libcompiler_builtins-"].iter().any(|start| name.starts_with(start));
        if wanted && name.ends_with(".rlib") {
            fs::copy(&path, to.join(&name))?;
            copied += 1;
        }
    }
    Ok(copied)
}

/// The triple of this machine, as rustc names it.
fn host() -> Result<String> {
    let version = capture(Command::new("rustc").arg("-vV"))?;
    let line = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("`rustc -vV` names no host")?.to_owned())
}

/// Debian's name for this machine's library folder.
fn multiarch() -> String {
    format!("{}-linux-gnu", std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versioned_packages_are_found_through_their_dependants() {
        let depends = |package: &str| -> Result<String> {
            Ok(match package {
                "rustc-web" => {
                    "rustc-web\n  Depends: libc6\n  Depends: libstd-rust-web-dev\n |Depends: clang\n"
                }
                "libstd-rust-web-dev" => "libstd-rust-web-dev\n  Depends: libstd-rust-web-1.96\n",
                "libstd-rust-web-1.96" => "  Depends: libllvm22\n  Depends: libgcc-s1\n",
                "rust-web-src" | "libllvm22" => "",
                other => bail!("nobody needs {other}"),
            }
            .to_owned())
        };
        let found = packages(&depends).unwrap();
        let expected =
            ["rustc-web", "rust-web-src", "libstd-rust-web-dev", "libstd-rust-web-1.96", "libllvm22"];
        assert_eq!(found, expected);
    }

    #[test]
    fn an_unknown_package_is_an_error() {
        let depends = |package: &str| -> Result<String> { bail!("no package {package}") };
        assert!(packages(&depends).is_err());
    }
}
