//! advisories.toml: the crates that were looked up, what is on record of each, and the day of it.

use jiff::civil::Date;
use rustsec::advisory::{self, Informational, Versions};
use rustsec::package::Package;
use rustsec::{Advisory, Database, Lockfile};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A list that nobody has renewed for half a year says little of today.
const OLDEST_DAYS: i32 = 182;
const RENEW: &str = "run `cargo xtask advisories` where the database can be reached";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Table {
    as_of: Date,
    /// One that was looked up and has no record is here too: none on record is another thing than never looked up.
    crates: BTreeMap<String, Vec<Record>>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    id: advisory::Id,
    /// Unsound, unmaintained; nothing for a vulnerability.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Informational>,
    #[serde(flatten)]
    versions: Versions,
}

impl Table {
    /// What the database has on the crates of these lock files.
    pub fn of<'a>(database: &Database, as_of: Date, locks: impl Iterator<Item = &'a Lockfile>) -> Self {
        let names: BTreeSet<_> = locks.flat_map(from_outside).map(|package| &package.name).collect();
        let mut crates: BTreeMap<_, _> = names.into_iter().map(|name| (name.to_string(), vec![])).collect();
        for advisory in database.iter().filter(|advisory| !advisory.withdrawn()) {
            if let Some(records) = crates.get_mut(advisory.metadata.package.as_str()) {
                records.push(Record::of(advisory));
            }
        }
        for records in crates.values_mut() {
            records.sort_by(|one, other| one.id.as_str().cmp(other.id.as_str()));
        }
        Self { as_of, crates }
    }

    /// What is wrong with these lock files, by name, if the advisories of these ids are excepted.
    pub fn faults(
        &self,
        locks: &BTreeMap<String, Lockfile>,
        excepted: &[String],
        today: Date,
    ) -> Vec<String> {
        let mut unused: BTreeSet<_> = excepted.iter().map(String::as_str).collect();
        // Most lock files here have much in common: what is wrong is said once, then where.
        let mut found = BTreeMap::<String, BTreeSet<&str>>::new();
        for (lock, package) in locks.iter().flat_map(|(lock, of)| from_outside(of).map(move |it| (lock, it)))
        {
            let (name, version) = (package.name.as_str(), &package.version);
            let Some(records) = self.crates.get(name) else {
                found.entry(format!("nobody has looked up {name}; {RENEW}")).or_default().insert(lock);
                continue;
            };
            for record in records.iter().filter(|record| record.versions.is_vulnerable(version)) {
                unused.remove(record.id.as_str());
                if !excepted.iter().any(|id| id == record.id.as_str()) {
                    found.entry(format!("{name} {version} {record}")).or_default().insert(lock);
                }
            }
        }
        let mut faults: Vec<_> =
            found.iter().map(|(what, locks)| format!("{what}: {}", listed(locks))).collect();
        faults.extend(unused.iter().map(|id| format!("deny.toml excepts {id}, which nothing here has")));
        if (today - self.as_of).get_days() > OLDEST_DAYS {
            faults.push(format!("the list is of {}, more than {OLDEST_DAYS} days ago; {RENEW}", self.as_of));
        }
        faults
    }
}

fn listed(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

/// The crates of a lock file that are not this repository's own.
fn from_outside(lock: &Lockfile) -> impl Iterator<Item = &Package> {
    lock.packages.iter().filter(|package| package.source.is_some())
}

impl Record {
    fn of(advisory: &Advisory) -> Self {
        Self {
            id: advisory.id().clone(),
            kind: advisory.metadata.informational.clone(),
            versions: advisory.versions.clone(),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_ref().map_or("vulnerable", |kind| kind.as_str());
        write!(f, "is {kind}, https://rustsec.org/advisories/{}", self.id)?;
        let patched: Vec<_> = self.versions.patched().iter().map(ToString::to_string).collect();
        if !patched.is_empty() {
            write!(f, ", mended in {}", patched.join(" or "))?;
        }
        Ok(())
    }
}

/// As the file has it; `{:#}` in one line.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            let records: usize = self.crates.values().map(Vec::len).sum();
            return write!(f, "{} crates, {records} advisories as of {}", self.crates.len(), self.as_of);
        }
        writeln!(
            f,
            "# What the RustSec database (https://rustsec.org) has on the crates of every Cargo.lock here."
        )?;
        writeln!(
            f,
            "# `cargo xtask advisories` writes it, `cargo xtask test` checks the lock files against it."
        )?;
        writeln!(f, "as-of = \"{}\"\n\n[crates]", self.as_of)?;
        for (name, records) in &self.crates {
            if records.is_empty() {
                writeln!(f, "{name} = []")?;
                continue;
            }
            writeln!(f, "{name} = [")?;
            for record in records {
                let record = toml::Value::try_from(record).map_err(|_| fmt::Error)?;
                writeln!(f, "    {record},")?;
            }
            writeln!(f, "]")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
