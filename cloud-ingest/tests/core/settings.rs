//! Settings of channels: who is told of them and when, and which answer counts.

use tidegate_ingest::core::{
    Event, Snapshot,
    desired::{ChannelKey, SettingsAnswer, SettingsDone, SettingsOrder, SettingsRecord},
};
use tidegate_protocol::{
    ChannelName, DeviceId,
    settings::{ChannelSettings, DesiredChannel, ReportedChannel, ReportedSettings, SettingsOutcome},
    status::GatewayStatus,
    topic::{GatewayPath, Lane},
};

use crate::support::{Bench, described, encode, gateway, origin, readings};

fn key() -> ChannelKey {
    ChannelKey { site: gateway("gw-a").site, device: device(), channel: ChannelName::new("x").unwrap() }
}

fn device() -> DeviceId {
    DeviceId::new("board").unwrap()
}

fn each(period_ms: u32) -> ChannelSettings {
    ChannelSettings { enabled: true, period_ms, report_deadband: None, max_silence_ms: 0 }
}

fn want(bench: &mut Bench, ticket: u64, settings: Option<ChannelSettings>, expected: Option<Vec<u32>>) {
    let order = Box::new(SettingsOrder { key: key(), settings, expected, unix_ms: 7 });
    bench.handle(Event::WantSettings { ticket, order });
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

fn report(bench: &mut Bench, name: &str, revision: u32, outcome: SettingsOutcome) {
    let ChannelKey { device, channel, .. } = key();
    let reported =
        ReportedSettings { channels: vec![ReportedChannel { device, channel, revision, outcome }] };
    bench.handle(Event::SettingsReported { from: gateway(name), reported, unix_ms: 9 });
}

/// Who was told which revision and period since the last look.
fn told(bench: &mut Bench) -> Vec<(GatewayPath, u32, Option<u32>)> {
    let told = std::mem::take(&mut bench.told);
    let each = |(to, channels): (GatewayPath, Vec<DesiredChannel>)| {
        channels
            .into_iter()
            .map(move |told| (to, told.revision, told.settings.map(|wanted| wanted.period_ms)))
    };
    told.into_iter().flat_map(each).collect()
}

/// The record that was committed last.
fn stored(bench: &Bench) -> Option<SettingsRecord> {
    let mut all = bench.batches.iter().flat_map(|batch| &batch.settings);
    all.next_back().map(|(of, record)| {
        assert_eq!(*of, key());
        record.clone()
    })
}

fn wake(bench: &mut Bench) {
    bench.now_ms = bench.core.next_wakeup().expect("something is due");
    bench.handle(Event::Wakeup);
}

fn answered(revision: u32, outcome: SettingsOutcome) -> Option<SettingsAnswer> {
    Some(SettingsAnswer { revision, outcome, gateway: gateway("gw-a").gateway, unix_ms: 9 })
}

#[test]
fn gateways_hear_of_settings_only_once_they_are_committed() {
    let mut bench = Bench::new(Snapshot::default());
    born(&mut bench, "gw-a", true);
    bench.hold_commits = true;
    want(&mut bench, 1, Some(each(500)), None);
    let batch = bench.held.take().expect("a commit");
    assert!(bench.wanted.is_empty() && bench.told.is_empty());
    born(&mut bench, "gw-a", true);
    assert!(bench.told.is_empty(), "not by another way either");
    bench.handle(Event::Committed { batch, used_bytes: 0 });
    assert_eq!(told(&mut bench), [(gateway("gw-a"), 1, Some(500))]);
    let done = SettingsRecord { revision: 1, desired: Some(each(500)), set_unix_ms: 7, answer: None };
    assert_eq!(bench.wanted, [(1, SettingsDone::Wanted(done))]);
}

#[test]
fn what_was_not_committed_was_never_wanted() {
    let mut bench = Bench::new(Snapshot::default());
    born(&mut bench, "gw-a", true);
    bench.hold_commits = true;
    want(&mut bench, 1, Some(each(500)), None);
    let batch = bench.held.take().expect("a commit");
    want(&mut bench, 2, Some(each(600)), None);
    bench.handle(Event::CommitFailed { batch });
    bench.handle(Event::Reloaded { snapshot: Box::default(), incarnation: 2 });
    let mut refused = std::mem::take(&mut bench.wanted);
    refused.sort_by_key(|(ticket, _)| *ticket);
    assert_eq!(refused, [(1, SettingsDone::NotCommitted), (2, SettingsDone::NotCommitted)]);
    bench.hold_commits = false;
    wake(&mut bench);
    assert!(bench.told.is_empty());
    want(&mut bench, 3, Some(each(700)), None);
    assert_eq!(told(&mut bench), [(gateway("gw-a"), 1, Some(700))], "the number was not used up");
}

#[test]
fn a_gateway_is_asked_again_and_less_and_less_until_the_board_has_answered() {
    let mut bench = Bench::with_rules(Default::default(), Snapshot::default());
    born(&mut bench, "gw-a", true);
    want(&mut bench, 1, Some(each(500)), None);
    told(&mut bench);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let before = bench.now_ms;
        wake(&mut bench);
        assert_eq!(told(&mut bench).len(), 1);
        pauses.push(bench.now_ms - before);
        // It has them, and no board has answered.
        report(&mut bench, "gw-a", 1, SettingsOutcome::Held);
    }
    assert!(pauses.is_sorted() && pauses[0] == 1_000 && pauses[11] == 300_000, "{pauses:?}");
    report(&mut bench, "gw-a", 1, SettingsOutcome::Applied);
    assert_eq!(stored(&bench).and_then(|record| record.answer), answered(1, SettingsOutcome::Applied));
    wake(&mut bench);
    assert!(bench.told.is_empty());
    assert_eq!(bench.core.next_wakeup(), None);
}

#[test]
fn each_gateway_of_the_site_is_told_until_it_has_them_whoever_answers() {
    let mut bench = Bench::new(Snapshot::default());
    born(&mut bench, "gw-a", true);
    born(&mut bench, "gw-b", true);
    born(&mut bench, "gw-c", false);
    want(&mut bench, 1, Some(each(500)), None);
    assert_eq!(told(&mut bench), ["gw-a", "gw-b"].map(|name| (gateway(name), 1, Some(500))));
    report(&mut bench, "gw-a", 1, SettingsOutcome::BadPeriod);
    assert_eq!(stored(&bench).and_then(|record| record.answer), answered(1, SettingsOutcome::BadPeriod));
    wake(&mut bench);
    assert_eq!(told(&mut bench), [(gateway("gw-b"), 1, Some(500))], "the first message to it may be lost");
    report(&mut bench, "gw-b", 1, SettingsOutcome::Held);
    wake(&mut bench);
    assert!(bench.told.is_empty());
    born(&mut bench, "gw-c", true);
    assert_eq!(told(&mut bench), [(gateway("gw-c"), 1, Some(500))]);
    born(&mut bench, "gw-b", false);
    want(&mut bench, 2, Some(each(600)), None);
    assert_eq!(told(&mut bench), ["gw-a", "gw-c"].map(|name| (gateway(name), 2, Some(600))));
}

#[test]
fn only_an_answer_to_the_present_revision_counts_and_it_is_written_once() {
    let mut bench = Bench::new(Snapshot::default());
    born(&mut bench, "gw-a", true);
    want(&mut bench, 1, Some(each(500)), None);
    want(&mut bench, 2, Some(each(1)), None);
    report(&mut bench, "gw-a", 2, SettingsOutcome::BadPeriod);
    report(&mut bench, "gw-a", 1, SettingsOutcome::Applied);
    assert_eq!(stored(&bench).and_then(|record| record.answer), answered(2, SettingsOutcome::BadPeriod));
    let batches = bench.batches.len();
    report(&mut bench, "gw-a", 2, SettingsOutcome::BadPeriod);
    assert_eq!(bench.batches.len(), batches, "said again it is no news");
    // The same is wanted again: nothing changes.
    want(&mut bench, 3, Some(each(1)), None);
    assert_eq!(bench.batches.len(), batches);
    let Some((3, SettingsDone::Wanted(record))) = bench.wanted.last() else { panic!("{:?}", bench.wanted) };
    assert_eq!(record.revision, 2);
}

#[test]
fn whoever_saw_an_older_revision_changes_nothing() {
    let mut bench = Bench::new(Snapshot::default());
    want(&mut bench, 1, Some(each(500)), Some(vec![0]));
    want(&mut bench, 2, Some(each(600)), Some(vec![0]));
    want(&mut bench, 3, None, Some(vec![4, 1]));
    let revision = |(ticket, done): &(u64, SettingsDone)| match done {
        SettingsDone::Wanted(record) => (*ticket, true, record.revision),
        SettingsDone::Elsewhere { revision } => (*ticket, false, *revision),
        other => panic!("{other:?}"),
    };
    let done: Vec<_> = bench.wanted.iter().map(revision).collect();
    assert_eq!(done, [(1, true, 1), (2, false, 1), (3, true, 2)]);
    assert_eq!(stored(&bench).and_then(|record| record.desired), None);
}

#[test]
fn what_is_cleared_is_told_until_every_gateway_knows() {
    let mut bench = Bench::new(Snapshot::default());
    born(&mut bench, "gw-a", true);
    want(&mut bench, 1, Some(each(500)), None);
    want(&mut bench, 2, None, None);
    assert_eq!(told(&mut bench).last(), Some(&(gateway("gw-a"), 2, None)));
    wake(&mut bench);
    assert_eq!(told(&mut bench), [(gateway("gw-a"), 2, None)]);
    report(&mut bench, "gw-a", 2, SettingsOutcome::Cleared);
    wake(&mut bench);
    assert!(bench.told.is_empty());
}

#[test]
fn a_restarted_ingest_asks_for_what_is_open_and_not_for_more() {
    let record = SettingsRecord { revision: 4, desired: Some(each(500)), set_unix_ms: 7, answer: None };
    let snapshot = Snapshot { settings: vec![(key(), record)], ..Snapshot::default() };
    let mut bench = Bench::new(snapshot);
    assert!(bench.told.is_empty(), "nobody is there");
    born(&mut bench, "gw-a", true);
    assert_eq!(told(&mut bench), [(gateway("gw-a"), 4, Some(500))]);
    report(&mut bench, "gw-a", 4, SettingsOutcome::Applied);
    wake(&mut bench);
    assert!(bench.told.is_empty());
    // What was on its way when the broker was lost may be gone, and a gateway may have been set up anew.
    bench.handle(Event::BrokerConnected);
    assert_eq!(told(&mut bench), [(gateway("gw-a"), 4, Some(500))]);
}

#[test]
fn after_a_restore_the_numbers_go_on_above_those_that_gateways_have() {
    let mut bench = Bench::new(Snapshot::default());
    let board = origin("board", 1);
    bench.send(Lane::Live, encode(vec![described(board)], vec![readings(board, 0..1)]));
    born(&mut bench, "gw-a", true);
    // Of settings that the backup does not have.
    report(&mut bench, "gw-a", 8, SettingsOutcome::Applied);
    assert_eq!(told(&mut bench), [(gateway("gw-a"), 9, None)], "nothing is wanted here");
    want(&mut bench, 1, Some(each(500)), None);
    assert_eq!(told(&mut bench), [(gateway("gw-a"), 10, Some(500))]);
    report(&mut bench, "gw-a", u32::MAX, SettingsOutcome::Applied);
    assert_eq!(stored(&bench).map(|record| record.revision), Some(10), "there is no number above it");
    let unknown = bench.batches.len();
    let reported = ReportedSettings {
        channels: vec![ReportedChannel {
            device: device(),
            channel: ChannelName::new("made-up").unwrap(),
            revision: 3,
            outcome: SettingsOutcome::Applied,
        }],
    };
    bench.handle(Event::SettingsReported { from: gateway("gw-a"), reported, unix_ms: 9 });
    assert_eq!(bench.batches.len(), unknown, "a channel that no boot has is not kept");
}
