//! Alarms over a store that a core commits to: lists by page, what operators do, and what is there afterwards.

use tidegate_alarms::{
    AlarmKind, AlarmState, Glob, RuleId, RuleSet, RulesSettings, TransitionKind,
    lifecycle::{Action, Refusal},
};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ClockQuality, GatewayId, Origin, Quality, Reading, Seq, Tick, Value,
    ValueKind,
    block::{Block, Description, Encoder, OriginReadings, Record, Stamp, stamp},
    topic::{GatewayPath, Lane},
};

use super::*;
use crate::{
    core::Event,
    events::{AlarmNames, HistoryMark, States, mark_from_text},
    operations::Deed,
};

pub(super) const BOARDS: u64 = 7;

pub(super) fn key(board: u64) -> AlarmKey {
    AlarmKey {
        site: "plant".parse().unwrap(),
        device: format!("board-{board}").parse().unwrap(),
        channel: "level".parse().unwrap(),
        rule: RuleId::new("high"),
    }
}

/// Of each board: at second `board` a reading of 99, and at `board` + 10 one of 0 where it clears.
fn block(board: u64, clears: bool) -> Event {
    let origin = Origin::new(key(board).device, BootId(board + 1));
    let declared = ChannelDecl { name: key(0).channel, unit: "m".to_owned(), kind: ValueKind::F64, scale: 0 };
    let described =
        Description { origin, tag: String::new(), firmware: String::new(), channels: vec![declared] };
    let quality = ClockQuality::Synced;
    let anchor = Record::Anchor { origin, tick: Tick(0), unix_ms: 0, error_ms: 1, quality };
    let reading = |seq, tick, value| Reading {
        seq: Seq(seq),
        channel: ChannelIndex(0),
        tick: Tick(tick),
        value: Value::F64(value),
        quality: Quality::Good,
    };
    let mut readings = vec![reading(0, board * 1_000, 99.0)];
    if clears {
        readings.push(reading(1, (board + 10) * 1_000, 0.0));
    }
    let block = Block {
        records: vec![Record::Described(described), anchor],
        origins: vec![OriginReadings { origin, readings }],
    };
    let mut bytes = Encoder::new().unwrap().encode(&block).unwrap();
    let lane = Lane::Live;
    stamp(&mut bytes, Stamp { lane, epoch: 1, number: board }).unwrap();
    let from = GatewayPath::new("plant".parse().unwrap(), GatewayId::new("gw-a").unwrap());
    Event::Block { from, lane, bytes: bytes.into(), arrival_unix_ms: 0 }
}

/// Boards with an odd number have cleared.
pub(super) fn served(folder: &std::path::Path) -> Query {
    served_under(folder, "high")
}

fn served_under(folder: &std::path::Path, rule: &str) -> Query {
    let rule =
        serde_json::json!({ "rule": [{ "id": rule, "select": {}, "above": 60.0, "priority": "high" }] });
    let rules = RuleSet::from_settings(serde_json::from_value::<RulesSettings>(rule).unwrap()).unwrap();
    let (query, events) = super::served::served(folder, rules, None);
    for board in 0..BOARDS {
        events.blocking_send(block(board, board % 2 == 1)).unwrap();
    }
    // Answered after the blocks before it.
    let unknown = act(&query, 99, Action::Comment);
    assert!(matches!(unknown, Err(QueryError::UnknownAlarm)), "{unknown:?}");
    query
}

pub(super) fn act(query: &Query, board: u64, action: Action) -> Result<AlarmEvent, QueryError> {
    query.act_on_alarm(&AlarmRequest {
        key: key(board),
        deed: Deed::Act(action),
        operator: "eva".to_owned(),
        comment: "seen".to_owned(),
        expected: None,
    })
}

pub(super) fn acknowledge(query: &Query, board: u64) -> Result<AlarmEvent, QueryError> {
    let seen = query.alarm(&key(board)).unwrap().alarm.lifecycle.latest.unwrap();
    act(query, board, Action::Acknowledge(seen))
}

fn all() -> AlarmSelection {
    AlarmSelection { states: States::All, limit: 100, ..AlarmSelection::default() }
}

fn boards(query: &Query, selection: AlarmSelection) -> Vec<u64> {
    let alarms = query.alarms(&selection).unwrap().alarms;
    alarms.iter().map(|alarm| alarm.device.as_str()[6..].parse().unwrap()).collect()
}

#[test]
fn a_rule_with_the_name_of_one_of_ours_says_nothing_of_gateways() {
    let folder = tempfile::tempdir().unwrap();
    let query = served_under(folder.path(), "gateway-cloned");
    assert_eq!(boards(&query, all()).len() as u64, BOARDS);
    assert_eq!(query.audit(&Selection::default(), true).unwrap().cloned, []);
}

#[test]
fn pages_follow_each_other_without_gap_or_overlap() {
    let folder = tempfile::tempdir().unwrap();
    let query = served(folder.path());
    assert_eq!(boards(&query, all()), [6, 5, 4, 3, 2, 1, 0], "newest raise first");
    let (mut seen, mut selection) = (Vec::new(), AlarmSelection { limit: 3, ..all() });
    loop {
        let page = query.alarms(&selection).unwrap();
        seen.extend(page.alarms.iter().map(|alarm| alarm.device.as_str()[6..].parse::<u64>().unwrap()));
        // What is done meanwhile moves none of them.
        act(&query, seen[seen.len() - 1], Action::Comment).unwrap();
        let Some(next) = page.next else { break };
        selection.after = Some(mark_from_text(&next).expect("a mark"));
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1, 0]);

    let (mut pages, mut selection) = (Vec::new(), HistorySelection { limit: 3, ..Default::default() });
    loop {
        let page = query.alarm_history(&selection).unwrap();
        pages
            .push(page.occurrences.iter().map(|known| known.onset.time_unix_ms.unwrap()).collect::<Vec<_>>());
        let Some(next) = page.next else { break };
        selection.after = Some(mark_from_text::<HistoryMark>(&next).expect("a mark"));
    }
    assert_eq!(pages, [vec![4_000, 5_000, 6_000], vec![1_000, 2_000, 3_000], vec![0]]);

    let log = query.alarm_log(&LogSelection { limit: 2, ..LogSelection::default() }).unwrap();
    assert_eq!(log.log.iter().map(|line| line.number).collect::<Vec<_>>(), [2, 1]);
    let after = log.next.map(|next| next.parse().unwrap());
    let rest = query.alarm_log(&LogSelection { limit: 2, after, ..LogSelection::default() }).unwrap();
    assert_eq!((rest.log.len(), rest.log[0].number, rest.next), (1, 0, None));
}

#[test]
fn the_list_is_chosen_by_state_priority_and_name() {
    let folder = tempfile::tempdir().unwrap();
    let query = served(folder.path());
    acknowledge(&query, 0).unwrap();
    acknowledge(&query, 1).unwrap();
    act(&query, 2, Action::OutOfService).unwrap();
    let with = |states| AlarmSelection { states, ..all() };
    assert_eq!(boards(&query, with(States::Active)), [6, 4, 2, 0]);
    assert_eq!(boards(&query, with(States::Standing)), [6, 5, 4, 3, 2, 0]);
    let these = States::These(vec![AlarmState::Normal, AlarmState::OutOfService]);
    assert_eq!(boards(&query, with(these)), [2, 1]);
    assert_eq!(boards(&query, AlarmSelection { unacknowledged: true, ..all() }), [6, 5, 4, 3, 2]);
    let low = vec![tidegate_alarms::Priority::Low];
    assert!(boards(&query, AlarmSelection { priorities: low, ..all() }).is_empty());
    let of = |kinds| boards(&query, AlarmSelection { kinds, ..all() }).len();
    assert_eq!((of(vec![AlarmKind::Stale, AlarmKind::Channel]), of(vec![AlarmKind::Gateway])), (7, 0));
    let names = AlarmNames { device: Some(Glob::new("*-3")), ..AlarmNames::default() };
    assert_eq!(boards(&query, AlarmSelection { names: names.clone(), ..all() }), [3]);
    let history = HistorySelection { names, limit: 9, after: None };
    assert_eq!(query.alarm_history(&history).unwrap().occurrences.len(), 1);
}

#[test]
fn one_alarm_shows_what_was_done_with_it_and_its_occurrences() {
    let folder = tempfile::tempdir().unwrap();
    let query = served(folder.path());
    assert!(matches!(query.alarm(&key(99)), Err(QueryError::UnknownAlarm)));
    let before = query.alarm(&key(1)).unwrap();
    assert_eq!(before.alarm.state, AlarmState::RtnUnacknowledged);
    act(&query, 2, Action::Comment).unwrap();
    let event = acknowledge(&query, 1).unwrap();
    let twice = acknowledge(&query, 1);
    assert!(
        matches!(twice, Err(QueryError::AlarmRefused { refusal: Refusal::NothingToAcknowledge, .. })),
        "{twice:?}"
    );
    let shown = query.alarm(&key(1)).unwrap();
    assert_eq!((shown.newest, shown.alarm.state), (event.id, AlarmState::Normal));
    assert_eq!(shown.alarm.done.as_ref(), Some(&event));
    let log: Vec<_> =
        shown.log.iter().map(|line| (line.entry.action, line.entry.operator.by.as_str())).collect();
    assert_eq!(log, [(TransitionKind::Acknowledge, "eva")], "of this alarm alone");
    assert_eq!(shown.occurrences.len(), 1);
    let events = query.events_after(0, 100).unwrap();
    assert_eq!(events.last().map(|(_, event)| event), Some(&event), "in the same stream");

    // An order that expects what was there before is refused.
    let request = AlarmRequest {
        key: key(1),
        deed: Deed::ShelveForMs(60_000),
        operator: "eva".to_owned(),
        comment: String::new(),
        expected: Some(vec![before.newest]),
    };
    let changed = query.act_on_alarm(&request);
    assert!(matches!(changed, Err(QueryError::AlarmChanged)), "{changed:?}");
    let shelved = query.act_on_alarm(&AlarmRequest { expected: Some(vec![event.id]), ..request }).unwrap();
    let until = shelved.operator.and_then(|operator| operator.until_unix_ms).unwrap();
    assert_eq!(until, shelved.time_unix_ms.unwrap() + 60_000);
}
