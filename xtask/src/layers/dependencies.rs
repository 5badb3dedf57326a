//! Who may depend on whom. agent, broker, ingest and firmware meet through protocol's types and topics and never
//! import each other; nothing imports the command line or the end-to-end tests.

use crate::command::capture;
use crate::repository::Repository;
use anyhow::{Context, Result};
use serde::Deserialize;

/// A crate, and the siblings it may name in its manifest, for its tests too.
const ALLOWED: &[(&str, &[&str])] = &[
    ("tidegate-protocol", &[]),
    ("tidegate-alarms", &["tidegate-protocol"]),
    // Its tests name itself, to have all features.
    ("tidegate-firmware", &["tidegate-protocol", "tidegate-firmware"]),
    // Its tests name itself, to have all chips.
    ("tidegate-drivers", &["tidegate-protocol", "tidegate-firmware", "tidegate-drivers"]),
    ("tidegate-service", &[]),
    ("tidegate-trust", &["tidegate-protocol", "tidegate-service"]),
    ("tidegate-access", &[]),
    // Its tests name itself, to have the end that signs.
    (
        "tidegate-enrolment",
        &["tidegate-protocol", "tidegate-service", "tidegate-trust", "tidegate-enrolment"],
    ),
    (
        "tidegate-agent",
        &["tidegate-protocol", "tidegate-alarms", "tidegate-service", "tidegate-trust", "tidegate-enrolment"],
    ),
    ("tidegate-broker", &["tidegate-protocol", "tidegate-service", "tidegate-trust"]),
    (
        "tidegate-ingest",
        &[
            "tidegate-protocol",
            "tidegate-alarms",
            "tidegate-service",
            "tidegate-trust",
            "tidegate-access",
            "tidegate-enrolment",
        ],
    ),
    (
        "tidegate-simulator",
        &[
            "tidegate-protocol",
            "tidegate-alarms",
            "tidegate-firmware",
            "tidegate-service",
            "tidegate-agent",
            "tidegate-ingest",
        ],
    ),
    ("tidegate-cli", LIBRARIES),
    ("tidegate-tests", EVERYTHING),
    ("xtask", &[]),
];

const LIBRARIES: &[&str] = &[
    "tidegate-protocol",
    "tidegate-alarms",
    "tidegate-firmware",
    "tidegate-service",
    "tidegate-trust",
    "tidegate-enrolment",
    "tidegate-access",
    "tidegate-agent",
    "tidegate-broker",
    "tidegate-ingest",
    "tidegate-simulator",
];

const EVERYTHING: &[&str] = &[
    "tidegate-protocol",
    "tidegate-alarms",
    "tidegate-firmware",
    "tidegate-service",
    "tidegate-trust",
    "tidegate-enrolment",
    "tidegate-access",
    "tidegate-agent",
    "tidegate-broker",
    "tidegate-ingest",
    "tidegate-simulator",
    "tidegate-cli",
];

/// A member of the workspace and the names of its dependencies, of every kind.
#[derive(Deserialize)]
pub struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Present for crates of this repository.
    path: Option<String>,
}

pub fn of_workspace(repository: &Repository) -> Result<Vec<Package>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    let mut command = repository.cargo(&["metadata", "--no-deps", "--offline", "--format-version=1"]);
    let metadata: Metadata = serde_json::from_str(&capture(&mut command)?)
        .context("`cargo metadata` printed something unexpected")?;
    Ok(metadata.packages)
}

pub fn check(packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for package in packages {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
            problems.push(format!(
                "{}: no layer is written down for this crate in {}",
                package.name,
                file!()
            ));
            continue;
        };
        // A crate may name itself: that is how its tests ask for more of its own features.
        let siblings =
            package.dependencies.iter().filter(|found| found.path.is_some() && found.name != package.name);
        for dependency in siblings {
            if !allowed.contains(&dependency.name.as_str()) {
                problems.push(format!("{} must not depend on {}", package.name, dependency.name));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, siblings: &[&str]) -> Package {
        let dependency = |name: &&str| Dependency { name: (*name).to_owned(), path: Some(String::new()) };
        Package { name: name.into(), dependencies: siblings.iter().map(dependency).collect() }
    }

    #[test]
    fn daemons_do_not_import_each_other() {
        let packages = [package("tidegate-agent", &["tidegate-protocol", "tidegate-broker"])];
        assert_eq!(check(&packages), ["tidegate-agent must not depend on tidegate-broker"]);
    }

    #[test]
    fn a_crate_may_ask_for_its_own_features_in_tests() {
        assert!(check(&[package("tidegate-protocol", &["tidegate-protocol"])]).is_empty());
    }

    #[test]
    fn an_unknown_crate_must_be_given_a_layer() {
        let problems = check(&[package("tidegate-common", &[])]);
        assert!(problems.len() == 1 && problems[0].contains("no layer"), "{problems:?}");
    }

    #[test]
    fn crates_of_others_are_nobodys_layer() {
        let dependency = Dependency { name: "tokio".into(), path: None };
        let packages = [Package { name: "tidegate-agent".into(), dependencies: vec![dependency] }];
        assert!(check(&packages).is_empty());
    }
}
