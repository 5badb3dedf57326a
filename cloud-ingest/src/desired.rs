//! What is wanted of channels, as the API takes and shows it. Deadbands are in the channel's own unit there, and of the
//! channel's kind where they are kept.

use serde::{Deserialize, Serialize};
use tidegate_protocol::{
    ChannelName, DeviceId, GatewayId, SiteId, Value, ValueKind, frame::Deadband, reading::power_of_ten,
    settings::ChannelSettings,
};

use crate::{
    core::desired::{ChannelKey, SettingsRecord},
    view::ValueView,
};

/// A week: slower is off.
pub const MAX_PERIOD_MS: u32 = 7 * 24 * 3_600 * 1_000;
pub const MAX_SILENCE_MS: u32 = MAX_PERIOD_MS;

/// What somebody wants of a channel, in its own unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedSettings {
    #[serde(default = "yes")]
    pub enabled: bool,
    pub period_ms: u32,
    #[serde(default)]
    pub report_deadband: Option<WantedDeadband>,
    #[serde(default)]
    pub max_silence_ms: u32,
}

const fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WantedDeadband {
    /// In the channel's unit; of a bool `true`.
    Absolute(WantedWidth),
    /// Of what was reported last.
    Percent(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum WantedWidth {
    Bool(bool),
    Number(f64),
}

#[derive(Clone, Debug, PartialEq)]
pub struct SettingsRequest {
    pub key: ChannelKey,
    /// None: nothing any more.
    pub wanted: Option<WantedSettings>,
    /// Only if the present revision is one of these.
    pub expected: Option<Vec<u32>>,
}

/// Which value cannot be taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct WrongSetting {
    pub field: &'static str,
    pub problem: String,
}

impl WantedSettings {
    /// As a board of this kind of channel is told.
    pub fn for_channel(&self, kind: ValueKind, scale: u8) -> Result<ChannelSettings, WrongSetting> {
        for (field, ms, most) in [
            ("period_ms", self.period_ms, MAX_PERIOD_MS),
            ("max_silence_ms", self.max_silence_ms, MAX_SILENCE_MS),
        ] {
            if ms > most {
                return Err(WrongSetting { field, problem: format!("{ms} is more than a week, {most}") });
            }
        }
        let deadband = self.report_deadband.map(|wanted| deadband(wanted, kind, scale));
        let report_deadband =
            deadband.transpose().map_err(|problem| WrongSetting { field: "report_deadband", problem })?;
        let Self { enabled, period_ms, max_silence_ms, .. } = *self;
        Ok(ChannelSettings { enabled, period_ms, report_deadband, max_silence_ms })
    }
}

fn deadband(wanted: WantedDeadband, kind: ValueKind, scale: u8) -> Result<Deadband, String> {
    match (wanted, kind) {
        (WantedDeadband::Percent(_), ValueKind::Bool) => {
            Err("of true and false there is no percentage; {\"absolute\": true} reports changes only"
                .to_owned())
        }
        (WantedDeadband::Percent(percent), _) => hundredths(percent),
        (WantedDeadband::Absolute(WantedWidth::Bool(true)), ValueKind::Bool) => {
            Ok(Deadband::Absolute(Value::Bool(true)))
        }
        (WantedDeadband::Absolute(_), ValueKind::Bool) => {
            Err("the channel is true or false: write {\"absolute\": true} or null".to_owned())
        }
        (WantedDeadband::Absolute(WantedWidth::Bool(_)), _) => {
            Err("the channel has numbers: give one in its unit".to_owned())
        }
        (WantedDeadband::Absolute(WantedWidth::Number(width)), kind) => {
            if !(width.is_finite() && width.is_sign_positive()) {
                return Err(format!("{width} is no width; give a number from 0"));
            }
            width_of(width, kind, scale).map(Deadband::Absolute)
        }
    }
}

fn hundredths(percent: f64) -> Result<Deadband, String> {
    let hundredths = (percent * 100.0).round();
    let is_exact = (hundredths / 100.0 - percent).abs() < 1e-9;
    if !is_exact || !(0.0..=10_000.0).contains(&hundredths) {
        return Err(format!("{percent} percent: give 0 to 100, with two decimals at most"));
    }
    Ok(Deadband::Percent { hundredths: hundredths as u16 })
}

fn width_of(width: f64, kind: ValueKind, scale: u8) -> Result<Value, String> {
    match kind {
        ValueKind::Decimal => {
            let steps = (width * power_of_ten(scale)).round();
            let step = Value::Decimal { mantissa: 1, scale };
            if steps >= i64::MAX as f64 {
                return Err(format!("{width} is beyond the channel's range"));
            }
            let mantissa = steps as i64;
            // The nearest double to a width that has these decimals.
            if (Value::Decimal { mantissa, scale }).as_f64() != width {
                return Err(format!("the channel counts in steps of {step}; {width} is none of them"));
            }
            Ok(Value::Decimal { mantissa, scale })
        }
        ValueKind::F32 if (width as f32).is_finite() => Ok(Value::F32(width as f32)),
        ValueKind::F32 => Err(format!("{width} is beyond the channel's range")),
        ValueKind::F64 | ValueKind::Bool => Ok(Value::F64(width)),
    }
}

/// The settings of every channel that something is wanted of.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SettingsListView {
    pub settings: Vec<SettingsView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingsView {
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
    /// None while no present boot has the channel.
    pub unit: Option<String>,
    /// 0 until something is wanted; each change counts it up.
    pub revision: u32,
    pub desired: Option<DesiredView>,
    pub set_unix_ms: Option<i64>,
    /// `unset`, `pending`, `applied` or `rejected`
    pub state: &'static str,
    /// Why it is rejected.
    pub code: Option<&'static str>,
    /// The last answer, which may be of an earlier revision.
    pub reported: Option<ReportedView>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DesiredView {
    pub enabled: bool,
    pub period_ms: u32,
    pub report_deadband: Option<DeadbandView>,
    pub max_silence_ms: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeadbandView {
    Absolute(ValueView),
    Percent(f64),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportedView {
    pub revision: u32,
    pub outcome: &'static str,
    pub gateway: GatewayId,
    pub unix_ms: i64,
}

impl SettingsView {
    pub fn new(key: ChannelKey, unit: Option<String>, record: &SettingsRecord) -> Self {
        let ChannelKey { site, device, channel } = key;
        let outcome = record.present_answer().map(|answer| answer.outcome);
        let (state, code) = match (record.desired, outcome) {
            (None, _) => ("unset", None),
            (Some(_), None) => ("pending", None),
            (Some(_), Some(outcome)) if outcome.is_refusal() => ("rejected", Some(outcome.name())),
            (Some(_), Some(_)) => ("applied", None),
        };
        Self {
            site,
            device,
            channel,
            unit,
            revision: record.revision,
            desired: record.desired.as_ref().map(DesiredView::from),
            set_unix_ms: (record.revision > 0).then_some(record.set_unix_ms),
            state,
            code,
            reported: record.answer.as_ref().map(|answer| ReportedView {
                revision: answer.revision,
                outcome: answer.outcome.name(),
                gateway: answer.gateway,
                unix_ms: answer.unix_ms,
            }),
        }
    }
}

impl From<&ChannelSettings> for DesiredView {
    fn from(settings: &ChannelSettings) -> Self {
        let ChannelSettings { enabled, period_ms, report_deadband, max_silence_ms } = *settings;
        let report_deadband = report_deadband.map(|deadband| match deadband {
            Deadband::Absolute(Value::Bool(width)) => DeadbandView::Absolute(ValueView::Bool(width)),
            Deadband::Absolute(Value::F32(width)) => {
                // The decimals that name it, not those of the double it is.
                let shortest = width.to_string().parse().unwrap_or_else(|_| f64::from(width));
                DeadbandView::Absolute(ValueView::Number(shortest))
            }
            Deadband::Absolute(width) => DeadbandView::Absolute(ValueView::Number(width.as_f64())),
            Deadband::Percent { hundredths } => DeadbandView::Percent(f64::from(hundredths) / 100.0),
        });
        Self { enabled, period_ms, report_deadband, max_silence_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(report_deadband: &str) -> WantedSettings {
        let text = format!(r#"{{"period_ms": 500, "report_deadband": {report_deadband}}}"#);
        serde_json::from_str(&text).expect(report_deadband)
    }

    #[test]
    fn a_deadband_comes_back_as_it_was_given() {
        for (kind, scale, text) in [
            (ValueKind::Decimal, 2, r#"{"absolute":0.5}"#),
            (ValueKind::Decimal, 1, r#"{"absolute":1234567.1}"#),
            (ValueKind::Decimal, 18, r#"{"absolute":1e-18}"#),
            (ValueKind::F32, 0, r#"{"absolute":0.1}"#),
            (ValueKind::F64, 0, r#"{"absolute":0.30000000000000004}"#),
            (ValueKind::Bool, 0, r#"{"absolute":true}"#),
            (ValueKind::Decimal, 3, r#"{"percent":2.05}"#),
            (ValueKind::F64, 0, r#"{"percent":100.0}"#),
            (ValueKind::F64, 0, "null"),
        ] {
            let settings = wanted(text).for_channel(kind, scale).expect(text);
            assert_eq!((settings.enabled, settings.period_ms, settings.max_silence_ms), (true, 500, 0));
            let shown = serde_json::to_string(&DesiredView::from(&settings).report_deadband).expect("JSON");
            assert_eq!(shown, text);
        }
    }

    #[test]
    fn what_a_channel_cannot_have_is_refused_with_the_reason() {
        for (kind, scale, text, said) in [
            (ValueKind::Decimal, 2, r#"{"absolute":0.005}"#, "steps of 0.01"),
            (ValueKind::Decimal, 2, r#"{"absolute":-1}"#, "from 0"),
            (ValueKind::Decimal, 18, r#"{"absolute":10}"#, "range"),
            (ValueKind::Decimal, 2, r#"{"absolute":true}"#, "numbers"),
            (ValueKind::F32, 0, r#"{"absolute":1e39}"#, "range"),
            (ValueKind::F64, 0, r#"{"percent":100.01}"#, "0 to 100"),
            (ValueKind::F64, 0, r#"{"percent":0.001}"#, "two decimals"),
            (ValueKind::F64, 0, r#"{"percent":-1}"#, "0 to 100"),
            (ValueKind::Bool, 0, r#"{"percent":1}"#, "no percentage"),
            (ValueKind::Bool, 0, r#"{"absolute":0.5}"#, "true or false"),
        ] {
            let error = wanted(text).for_channel(kind, scale).expect_err(text);
            assert!(error.field == "report_deadband" && error.problem.contains(said), "{text}: {error}");
        }
        let slow = WantedSettings { period_ms: MAX_PERIOD_MS + 1, ..wanted("null") };
        assert_eq!(slow.for_channel(ValueKind::F64, 0).map_err(|error| error.field), Err("period_ms"));
        let silent = WantedSettings { max_silence_ms: u32::MAX, ..wanted("null") };
        assert_eq!(silent.for_channel(ValueKind::F64, 0).map_err(|error| error.field), Err("max_silence_ms"));
    }
}
