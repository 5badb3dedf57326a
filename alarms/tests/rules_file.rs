//! The rules file: what it may say, and what is answered when it is wrong.

use tidegate_alarms::{Condition, Priority, RuleSet, RulesSettings};
use tidegate_protocol::{ChannelName, DeviceId, SiteId};

fn parse(text: &str) -> Result<RuleSet, String> {
    let settings: RulesSettings = toml::from_str(text).map_err(|error| error.to_string())?;
    RuleSet::from_settings(settings).map_err(|error| format!("{} | {error}", error.key_path()))
}

fn matching(rules: &RuleSet, device: &str, channel: &str, unit: &str) -> (Vec<String>, Vec<String>) {
    let (site, device) = (SiteId::new("plant").unwrap(), DeviceId::new(device).unwrap());
    let found = rules.matching(site, device, ChannelName::new(channel).unwrap(), unit);
    let names = |list: Vec<std::sync::Arc<tidegate_alarms::Rule>>| {
        list.iter().map(|rule| rule.id().to_string()).collect::<Vec<_>>()
    };
    (names(found.rules), names(found.other_unit))
}

#[test]
fn a_rule_says_what_it_says() {
    let text = r#"
        [[rule]]
        id = "too-cold"
        select = { site = "pl*", device = "board-?", channel = "temperature" }
        below = 40
        unit = "Cel"
        deadband = 0.5
        on_delay_ms = 1500
        off_delay_ms = 20
        priority = "critical"
        message = "{device} is cold"
    "#;
    let rules = parse(text).unwrap();
    let rule = rules.get("too-cold").unwrap();
    assert_eq!(rule.condition(), Condition::Below(40.0));
    assert_eq!((rule.unit(), rule.deadband()), (Some("Cel"), 0.5));
    assert_eq!((rule.on_delay_ms(), rule.off_delay_ms()), (1_500, 20));
    assert_eq!(rule.priority(), Priority::Critical);
    assert_eq!(matching(&rules, "board-1", "temperature", "Cel").0, ["too-cold"]);
    for (device, channel) in [("board-12", "temperature"), ("pump-1", "temperature"), ("board-1", "humidity")]
    {
        assert_eq!(matching(&rules, device, channel, "Cel"), (vec![], vec![]), "{device} {channel}");
    }
}

#[test]
fn left_out_keys_have_their_defaults() {
    let rules = parse("[[rule]]\nid = \"any\"\nabove = 1").unwrap();
    let rule = rules.get("any").unwrap();
    assert_eq!((rule.priority(), rule.deadband(), rule.on_delay_ms()), (Priority::Medium, 0.0, 0));
    assert_eq!(matching(&rules, "x", "y", "").0, ["any"]);
    assert!(parse("").unwrap().rules().is_empty());
}

#[test]
fn a_channel_in_another_unit_is_not_watched_but_told_of() {
    let rules = parse("[[rule]]\nid = \"hot\"\nabove = 1\nunit = \"Cel\"").unwrap();
    assert_eq!(matching(&rules, "x", "y", "K"), (vec![], vec!["hot".to_string()]));
    assert_eq!(rules.unknown_units().count(), 0);
    let odd = parse("[[rule]]\nid = \"hot\"\nabove = 1\nunit = \"degC\"").unwrap();
    assert_eq!(
        odd.unknown_units().map(|(id, unit)| (id.as_str(), unit)).collect::<Vec<_>>(),
        [("hot", "degC")]
    );
}

#[test]
fn every_wrong_rule_names_the_key_and_the_remedy() {
    for (body, key, says) in [
        ("id = \"Too Cold\"\nbelow = 1", "rule[0].id", "use 1 to 64 of a-z, 0-9 and -"),
        ("id = \"a\"", "rule[0].above", "no condition; add one of above = x"),
        ("id = \"a\"\nabove = 1\nbelow = 0", "rule[0].below", "two conditions, above and below; keep one"),
        ("id = \"a\"\nabove = nan", "rule[0].above", "NaN is not a limit; give a finite number"),
        ("id = \"a\"\noutside = [3, 1]", "rule[0].outside", "is above the second, 1; write [1, 3]"),
        ("id = \"a\"\nabove = 1\ndeadband = -1", "rule[0].deadband", "give a finite number, 0 or more"),
        (
            "id = \"a\"\noutside = [0, 1]\ndeadband = 0.6",
            "rule[0].deadband",
            "clears the alarm; give at most 0.5",
        ),
        ("id = \"a\"\nabove = 1\nunit = \"\"", "rule[0].unit", "leave it out"),
        ("id = \"a\"\nabove = 1\nselect.device = \"\"", "rule[0].select.device", "write \"*\""),
        (
            "id = \"a\"\nabove = 1\nselect.site = \"Plant\"",
            "rule[0].select.site",
            "no site has \"P\" in its name",
        ),
        (
            "id = \"a\"\nabove = 1\nselect.channel = \"a/b\"",
            "rule[0].select.channel",
            "use a-z, 0-9, -, _ and .",
        ),
        (
            "id = \"a\"\nabove = 1\nmessage = \"{colour}\"",
            "rule[0].message",
            "no {colour} to put in; use {site}",
        ),
        (
            "id = \"a\"\nabove = 1\n[[rule]]\nid = \"a\"\nabove = 2",
            "rule[1].id",
            "rule[0] has this id already",
        ),
    ] {
        let error = parse(&format!("[[rule]]\n{body}")).unwrap_err();
        assert!(error.starts_with(&format!("{key} | rule \"")), "{body}\n→ {error}");
        assert!(error.contains(says), "{body}\n→ {error}");
    }
}

#[test]
fn unknown_keys_are_refused() {
    for body in ["limit = 3", "select = { gateway = \"*\" }", "priority = \"urgent\""] {
        assert!(parse(&format!("[[rule]]\nid = \"a\"\nabove = 1\n{body}")).is_err(), "{body}");
    }
}

#[test]
fn a_revision_changes_with_every_key_and_with_nothing_else() {
    let base = "[[rule]]\nid = \"a\"\nabove = 1\n";
    let revision = |text: &str| parse(text).unwrap().rules()[0].revision();
    let mut seen = vec![revision(base)];
    for change in [
        "unit = \"Cel\"",
        "deadband = 1",
        "on_delay_ms = 1",
        "off_delay_ms = 1",
        "priority = \"low\"",
        "message = \"{value}\"",
        "select.device = \"b\"",
        "select.channel = \"b\"",
        "select.site = \"b\"",
    ] {
        seen.push(revision(&format!("{base}{change}")));
    }
    seen.push(revision(&base.replace("above", "below")));
    seen.push(revision(&base.replace("= 1", "= 1.5")));
    seen.push(revision(&base.replace("\"a\"", "\"b\"")));
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len());
    assert_eq!(revision("[[rule]]\nabove = 1.0\nid = \"a\"\npriority = \"medium\""), seen[0]);
}
