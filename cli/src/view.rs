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
}

#[derive(Debug, Deserialize)]
pub struct Alarm {
    pub site: String,
    pub device: String,
    pub channel: String,
    pub rule: String,
    pub priority: String,
    pub state: String,
    pub raised: AlarmEvent,
    pub cleared: Option<AlarmEvent>,
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
