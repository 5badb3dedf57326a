//! The alarms that stand, as the stream tells them behind a reset, until all are there. As many are in memory as stand.

use std::collections::BTreeMap;

use super::super::alarms::named::AlarmName;
use crate::{sse, view::Alarm};

#[derive(Default)]
pub struct Snapshot {
    alarms: BTreeMap<AlarmName, Alarm>,
}

impl Snapshot {
    /// Takes any event of the stream; returns the alarms once all are there. What cannot be read is an error.
    pub fn take(&mut self, event: &sse::Event) -> Result<Option<Vec<Alarm>>, serde_json::Error> {
        match event.name.as_str() {
            "reset" => self.alarms.clear(),
            "snapshot" => {
                let alarm: Alarm = serde_json::from_str(&event.data)?;
                // The later one of a name is as it is now.
                if alarm.state == "normal" {
                    self.alarms.remove(&AlarmName::of(&alarm));
                } else {
                    self.alarms.insert(AlarmName::of(&alarm), alarm);
                }
            }
            "snapshot-end" => return Ok(Some(std::mem::take(&mut self.alarms).into_values().collect())),
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(name: &str, data: String) -> sse::Event {
        sse::Event { name: name.to_owned(), data, id: None }
    }

    fn item(device: &str, state: &str) -> sse::Event {
        let alarm = json!({ "site": "plant", "device": device, "channel": "t", "rule": "hot", "priority": "low",
                            "state": state });
        event("snapshot", alarm.to_string())
    }

    fn taken(events: &[sse::Event]) -> Vec<Vec<(String, String)>> {
        let mut snapshot = Snapshot::default();
        let whole = events.iter().filter_map(|event| snapshot.take(event).expect("it reads"));
        whole.map(|alarms| alarms.into_iter().map(|alarm| (alarm.device, alarm.state)).collect()).collect()
    }

    #[test]
    fn of_an_alarm_that_changed_meanwhile_the_later_counts_and_what_is_normal_leaves() {
        let (reset, end) = (event("reset", "{}".to_owned()), event("snapshot-end", "{}".to_owned()));
        let events = [
            // A connection was lost in this one.
            reset.clone(),
            item("z", "shelved"),
            reset,
            item("a", "unacknowledged"),
            item("b", "unacknowledged"),
            item("c", "latched-acknowledged"),
            item("b", "normal"),
            item("a", "acknowledged"),
            event("alarm", "{}".to_owned()),
            end.clone(),
            end,
        ];
        let of = |device: &str, state: &str| (device.to_owned(), state.to_owned());
        let stands = vec![of("a", "acknowledged"), of("c", "latched-acknowledged")];
        assert_eq!(taken(&events), [stands, vec![]]);
        assert!(Snapshot::default().take(&event("snapshot", "{".to_owned())).is_err());
    }
}
