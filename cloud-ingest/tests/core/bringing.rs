//! Rules for gateways: who is offered which, and when nobody is asked any more.

use tidegate_alarms::{RuleBook, RuleSet, RulesSettings};
use tidegate_ingest::core::{
    Event, Snapshot,
    bringing::{RulesStanding, RulesState},
    rulebook::RulesOrder,
};
use tidegate_protocol::{
    rules::{MAX_RULES_PART, RulesAnswer, RulesDown, RulesName, RulesUp},
    status::GatewayStatus,
    topic::GatewayPath,
};

use crate::support::{Bench, gateway, rules};

fn set(rules: serde_json::Value) -> RuleSet {
    let settings: RulesSettings = serde_json::from_value(serde_json::json!({ "rule": rules })).unwrap();
    RuleSet::from_settings(settings).unwrap()
}

fn born(bench: &mut Bench, name: &str, online: bool) {
    let status = GatewayStatus {
        online,
        version: "1".to_owned(),
        epoch: "e".to_owned(),
        since_unix_ms: 0,
        ..GatewayStatus::default()
    };
    bench.handle(Event::Status { from: gateway(name), status, unix_ms: bench.unix_ms });
}

/// Committed rules, and a gateway that was born.
fn bench() -> Bench {
    let mut bench = Bench::new(Snapshot::default());
    bench.handle(Event::Time { unix_ms: 5 });
    wake(&mut bench);
    born(&mut bench, "gw-a", true);
    bench
}

fn wake(bench: &mut Bench) {
    bench.now_ms = bench.core.next_wakeup().unwrap_or(bench.now_ms).max(bench.now_ms);
    bench.handle(Event::Wakeup);
}

fn brought(bench: &mut Bench) -> Vec<(GatewayPath, RulesDown)> {
    std::mem::take(&mut bench.brought)
}

/// The one offer since the last look.
fn offer(bench: &mut Bench) -> (RulesName, u32) {
    match brought(bench).as_slice() {
        [(to, RulesDown::Offer { name, bytes })] if *to == gateway("gw-a") => (*name, *bytes),
        other => panic!("{other:?}"),
    }
}

fn answer(bench: &mut Bench, name: &str, rules: RulesName, answer: RulesAnswer) {
    let up = RulesUp { name: rules, answer };
    bench.handle(Event::RulesAnswered { from: gateway(name), up, unix_ms: 9 });
}

fn change(bench: &mut Bench, rules: RuleSet) {
    let (operator, reason) = ("eva".to_owned(), String::new());
    let order = Box::new(RulesOrder { rules, operator, reason, expected: None, unix_ms: 7 });
    bench.handle(Event::ChangeRules { ticket: 1, order });
}

fn standing(bench: &Bench) -> Vec<RulesStanding> {
    bench.batches.iter().flat_map(|batch| &batch.rules_standing).map(|(_, known)| known.clone()).collect()
}

/// All parts of what is offered.
fn fetched(bench: &mut Bench, name: RulesName, bytes: u32) -> Vec<u8> {
    let mut document = Vec::new();
    while document.len() < bytes as usize {
        answer(bench, "gw-a", name, RulesAnswer::Wanting { from: document.len() as u32 });
        match brought(bench).as_slice() {
            [(_, RulesDown::Part { name: of, at, part })]
                if *of == name && *at as usize == document.len() =>
            {
                assert!(part.len() <= MAX_RULES_PART);
                document.extend_from_slice(part);
            }
            other => panic!("{other:?}"),
        }
    }
    document
}

#[test]
fn a_gateway_is_offered_the_rules_fetches_them_and_is_asked_no_more() {
    let mut bench = bench();
    let (name, bytes) = offer(&mut bench);
    let document = fetched(&mut bench, name, bytes);
    assert_eq!(RulesName::of(1, &document), name);
    assert_eq!(RuleBook::from_document(&document).unwrap(), RuleBook::from(rules()));
    answer(&mut bench, "gw-a", name, RulesAnswer::Held);
    assert!(standing(&bench).is_empty(), "it is not on its disk");
    answer(&mut bench, "gw-a", name, RulesAnswer::InForce);
    assert_eq!(standing(&bench), [RulesStanding { edition: 1, state: RulesState::InForce, unix_ms: 9 }]);
    wake(&mut bench);
    assert!(brought(&mut bench).is_empty());
    assert_eq!(bench.core.next_wakeup(), None);
    born(&mut bench, "gw-a", true);
    assert_eq!(offer(&mut bench), (name, bytes), "each time it is born");
}

#[test]
fn a_long_document_goes_in_parts_and_a_lost_one_is_asked_for_again() {
    let many = (0..900)
        .map(|at| serde_json::json!({ "id": format!("r{at}"), "above": 1, "message": "x".repeat(60) }));
    let mut bench = Bench::with_rules(set(many.collect()), Snapshot::default());
    wake(&mut bench);
    born(&mut bench, "gw-a", true);
    let (name, bytes) = offer(&mut bench);
    assert!(bytes as usize > 2 * MAX_RULES_PART);
    answer(&mut bench, "gw-a", name, RulesAnswer::Wanting { from: 0 });
    brought(&mut bench);
    wake(&mut bench);
    assert_eq!(offer(&mut bench), (name, bytes), "the part was lost");
    let document = fetched(&mut bench, name, bytes);
    assert_eq!(RuleBook::from_document(&document).unwrap().rules().count(), 900);
    answer(&mut bench, "gw-a", name, RulesAnswer::Wanting { from: bytes });
    assert!(brought(&mut bench).is_empty(), "there is no such part");
}

#[test]
fn offers_are_repeated_less_and_less_until_an_answer_that_is_final() {
    for (last, state) in [
        (RulesAnswer::InForce, RulesState::InForce),
        (RulesAnswer::Unreadable, RulesState::Unreadable),
        (RulesAnswer::Declined, RulesState::Declined),
    ] {
        let mut bench = bench();
        let (name, _) = offer(&mut bench);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let before = bench.now_ms;
            wake(&mut bench);
            offer(&mut bench);
            pauses.push(bench.now_ms - before);
            answer(&mut bench, "gw-a", name, RulesAnswer::Held);
        }
        assert!(pauses.is_sorted() && pauses[0] == 1_000 && pauses[11] == 300_000, "{pauses:?}");
        answer(&mut bench, "gw-a", name, last);
        assert_eq!(standing(&bench).last().map(|known| known.state), Some(state));
        assert_eq!(bench.core.next_wakeup(), None);
    }
}

#[test]
fn nobody_hears_of_rules_that_are_not_committed() {
    let mut bench = bench();
    let (first, _) = offer(&mut bench);
    answer(&mut bench, "gw-a", first, RulesAnswer::InForce);
    bench.hold_commits = true;
    change(&mut bench, set(serde_json::json!([{ "id": "hot", "above": 70 }])));
    let batch = bench.held.take().expect("a commit");
    born(&mut bench, "gw-a", true);
    assert_eq!(offer(&mut bench).0, first);
    bench.handle(Event::Committed { batch, used_bytes: 0 });
    let (second, _) = offer(&mut bench);
    assert_eq!(second.edition, 2);
    answer(&mut bench, "gw-a", first, RulesAnswer::InForce);
    assert_eq!(offer(&mut bench).0, second, "it speaks of others");
}

#[test]
fn after_a_failed_commit_gateways_are_asked_anew_and_a_start_does_the_same() {
    let mut bench = bench();
    let (name, bytes) = offer(&mut bench);
    bench.hold_commits = true;
    answer(&mut bench, "gw-a", name, RulesAnswer::InForce);
    let batch = bench.held.take().expect("a commit");
    let snapshot = bench.snapshot();
    bench.batches.clear();
    bench.handle(Event::CommitFailed { batch });
    bench.hold_commits = false;
    bench.handle(Event::Reloaded { snapshot: Box::new(snapshot), incarnation: 2 });
    wake(&mut bench);
    assert_eq!(offer(&mut bench), (name, bytes));
    answer(&mut bench, "gw-a", name, RulesAnswer::InForce);
    assert_eq!(standing(&bench).len(), 1, "what was not written is written again");

    let mut bench = Bench::new(bench.snapshot());
    bench.handle(Event::BrokerConnected);
    born(&mut bench, "gw-a", true);
    assert_eq!(offer(&mut bench).1, bytes);
}

#[test]
fn a_cloud_without_rules_says_nothing_and_one_whose_rules_are_gone_says_that() {
    let mut bench = Bench::with_rules(RuleSet::default(), Snapshot::default());
    born(&mut bench, "gw-a", true);
    wake(&mut bench);
    assert!(brought(&mut bench).is_empty());
    change(&mut bench, rules());
    let (first, _) = offer(&mut bench);
    change(&mut bench, RuleSet::default());
    let (second, bytes) = offer(&mut bench);
    assert_eq!((first.edition, second.edition), (1, 2));
    let document = fetched(&mut bench, second, bytes);
    assert_eq!(RuleBook::from_document(&document), Ok(RuleBook::default()));
}

#[test]
fn rules_that_do_not_fit_are_said_to_be_too_many() {
    let labels: Vec<_> = (0..200)
        .map(|at| serde_json::json!({ "select": { "device": format!("d{at}") }, "set": { "area": "x".repeat(100) } }))
        .collect();
    let rules: Vec<_> = (0..100)
        .map(|at| serde_json::json!({ "id": format!("r{at}"), "above": 1, "select": { "labels": { "area": "x*" } } }))
        .collect();
    let settings: RulesSettings =
        serde_json::from_value(serde_json::json!({ "labels": labels, "rule": rules })).unwrap();
    let mut bench = Bench::with_rules(RuleSet::from_settings(settings).unwrap(), Snapshot::default());
    bench.handle(Event::Time { unix_ms: 5 });
    born(&mut bench, "gw-a", true);
    wake(&mut bench);
    assert!(brought(&mut bench).is_empty());
    assert_eq!(standing(&bench), [RulesStanding { edition: 1, state: RulesState::TooLarge, unix_ms: 5 }]);
}
