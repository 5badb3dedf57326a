//! Alarms as retained messages, for anyone's MQTT client: the way that all of them take to the broker.
//!
//! What is published anew after a connect is read from the store, and may be older than what commits meanwhile. So both pass
//! here, one at a time: a look is taken and its messages are queued before a later commit's message can be. A full
//! queue costs a commit's message, with a warning: it is published anew at the next connection. Publishing anew waits for
//! room, and leaves half of the queue to acknowledgements.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use tidegate_alarms::AlarmEvent;
use tidegate_protocol::topic;
use tokio::sync::mpsc;

use crate::{
    intake::Outgoing,
    store::{LmdbStore, StoreError},
};

/// Alarms read at a time.
const PORTION: usize = 64;
/// How often to look for room in a full queue.
const ROOM_POLL: Duration = Duration::from_millis(10);

pub struct Retained {
    outgoing: Mutex<mpsc::Sender<Outgoing>>,
}

impl Retained {
    pub fn new(outgoing: mpsc::Sender<Outgoing>) -> Self {
        Self { outgoing: Mutex::new(outgoing) }
    }

    /// Queues what was just committed; never waits for the broker.
    pub fn publish(&self, event: &AlarmEvent) {
        let outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(message) = message(event)
            && outgoing.try_send(message).is_err()
        {
            tracing::warn!("an alarm's retained message found no place on its way to the broker");
        }
    }

    /// Queues the latest event of every alarm.
    pub fn publish_all(&self, store: &LmdbStore) -> Result<(), StoreError> {
        let mut done: Option<Vec<u8>> = None;
        loop {
            let outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
            if outgoing.is_closed() {
                return Ok(());
            }
            let room = outgoing.capacity().saturating_sub(outgoing.max_capacity() / 2);
            if room == 0 {
                drop(outgoing);
                thread::sleep(ROOM_POLL);
                continue;
            }
            let portion = store.look()?.alarms_after(done.as_deref(), room.min(PORTION))?;
            for (_, alarm) in &portion {
                if let Some(message) = alarm.newest_event().and_then(message)
                    && outgoing.try_send(message).is_err()
                {
                    return Ok(());
                }
            }
            let Some((last, _)) = portion.into_iter().next_back() else { return Ok(()) };
            done = Some(last);
        }
    }
}

fn message(event: &AlarmEvent) -> Option<Outgoing> {
    let topic = topic::alarm(event.site, event.device, event.channel, event.rule.as_str());
    Some(Outgoing { topic, retain: true, payload: serde_json::to_vec(event).ok()? })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidegate_alarms::{
        Lifecycle, ReadingAt, RuleSet, RulesSettings, State, TransitionKind,
        event::{Deed, Operator, Place, Standing, WallTime},
    };
    use tidegate_protocol::{
        BootId, ChannelIndex, ChannelName, DeviceId, Quality, Reading, Seq, SiteId, Tick, Value,
    };

    use super::*;
    use crate::{core::batch::Batch, store::Store};

    /// A device's alarm: raised, then cleared.
    fn raise_and_clear(device: &str) -> [AlarmEvent; 2] {
        let rule = serde_json::json!({ "rule": [{ "id": "hot", "select": {}, "above": 60.0 }] });
        let settings: RulesSettings = serde_json::from_value(rule).expect("rules");
        let rules = RuleSet::from_settings(settings).expect("good rules");
        let (site, channel) = (SiteId::new("plant").expect("a slug"), ChannelName::new("x").expect("a name"));
        let device = DeviceId::new(device).expect("a slug");
        let rule = rules.matching(site, device, channel, "", "").rules.remove(0);
        let mut state = State::default();
        [(0, 99.0), (1, 0.0)].map(|(seq, value)| {
            let (channel_index, value) = (ChannelIndex(0), Value::F64(value));
            let reading = Reading {
                seq: Seq(seq),
                channel: channel_index,
                tick: Tick(seq),
                value,
                quality: Quality::Good,
            };
            let transition =
                rule.step(&mut state, &ReadingAt::new(BootId(1), &reading)).expect("a transition");
            let place = Place { site, device, channel, unit: "" };
            AlarmEvent::new(&rule, place, &transition, Standing::default(), |_| WallTime::UNKNOWN)
        })
    }

    /// Whoever connects later reads the state of now, not the raise alone.
    #[test]
    fn what_was_done_with_an_alarm_is_what_is_published_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = LmdbStore::open(folder.path(), 1 << 24).expect("a store");
        let [raised, _] = raise_and_clear("board-a");
        let after = Lifecycle { active: true, ..Lifecycle::default() };
        let operator = Operator { by: "eva".to_owned(), comment: String::new(), until_unix_ms: None };
        let kind = TransitionKind::Acknowledge;
        let done = raised.done(Deed { kind, number: 0, operator, unix_ms: 1, after: &after });
        store.commit(&Batch { events: vec![raised, done.clone()], ..Batch::default() }).expect("it commits");
        let (outgoing, mut to_broker) = mpsc::channel(8);
        Retained::new(outgoing).publish_all(&store).expect("it reads");
        let said = to_broker.blocking_recv().expect("a message");
        assert_eq!(Some(&said), message(&done).as_ref());
        let json: serde_json::Value = serde_json::from_slice(&said.payload).expect("JSON");
        assert_eq!((&json["state"], &json["lifecycle"]["active"]), (&"acknowledged".into(), &true.into()));
    }

    #[test]
    fn what_is_published_anew_is_not_older_than_what_committed_meanwhile() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(LmdbStore::open(folder.path(), 1 << 24).expect("a store"));
        let [first, _] = raise_and_clear("board-a");
        let [second, cleared] = raise_and_clear("board-b");
        let commit = |events| store.commit(&Batch { events, ..Batch::default() }).expect("it commits");
        commit(vec![first.clone(), second]);

        // Room for one message at a time.
        let (outgoing, mut to_broker) = mpsc::channel(1);
        let watched = outgoing.clone();
        let retained = Arc::new(Retained::new(outgoing));
        let (anew, looked_at) = (Arc::clone(&retained), Arc::clone(&store));
        let publishing = thread::spawn(move || anew.publish_all(&looked_at));
        while watched.capacity() > 0 {
            thread::yield_now();
        }
        commit(vec![cleared.clone()]);
        // Finds no room: what is published anew must have it.
        retained.publish(&cleared);
        let said = [to_broker.blocking_recv(), to_broker.blocking_recv()];
        assert_eq!(said, [message(&first), message(&cleared)]);
        publishing.join().expect("it ends").expect("it reads");
    }
}
