//! What a message says: JSON for programs, plain text for people. A function of the outbox and the events alone, so that what
//! is sent again says the same.

mod text;

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use tidegate_alarms::{AlarmEvent, Priority, TransitionKind};

use super::core::Reason;

/// So many events of a digest are in it; the rest is counted.
const MAX_LISTED: usize = 100;
/// And so many devices.
const MAX_DEVICES: usize = 10;

/// An event that is to be told.
#[derive(Clone, Debug)]
pub struct Told {
    pub event: AlarmEvent,
    pub queued_unix_ms: i64,
    /// It was queued in quiet hours, and waited until they ended, unless somebody wanted it.
    pub quiet_until_unix_ms: Option<i64>,
}

impl Told {
    /// When the ingest came to know of it.
    fn learned_unix_ms(&self) -> i64 {
        self.event.learned_unix_ms.unwrap_or(self.queued_unix_ms)
    }
}

/// A message, ready to be sent any number of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// The same whenever it is sent.
    pub id: String,
    pub json: Vec<u8>,
    pub subject: String,
    pub text: String,
}

#[derive(Serialize)]
struct Payload<'a, T> {
    r#type: &'a str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    quiet_until: Option<String>,
    data: T,
}

#[derive(Serialize)]
struct DigestData<'a> {
    reason: Reason,
    raised: usize,
    cleared: usize,
    others: usize,
    /// Of raises.
    by_priority: BTreeMap<&'static str, usize>,
    /// Those with the most raises.
    devices: Vec<DeviceCount>,
    events: Vec<&'a AlarmEvent>,
    /// Events that are not listed.
    more: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct DeviceCount {
    pub site: String,
    pub device: String,
    pub raised: usize,
}

/// `alarm.raised`, `alarm.cleared`, and so on for transitions that are yet to come.
pub fn type_of(transition: TransitionKind) -> String {
    format!("alarm.{}", past(transition))
}

fn past(transition: TransitionKind) -> String {
    let name = transition.name();
    if name.ends_with('e') { format!("{name}d") } else { format!("{name}ed") }
}

/// `None` where there is nothing to tell.
pub fn compose(
    receiver: &str,
    reason: Option<Reason>,
    first: u64,
    told: &[Told],
    zone: &TimeZone,
) -> Option<Composed> {
    match (reason, told) {
        (_, []) => None,
        (None, [one, ..]) => single(one, zone),
        (Some(reason), told) => digest(receiver, reason, first, told, zone),
    }
}

fn single(told: &Told, zone: &TimeZone) -> Option<Composed> {
    let event = &told.event;
    let at = event.time_unix_ms.unwrap_or(told.queued_unix_ms);
    let quiet_until = told.quiet_until_unix_ms.map(rfc3339);
    let payload =
        Payload { r#type: &type_of(event.transition), timestamp: rfc3339(at), quiet_until, data: event };
    Some(Composed {
        id: event_id(event)?,
        json: serde_json::to_vec(&payload).ok()?,
        subject: text::subject(event),
        text: text::body(told, zone),
    })
}

/// As it is in JSON.
fn event_id(event: &AlarmEvent) -> Option<String> {
    serde_json::to_value(event.id).ok()?.as_str().map(str::to_owned)
}

fn digest(receiver: &str, reason: Reason, first: u64, told: &[Told], zone: &TimeZone) -> Option<Composed> {
    let count = |kind| told.iter().filter(|told| told.event.transition == kind).count();
    let (raised, cleared) = (count(TransitionKind::Raise), count(TransitionKind::Clear));
    let data = DigestData {
        reason,
        raised,
        cleared,
        others: told.len() - raised - cleared,
        by_priority: by_priority(told)
            .into_iter()
            .map(|(priority, count)| (priority.name(), count))
            .collect(),
        devices: devices(told),
        events: told.iter().take(MAX_LISTED).map(|told| &told.event).collect(),
        more: told.len().saturating_sub(MAX_LISTED),
    };
    let last = told.iter().map(|told| told.queued_unix_ms).max().unwrap_or_default();
    let (subject, text) = (text::digest_subject(reason, &data), text::digest_body(reason, &data, told, zone));
    let payload = Payload { r#type: "alarm.digest", timestamp: rfc3339(last), quiet_until: None, data };
    Some(Composed {
        id: format!("digest-{receiver}-{first}"),
        json: serde_json::to_vec(&payload).ok()?,
        subject,
        text,
    })
}

/// A message that an operator sends to see whether it arrives.
pub fn test_message(receiver: &str, unix_ms: i64) -> Composed {
    let said = format!("A test message from the Tidegate ingest to the receiver {receiver}.");
    let data = serde_json::json!({ "receiver": receiver, "message": said });
    let payload = serde_json::json!({ "type": "test", "timestamp": rfc3339(unix_ms), "data": data });
    Composed {
        id: format!("test-{receiver}-{unix_ms}"),
        json: payload.to_string().into_bytes(),
        subject: "[Tidegate] test message".to_owned(),
        text: format!("{said}\nNothing is wrong.\n"),
    }
}

/// The raises of each priority, the most urgent first.
fn by_priority(told: &[Told]) -> Vec<(Priority, usize)> {
    let count = |priority| raises(told).filter(|event| event.priority == priority).count();
    Priority::ALL
        .into_iter()
        .map(|priority| (priority, count(priority)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn devices(told: &[Told]) -> Vec<DeviceCount> {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for event in raises(told) {
        *counts.entry((event.site.to_string(), event.device.to_string())).or_default() += 1;
    }
    let devices = counts.into_iter().map(|((site, device), raised)| DeviceCount { site, device, raised });
    let mut devices: Vec<DeviceCount> = devices.collect();
    devices.sort_by_key(|counted| std::cmp::Reverse(counted.raised));
    devices.truncate(MAX_DEVICES);
    devices
}

fn raises(told: &[Told]) -> impl Iterator<Item = &AlarmEvent> {
    told.iter().map(|told| &told.event).filter(|event| event.transition == TransitionKind::Raise)
}

fn rfc3339(unix_ms: i64) -> String {
    Timestamp::from_millisecond(unix_ms).unwrap_or_default().to_string()
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
