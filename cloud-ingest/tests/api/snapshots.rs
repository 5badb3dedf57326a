//! What a watcher gets when it cannot go on from its cursor.

use serde_json::{Value as Json, json};
use tidegate_alarms::AlarmEvent;

use crate::{
    Served,
    made_up::alarm,
    raise,
    streams::{Seen, Watcher},
};

fn raise_of(device: usize) -> AlarmEvent {
    AlarmEvent { device: format!("board-{device}").parse().unwrap(), ..raise(device as u64) }
}

impl Served {
    /// These alarms stand.
    fn stand(&self, devices: impl Iterator<Item = usize>) {
        self.source.world.lock().unwrap().alarms.alarms =
            devices.map(|device| alarm(raise_of(device))).collect();
    }
}

async fn expect_reset(watcher: &mut Watcher, reason: &str) {
    let reset = watcher.some().await;
    let data = format!("{{\"reason\":\"{reason}\"}}");
    assert_eq!((reset.id.as_str(), reset.event.as_str(), reset.data), ("", "reset", data));
}

/// The devices of a snapshot's items, and its end.
async fn snapshot(watcher: &mut Watcher) -> (Vec<String>, Seen) {
    let mut devices = Vec::new();
    loop {
        let seen = watcher.some().await;
        if seen.event == "snapshot-end" {
            return (devices, seen);
        }
        assert_eq!((seen.event.as_str(), seen.id.as_str()), ("snapshot", ""), "{seen:?}");
        let alarm: Json = serde_json::from_str(&seen.data).unwrap();
        devices.push(alarm["device"].as_str().unwrap().to_owned());
    }
}

#[tokio::test]
async fn a_cursor_of_another_store_is_answered_by_a_reset_and_a_snapshot() {
    let served = Served::start().await;
    served.source.commit(raise(1));
    served.stand(1..=1);
    let mut watcher = Watcher::open(&served, "", Some("5000")).await;
    assert_eq!(
        watcher.some().await,
        Seen::default(),
        "no id: until the snapshot is there the old one is to be given again"
    );
    expect_reset(&mut watcher, "unknown-cursor").await;
    let (devices, end) = snapshot(&mut watcher).await;
    assert_eq!(devices, ["board-1"]);
    assert_eq!((end.id.as_str(), end.data.as_str()), ("1", "{\"alarms\":1}"));
    served.source.commit(raise(2));
    assert_eq!(watcher.some().await.id, "2", "events below the foreign cursor are not swallowed");
}

#[tokio::test]
async fn a_watcher_whose_events_are_not_kept_any_more_gets_what_stands_and_goes_on_behind_it() {
    let served = Served::start().await;
    for seq in 1..=5 {
        served.source.commit(raise(seq));
    }
    served.source.world.lock().unwrap().events_gone = 3;
    // More than are read at a time.
    served.stand(1..=600);
    let mut watcher = Watcher::open(&served, "", Some("2")).await;
    assert_eq!(watcher.some().await.id, "2");
    expect_reset(&mut watcher, "expired").await;
    let (devices, end) = snapshot(&mut watcher).await;
    assert_eq!(devices, (1..=600).map(|device| format!("board-{device}")).collect::<Vec<_>>());
    assert_eq!((end.id.as_str(), end.data.as_str()), ("5", "{\"alarms\":600}"));
    served.source.commit(raise(6));
    let next = watcher.some().await;
    assert_eq!((next.event.as_str(), next.id.as_str()), ("alarm", "6"));
    // It goes on from there when it comes again.
    let mut again = Watcher::open(&served, "", Some(&end.id)).await;
    assert_eq!((again.some().await.id, again.some().await.id), ("5".into(), "6".into()));
}

#[tokio::test]
async fn an_item_is_the_alarm_as_the_list_has_it() {
    let served = Served::start().await;
    served.source.commit(raise(1));
    served.stand(1..=1);
    let mut watcher = Watcher::open(&served, "?since=7", None).await;
    watcher.some().await;
    expect_reset(&mut watcher, "unknown-cursor").await;
    let item: Json = serde_json::from_str(&watcher.some().await.data).unwrap();
    assert_eq!(served.json("/api/v1/alarms").await["alarms"], json!([item]));
}

#[tokio::test]
async fn nothing_is_missed_by_one_that_saw_the_last_of_those_nor_by_one_that_wants_what_is_kept() {
    let served = Served::start().await;
    for seq in 1..=5 {
        served.source.commit(raise(seq));
    }
    served.source.world.lock().unwrap().events_gone = 3;
    let mut watcher = Watcher::open(&served, "", Some("3")).await;
    assert_eq!((watcher.some().await.id, watcher.some().await.id), ("3".into(), "4".into()));
    let mut watcher = Watcher::open(&served, "?since=beginning", None).await;
    assert_eq!((watcher.some().await.id, watcher.some().await.id), ("0".into(), "4".into()));
    assert_eq!(watcher.some().await.id, "5");
    // But by one that was connected before the first event.
    let mut watcher = Watcher::open(&served, "?since=beginning", Some("0")).await;
    assert_eq!(watcher.some().await.id, "0");
    expect_reset(&mut watcher, "expired").await;
    assert_eq!(snapshot(&mut watcher).await.1.id, "5");
}

#[tokio::test]
async fn what_is_announced_and_committed_while_a_snapshot_is_read_is_in_it_and_not_told_again() {
    let served = Served::start().await;
    served.source.commit(raise_of(1));
    served.stand(1..=2);
    served.source.world.lock().unwrap().meanwhile = vec![raise_of(2)];
    let mut watcher = Watcher::open(&served, "?since=900", None).await;
    watcher.some().await;
    expect_reset(&mut watcher, "unknown-cursor").await;
    let (devices, end) = snapshot(&mut watcher).await;
    assert_eq!(devices, ["board-1", "board-2", "board-2"], "again, as it is now");
    assert_eq!(end.id, "2");
    served.source.commit(raise_of(3));
    assert_eq!(watcher.some().await.id, "3");
}

#[tokio::test]
async fn more_than_waits_for_a_watcher_may_happen_while_a_snapshot_is_read() {
    let served = Served::start().await;
    served.stand(1..=1);
    served.source.world.lock().unwrap().meanwhile = (1..=300).map(raise).collect();
    let mut watcher = Watcher::open(&served, "?since=900", None).await;
    watcher.some().await;
    expect_reset(&mut watcher, "unknown-cursor").await;
    assert_eq!(snapshot(&mut watcher).await.1.id, "300");
    served.source.commit(raise(301));
    assert_eq!(watcher.some().await.id, "301");
}

/// As those that follow the stream see it that begins now: no snapshot.
#[tokio::test]
async fn where_a_stream_begins_anew_there_is_no_snapshot() {
    let served = Served::start().await;
    served.source.commit(raise(1));
    served.stand(1..=1);
    let mut watcher = Watcher::open(&served, "", None).await;
    assert_eq!(watcher.some().await.id, "1");
    served.source.commit(raise(2));
    let next = watcher.some().await;
    assert_eq!((next.event.as_str(), next.id.as_str()), ("alarm", "2"));
}
