//! Any rules file: lines of the reference in any order, and bytes turned over.

#[path = "support/hostile.rs"]
mod hostile;

use proptest::prelude::*;
use tidegate_alarms::ConditionKind;

const REFERENCE: &str = include_str!("../../docs/rules.md");

/// Lines that mean something, and values that mean something else.
fn lines() -> Vec<String> {
    let examples = REFERENCE.split("```toml\n").skip(1).filter_map(|after| after.split("```").next());
    let mut lines: Vec<String> = examples.flat_map(str::lines).map(str::to_owned).collect();
    for odd in [
        "above = nan",
        "below = -inf",
        "deadband = 1e308",
        "outside = [-1e308, 1e308]",
        "equals = [0, 1]",
        "on_delay_ms = 9223372036854775807",
        "on_delay = \"18446744073709551615ms\"",
        "rate = { above = 0, below = 0, per = \"1ms\", over = \"1ms\" }",
        "rate = { above = 1e300, per = \"213503982334d\", over = \"213503982334d\" }",
        "deviation = { above = 0, over = \"1ms\" }",
        "stale = { after = 1e308, interval = \"213503982334d\" }",
        "group = { count = 4294967295 }",
        "effective_from = \"0000-01-01T00:00:00Z\"",
        "effective_from = \"9999-12-31T23:59:60.999-23:59\"",
        "select = { tag = \"*?*?*?ü\" }",
        "message = \"{{{value}}}\"",
    ] {
        lines.push(odd.to_owned());
    }
    lines.retain(|line| line.contains(" = ") && !["id", "set"].contains(&key_of(line)));
    lines
}

fn key_of(line: &str) -> &str {
    line.split(" = ").next().unwrap_or_default()
}

fn is_condition(line: &str) -> bool {
    ConditionKind::ALL.iter().any(|kind| kind.name() == key_of(line))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_file_of_any_lines_is_judged_or_refused(
        entries in proptest::collection::vec((0..3u8, any::<[prop::sample::Index; 4]>(), 0..5usize), 0..4),
    ) {
        let (conditions, others): (Vec<String>, Vec<String>) = lines().into_iter().partition(|line| is_condition(line));
        let mut text = String::new();
        for (id, [condition, keys @ ..], count) in entries {
            let mut seen = vec!["id"];
            text.push_str(&format!("[[rule]]\nid = \"r{id}\"\n"));
            let keys = keys.iter().map(|key| key.get(&others)).take(count);
            // Sometimes one more condition than there may be.
            let second = conditions.first().filter(|_| count == 4);
            for line in [condition.get(&conditions)].into_iter().chain(keys).chain(second) {
                let key = key_of(line);
                // A key that comes twice is no TOML.
                if !seen.contains(&key) {
                    seen.push(key);
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        hostile::rules(text.as_bytes());
    }

    #[test]
    fn a_damaged_file_is_judged_or_refused(
        example: prop::sample::Index,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let examples: Vec<&str> =
            REFERENCE.split("```toml\n").skip(1).filter_map(|after| after.split("```").next()).collect();
        let mut bytes = example.get(&examples).as_bytes().to_vec();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        hostile::rules(&bytes);
    }

    #[test]
    fn a_damaged_document_is_judged_by_or_refused(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let rules: tidegate_alarms::RulesSettings = toml::from_str(ON_ITS_WAY).expect("a good file");
        let rules = tidegate_alarms::RuleSet::from_settings(rules).expect("good rules");
        let whole = tidegate_alarms::RuleBook::from(rules).document().expect("it is short");
        let mut body = whole[1..whole.len() - 4].to_vec();
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        hostile::document(&body);
    }
}

const ON_ITS_WAY: &str = r#"
    [[rule]]
    id = "hot"
    above = 80.0
    message = "{device} is {value}"
    [[rule]]
    id = "hot"
    effective_from = "2026-12-01T00:00:00Z"
    outside = [1.0, 70.0]
    quiet_hours = { from = "22:00", to = "06:00" }
    [[rule]]
    id = "rising"
    rate = { above = 1.0, per = "1m", over = "5m" }
    [[rule]]
    id = "state"
    equals = [1, 3]
"#;
