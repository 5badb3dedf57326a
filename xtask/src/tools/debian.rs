//! Programs that the tests run and that Debian packages. A program found on PATH is taken as it is, wherever it came
//! from; only what is missing is installed, and only by root.

use crate::command::{self, capture, is_on_path};
use crate::steps::Step;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

struct Needed {
    package: &'static str,
    what_for: &'static str,
    is_present: fn() -> bool,
}

const NEEDED: &[Needed] = &[
    Needed {
        package: "build-essential",
        what_for: "the C parts of LMDB, zstd and ring",
        is_present: || is_on_path("cc") && is_on_path("c++"),
    },
    Needed {
        package: "chromium",
        what_for: "the page in a browser, under its policy",
        is_present: || is_on_path("chromium"),
    },
    Needed {
        package: "faketime",
        what_for: "a gateway whose clock is wrong",
        is_present: || is_on_path("faketime"),
    },
    Needed {
        package: "mosquitto",
        what_for: "a broker of someone else's, with our identities",
        // Beyond the PATH of most users.
        is_present: || is_on_path("mosquitto") || Path::new("/usr/sbin/mosquitto").exists(),
    },
    Needed {
        package: "mosquitto-clients",
        what_for: "MQTT clients of someone else's, against our broker",
        is_present: || is_on_path("mosquitto_sub") && is_on_path("mosquitto_pub"),
    },
    Needed {
        package: "nodejs",
        what_for: "an MQTT client and codec of someone else's, against ours",
        is_present: || is_on_path("node"),
    },
    Needed { package: "npm", what_for: "fetching those", is_present: || is_on_path("npm") },
    Needed {
        package: "qemu-system-arm",
        what_for: "the board image against a real agent",
        is_present: || is_on_path("qemu-system-arm"),
    },
    Needed {
        package: "systemd",
        what_for: "systemd-analyze, which judges our units; nothing is started",
        is_present: || is_on_path("systemd-analyze"),
    },
    Needed {
        package: "python3-venv",
        what_for: "DuckDB, MQTT clients, aiosmtpd and standardwebhooks in a place of their own",
        is_present: || capture(Command::new("python3").args(["-c", "import venv, ensurepip"])).is_ok(),
    },
];

/// Installs what is missing if this is root on Debian; otherwise says what to type, and fails.
pub fn ensure(step: &mut Step) -> Result<()> {
    let missing: Vec<&Needed> = NEEDED.iter().filter(|needed| !(needed.is_present)()).collect();
    if missing.is_empty() {
        step.note("all present");
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|needed| needed.package).collect();
    if !is_on_path("apt-get") || !is_root() {
        bail!("{}", request(&missing));
    }
    refresh_lists(step)?;
    step.run(apt_get(&["install", "--yes", "--no-install-recommends"]).args(&packages))?;
    step.note(format!("installed {}", packages.join(", ")));
    if let Some(still) = missing.iter().find(|needed| !(needed.is_present)()) {
        bail!("{} is installed, but what it should bring is not on PATH", still.package);
    }
    Ok(())
}

fn request(missing: &[&Needed]) -> String {
    let packages: Vec<&str> = missing.iter().map(|needed| needed.package).collect();
    let reasons: Vec<String> =
        missing.iter().map(|needed| format!("  {}: {}", needed.package, needed.what_for)).collect();
    format!(
        "some programs are missing. On Debian or Ubuntu, type this line and try again:\n\n  \
         sudo apt-get install --no-install-recommends {}\n\n{}",
        packages.join(" "),
        reasons.join("\n")
    )
}

/// Package lists may be years old in a container image, and old lists name versions that are gone.
pub fn refresh_lists(step: &mut Step) -> Result<()> {
    step.run(&mut apt_get(&["update"]))
}

pub fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.arg("--quiet").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

pub fn is_root() -> bool {
    command::capture(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_one_line_to_type_with_a_reason_for_each_package() {
        let missing: Vec<&Needed> = NEEDED
            .iter()
            .filter(|needed| ["mosquitto-clients", "qemu-system-arm"].contains(&needed.package))
            .collect();
        let text = request(&missing);
        let line = "  sudo apt-get install --no-install-recommends mosquitto-clients qemu-system-arm";
        assert!(text.lines().any(|found| found == line), "{text}");
        assert!(text.contains("qemu-system-arm: the board image"), "{text}");
    }
}
