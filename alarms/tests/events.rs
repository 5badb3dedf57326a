//! Events: their ids, and their JSON as other programs read it.

use serde_json::json;
use tidegate_alarms::{
    AlarmEvent, AlarmKind, Lifecycle, ReadingAt, RuleSet, RulesSettings, State, Transition, TransitionKind,
    event::{Deed, Facts, Operator, Place, Standing, WallTime, message_of, occurrence_id},
    group::Tally,
};
use tidegate_protocol::{BootId, ChannelName, ClockQuality, DeviceId, Quality, Seq, SiteId, Tick, Value};

fn rules(extra: &str) -> RuleSet {
    let text =
        format!("[[rule]]\nid = \"too-cold\"\nbelow = 40\npriority = \"high\"\non_delay_ms = 1000\n{extra}");
    RuleSet::from_settings(toml::from_str::<RulesSettings>(&text).unwrap()).unwrap()
}

fn place() -> Place<'static> {
    Place {
        site: SiteId::new("plant").unwrap(),
        device: DeviceId::new("board-1").unwrap(),
        channel: ChannelName::new("temperature").unwrap(),
        unit: "Cel",
    }
}

/// Raises at seq 8 (onset 7) and clears at seq 9, measured in tenths.
fn transitions(rules: &RuleSet) -> (Vec<Transition>, State) {
    let mut state = State::default();
    let mut found = Vec::new();
    let mut before_clear = State::default();
    for (seq, mantissa) in [(7, 398), (8, 395), (9, 400)] {
        let (boot, value) = (BootId(0xb), Value::Decimal { mantissa, scale: 1 });
        let reading =
            ReadingAt { boot, seq: Seq(seq), tick: Tick(seq * 1_000), value, quality: Quality::Good };
        before_clear = state.clone();
        found.extend(rules.rules()[0].step(&mut state, &reading));
    }
    (found, before_clear)
}

fn event(rules: &RuleSet, transition: &Transition) -> AlarmEvent {
    let time = |point: tidegate_alarms::step::Point| WallTime {
        unix_ms: Some(1_000_000 + point.tick.0 as i64),
        quality: ClockQuality::Synced,
    };
    AlarmEvent::new(&rules.rules()[0], place(), transition, Standing::default(), time)
}

#[test]
fn an_event_reads_as_documented() {
    let rules = rules("");
    let (found, _) = transitions(&rules);
    let raise = event(&rules, &found[0]);
    let revision = rules.rules()[0].revision();
    let expected = json!({
        "id": raise.id, "transition": "raise", "provisional": false, "late": false, "occurrence": raise.id,
        "kind": "channel", "site": "plant", "device": "board-1", "channel": "temperature", "unit": "Cel",
        "rule": "too-cold", "revision": revision, "priority": "high",
        "boot": "000000000000000b", "seq": 8, "tick_ms": 8000, "time_unix_ms": 1_008_000, "time_quality": "synced",
        "value": 39.5, "limit": 40.0, "message": "board-1 temperature is 39.5 Cel (limit 40 Cel)",
        "onset": { "boot": "000000000000000b", "seq": 7, "tick_ms": 7000, "time_unix_ms": 1_007_000 },
        "peak": { "boot": "000000000000000b", "seq": 8, "value": 39.5 },
    });
    assert_eq!(serde_json::to_value(&raise).unwrap(), expected);
    assert_eq!(serde_json::from_value::<AlarmEvent>(expected.clone()).unwrap(), raise);
    let mut of_before = expected;
    assert!(of_before.as_object_mut().unwrap().remove("kind").is_some());
    assert_eq!(serde_json::from_value::<AlarmEvent>(of_before).unwrap(), raise, "it was of a channel");
}

#[test]
fn of_what_an_alarm_is_its_rule_says_and_what_is_done_with_it_keeps() {
    for (condition, kind, name) in [
        ("above = 1", AlarmKind::Channel, "\"channel\""),
        ("above = 1\ngroup = { count = 2 }", AlarmKind::Group, "\"group\""),
        ("stale = { after = 3 }", AlarmKind::Stale, "\"stale\""),
    ] {
        let text = format!("[[rule]]\nid = \"a\"\n{condition}");
        let rules = RuleSet::from_settings(toml::from_str::<RulesSettings>(&text).unwrap()).unwrap();
        let event = AlarmEvent::never_raised(&rules.rules()[0], place(), BootId(1));
        let after = Lifecycle::default();
        let (kind_of_deed, operator) = (TransitionKind::Comment, Operator::default());
        let deed = Deed { kind: kind_of_deed, number: 1, operator, unix_ms: 1, after: &after };
        let gateway = AlarmEvent { kind: AlarmKind::Gateway, ..event.clone() };
        assert_eq!((event.kind, event.done(deed.clone()).kind), (kind, kind), "{condition}");
        assert_eq!(gateway.done(deed).kind, AlarmKind::Gateway);
        assert_eq!(
            (serde_json::to_string(&kind).unwrap().as_str(), format!("\"{}\"", kind.name()).as_str()),
            (name, name)
        );
    }
}

#[test]
fn a_deed_speaks_of_the_alarm_and_of_who_did_it() {
    let rules = rules("");
    let (found, _) = transitions(&rules);
    let raise = event(&rules, &found[0]);
    let after = Lifecycle { suppressed_by_design: true, ..Lifecycle::default() };
    let operator = Operator { by: "eva".into(), comment: "known".into(), until_unix_ms: None };
    let deed = |number| Deed {
        kind: TransitionKind::Suppress,
        number,
        operator: operator.clone(),
        unix_ms: 5,
        after: &after,
    };
    let (first, second) = (raise.done(deed(1)), raise.done(deed(2)));
    assert_ne!(first.id, second.id);
    assert_eq!(raise.done(deed(1)), first);
    let json = serde_json::to_value(&first).unwrap();
    assert_eq!(serde_json::from_value::<AlarmEvent>(json.clone()).unwrap(), first);
    assert_eq!(json["message"], "board-1 temperature too-cold: suppressed by design by eva: known");
    assert_eq!((&json["suppressed"], &json["state"]), (&json!(true), &json!("suppressed-by-design")));
    assert_eq!((&json["occurrence"], &json["time_unix_ms"]), (&json!(raise.id), &json!(5)));
    assert_eq!(json["operator"], json!({ "by": "eva", "comment": "known", "until_unix_ms": null }));
}

#[test]
fn a_clear_belongs_to_the_occurrence_of_its_raise() {
    let rules = rules("");
    let (found, before_clear) = transitions(&rules);
    let (raise, clear) = (event(&rules, &found[0]), event(&rules, &found[1]));
    assert_eq!(clear.occurrence, raise.id);
    assert_ne!(clear.id, raise.id);
    assert_eq!(clear.message, "board-1 temperature is back at 40.0 Cel (limit 40 Cel)");
    let raised = before_clear.raised().unwrap();
    assert_eq!(occurrence_id(&place(), rules.rules()[0].id(), raised.revision, raised.at), raise.id);
}

#[test]
fn a_template_speaks_of_what_is_wrong_and_of_its_end_only_if_it_says_which() {
    let messages = |template: &str| {
        let rules = rules(&format!("message = \"{template}\""));
        let (found, _) = transitions(&rules);
        [event(&rules, &found[0]).message, event(&rules, &found[1]).message]
    };
    let sentence = "board-1 temperature is back at 40.0 Cel (limit 40 Cel)";
    assert_eq!(messages("{device} freezes at {value} {unit}"), ["board-1 freezes at 39.5 Cel", sentence]);
    assert_eq!(messages("{transition}: {value}"), ["raise: 39.5", "clear: 40.0"]);
}

#[test]
fn an_id_is_the_same_after_a_replay_and_differs_with_the_rule() {
    let rules_now = rules("");
    let id = |rules: &RuleSet| event(rules, &transitions(rules).0[0]).id;
    assert_eq!(id(&rules_now), id(&rules("")));
    assert_ne!(id(&rules_now), id(&rules("deadband = 0.1")));
    // Pinned: ids are stored and compared over versions of this program. Computed independently from the parts.
    assert_eq!(id(&rules_now).to_string(), "bab8c57c98a8ecc9be93a6955b153080");
}

#[test]
fn an_infinite_value_is_null() {
    let rules = RuleSet::from_settings(toml::from_str("[[rule]]\nid = \"a\"\nabove = 1").unwrap()).unwrap();
    let value = Value::F32(f32::INFINITY);
    let reading = ReadingAt { boot: BootId(1), seq: Seq(0), tick: Tick(0), value, quality: Quality::Good };
    let raise = rules.rules()[0].step(&mut State::default(), &reading).unwrap();
    let json = serde_json::to_value(event(&rules, &raise)).unwrap();
    assert_eq!((&json["value"], &json["limit"]), (&json!(null), &json!(1.0)));
    assert_eq!(json["message"], "board-1 temperature is inf Cel (limit 1 Cel)");
}

#[test]
fn a_rate_s_event_has_the_value_that_was_read_and_the_rate_as_its_peak() {
    let event = |message: &str| {
        let text = format!(
            "[[rule]]\nid = \"fast\"\nrate = {{ above = 1, per = \"1m\", over = \"8s\" }}\nmessage = \"{message}\""
        );
        let rules = RuleSet::from_settings(toml::from_str(&text).unwrap()).unwrap();
        let mut state = State::default();
        let reading = |n: u64| {
            let value = Value::Decimal { mantissa: 200 + n as i64, scale: 1 };
            ReadingAt { boot: BootId(1), seq: Seq(n), tick: Tick(n * 1_000), value, quality: Quality::Good }
        };
        let raise = (0..9).find_map(|n| rules.rules()[0].step(&mut state, &reading(n))).unwrap();
        AlarmEvent::new(&rules.rules()[0], place(), &raise, Standing::default(), |_| WallTime::UNKNOWN)
    };
    let raise = event("{device} rises by {rate} {unit} a minute, to {value}; {limit} is allowed");
    assert_eq!((raise.value, raise.limit, raise.seq), (Some(20.4), 1.0, Seq(4)));
    assert!((raise.peak.value.unwrap() - 6.0).abs() < 1e-9, "{:?}", raise.peak);
    assert_eq!(raise.message, "board-1 rises by 6 Cel a minute, to 20.4; 1 is allowed");
}

#[test]
fn silence_and_groups_have_their_texts() {
    use TransitionKind::{Clear, Raise};
    let said = |keys: &str, kind, facts: &Facts| {
        let text = format!("[[rule]]\nid = \"it\"\n{keys}");
        let rules = RuleSet::from_settings(toml::from_str(&text).unwrap()).unwrap();
        message_of(&rules.rules()[0], &place(), kind, facts)
    };
    let silence = Facts::Silence { silent_ms: 45_000, allowed_ms: 30_000 };
    let stale = "stale = { after = 3 }\n";
    assert_eq!(said(stale, Raise, &silence), "board-1 temperature has said nothing for 45s (limit 30s)");
    assert_eq!(said(stale, Clear, &silence), "board-1 temperature speaks again");
    let own = format!("{stale}message = \"{{transition}}: {{silence}} of {{limit}}\"");
    assert_eq!(said(&own, Clear, &silence), "clear: 45s of 30s");

    let group = Facts::Group { tally: Tally { holding: 3, selected: 5 }, needed: 2 };
    let above = "above = 1\ngroup = { count = 2 }\n";
    assert_eq!(said(above, Raise, &group), "plant: it on 3 of 5 devices (limit 2)");
    let own = format!("{above}message = \"{{count}} of {{selected}} at {{site}}\"");
    assert_eq!(said(&own, Raise, &group), "3 of 5 at plant");
}
