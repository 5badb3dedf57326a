//! Events, quarantine and history that are old enough leave; cursors go on.

use tidegate_alarms::{
    AlarmEvent, ReadingAt, RuleSet, RulesSettings, State,
    event::{Place, Standing, WallTime},
};
use tidegate_protocol::{
    BootId, ChannelName, DeviceId, GatewayId, Quality, Seq, SiteId, Tick, Value, ack::RejectReason,
    topic::GatewayPath,
};

use super::*;
use crate::{
    core::batch::{Batch, Quarantined},
    store::Store,
};

fn raised(seq: u64) -> AlarmEvent {
    let text: RulesSettings = serde_json::from_str(r#"{"rule":[{"id":"hot","above":1.0}]}"#).unwrap();
    let rules = RuleSet::from_settings(text).unwrap();
    let place = Place {
        site: SiteId::new("plant").unwrap(),
        device: DeviceId::new("board-1").unwrap(),
        channel: ChannelName::new("temperature").unwrap(),
        unit: "Cel",
    };
    let (boot, value, quality) = (BootId(7), Value::F64(2.0), Quality::Good);
    let reading = ReadingAt { boot, seq: Seq(seq), tick: Tick(seq), value, quality };
    let rule = &rules.rules()[0];
    let transition = rule.step(&mut State::default(), &reading).unwrap();
    AlarmEvent::new(rule, place, &transition, Standing::default(), |_| WallTime::UNKNOWN)
}

fn commit(store: &LmdbStore, number: u64, seqs: std::ops::Range<u64>, at_hour: i64) {
    let from = GatewayPath::new(SiteId::new("plant").unwrap(), GatewayId::new("gw-a").unwrap());
    let quarantine = vec![Quarantined {
        from,
        arrival_unix_ms: at_hour * HOUR_MS,
        reason: RejectReason::Corrupt,
        because: String::new(),
        bytes: vec![number as u8],
    }];
    let events = seqs.map(raised).collect();
    store.commit(&Batch { number, events, quarantine, ..Batch::default() }).unwrap();
}

#[test]
fn old_events_and_quarantine_leave_and_cursors_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = LmdbStore::open(folder.path(), 1 << 24).unwrap();
    let cursors = || -> Vec<u64> {
        let events = store.look().unwrap().events_after(0, 100).unwrap();
        events.into_iter().map(|(cursor, _)| cursor).collect()
    };
    commit(&store, 1, 0..3, 10);
    trim(&store, 10 * HOUR_MS, None).unwrap();
    commit(&store, 2, 3..5, 12);
    trim(&store, 12 * HOUR_MS, Some(10 * HOUR_MS)).unwrap();
    assert_eq!(cursors(), [1, 2, 3, 4, 5], "they are from the hour that is kept");
    trim(&store, 13 * HOUR_MS, Some(11 * HOUR_MS)).unwrap();
    assert_eq!(cursors(), [4, 5]);
    assert_eq!(store.look().unwrap().quarantined().unwrap(), 1);
    // An event that is kept is still known by its id; one that left may be told again.
    commit(&store, 3, 4..5, 13);
    assert_eq!(cursors(), [4, 5]);
    // However old it is, the newest stays, so that no cursor is given twice.
    trim(&store, 500 * HOUR_MS, Some(400 * HOUR_MS)).unwrap();
    assert_eq!(cursors(), [5]);
    commit(&store, 4, 9..10, 500);
    assert_eq!(cursors(), [5, 6]);
}
