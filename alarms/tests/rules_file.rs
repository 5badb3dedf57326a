//! The rules file: what it may say, and what is answered when it is wrong.

use tidegate_alarms::{Condition, Priority, Rule, RuleSet, RulesSettings, quiet_hours::Weekday};
use tidegate_protocol::{ChannelName, DeviceId, SiteId};

fn parse(text: &str) -> Result<RuleSet, String> {
    let settings: RulesSettings = toml::from_str(text).map_err(|error| error.to_string())?;
    RuleSet::from_settings(settings).map_err(|errors| {
        errors.iter().map(|error| format!("{} | {error}", error.key_path())).collect::<Vec<_>>().join("\n")
    })
}

fn matching(rules: &RuleSet, device: &str, channel: &str, unit: &str) -> (Vec<String>, Vec<String>) {
    let (site, device) = (SiteId::new("plant").unwrap(), DeviceId::new(device).unwrap());
    let found = rules.matching(site, device, ChannelName::new(channel).unwrap(), unit, "");
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
    assert_eq!(rule.condition(), &Condition::Below(40.0));
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
        ("id = \"a\"\nequals = []", "rule[0].equals", "the list is empty; list at least one"),
        ("id = \"a\"\nnot_equals = inf", "rule[0].not_equals", "inf is not a limit"),
        ("id = \"a\"\nequals = 1\ndeadband = 1", "rule[0].deadband", "does nothing in a rule with equals"),
        ("id = \"a\"\nrate = { per = \"1m\", over = \"1m\" }", "rule[0].rate", "add above = x or below = x"),
        (
            "id = \"a\"\nrate = { above = 1, below = 2, per = \"1m\", over = \"1m\" }",
            "rule[0].rate.below",
            "below must be the lesser",
        ),
        (
            "id = \"a\"\nrate = { above = 1, per = \"minute\", over = \"1m\" }",
            "rule[0].rate.per",
            "\"minute\" is no length of time; write a whole number and a unit",
        ),
        (
            "id = \"a\"\nrate = { above = 1, per = \"1m\", over = \"0s\" }",
            "rule[0].rate.over",
            "at least \"1ms\"",
        ),
        (
            "id = \"a\"\nrate = { above = 1, below = -1, per = \"1m\", over = \"1m\" }\ndeadband = 2",
            "rule[0].deadband",
            "give at most 1",
        ),
        ("id = \"a\"\ndeviation = { over = \"1m\" }", "rule[0].deviation", "add above = x or outside"),
        ("id = \"a\"\ndeviation = { above = -1, over = \"1m\" }", "rule[0].deviation.above", "0 or more"),
        (
            "id = \"a\"\ndeviation = { above = 1, outside = [0, 1], over = \"1m\" }",
            "rule[0].deviation.outside",
            "above = 5 is outside = [-5, 5]",
        ),
        ("id = \"a\"\nstale = { after = 0 }", "rule[0].stale.after", "a finite number above 0"),
        ("id = \"a\"\nstale = { after = 1 }\non_delay = \"5s\"", "rule[0].on_delay", "does nothing"),
        ("id = \"a\"\nstale = { after = 1 }\ngroup = { count = 1 }", "rule[0].group", "does nothing"),
        ("id = \"a\"\nabove = 1\ngroup = {}", "rule[0].group", "either a count or a fraction"),
        ("id = \"a\"\nabove = 1\ngroup = { count = 0 }", "rule[0].group.count", "give at least 1"),
        ("id = \"a\"\nabove = 1\ngroup = { fraction = 50 }", "rule[0].group.fraction", "at most 1"),
        ("id = \"a\"\nabove = 1\non_delay = \"5\"", "rule[0].on_delay", "\"250ms\", \"5s\""),
        (
            "id = \"a\"\nabove = 1\non_delay = \"5s\"\non_delay_ms = 5000",
            "rule[0].on_delay_ms",
            "on_delay is given too; keep one",
        ),
        ("id = \"a\"\nabove = 1\nmessage = \"{rate}\"", "rule[0].message", "a rule with above has no {rate}"),
        ("id = \"a\"\nabove = 1\nselect.tag = \"\"", "rule[0].select.tag", "write \"*\""),
        (
            "id = \"a\"\nabove = 1\nselect.labels.area = \"x\"",
            "rule[0].select.labels.area",
            "add a [[labels]] with set = { area",
        ),
        (
            "id = \"a\"\nabove = 1\nquiet_hours = { from = \"22\", to = \"06:00\" }",
            "rule[0].quiet_hours.from",
            "write hours and minutes",
        ),
        (
            "id = \"a\"\nabove = 1\nquiet_hours = { from = \"06:00\", to = \"06:00\" }",
            "rule[0].quiet_hours.to",
            "begin and end at 06:00",
        ),
        (
            "id = \"a\"\nabove = 1\nquiet_hours = { from = \"22:00\", to = \"06:00\", days = [\"Monday\"] }",
            "rule[0].quiet_hours.days",
            "use mon, tue",
        ),
        (
            "id = \"a\"\nabove = 1\nquiet_hours = { from = \"22:00\", to = \"06:00\", zone = \"Berlin time\" }",
            "rule[0].quiet_hours.zone",
            "Europe/Berlin",
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
        "select.tag = \"b\"",
        "latching = true",
        "group = { count = 2 }",
        "group = { fraction = 0.5 }",
        "quiet_hours = { from = \"22:00\", to = \"06:00\" }",
        "quiet_hours = { from = \"22:00\", to = \"06:00\", zone = \"Asia/Tokyo\" }",
    ] {
        seen.push(revision(&format!("{base}{change}")));
    }
    seen.push(revision(&base.replace("above", "below")));
    seen.push(revision(&base.replace("= 1", "= 1.5")));
    for condition in [
        "equals = 1",
        "not_equals = 1",
        "equals = [1, 2]",
        "rate = { above = 1, per = \"1m\", over = \"1m\" }",
        "rate = { below = 1, per = \"1m\", over = \"1m\" }",
        "rate = { above = 1, per = \"1s\", over = \"1m\" }",
        "rate = { above = 1, per = \"1m\", over = \"2m\" }",
        "deviation = { above = 1, over = \"1m\" }",
        "deviation = { above = 1, over = \"2m\" }",
        "stale = { after = 1 }",
        "stale = { after = 1, interval = \"5s\" }",
    ] {
        seen.push(revision(&base.replace("above = 1", condition)));
    }
    seen.push(revision(&base.replace("\"a\"", "\"b\"")));
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len());
    assert_eq!(revision("[[rule]]\nabove = 1.0\nid = \"a\"\npriority = \"medium\""), seen[0]);
}

#[test]
fn all_that_is_wrong_is_told_at_once_in_the_order_of_the_file() {
    let text = r#"
        [[rule]]
        id = "A"
        above = nan
        deadband = -1
        message = "{colour}"
        select = { site = "", channel = "?!" }
        [[rule]]
        id = "fine"
        above = 1
        [[rule]]
        id = "b"
        above = 1
        below = 0
        [[labels]]
        set = { Area = "x", floor = "" }
    "#;
    let found = parse(text).unwrap_err();
    let keys: Vec<&str> = found.lines().map(|line| line.split(" | ").next().unwrap()).collect();
    let expected = [
        "labels[0].set",
        "labels[0].set.floor",
        "rule[0].id",
        "rule[0].select.site",
        "rule[0].select.channel",
        "rule[0].above",
        "rule[0].message",
        "rule[2].below",
    ];
    assert_eq!(keys, expected, "{found}");
}

#[test]
fn tags_and_labels_select_channels() {
    let text = r#"
        [[labels]]
        select = { device = "boiler-*" }
        set = { area = "boiler-house", floor = "1" }
        [[labels]]
        select = { tag = "TT-2*" }
        set = { floor = "2" }
        [[rule]]
        id = "area"
        select = { labels = { area = "boiler*" } }
        above = 1
        [[rule]]
        id = "upstairs"
        select = { labels = { area = "*", floor = "2" } }
        above = 1
        [[rule]]
        id = "tag"
        select = { tag = "TT-?01*" }
        above = 1
    "#;
    let rules = parse(text).unwrap();
    let (site, channel) = (SiteId::new("plant").unwrap(), ChannelName::new("t").unwrap());
    let of = |device: &str, tag: &str| {
        let found = rules.matching(site, DeviceId::new(device).unwrap(), channel, "", tag).rules;
        found.iter().map(|rule| rule.id().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(of("boiler-1", ""), ["area"]);
    assert_eq!(of("boiler-1", "TT-201A"), ["area", "upstairs", "tag"], "the later label stands");
    assert_eq!(of("pump-1", "TT-201"), ["tag"], "a label that is not given does not fit");
    assert_eq!(of("pump-1", "tt-201"), Vec::<String>::new());

    // A rule changes with the labels that it asks for, and with no others.
    let revision = |rules: &RuleSet, id: &str| rules.get(id).unwrap().revision();
    let moved = parse(&text.replace("boiler-house", "boiler-hall")).unwrap();
    assert_ne!(revision(&rules, "area"), revision(&moved, "area"));
    let other = parse(&text.replace("floor = \"1\"", "floor = \"0\"")).unwrap();
    assert_eq!(revision(&rules, "area"), revision(&other, "area"));
    assert_eq!(revision(&rules, "tag"), revision(&moved, "tag"));
}

#[test]
fn delays_are_written_with_units_or_in_milliseconds() {
    let delays = |keys: &str| {
        let rules = parse(&format!("[[rule]]\nid = \"a\"\nabove = 1\n{keys}")).unwrap();
        (rules.rules()[0].on_delay_ms(), rules.rules()[0].off_delay_ms(), rules.rules()[0].revision())
    };
    assert_eq!(
        delays("on_delay = \"5s\"\noff_delay = \"10m\""),
        delays("on_delay_ms = 5000\noff_delay_ms = 600000")
    );
    assert_eq!(delays("on_delay = \"1h\"").0, 3_600_000);
}

#[test]
fn a_rule_is_stored_as_it_is() {
    let text = r#"
        [[labels]]
        set = { area = "hall" }
        [[rule]]
        id = "a"
        select = { tag = "TT*", labels = { area = "h*" } }
        rate = { above = 1, per = "1m", over = "5m" }
        group = { fraction = 0.5 }
        latching = true
        message = "{count} of {selected}"
        quiet_hours = { from = "22:00", to = "06:00", days = ["sun", "fri"], zone = "Europe/Berlin" }
    "#;
    let rule = Rule::clone(&parse(text).unwrap().rules()[0]);
    let quiet = rule.quiet_hours().unwrap();
    assert_eq!((quiet.from_minute, quiet.to_minute, quiet.zone.as_str()), (1_320, 360, "Europe/Berlin"));
    assert_eq!(quiet.days, [Weekday::Fri, Weekday::Sun]);
    let bytes = postcard::to_allocvec(&rule).unwrap();
    let read: Rule = postcard::from_bytes(&bytes).unwrap();
    assert_eq!((&read, read.revision()), (&rule, rule.revision()));
    let json = serde_json::to_string(&rule).unwrap();
    let read: Rule = serde_json::from_str(&json).unwrap();
    assert_eq!((&read, read.revision()), (&rule, rule.revision()));
}

#[test]
fn what_is_hardly_meant_is_doubted() {
    let doubts = |text: &str| {
        let warnings = parse(text).unwrap().warnings();
        warnings.iter().map(|w| format!("{} {}", w.key_path(), w.what)).collect::<Vec<_>>()
    };
    let rule = |keys: &str| format!("[[rule]]\nid = \"a\"\n{keys}\n");
    for (keys, says) in [
        ("above = 1\nunit = \"degC\"", "rule[0].unit \"degC\" is no SenML unit"),
        ("above = 100\nunit = \"%RH\"", "rule[0].above no value in %RH is ever above 100: this never raises"),
        ("above = 1\ndeadband = 2\nunit = \"%RH\"", "is ever as low as -1: once raised, this never clears"),
        ("below = 0\nunit = \"K\"", "rule[0].below no value in K is ever below 0: this never raises"),
        (
            "below = 99\ndeadband = 5\nunit = \"%RH\"",
            "is ever as high as 104: once raised, this never clears",
        ),
        ("outside = [0, 100]\nunit = \"%RH\"", "this never raises"),
        ("inside = [0, 100]\nunit = \"%RH\"", "once raised, this never clears"),
    ] {
        let found = doubts(&rule(keys));
        assert!(found.len() == 1 && found[0].contains(says), "{keys}: {found:?}");
    }
    for fine in [
        "above = 99\nunit = \"%RH\"",
        "above = 1\ndeadband = 1\nunit = \"%RH\"",
        "below = 0\nunit = \"Cel\"",
        "inside = [0, 99]\nunit = \"%RH\"",
        "above = 200\nunit = \"%\"",
    ] {
        assert_eq!(doubts(&rule(fine)), Vec::<String>::new(), "{fine}");
    }
    let twins = "[[rule]]\nid = \"b\"\nabove = 1\n[[rule]]\nid = \"c\"\nabove = 1\npriority = \"low\"\n[[rule]]\nid = \"d\"\nabove = 1\ndeadband = 1";
    assert_eq!(doubts(twins), ["rule[1].id rule[0] has the same effect"]);
}
