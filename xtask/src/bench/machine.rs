//! What a measurement was taken on. A figure without this says little.

use crate::command::{capture, today};
use crate::repository::Repository;
use anyhow::Result;
use std::fs;
use std::process::Command;

pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    pub compiler: String,
    /// The commit measured, with a mark if files differ from it.
    pub commit: String,
    pub date: String,
}

impl Machine {
    pub fn describe(repository: &Repository) -> Result<Self> {
        let git =
            |arguments: &[&str]| capture(Command::new("git").args(arguments).current_dir(repository.root()));
        let commit = git(&["rev-parse", "--short", "HEAD"])?.trim().to_owned();
        let is_changed = !git(&["status", "--porcelain", "--", ":!docs"])?.is_empty();
        Ok(Self {
            processor: field(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default(), "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: memory_gib(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
            kernel: kernel(&capture(Command::new("uname").arg("-sr"))?),
            compiler: capture(Command::new("rustc").arg("--version"))?.trim().to_owned(),
            commit: if is_changed { format!("{commit} with changes") } else { commit },
            date: today().to_string(),
        })
    }
}

/// The value of the first `name : value` line.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
}

/// `Linux 6.1.0`: what follows the version names a distribution's or a machine's build.
fn kernel(uname: &str) -> String {
    uname.trim().split('-').next().unwrap_or_default().to_owned()
}

fn memory_gib(meminfo: &str) -> f64 {
    let kib = field(meminfo, "MemTotal").and_then(|value| value.split(' ').next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / (1024.0 * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\nmodel name\t: Other\n";
        assert_eq!(field(cpuinfo, "model name").as_deref(), Some("Some CPU @ 2.0GHz"));
        assert_eq!(field(cpuinfo, "flags"), None);
    }

    #[test]
    fn a_kernel_is_named_by_its_version() {
        assert_eq!(kernel("Linux 6.1.0-18-amd64\n"), "Linux 6.1.0");
    }

    #[test]
    fn memory_is_in_gib() {
        assert!((memory_gib("MemTotal:       25165824 kB\nMemFree: 1 kB\n") - 24.0).abs() < 1e-9);
    }
}
