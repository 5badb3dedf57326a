//! `cargo xtask deny`: licences, sources and known vulnerabilities of every dependency, those of boards too, as deny.toml has it.

use crate::command::today;
use crate::firmware::template;
use crate::lint::outside_the_workspace;
use crate::repository::Repository;
use crate::steps::{Step, Steps};
use crate::tools::crates;
use anyhow::{Context, Result, bail};
use std::fs;
use std::process::Command;

const RULES: &str = "deny.toml";
/// Checks that need no download; `cargo xtask test` runs these.
pub const OFFLINE_CHECKS: &[&str] = &["bans", "licenses", "sources"];

#[derive(clap::Args)]
pub struct Options {
    /// Leave out the vulnerabilities, whose list has to be downloaded
    #[arg(long)]
    offline: bool,
}

pub fn run(repository: &Repository, options: &Options) -> Result<()> {
    let mut steps = Steps::new(repository)?;
    steps.run("licences and sources", |step| check(repository, step, OFFLINE_CHECKS));
    if !options.offline {
        steps.run("vulnerabilities", |step| check(repository, step, &["advisories"]));
    }
    steps.finish()
}

pub fn check(repository: &Repository, step: &mut Step, checks: &[&str]) -> Result<()> {
    let rules = fs::read_to_string(repository.path(RULES)).with_context(|| format!("cannot read {RULES}"))?;
    exceptions_end(&rules, &today()?)?;
    let program = crates::ensure(repository, step, &crates::CARGO_DENY)?;
    let mut manifests = outside_the_workspace(repository)?;
    // It has its dependencies from where the project is published; what they are is checked here.
    manifests.retain(|manifest| !manifest.starts_with(repository.path(template::FOLDER)));
    manifests.push(repository.path("Cargo.toml"));
    let mut result = Ok(());
    for manifest in manifests {
        // Run by path, so that no other cargo-deny on PATH is taken.
        let mut command = Command::new(&program);
        command.args(["--workspace", "--all-features", "--manifest-path"]).arg(manifest);
        command.args(["--config", RULES, "check", "--hide-inclusion-graph"]).args(checks);
        result = result.and(step.run(command.current_dir(repository.root())));
    }
    result
}

/// Every known vulnerability that is excepted says why, and until when. cargo-deny reads neither.
fn exceptions_end(rules: &str, today: &str) -> Result<()> {
    let rules: toml::Table = toml::from_str(rules)?;
    let ignored = rules.get("advisories").and_then(|advisories| advisories.get("ignore"));
    for exception in ignored.and_then(toml::Value::as_array).into_iter().flatten() {
        let text = |key| exception.get(key).and_then(toml::Value::as_str).unwrap_or_default();
        let (id, reason) = (text("id"), text("reason"));
        let until = reason.strip_prefix("until ").and_then(|rest| rest.split_once(": "));
        match until {
            Some((date, why)) if is_date(date) && !why.is_empty() => {
                if date < today {
                    bail!(
                        "{RULES}: the exception for {id} ended on {date}; look again whether it still does no harm"
                    );
                }
            }
            _ => bail!(
                "{RULES}: the exception {exception} has no reason like \"until 2027-01-31: why it does no harm\""
            ),
        }
    }
    Ok(())
}

/// As 2027-01-31, so that dates sort as texts do.
fn is_date(text: &str) -> bool {
    let shape =
        |(at, byte): (usize, u8)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    text.len() == 10 && text.bytes().enumerate().all(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_ends_on_its_date_and_has_a_reason() {
        let rules = |entry: &str| format!("[advisories]\nignore = [{entry}]\n");
        let dated = rules(r#"{ id = "RUSTSEC-1", reason = "until 2027-05-31: never called" }"#);
        exceptions_end(&dated, "2027-05-31").unwrap();
        let ended = exceptions_end(&dated, "2027-06-01").unwrap_err().to_string();
        assert!(ended.contains("RUSTSEC-1 ended on 2027-05-31"), "{ended}");
        for wrong in [
            r#""RUSTSEC-1""#,
            r#"{ id = "RUSTSEC-1" }"#,
            r#"{ id = "RUSTSEC-1", reason = "never called" }"#,
            r#"{ id = "RUSTSEC-1", reason = "until 2027-5-31: never called" }"#,
            r#"{ id = "RUSTSEC-1", reason = "until 2027-05-31: " }"#,
        ] {
            let error = exceptions_end(&rules(wrong), "2026-01-01").unwrap_err().to_string();
            assert!(error.contains("has no reason"), "{wrong}: {error}");
        }
        exceptions_end("[licenses]", "2026-01-01").unwrap();
    }
}
