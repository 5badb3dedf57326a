//! Rules that the cloud brings: fetched, committed, in force; and what is active by them, told to the cloud.

use tidegate_alarms::{RuleBook, RuleSet, RulesSettings};
use tidegate_protocol::{
    ClockQuality, Reading, Value,
    rules::{MAX_VERDICTS, RulesAnswer, RulesDown, RulesName, Verdicts},
};

use super::bench::{Bench, reading, settings};
use crate::core::{BoardFrame, CommitFailure, CoreSettings, Event, LinkId};

fn set(rules: serde_json::Value) -> RuleSet {
    let settings: RulesSettings = serde_json::from_value(serde_json::json!({ "rule": rules })).unwrap();
    RuleSet::from_settings(settings).unwrap()
}

fn book(rules: serde_json::Value) -> RuleBook {
    RuleBook::from(set(rules))
}

fn hot(limit: f64) -> RuleBook {
    book(serde_json::json!([{ "id": "hot", "above": limit, "priority": "high" }]))
}

fn document(book: &RuleBook, edition: u64) -> (RulesName, Vec<u8>) {
    let bytes = book.document().unwrap();
    (RulesName::of(edition, &bytes), bytes)
}

/// Answers since the last look.
fn answers(bench: &mut Bench) -> Vec<(u64, RulesAnswer)> {
    std::mem::take(&mut bench.answers).into_iter().map(|up| (up.name.edition, up.answer)).collect()
}

fn offer(bench: &mut Bench, name: RulesName, document: &[u8]) -> Vec<(u64, RulesAnswer)> {
    bench.event(Event::Rules(RulesDown::Offer { name, bytes: document.len() as u32 }));
    answers(bench)
}

fn part(bench: &mut Bench, name: RulesName, document: &[u8], from: u32) -> Vec<(u64, RulesAnswer)> {
    bench.event(Event::Rules(RulesDown::part_of(name, document, from).unwrap()));
    answers(bench)
}

/// Offered, fetched, and committed.
fn bring(bench: &mut Bench, book: &RuleBook, edition: u64) {
    let (name, document) = document(book, edition);
    let mut from = 0;
    assert_eq!(offer(bench, name, &document), [(edition, RulesAnswer::Wanting { from })]);
    loop {
        match part(bench, name, &document, from).as_slice() {
            [(_, RulesAnswer::Wanting { from: next })] if *next > from => from = *next,
            [(_, RulesAnswer::Held)] => break,
            other => panic!("{other:?}"),
        }
    }
    bench.settle();
    assert_eq!(answers(bench), [(edition, RulesAnswer::InForce)]);
}

fn frame(bench: &mut Bench, readings: &[(u64, f64)]) {
    let reading = |&(seq, value): &(u64, f64)| Reading { value: Value::F64(value), ..reading(seq) };
    let next = readings.last().unwrap().0 + 1;
    let readings = readings.iter().map(reading).collect();
    let frame = BoardFrame::Readings { boot: bench.tag(1), floor: 0, next, readings };
    bench.event(Event::Board { link: LinkId(1), arrived: bench.now.at, frames: vec![frame] });
}

/// What is active here, by rule.
fn changes(bench: &mut Bench) -> Vec<(String, bool)> {
    let changes = std::mem::take(&mut bench.local_alarms);
    changes.into_iter().map(|(key, alarm)| (key.rule.to_string(), alarm.is_some())).collect()
}

fn verdicts(bench: &mut Bench) -> Vec<Verdicts> {
    bench.pass_ms(300);
    std::mem::take(&mut bench.verdicts)
}

fn bench(settings: CoreSettings) -> Bench {
    let mut bench = Bench::new(settings);
    bench.event(Event::UplinkUp);
    bench.hello(1, "board", Some(7), 0, 0);
    bench
}

#[test]
fn what_is_fetched_is_in_force_once_it_is_committed_and_after_a_power_cut() {
    let mut bench = bench(settings());
    let rules = hot(99.0);
    let (name, document) = document(&rules, 3);
    assert_eq!(offer(&mut bench, name, &document), [(3, RulesAnswer::Wanting { from: 0 })]);
    assert_eq!(part(&mut bench, name, &document, 0), [(3, RulesAnswer::Held)]);
    assert_eq!(offer(&mut bench, name, &document), [(3, RulesAnswer::Held)]);
    frame(&mut bench, &[(0, 120.0)]);
    assert!(changes(&mut bench).is_empty(), "they are not on the disk yet");
    bench.settle();
    assert_eq!(answers(&mut bench), [(3, RulesAnswer::InForce)]);
    assert_eq!(offer(&mut bench, name, &document), [(3, RulesAnswer::InForce)]);
    frame(&mut bench, &[(1, 120.0)]);
    assert_eq!(changes(&mut bench), [("hot".to_owned(), true)]);
    assert_eq!(bench.core.view(bench.now.at).rules.edition, Some(3));

    let mut bench = Bench::on(settings(), bench.disk);
    bench.hello(1, "board", Some(7), 0, 2);
    frame(&mut bench, &[(2, 120.0)]);
    assert_eq!(changes(&mut bench), [("hot".to_owned(), true)], "without a word of the cloud");
    assert_eq!(offer(&mut bench, name, &document), [(3, RulesAnswer::InForce)]);
}

#[test]
fn a_disk_that_does_not_take_them_leaves_the_rules_of_before_in_force() {
    let mut bench = bench(settings());
    bring(&mut bench, &hot(99.0), 1);
    let (name, document) = document(&hot(200.0), 2);
    offer(&mut bench, name, &document);
    part(&mut bench, name, &document, 0);
    bench.batch.take().expect("they are being written");
    bench.event(Event::CommitFailed(CommitFailure::Failed));
    assert!(answers(&mut bench).is_empty());
    assert_eq!(offer(&mut bench, name, &document), [(2, RulesAnswer::Held)]);
    frame(&mut bench, &[(0, 120.0)]);
    assert_eq!(changes(&mut bench), [("hot".to_owned(), true)]);
    bench.pass_ms(61_000);
    bench.settle();
    assert_eq!(answers(&mut bench), [(2, RulesAnswer::InForce)], "it is tried again");
}

#[test]
fn fetching_goes_on_where_it_was_and_takes_no_part_of_others() {
    let mut bench = bench(settings());
    let many: Vec<_> = (0..900)
        .map(|at| serde_json::json!({ "id": format!("rule-{at}"), "above": at, "message": "x".repeat(60) }))
        .collect();
    let (name, whole) = document(&book(many.into()), 5);
    assert!(whole.len() > 64 * 1024, "{}", whole.len());
    offer(&mut bench, name, &whole);
    let [(5, RulesAnswer::Wanting { from })] = part(&mut bench, name, &whole, 0)[..] else { panic!() };
    assert!(part(&mut bench, name, &whole, 0).is_empty(), "it has that part");
    assert!(part(&mut bench, name, &whole, from + 7).is_empty(), "there would be a hole");
    let (other, bytes) = document(&hot(1.0), 6);
    assert!(part(&mut bench, other, &bytes, 0).is_empty(), "nobody asked for these");
    assert_eq!(offer(&mut bench, name, &whole), [(5, RulesAnswer::Wanting { from })], "the rest");
    bring(&mut bench, &hot(1.0), 6);
    assert_eq!(offer(&mut bench, name, &whole), [(5, RulesAnswer::Wanting { from: 0 })], "anew");
}

#[test]
fn what_cannot_be_read_is_said_to_be_and_changes_nothing() {
    let mut bench = bench(settings());
    bring(&mut bench, &hot(99.0), 1);
    let mut garbage = hot(1.0).document().unwrap();
    garbage[4] ^= 1;
    let name = RulesName::of(2, &garbage);
    offer(&mut bench, name, &garbage);
    assert_eq!(part(&mut bench, name, &garbage, 0), [(2, RulesAnswer::Unreadable)]);
    assert_eq!(offer(&mut bench, name, &garbage), [(2, RulesAnswer::Unreadable)], "and not fetched again");
    // An eighth of the quota is for rules.
    let huge = RulesName { edition: 3, checksum: 1 };
    for (bytes, answer) in [(131_072, RulesAnswer::Wanting { from: 0 }), (131_073, RulesAnswer::Unreadable)] {
        bench.event(Event::Rules(RulesDown::Offer { name: huge, bytes }));
        assert_eq!(answers(&mut bench), [(3, answer)]);
    }
    // Another document than was announced.
    let (name, document) = document(&hot(2.0), 4);
    let other = RulesName { checksum: name.checksum ^ 1, ..name };
    offer(&mut bench, other, &document);
    assert!(part(&mut bench, other, &document, 0).is_empty());
    assert_eq!(offer(&mut bench, other, &document), [(4, RulesAnswer::Wanting { from: 0 })]);
    frame(&mut bench, &[(0, 120.0)]);
    assert_eq!(changes(&mut bench), [("hot".to_owned(), true)]);
}

#[test]
fn a_gateway_with_rules_of_its_own_keeps_to_them_and_says_so() {
    let rules = set(serde_json::json!([{ "id": "own", "above": 99.0 }]));
    let mut bench = bench(CoreSettings { rules, ..settings() });
    let (name, document) = document(&hot(1.0), 1);
    assert_eq!(offer(&mut bench, name, &document), [(1, RulesAnswer::Declined)]);
    assert!(part(&mut bench, name, &document, 0).is_empty());
    frame(&mut bench, &[(0, 50.0), (1, 100.0)]);
    assert_eq!(changes(&mut bench), [("own".to_owned(), true)]);
    assert_eq!(bench.core.view(bench.now.at).rules.from, "file");
}

#[test]
fn a_new_edition_goes_on_with_what_is_active_and_ends_what_has_no_rule() {
    let mut bench = bench(settings());
    let two = book(serde_json::json!([
        { "id": "hot", "above": 99.0, "on_delay_ms": 0 },
        { "id": "warm", "above": 50.0 },
    ]));
    bring(&mut bench, &two, 1);
    frame(&mut bench, &[(0, 120.0)]);
    assert_eq!(changes(&mut bench), [("hot".to_owned(), true), ("warm".to_owned(), true)]);
    bring(&mut bench, &hot(110.0), 2);
    assert_eq!(changes(&mut bench), [("warm".to_owned(), false)]);
    frame(&mut bench, &[(1, 119.0)]);
    let [(rule, true)] = &changes(&mut bench)[..] else { panic!() };
    assert_eq!(rule, "hot", "with another value");
    frame(&mut bench, &[(2, 105.0)]);
    assert_eq!(changes(&mut bench), [("hot".to_owned(), false)], "by the new limit");
}

#[test]
fn a_revision_to_come_is_in_force_from_its_time_on() {
    let mut bench = bench(settings());
    let now_ms = bench.now.unix_ms;
    let from = "2027-01-15T08:01:00Z";
    let mut rules = RuleBook::default();
    rules.merge(&set(serde_json::json!([{ "id": "hot", "above": 99.0 }])), now_ms);
    rules.merge(
        &set(serde_json::json!([
            { "id": "hot", "above": 99.0 }, { "id": "hot", "above": 10.0, "effective_from": from },
        ])),
        now_ms,
    );
    bring(&mut bench, &rules, 1);
    bench.event(Event::Clock { error_ms: 100, quality: ClockQuality::Synced });
    frame(&mut bench, &[(0, 50.0)]);
    assert!(changes(&mut bench).is_empty());
    bench.pass_ms(61_000);
    frame(&mut bench, &[(6_100, 50.0)]);
    assert_eq!(changes(&mut bench), [("hot".to_owned(), true)]);
}

#[test]
fn the_cloud_is_told_what_is_active_whole_at_first_and_then_what_changed() {
    let mut bench = bench(settings());
    assert!(verdicts(&mut bench).is_empty(), "nothing is judged here");
    bring(&mut bench, &hot(99.0), 1);
    let first = verdicts(&mut bench);
    let [Verdicts { begins: true, verdicts: none, number, .. }] = &first[..] else { panic!("{first:?}") };
    assert!(none.is_empty());
    frame(&mut bench, &[(0, 120.0)]);
    let told = verdicts(&mut bench);
    let [Verdicts { begins: false, verdicts: changed, number: next, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(*next, number + 1);
    let raised = changed[0].raised.unwrap();
    let revision = hot(99.0).rules().next().unwrap().at(None).unwrap().revision();
    assert_eq!((changed[0].rule.as_str(), raised.revision, raised.seq.0), ("hot", revision.0, 0));
    frame(&mut bench, &[(1, 121.0)]);
    assert!(verdicts(&mut bench).is_empty(), "another value is no other verdict");
    frame(&mut bench, &[(2, 20.0)]);
    assert!(verdicts(&mut bench)[0].verdicts[0].raised.is_none());

    frame(&mut bench, &[(3, 120.0)]);
    bench.event(Event::UplinkDown);
    frame(&mut bench, &[(4, 20.0), (5, 130.0)]);
    assert_eq!(verdicts(&mut bench).len(), 1, "what was said before the link went");
    bench.event(Event::UplinkUp);
    let again = verdicts(&mut bench);
    let [Verdicts { begins: true, verdicts: whole, .. }] = &again[..] else { panic!("{again:?}") };
    assert_eq!(whole[0].raised.map(|raised| raised.seq.0), Some(5));
    let (name, document) = document(&hot(99.0), 1);
    offer(&mut bench, name, &document);
    assert!(verdicts(&mut bench)[0].begins, "the cloud asked");
}

#[test]
fn that_nothing_is_new_is_said_less_and_less_so_that_a_lost_word_is_noticed() {
    let mut bench = bench(settings());
    bring(&mut bench, &hot(99.0), 1);
    let mut number = verdicts(&mut bench)[0].number;
    let mut pauses = Vec::new();
    while pauses.len() < 14 {
        let began = bench.now.at;
        while bench.verdicts.is_empty() {
            bench.pass_ms(100);
        }
        let [Verdicts { begins: false, verdicts, number: next, .. }] =
            &std::mem::take(&mut bench.verdicts)[..]
        else {
            panic!()
        };
        assert!(verdicts.is_empty());
        assert_eq!(*next, number + 1);
        number = *next;
        pauses.push(bench.now.at.us_since(began) / 1_000_000);
    }
    assert!(pauses.is_sorted() && pauses[0] <= 5 && pauses[13] == 3_600, "{pauses:?}");
    frame(&mut bench, &[(0, 120.0)]);
    assert_eq!(verdicts(&mut bench).len(), 1);
    bench.pass_ms(5_000);
    assert_eq!(bench.verdicts.len(), 1, "soon again after a change");
}

#[test]
fn a_long_account_goes_in_parts_that_count_on() {
    let rules: Vec<_> =
        (0..300).map(|at| serde_json::json!({ "id": format!("rule-{at}"), "above": 1.0 })).collect();
    let mut bench = bench(settings());
    bring(&mut bench, &book(rules.into()), 1);
    verdicts(&mut bench);
    frame(&mut bench, &[(0, 5.0)]);
    bench.event(Event::UplinkUp);
    let told = verdicts(&mut bench);
    let numbers: Vec<_> = told.iter().map(|part| part.number).collect();
    assert!(numbers.is_sorted_by(|one, next| one + 1 == *next), "{numbers:?}");
    let last = told.iter().rposition(|part| part.begins).unwrap();
    let whole: usize = told[last..].iter().map(|part| part.verdicts.len()).sum();
    assert_eq!(whole, 300);
    assert!(told.iter().all(|part| part.verdicts.len() <= MAX_VERDICTS && part.encode().is_ok()));
}
