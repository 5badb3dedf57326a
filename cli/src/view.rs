//! What the HTTP API answers, as far as people are shown it. Unknown keys are ignored: a newer ingest may say more.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

#[derive(Debug, Deserialize)]
pub struct Devices {
    pub devices: Vec<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
pub struct Device {
    pub site: String,
    pub device: String,
    #[serde(default)]
    pub tag: Option<String>,
    #[serde(default)]
    pub firmware: Option<String>,
    #[serde(default)]
    pub channels: Vec<Channel>,
    #[serde(default)]
    pub gateways: Vec<String>,
    #[serde(default)]
    pub last_arrival_unix_ms: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct Gateways {
    pub gateways: Vec<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
pub struct Gateway {
    pub site: String,
    pub gateway: String,
    pub online: bool,
    #[serde(default)]
    pub version: String,
    #[serde(default)]
    pub last_block_unix_ms: Option<i64>,
    #[serde(default)]
    pub rules: Option<GatewayRules>,
}

/// What a gateway made of the alarm rules that it was offered.
#[derive(Debug, Deserialize)]
pub struct GatewayRules {
    pub edition: u64,
    pub state: String,
}

#[derive(Debug, Deserialize)]
pub struct Verdicts {
    pub verdicts: Vec<Box<RawValue>>,
}

/// What a gateway says of an alarm, and the cloud.
#[derive(Debug, Deserialize)]
pub struct Verdict {
    pub site: String,
    pub device: String,
    pub channel: String,
    pub rule: String,
    pub gateway: String,
    #[serde(default)]
    pub at_gateway: Option<RaisedAtGateway>,
    #[serde(default)]
    pub here: Option<String>,
    #[serde(default)]
    pub difference: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct RaisedAtGateway {
    pub revision: String,
    pub since_unix_ms: i64,
}

#[derive(Debug, Deserialize)]
pub struct Channel {
    pub name: String,
    #[serde(default)]
    pub unit: Option<String>,
}

/// Readings keep the text they came in, so that `--json` repeats every digit.
#[derive(Debug, Deserialize)]
pub struct Readings {
    pub readings: Vec<Box<RawValue>>,
    pub next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Reading {
    pub site: String,
    pub boot: String,
    pub seq: u64,
    pub unit: Option<String>,
    pub time_unix_ms: Option<i64>,
    pub tick_ms: u64,
    pub time_quality: String,
    #[serde(default)]
    pub time_corrected: bool,
    pub value: Value,
    pub quality: String,
}

#[derive(Debug, Deserialize)]
pub struct Alarms {
    pub alarms: Vec<Box<RawValue>>,
    #[serde(default)]
    pub next: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Alarm {
    #[serde(default)]
    pub occurrence: Option<String>,
    #[serde(default = "channel")]
    pub kind: String,
    pub site: String,
    pub device: String,
    pub channel: String,
    pub rule: String,
    pub priority: String,
    /// As ISA-18.2 names it.
    pub state: String,
    #[serde(default)]
    pub lifecycle: Lifecycle,
    #[serde(default)]
    pub raised: Option<AlarmEvent>,
    #[serde(default)]
    pub cleared: Option<AlarmEvent>,
    #[serde(default)]
    pub done: Option<AlarmEvent>,
}

fn channel() -> String {
    "channel".to_owned()
}

impl Alarm {
    /// One of which nothing is known but this event.
    pub fn of_event(event: &AlarmEvent) -> Self {
        Self {
            occurrence: None,
            kind: event.kind.clone(),
            site: event.site.clone(),
            device: event.device.clone(),
            channel: event.channel.clone(),
            rule: event.rule.clone(),
            priority: event.priority.clone(),
            state: event.state.clone().unwrap_or_default(),
            lifecycle: Lifecycle::default(),
            raised: None,
            cleared: None,
            done: None,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Lifecycle {
    pub active: bool,
    pub acknowledged: bool,
    pub shelved_until_unix_ms: Option<i64>,
    pub suppressed_by_design: bool,
    pub out_of_service: bool,
    pub latest: Option<Seen>,
}

/// What an acknowledgement names.
#[derive(Clone, Debug, Deserialize)]
pub struct Seen {
    pub occurrence: String,
    pub transition: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Operator {
    pub by: String,
    #[serde(default)]
    pub comment: String,
    #[serde(default)]
    pub until_unix_ms: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct AlarmDetail {
    #[serde(flatten)]
    pub alarm: Alarm,
    #[serde(default)]
    pub verdicts: Vec<Verdict>,
    pub log: Vec<LogLine>,
    pub occurrences: Vec<Occurrence>,
}

#[derive(Debug, Deserialize)]
pub struct LogLine {
    pub unix_ms: i64,
    pub action: String,
    pub operator: Operator,
    #[serde(default)]
    pub state: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct History {
    pub occurrences: Vec<Box<RawValue>>,
    #[serde(default)]
    pub next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Occurrence {
    pub site: String,
    pub device: String,
    pub channel: String,
    pub rule: String,
    pub priority: String,
    pub onset: OccurrencePoint,
    pub clear: Option<OccurrencePoint>,
    pub peak: Peak,
}

#[derive(Debug, Deserialize)]
pub struct OccurrencePoint {
    pub tick_ms: u64,
    pub time_unix_ms: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct Peak {
    pub value: Value,
}

#[derive(Clone, Debug, Deserialize)]
pub struct AlarmEvent {
    pub id: String,
    pub transition: String,
    #[serde(default)]
    pub provisional: bool,
    #[serde(default)]
    pub late: bool,
    pub occurrence: String,
    /// What the device names; events of before did not say.
    #[serde(default = "channel")]
    pub kind: String,
    pub site: String,
    pub device: String,
    pub channel: String,
    #[serde(default)]
    pub unit: Option<String>,
    pub rule: String,
    pub priority: String,
    pub seq: u64,
    pub tick_ms: u64,
    pub time_unix_ms: Option<i64>,
    pub value: Value,
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub suppressed: bool,
    #[serde(default)]
    pub state: Option<String>,
    #[serde(default)]
    pub lifecycle: Option<Lifecycle>,
    #[serde(default)]
    pub operator: Option<Operator>,
}

/// A JSON number or truth value as people see it; what has no number (NaN, infinities) is `-`. A double that is just a
/// single-precision number is written with as few digits as that needs: 10.88, not 10.880000114440918.
pub fn show_value(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => {
            let single = number.as_f64().map(|double| (double as f32, double));
            match single.filter(|(single, double)| number.is_f64() && f64::from(*single) == *double) {
                Some((single, _)) => single.to_string(),
                None => number.to_string(),
            }
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_have_the_digits_that_they_need() {
        assert_eq!(show_value(&json!(10.880000114440918)), "10.88");
        assert_eq!(show_value(&json!(0.30000000000000004)), "0.30000000000000004");
        assert_eq!(show_value(&json!(21.5)), "21.5");
        assert_eq!([json!(7), json!(true), json!(null)].map(|value| show_value(&value)), ["7", "true", "-"]);
    }
}
