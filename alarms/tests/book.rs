//! Revisions of rules: what a changed file does to a book, and what is in force when.

use proptest::prelude::*;
use tidegate_alarms::{EffectiveFrom, RuleBook, RuleId, RuleSet, RulesSettings};
use tidegate_protocol::{ChannelName, DeviceId, SiteId};

fn file(text: &str) -> RuleSet {
    RuleSet::from_settings(toml::from_str::<RulesSettings>(text).unwrap()).unwrap()
}

/// `(id, limit, effective_from)`.
fn above(rules: &[(&str, i64, Option<&str>)]) -> RuleSet {
    let rules = rules.iter().map(|(id, limit, from)| {
        let from = from.map(|from| format!("effective_from = \"{from}\"\n")).unwrap_or_default();
        format!("[[rule]]\nid = \"{id}\"\n{from}above = {limit}\n")
    });
    file(&rules.collect::<String>())
}

/// The limit in force.
fn limit(book: &RuleBook, id: &str, unix_ms: Option<i64>) -> Option<f64> {
    let rule = book.get(&RuleId::new(id))?.at(unix_ms)?;
    match rule.condition() {
        tidegate_alarms::Condition::Above(limit) => Some(*limit),
        other => panic!("{other:?}"),
    }
}

fn ids(list: &[RuleId]) -> Vec<&str> {
    list.iter().map(RuleId::as_str).collect()
}

#[test]
fn an_empty_book_takes_rules_for_all_time_and_later_changes_from_then_on() {
    let mut book = RuleBook::default();
    let changes = book.merge(&above(&[("a", 1, None), ("b", 1, None)]), 1_000);
    assert_eq!(ids(&changes.added), ["a", "b"]);
    assert_eq!(limit(&book, "a", Some(i64::MIN)), Some(1.0));

    let changes = book.merge(&above(&[("a", 2, None), ("c", 3, None)]), 2_000);
    assert_eq!(
        (ids(&changes.added), ids(&changes.changed), ids(&changes.retired)),
        (vec!["c"], vec!["a"], vec!["b"])
    );
    for (id, at, expected) in [
        ("a", Some(1_999), Some(1.0)),
        ("a", Some(2_000), Some(2.0)),
        ("a", None, Some(2.0)),
        ("b", Some(1_999), Some(1.0)),
        ("b", Some(2_000), None),
        ("b", None, None),
        ("c", Some(1_999), None),
        ("c", Some(2_000), Some(3.0)),
    ] {
        assert_eq!(limit(&book, id, at), expected, "{id} at {at:?}");
    }
    assert_eq!(book.get(&RuleId::new("a")).unwrap().boundaries().collect::<Vec<_>>(), [2_000]);

    assert!(book.merge(&above(&[("a", 2, None), ("c", 3, None)]), 3_000).is_empty(), "nothing is new");
    book.merge(&above(&[("a", 2, None), ("b", 1, None), ("c", 3, None)]), 4_000);
    assert_eq!([limit(&book, "b", Some(3_999)), limit(&book, "b", Some(4_000))], [None, Some(1.0)]);
}

#[test]
fn revisions_with_a_time_are_in_force_from_that_time() {
    let written =
        [("a", 1, None), ("a", 2, Some("1970-01-01T00:00:05Z")), ("a", 3, Some("1970-01-01T00:00:09Z"))];
    let set = above(&written);
    assert_eq!((set.rules().len(), set.written().len()), (1, 3));
    let mut book = RuleBook::default();
    book.merge(&set, 6_000);
    let at = |book: &RuleBook, unix_ms| limit(book, "a", Some(unix_ms));
    assert_eq!(
        [at(&book, 0), at(&book, 5_000), at(&book, 8_999), at(&book, 9_000)],
        [1.0, 2.0, 2.0, 3.0].map(Some)
    );
    // Long after, and from any order in the file, it says the same.
    let turned: Vec<_> = written.into_iter().rev().collect();
    assert!(book.merge(&above(&turned), 99_000).is_empty());

    // What was in force stays so, whether it is still written or not.
    book.merge(&above(&written[2..]), 100_000);
    assert_eq!([at(&book, 0), at(&book, 5_000), at(&book, 9_000)], [1.0, 2.0, 3.0].map(Some));
}

#[test]
fn what_was_only_announced_can_be_withdrawn_or_changed() {
    let announced = Some("1970-01-01T00:00:09Z");
    let mut book = RuleBook::default();
    book.merge(&above(&[("a", 1, None), ("a", 3, announced)]), 1_000);
    book.merge(&above(&[("a", 1, None), ("a", 4, announced)]), 2_000);
    assert_eq!([limit(&book, "a", Some(8_999)), limit(&book, "a", Some(9_000))], [1.0, 4.0].map(Some));
    book.merge(&above(&[("a", 1, None)]), 3_000);
    assert_eq!(limit(&book, "a", None), Some(1.0));
    book.merge(&above(&[("b", 1, announced)]), 4_000);
    book.merge(&above(&[]), 5_000);
    assert_eq!(book.get(&RuleId::new("b")), None, "it never was in force");
}

#[test]
fn a_clock_that_went_back_forgets_nothing() {
    let mut book = RuleBook::default();
    book.merge(&above(&[("a", 1, None)]), 1_000);
    book.merge(&above(&[("a", 2, None)]), 50_000);
    book.merge(&above(&[("a", 3, None)]), 10);
    assert_eq!(limit(&book, "a", Some(49_999)), Some(1.0));
    assert_eq!([limit(&book, "a", Some(50_000)), limit(&book, "a", Some(50_001))], [2.0, 3.0].map(Some));
    assert_eq!(limit(&book, "a", None), Some(3.0));
}

#[test]
fn only_revisions_that_watch_a_channel_are_in_force_on_it() {
    let mut book = RuleBook::default();
    let rule = |device: &str, unit: &str| {
        file(&format!("[[rule]]\nid = \"a\"\nabove = 1\nunit = \"{unit}\"\nselect.device = \"{device}\""))
    };
    book.merge(&rule("b*", "Cel"), 0);
    book.merge(&rule("b2", "Cel"), 1_000);
    book.merge(&rule("b*", "K"), 2_000);
    let (site, channel) = (SiteId::new("plant").unwrap(), ChannelName::new("t").unwrap());
    let of = |device: &str, unit: &str| {
        let mut found = book.matching(site, DeviceId::new(device).unwrap(), channel, unit, "");
        let rule = found.pop();
        rule.map(|rule| [0, 1_000, 2_000].map(|at| rule.at(Some(at)).is_some()))
    };
    assert_eq!(of("b1", "Cel"), Some([true, false, false]));
    assert_eq!(of("b2", "Cel"), Some([true, true, false]));
    assert_eq!(of("b2", "K"), Some([false, false, true]));
    assert_eq!(of("c1", "Cel"), None);
}

#[test]
fn times_that_are_none_or_come_twice_are_refused() {
    let errors = |text: &str| {
        RuleSet::from_settings(toml::from_str::<RulesSettings>(text).unwrap()).unwrap_err().to_string()
    };
    let rule = |from: &str| format!("[[rule]]\nid = \"a\"\nabove = 1\neffective_from = \"{from}\"\n");
    assert!(errors(&rule("tomorrow")).contains("\"tomorrow\" is no time; write date, time and zone"));
    let twice = format!("{}{}", rule("2026-11-27T00:00:00Z"), rule("2026-11-27T01:00:00+01:00"));
    assert!(errors(&twice).contains("rule[0] is this rule from the same time on"), "{}", errors(&twice));
}

fn arbitrary_file() -> impl Strategy<Value = Vec<(usize, i64, Option<u8>)>> {
    let rule = (0..3usize, 0..4i64, proptest::option::weighted(0.4, 0..60u8));
    proptest::collection::vec(rule, 0..6).prop_map(|mut rules| {
        let mut seen = Vec::new();
        rules.retain(|(id, _, from)| {
            !seen.contains(&(*id, *from)) && {
                seen.push((*id, *from));
                true
            }
        });
        rules
    })
}

fn written(rules: &[(usize, i64, Option<u8>)]) -> RuleSet {
    let times: Vec<_> =
        rules.iter().map(|(.., from)| from.map(|s| format!("1970-01-01T00:00:{s:02}Z"))).collect();
    let rules: Vec<_> = rules
        .iter()
        .zip(&times)
        .map(|((id, limit, _), from)| (["a", "b", "c"][*id], *limit, from.as_deref()))
        .collect();
    above(&rules)
}

proptest! {
    /// Whatever came before: what the file says for now is in force, what was in force before now and is not dated anew
    /// stays so, the same file again changes nothing, and a stored book is the same.
    #[test]
    fn merging_is_sound(files in proptest::collection::vec((arbitrary_file(), 1..20i64), 1..8)) {
        let mut book = RuleBook::default();
        let mut now = 0;
        for (rules, step) in files {
            now += step * 1_000;
            let (set, before) = (written(&rules), book.clone());
            book.merge(&set, now);
            for (n, id) in ["a", "b", "c"].into_iter().enumerate() {
                let due = rules.iter().filter(|rule| rule.0 == n && i64::from(rule.2.unwrap_or(0)) * 1_000 <= now);
                let due = due.max_by_key(|rule| rule.2.map_or(-1, i64::from)).map(|rule| rule.1 as f64);
                prop_assert_eq!(limit(&book, id, Some(now)), due, "{} at {}", id, now);
                let first_dated = rules.iter().filter(|rule| rule.0 == n).filter_map(|rule| rule.2).min();
                let untouched = now.min(first_dated.map_or(i64::MAX, |first| i64::from(first) * 1_000));
                if !before.is_empty() {
                    for at in (0..untouched).step_by(500) {
                        prop_assert_eq!(limit(&book, id, Some(at)), limit(&before, id, Some(at)), "{} at {}", id, at);
                    }
                }
            }
            let mut again = book.clone();
            prop_assert!(again.merge(&set, now + 1).is_empty());
            prop_assert_eq!(&again, &book);
            for rule in book.rules() {
                let times: Vec<EffectiveFrom> = rule.revisions().iter().map(|revised| revised.from).collect();
                prop_assert!(times.is_sorted_by(|a, b| a < b), "{:?}", times);
            }
            let bytes = postcard::to_allocvec(&book).unwrap();
            prop_assert_eq!(&postcard::from_bytes::<RuleBook>(&bytes).unwrap(), &book);
            let json = serde_json::to_string(&book).unwrap();
            prop_assert_eq!(&serde_json::from_str::<RuleBook>(&json).unwrap(), &book);
        }
    }
}
