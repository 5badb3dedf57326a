//! Configuration files of all programs, with variables of their environment laid over them.

use std::{ffi::OsString, path::Path};

use serde::de::DeserializeOwned;
use tidegate_service::{SettingsError, settings::parse_with_env};

/// In no folder that there is: what a file names by a relative path is not there.
const FILE: &str = "/nowhere/tidegate.toml";
/// What reads on for ever, or waits; a text that could name them in another way is left out too.
const NO_FILES: [&str; 6] = ["/dev", "/proc", "/sys", "/run", "\\", ".."];

/// A file's text, and behind lines of three dashes the variables, NAME=VALUE each without the program's prefix.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if NO_FILES.iter().any(|file| text.contains(file)) {
        return;
    }
    let (file, variables) = text.split_once("\n---\n").unwrap_or((text, ""));
    let variables: Vec<_> = variables.lines().filter_map(|line| line.split_once('=')).collect();
    use tidegate_agent as agent;
    use tidegate_broker as broker;
    use tidegate_ingest as ingest;
    read(file, &variables, agent::config::ENVIRONMENT_PREFIX, |settings| {
        agent::Config::validate(Path::new(FILE), settings).map(drop)
    });
    read(file, &variables, broker::config::ENVIRONMENT_PREFIX, |settings| {
        broker::Config::validate(Path::new(FILE), settings).map(|config| {
            assert!(!config.would_leak(), "in clear to other machines, and nobody said so");
            assert!(config.limits.max_packet_bytes <= 268_435_460 && config.limits.max_connections > 0);
        })
    });
    read(file, &variables, ingest::config::ENVIRONMENT_PREFIX, |settings| {
        ingest::Config::from_settings(Path::new(FILE), settings).map(drop)
    });
}

/// Read and checked; or refused in words that name the file or the variable, say what to do, and show no password.
fn read<T: DeserializeOwned>(
    text: &str,
    variables: &[(&str, &str)],
    prefix: &str,
    check: impl Fn(T) -> Result<(), SettingsError>,
) {
    let named = || {
        let name = |(name, value): &(&str, &str)| (format!("{prefix}__{name}").into(), OsString::from(value));
        variables.iter().map(name)
    };
    let parsed = parse_with_env(Path::new(FILE), text, prefix, named());
    let Err(error) = parsed.and_then(check) else { return };
    let said = error.to_string();
    assert!(said.contains("tidegate.toml") || said.contains(prefix), "{said}");
    assert!(said.len() < 64 * 1024, "{} bytes of words", said.len());
}

/// The examples that are shipped, and pieces of what they leave out.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let bare = |text: &str| {
        let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim_end());
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        lines.join("\n").replace("../target", "target")
    };
    // What is commented out is the rest of the reference.
    let whole = |text: &str| {
        let lines = text.lines().map(|line| line.strip_prefix("# ").unwrap_or(line));
        let is_setting =
            |line: &&str| line.starts_with('[') || line.contains(" = ") && !line.contains("  = ");
        let lines: Vec<&str> = lines.filter(is_setting).collect();
        bare(&lines.join("\n"))
    };
    let mut seeds = Vec::new();
    for (name, text) in [
        ("agent", include_str!("../../deploy/agent.toml")),
        ("broker", include_str!("../../deploy/broker.toml")),
        ("ingest", include_str!("../../deploy/ingest.toml")),
    ] {
        seeds.push((name.to_owned(), bare(text).into_bytes()));
        seeds.push((format!("{name}-whole"), whole(text).into_bytes()));
    }
    let laid_over = "site = \"plant\"\ngateway = \"gw-a\"\ndata_dir = \"d\"\n[broker]\naddress = \"127.0.0.1:1\"\n---\n\
                     BROKER__USER=eva\nLIMITS__LINGER_MS=5\nSOURCE__0__TYPE=host\nHTTP__LISTEN=127.0.0.1:0\nUSERS__0__NAME=a\n";
    seeds.push(("laid-over".to_owned(), laid_over.as_bytes().to_vec()));
    seeds
}
