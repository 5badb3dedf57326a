//! The reference in docs/rules.md: its examples are good, and it knows every key.

use tidegate_alarms::{RuleSet, RulesSettings};

const REFERENCE: &str = include_str!("../../docs/rules.md");
const EXAMPLE_FILE: &str = include_str!("../../deploy/rules.toml");

fn good(text: &str) -> RuleSet {
    let settings: RulesSettings = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    RuleSet::from_settings(settings).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn examples() -> Vec<&'static str> {
    let after_fences = REFERENCE.split("```toml\n").skip(1);
    after_fences.map(|after| after.split("```").next().unwrap()).collect()
}

#[test]
fn every_example_is_good_and_hardly_doubted() {
    assert!(examples().len() >= 9, "the examples are not found any more");
    for example in examples() {
        let rules = good(example);
        assert!(!rules.rules().is_empty());
        assert_eq!(rules.warnings(), [], "{example}");
    }
    assert_eq!(good(EXAMPLE_FILE).warnings(), []);
}

/// What serde says that it knows, where it is asked for what it does not.
fn known_keys(text: &str) -> Vec<String> {
    let error = toml::from_str::<RulesSettings>(text).unwrap_err().to_string();
    let (_, expected) =
        error.split_once("unknown field `zzz`, expected ").unwrap_or_else(|| panic!("{error}"));
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_key_is_in_the_tables_and_in_an_example() {
    let rule = |keys: &str| known_keys(&format!("[[rule]]\nid = \"a\"\n{keys}"));
    let within =
        |name: &'static str, keys: Vec<String>| keys.into_iter().map(move |key| format!("{name}.{key}"));
    let mut all = rule("zzz = 1");
    assert!(all.len() >= 20, "{all:?}");
    all.extend(within("select", rule("select = { zzz = 1 }")));
    all.extend(within("rate", rule("rate = { zzz = 1 }")));
    all.extend(within("deviation", rule("deviation = { zzz = 1 }")));
    all.extend(within("stale", rule("stale = { zzz = 1 }")));
    all.extend(within("group", rule("group = { zzz = 1 }")));
    let tables: Vec<&str> = REFERENCE.lines().filter(|line| line.starts_with('|')).collect();
    for key in all {
        let quoted = format!("`{key}`");
        let limits = format!("`{key} = ");
        assert!(
            tables.iter().any(|line| line.contains(&quoted) || line.contains(&limits)),
            "{key} is in no table"
        );
    }
    for key in rule("quiet_hours = { zzz = 1 }") {
        assert!(examples().iter().any(|example| example.contains(&format!("{key} = "))), "quiet_hours.{key}");
    }
}
