//! What gateways say is active, against what this ingest says.

use tidegate_alarms::{RuleSet, RulesSettings, TransitionKind};
use tidegate_ingest::core::{Event, Snapshot, verdicts::Difference};
use tidegate_protocol::{
    BootId, ChannelName, DeviceId, Seq,
    block::OriginReadings,
    rules::{RulesAnswer, RulesDown, RulesUp, Verdict, VerdictRaise, Verdicts},
    status::GatewayStatus,
    topic::Lane,
};

use crate::support::{Bench, described, encode, gateway, origin, reading, rules};

const START_MS: i64 = 1_800_000_000_000;

fn status(bench: &mut Bench, online: bool) {
    let status = GatewayStatus {
        online,
        version: "1".into(),
        epoch: "7".into(),
        since_unix_ms: 0,
        ..GatewayStatus::default()
    };
    bench.handle(Event::Status { from: gateway("gw-a"), status, unix_ms: bench.unix_ms });
}

/// A gateway that judges by the newest rules and has nothing active.
fn bench() -> Bench {
    let mut bench = Bench::new(Snapshot::default());
    pass(&mut bench, 1);
    bench.handle(Event::BrokerConnected);
    status(&mut bench, true);
    in_force(&mut bench);
    say(&mut bench, 1, true, vec![]);
    measure(&mut bench, 0, 1.0);
    pass(&mut bench, 1);
    bench
}

fn in_force(bench: &mut Bench) {
    let Some((_, RulesDown::Offer { name, .. })) = bench.brought.pop() else { panic!("an offer") };
    let up = RulesUp { name, answer: RulesAnswer::InForce };
    bench.handle(Event::RulesAnswered { from: gateway("gw-a"), up, unix_ms: 0 });
    bench.brought.clear();
}

fn pass(bench: &mut Bench, seconds: u64) {
    let until = bench.now_ms + seconds * 1_000;
    loop {
        bench.now_ms = bench.core.next_wakeup().map_or(until, |due| due.clamp(bench.now_ms, until));
        bench.unix_ms = START_MS + bench.now_ms as i64;
        bench.handle(Event::Time { unix_ms: bench.unix_ms });
        bench.handle(Event::Wakeup);
        if bench.now_ms >= until {
            return;
        }
    }
}

fn measure(bench: &mut Bench, seq: u64, value: f64) {
    let board = origin("board", 1);
    let readings = OriginReadings { origin: board, readings: vec![reading(seq, value)] };
    bench.send(Lane::Live, encode(vec![described(board)], vec![readings]));
}

fn revision() -> u64 {
    rules().get("hot").unwrap().revision().0
}

fn active(rule: &str, revision: u64, seq: u64) -> Verdict {
    let raised = VerdictRaise { revision, boot: BootId(1), seq: Seq(seq), since_unix_ms: START_MS };
    Verdict { raised: Some(raised), ..ended(rule) }
}

fn ended(rule: &str) -> Verdict {
    let (device, channel) = (DeviceId::new("board").unwrap(), ChannelName::new("x").unwrap());
    Verdict { device, channel, rule: rule.to_owned(), raised: None }
}

fn say(bench: &mut Bench, number: u64, begins: bool, verdicts: Vec<Verdict>) {
    let verdicts = Verdicts { verdicts, epoch: 7, number, begins };
    bench.handle(Event::Verdicts { from: gateway("gw-a"), verdicts });
}

/// What was told: raises and clears, and what is judged otherwise, with who says so.
fn told(bench: &Bench) -> Vec<(TransitionKind, String)> {
    let events = bench.batches.iter().flat_map(|batch| &batch.events);
    events
        .map(|event| (event.transition, event.operator.clone().map_or_else(String::new, |by| by.by)))
        .collect()
}

fn differing(bench: &Bench) -> Vec<Difference> {
    bench.compared.iter().filter_map(|one| one.difference).collect()
}

const GW_A: &str = "gateway gw-a";

#[test]
fn where_both_say_the_same_nothing_is_told_in_whatever_order_they_say_it() {
    for gateway_first in [true, false] {
        let mut bench = bench();
        if gateway_first {
            say(&mut bench, 2, false, vec![active("hot", revision(), 1)]);
        }
        measure(&mut bench, 1, 70.0);
        pass(&mut bench, 3);
        if !gateway_first {
            say(&mut bench, 2, false, vec![active("hot", revision(), 1)]);
        }
        pass(&mut bench, 60);
        let [one] = bench.compared.as_slice() else { panic!("{:?}", bench.compared) };
        assert_eq!((one.difference, one.cloud_revision.map(|known| known.0)), (None, Some(revision())));
        measure(&mut bench, 2, 1.0);
        say(&mut bench, 3, false, vec![ended("hot")]);
        pass(&mut bench, 60);
        assert_eq!(
            told(&bench),
            [(TransitionKind::Raise, String::new()), (TransitionKind::Clear, String::new())]
        );
        assert!(bench.compared.is_empty());
    }
}

#[test]
fn what_is_active_at_the_gateway_alone_is_shown_and_raises_nothing() {
    let mut bench = bench();
    say(&mut bench, 2, false, vec![active("hot", revision(), 0)]);
    pass(&mut bench, 4);
    assert!(differing(&bench).is_empty(), "readings may be on their way");
    pass(&mut bench, 20);
    assert_eq!(differing(&bench), [Difference::GatewayOnly]);
    assert_eq!(told(&bench), [(TransitionKind::Disagree, GW_A.to_owned())]);
    pass(&mut bench, 600);
    assert_eq!(told(&bench).len(), 1, "once");
    assert_eq!(bench.core.counters().verdicts_differing, 1);
    say(&mut bench, 3, false, vec![ended("hot")]);
    pass(&mut bench, 60);
    assert_eq!(told(&bench)[1..], [(TransitionKind::Agree, GW_A.to_owned())]);
    assert_eq!((bench.core.counters().verdicts_differing, bench.core.counters().verdict_differences), (0, 1));
    assert_eq!(bench.provisional, 0, "nobody was told of a raise");
}

#[test]
fn what_is_active_here_alone_is_shown_where_the_gateway_has_the_same_rules() {
    let mut bench = bench();
    measure(&mut bench, 1, 70.0);
    pass(&mut bench, 30);
    assert_eq!(differing(&bench), [Difference::CloudOnly]);
    let raise = (TransitionKind::Raise, String::new());
    assert_eq!(told(&bench), [raise, (TransitionKind::Disagree, GW_A.to_owned())]);
    // A new birth: nothing is known of it until it has said so.
    status(&mut bench, true);
    pass(&mut bench, 30);
    assert!(differing(&bench).is_empty());
    say(&mut bench, 1, true, vec![]);
    pass(&mut bench, 30);
    assert!(differing(&bench).is_empty(), "it may have other rules");
    in_force(&mut bench);
    say(&mut bench, 2, true, vec![]);
    pass(&mut bench, 30);
    assert_eq!(differing(&bench), [Difference::CloudOnly]);
}

#[test]
fn another_revision_is_a_difference_though_both_are_active() {
    let mut bench = bench();
    measure(&mut bench, 1, 70.0);
    say(&mut bench, 2, false, vec![active("hot", 99, 1)]);
    pass(&mut bench, 30);
    assert_eq!(differing(&bench), [Difference::Revision]);
    let event = bench.batches.iter().flat_map(|batch| &batch.events).last().unwrap().clone();
    let comment = event.operator.unwrap().comment;
    let here = rules().get("hot").unwrap().revision();
    assert_eq!(comment, format!("active there under revision 0000000000000063, here under revision {here}"));
    assert_eq!(event.transition, TransitionKind::Disagree);
}

#[test]
fn a_rule_that_nobody_here_knows_is_shown_without_an_event() {
    let mut bench = bench();
    say(&mut bench, 2, false, vec![active("odd", 5, 0)]);
    pass(&mut bench, 30);
    assert_eq!(differing(&bench), [Difference::GatewayOnly]);
    assert!(told(&bench).is_empty());
    assert_eq!(bench.core.counters().verdict_differences, 1);
}

#[test]
fn a_missing_message_is_noticed_and_an_account_asked_for() {
    let mut bench = bench();
    say(&mut bench, 2, false, vec![active("hot", revision(), 0)]);
    say(&mut bench, 2, false, vec![ended("hot")]);
    assert!(bench.brought.is_empty(), "the broker brought one twice");
    say(&mut bench, 4, false, vec![]);
    let [(to, RulesDown::Offer { .. })] = bench.brought.as_slice() else { panic!("{:?}", bench.brought) };
    assert_eq!(*to, gateway("gw-a"));
    pass(&mut bench, 30);
    assert!(bench.compared.is_empty(), "what it says is not known");
    say(&mut bench, 5, true, vec![active("hot", revision(), 0)]);
    pass(&mut bench, 30);
    assert_eq!(differing(&bench), [Difference::GatewayOnly]);
    // Another process of the agent counts anew.
    let verdicts = Verdicts { verdicts: vec![], epoch: 8, number: 6, begins: false };
    bench.handle(Event::Verdicts { from: gateway("gw-a"), verdicts });
    pass(&mut bench, 30);
    assert!(differing(&bench).is_empty());
}

#[test]
fn a_gateway_that_is_gone_says_nothing() {
    let mut bench = bench();
    say(&mut bench, 2, false, vec![active("hot", revision(), 0)]);
    pass(&mut bench, 30);
    assert_eq!(differing(&bench), [Difference::GatewayOnly]);
    status(&mut bench, false);
    pass(&mut bench, 10);
    assert!(bench.compared.is_empty());
    let agreed = told(&bench).into_iter().filter(|(kind, _)| *kind == TransitionKind::Agree).count();
    assert_eq!(agreed, 1);
}

#[test]
fn rules_of_silence_and_of_groups_are_not_asked_of_gateways() {
    let rules = serde_json::json!({ "rule": [
        { "id": "many", "select": { "channel": "x" }, "above": 60.0, "group": { "count": 1 } },
    ] });
    let rules = RuleSet::from_settings(serde_json::from_value::<RulesSettings>(rules).unwrap()).unwrap();
    let mut bench = Bench::with_rules(rules, Snapshot::default());
    pass(&mut bench, 1);
    bench.handle(Event::BrokerConnected);
    status(&mut bench, true);
    in_force(&mut bench);
    say(&mut bench, 1, true, vec![]);
    measure(&mut bench, 1, 70.0);
    pass(&mut bench, 30);
    assert!(bench.compared.is_empty(), "{:?}", bench.compared);
}
