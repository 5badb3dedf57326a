//! What is shown of a rule is what a rules file would say.

use tidegate_alarms::{Rule, RuleSet, RulesSettings};

fn rule(text: &str) -> std::sync::Arc<Rule> {
    let settings: RulesSettings = toml::from_str(&format!("[[rule]]\nid = \"a\"\n{text}\n")).expect(text);
    let rules = RuleSet::from_settings(settings).unwrap_or_else(|errors| panic!("{text}: {errors}"));
    rules.rules()[0].clone()
}

#[test]
fn conditions_are_shown_as_they_are_written_and_read_as_the_same() {
    for text in [
        "above = 80",
        "above = -0.1",
        "below = 0.30000000000000004",
        "below = 1e300",
        "above = 123456789012345",
        "outside = [5, 80.5]",
        "inside = [-1e-7, 0]",
        "equals = 3",
        "equals = [3, 4, 7.5]",
        "not_equals = 1",
        "rate = { above = 2, below = -2.5, per = \"1m\", over = \"90s\" }",
        "rate = { below = 0, per = \"1h\", over = \"7d\" }",
        "deviation = { above = 5, over = \"10m\" }",
        "deviation = { outside = [-0.4, 2], over = \"1500ms\" }",
        "stale = { after = 3, interval = \"10s\" }",
        "stale = { after = 2.5 }",
    ] {
        assert_eq!(rule(text).condition().to_string(), text);
    }
    // Several ways to write one condition have one way to show it.
    for (text, shown) in [
        ("equals = true", "equals = 1"),
        ("deviation = { outside = [-5, 5.0], over = \"600s\" }", "deviation = { above = 5, over = \"10m\" }"),
    ] {
        let written = rule(text);
        assert_eq!(written.condition().to_string(), shown);
        assert_eq!(rule(shown).condition(), written.condition());
    }
}

#[test]
fn groups_and_messages_are_shown_as_they_are_written() {
    for group in ["{ count = 3 }", "{ fraction = 0.5 }", "{ fraction = 1 }"] {
        let rule = rule(&format!("above = 1\nmessage = \"{{{{{{limit}}}}}}\"\ngroup = {group}"));
        assert_eq!(rule.quorum().expect("a group").to_string(), group);
        assert_eq!(rule.message_text(), Some("{{{limit}}}"));
    }
}
