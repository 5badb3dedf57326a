//! A raise or clear, or what was done with an alarm, as it is stored, streamed and retained.

use alloc::{format, string::String, string::ToString};

use serde::{Deserialize, Serialize};
use tidegate_protocol::{BootId, ChannelName, ClockQuality, DeviceId, Seq, SiteId, Value};

use crate::{
    condition::Condition,
    digest::{Digest, EventId, Revision},
    group::Tally,
    kind::AlarmKind,
    lifecycle::{AlarmState, Lifecycle},
    message::{Saying, Subject, rounded},
    rule::{Priority, Rule, RuleId},
    settings::duration_text,
    step::{Point, Raised, Transition, TransitionKind},
};

/// The channel an alarm is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
    pub unit: &'a str,
}

/// Wall time, derived from an anchor; `None` where no anchor is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallTime {
    pub unix_ms: Option<i64>,
    pub quality: ClockQuality,
}

impl WallTime {
    pub const UNKNOWN: Self = Self { unix_ms: None, quality: ClockQuality::Unsynced };
}

/// Which product an event belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Emitted before the commit that holds its reading.
    pub provisional: bool,
    /// Learned after newer readings of the channel had been seen.
    pub late: bool,
}

/// One reading of an occurrence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPoint {
    #[serde(with = "boot_as_hex")]
    pub boot: BootId,
    pub seq: Seq,
    pub tick_ms: u64,
    pub time_unix_ms: Option<i64>,
}

/// The worst so far: a value, or what the rule compares with its limits instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventPeak {
    #[serde(with = "boot_as_hex")]
    pub boot: BootId,
    pub seq: Seq,
    /// `None`: infinite.
    pub value: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmEvent {
    /// A function of (site, origin, seq, rule, revision, transition): what is emitted again has the same id.
    pub id: EventId,
    pub transition: TransitionKind,
    pub provisional: bool,
    pub late: bool,
    /// The id of the occurrence's raise.
    pub occurrence: EventId,
    /// What `device` names.
    #[serde(default)]
    pub kind: AlarmKind,
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
    pub unit: String,
    pub rule: RuleId,
    pub revision: Revision,
    pub priority: Priority,
    /// The triggering reading.
    #[serde(with = "boot_as_hex")]
    pub boot: BootId,
    pub seq: Seq,
    pub tick_ms: u64,
    pub time_unix_ms: Option<i64>,
    pub time_quality: ClockQuality,
    /// When it was learned, by the ingest's clock; of late news, where that was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned_unix_ms: Option<i64>,
    /// Of the triggering reading; a bool is 0 or 1. `None`: infinite.
    pub value: Option<f64>,
    /// The limit that the occurrence's peak crossed.
    pub limit: f64,
    pub message: String,
    /// Where the condition (or its end) began, before the delay.
    pub onset: EventPoint,
    pub peak: EventPeak,
    /// The alarm was suppressed: it is stored, and nobody is to be notified of it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub suppressed: bool,
    /// The state after it, by its name, and all of its axes. Absent where the event changes no state (it is late), and in
    /// events of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<AlarmState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// Who did it, for what is not of the evaluation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<Operator>,
    /// The late raise under which this occurrence was told already: nobody is to be notified of it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<EventId>,
}

/// Who did something with an alarm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Empty: nobody, the time was over.
    pub by: String,
    pub comment: String,
    /// Of a shelf.
    pub until_unix_ms: Option<i64>,
}

/// Something that is done with an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed<'a> {
    pub kind: TransitionKind,
    /// Its place among all deeds; none has it twice.
    pub number: u64,
    pub operator: Operator,
    pub unix_ms: i64,
    pub after: &'a Lifecycle,
}

impl AlarmEvent {
    /// What stands for an alarm that was never raised. It is not to be told by itself.
    pub fn never_raised(rule: &Rule, place: Place<'_>, boot: BootId) -> Self {
        let start = EventPoint { boot, seq: Seq(0), tick_ms: 0, time_unix_ms: None };
        Self {
            id: EventId(0),
            transition: TransitionKind::Clear,
            provisional: false,
            late: false,
            occurrence: EventId(0),
            kind: rule.into(),
            site: place.site,
            device: place.device,
            channel: place.channel,
            unit: place.unit.into(),
            rule: rule.id().clone(),
            revision: rule.revision(),
            priority: rule.priority(),
            boot,
            seq: start.seq,
            tick_ms: start.tick_ms,
            time_unix_ms: None,
            time_quality: ClockQuality::Unsynced,
            learned_unix_ms: None,
            value: None,
            limit: rule.judge.limit_for(0.0),
            message: String::new(),
            peak: EventPeak { boot, seq: start.seq, value: None },
            onset: start,
            suppressed: false,
            state: None,
            lifecycle: None,
            operator: None,
            continues: None,
        }
    }

    /// The event that a deed is. It speaks of the same reading as the raise or clear before it; its time is that of the deed, by
    /// the cloud's clock.
    pub fn done(&self, deed: Deed<'_>) -> Self {
        let Deed { kind, number, operator, unix_ms, after } = deed;
        let digest = Digest::new("deed")
            .text(self.site.as_str())
            .text(self.device.as_str())
            .text(self.channel.as_str())
            .text(self.rule.as_str())
            .text(kind.name())
            .number(number)
            .number(unix_ms as u64);
        Self {
            id: EventId(digest.finish()),
            transition: kind,
            provisional: false,
            late: false,
            time_unix_ms: Some(unix_ms),
            time_quality: ClockQuality::Estimated,
            learned_unix_ms: None,
            message: sentence(self, kind, &operator),
            suppressed: after.is_suppressed(),
            state: Some(after.state()),
            lifecycle: Some(after.clone()),
            operator: Some(operator),
            ..self.clone()
        }
    }

    /// An occurrence that was told began elsewhere.
    pub fn amended(
        rule: &Rule,
        place: Place<'_>,
        told: EventId,
        raised: &Raised,
        time_of: impl Fn(Point) -> WallTime,
    ) -> Self {
        let event = Self::late_raise(rule, place, raised, time_of);
        let id = event_id(&place, rule.id(), raised.revision, raised.at, TransitionKind::Amend);
        let message = sentence(&event, TransitionKind::Amend, &Operator::default());
        Self { id, transition: TransitionKind::Amend, occurrence: told, message, ..event }
    }

    /// The end of what a rule raised that is retired: no reading did it.
    pub fn withdrawn(
        rule: &Rule,
        place: Place<'_>,
        raised: &Raised,
        unix_ms: i64,
        time_of: impl Fn(Point) -> WallTime,
    ) -> Self {
        let event = Self::late_raise(rule, place, raised, time_of);
        let transition = TransitionKind::Clear;
        Self {
            id: event_id(&place, rule.id(), raised.revision, raised.at, transition),
            transition,
            provisional: true,
            late: false,
            time_unix_ms: Some(unix_ms),
            time_quality: ClockQuality::Estimated,
            message: format!("{} {}: the rule {} is retired", place.device, place.channel, rule.id()),
            ..event
        }
    }

    /// The raise of an occurrence that is learned of late. It shows the worst value so far.
    pub fn late_raise(
        rule: &Rule,
        place: Place<'_>,
        raised: &Raised,
        time_of: impl Fn(Point) -> WallTime,
    ) -> Self {
        let transition = Transition {
            kind: TransitionKind::Raise,
            onset: raised.onset,
            trigger: raised.at,
            value: Value::F64(raised.peak.value),
            measure: raised.peak.value,
            raised: *raised,
        };
        Self::new(rule, place, &transition, Standing { provisional: false, late: true }, time_of)
    }

    /// `time_of` derives the wall time of a reading's tick in its boot.
    pub fn new(
        rule: &Rule,
        place: Place<'_>,
        transition: &Transition,
        standing: Standing,
        time_of: impl Fn(Point) -> WallTime,
    ) -> Self {
        let Place { site, device, channel, unit } = place;
        let Transition { kind, onset, trigger, value, measure, raised } = *transition;
        let limit = rule.judge.limit_for(raised.peak.value);
        let message = message_of(rule, &place, kind, &Facts::Reading { value, measure, limit });
        let time = time_of(trigger);
        let id = |revision, at: Point, kind| event_id(&place, rule.id(), revision, at, kind);
        Self {
            id: id(rule.revision(), trigger, kind),
            transition: kind,
            provisional: standing.provisional,
            late: standing.late,
            occurrence: id(raised.revision, raised.at, TransitionKind::Raise),
            kind: rule.into(),
            site,
            device,
            channel,
            unit: unit.into(),
            rule: rule.id().clone(),
            revision: rule.revision(),
            priority: rule.priority(),
            boot: trigger.boot,
            seq: trigger.seq,
            tick_ms: trigger.tick.0,
            time_unix_ms: time.unix_ms,
            time_quality: time.quality,
            learned_unix_ms: None,
            value: finite(value.as_f64()),
            limit,
            message,
            onset: EventPoint {
                boot: onset.boot,
                seq: onset.seq,
                tick_ms: onset.tick.0,
                time_unix_ms: time_of(onset).unix_ms,
            },
            peak: EventPeak {
                boot: raised.peak.at.boot,
                seq: raised.peak.at.seq,
                value: finite(raised.peak.value),
            },
            suppressed: false,
            state: None,
            lifecycle: None,
            operator: None,
            continues: None,
        }
    }
}

fn sentence(event: &AlarmEvent, kind: TransitionKind, operator: &Operator) -> String {
    let done = match kind {
        TransitionKind::Raise => "raised",
        TransitionKind::Clear => "cleared",
        TransitionKind::Amend => "began at another time than was told",
        TransitionKind::Acknowledge => "acknowledged",
        TransitionKind::Shelve => "shelved",
        TransitionKind::Unshelve => "taken off the shelf",
        TransitionKind::ShelfExpired => "back from the shelf, its time is over",
        TransitionKind::Suppress => "suppressed by design",
        TransitionKind::Unsuppress => "not suppressed any more",
        TransitionKind::OutOfService => "taken out of service",
        TransitionKind::InService => "back in service",
        TransitionKind::Reset => "reset",
        TransitionKind::Comment => "commented",
        TransitionKind::Disagree => "judged otherwise",
        TransitionKind::Agree => "judged the same again",
    };
    let by = if operator.by.is_empty() { String::new() } else { format!(" by {}", operator.by) };
    let comment = if operator.comment.is_empty() { String::new() } else { format!(": {}", operator.comment) };
    format!("{} {} {}: {done}{by}{comment}", event.device, event.channel, event.rule)
}

/// What a message says besides where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Facts {
    /// `measure` is what was compared with `limit`.
    Reading {
        value: Value,
        measure: f64,
        limit: f64,
    },
    Silence {
        silent_ms: u64,
        allowed_ms: u64,
    },
    Group {
        tally: Tally,
        needed: u32,
    },
}

/// The text of a raise or clear: the rule's own, or a plain sentence.
pub fn message_of(rule: &Rule, place: &Place<'_>, kind: TransitionKind, facts: &Facts) -> String {
    let (value, measure, limit, selected) = match *facts {
        Facts::Reading { value, measure, limit } => {
            (value.to_string(), rounded(measure), limit.to_string(), String::new())
        }
        Facts::Silence { silent_ms, allowed_ms } => {
            let silent = duration_text(silent_ms);
            (silent.clone(), silent, duration_text(allowed_ms), String::new())
        }
        Facts::Group { tally, needed } => {
            let holding = tally.holding.to_string();
            (holding.clone(), holding, needed.to_string(), tally.selected.to_string())
        }
    };
    let saying = match (facts, rule.condition()) {
        (Facts::Silence { .. }, _) => Saying::Silence,
        (Facts::Group { .. }, _) => Saying::Group,
        (_, Condition::Rate(rate)) => Saying::Rate { per_ms: rate.per_ms },
        (_, Condition::Deviation(_)) => Saying::Deviation,
        (_, Condition::Equals(_) | Condition::NotEquals(_)) => Saying::Listed,
        _ => Saying::Value,
    };
    let subject = Subject {
        site: place.site.as_str(),
        device: place.device.as_str(),
        channel: place.channel.as_str(),
        rule: rule.id().as_str(),
        priority: rule.priority().name(),
        transition: kind.name(),
        value: &value,
        unit: place.unit,
        limit: &limit,
        measure: &measure,
        selected: &selected,
        saying,
    };
    let is_raise = kind == TransitionKind::Raise;
    match rule.message() {
        Some(template) if is_raise || template.speaks_of_clears() => template.render(&subject),
        _ => subject.plain_sentence(is_raise),
    }
}

/// An occurrence, as its events name it: by the reading that raised it, and the revision that did.
pub fn occurrence_id(place: &Place<'_>, rule: &RuleId, revision: Revision, raised: Point) -> EventId {
    event_id(place, rule, revision, raised, TransitionKind::Raise)
}

/// The channel needs no place in it: a seq belongs to one channel of its origin.
fn event_id(
    place: &Place<'_>,
    rule: &RuleId,
    revision: Revision,
    at: Point,
    kind: TransitionKind,
) -> EventId {
    let digest = Digest::new("event")
        .text(place.site.as_str())
        .text(place.device.as_str())
        .number(at.boot.0)
        .number(at.seq.0)
        .text(rule.as_str())
        .number(revision.0)
        .text(kind.name());
    EventId(digest.finish())
}

fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite())
}

/// A boot in JSON is the text people see everywhere else.
mod boot_as_hex {
    use super::*;
    use serde::{Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(boot: &BootId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(boot)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BootId, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format!("{text:?} is no boot: 16 hexadecimal digits")))
    }
}
