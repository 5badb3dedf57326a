//! Records of the store as the views that the API shows.

use tidegate_alarms::{
    event::{EventPoint, Place, occurrence_id},
    step::Point,
};
use tidegate_protocol::{ClockAnchor, ClockQuality, Reading, Tick, Value, block::Description};

use crate::{
    core::batch::{Occurrence, OriginRecord},
    events::{OccurrenceView, PeakView},
    store::look::Owner,
    view::{DeviceChannelView, DeviceView, ReadingView, ValueView},
};

pub(super) fn device(record: &OriginRecord, description: Option<Description>) -> DeviceView {
    let (tag, firmware, channels) =
        description.map_or_else(Default::default, |known| (known.tag, known.firmware, known.channels));
    let channels = channels.into_iter().zip(0..=u8::MAX).map(|(channel, index)| DeviceChannelView {
        index,
        name: channel.name,
        unit: channel.unit,
        kind: channel.kind,
        scale: channel.scale,
    });
    DeviceView {
        site: record.site,
        device: record.origin.device,
        tag,
        firmware,
        boot: record.origin.boot,
        channels: channels.collect(),
        gateways: record.gateways.clone(),
        last_arrival_unix_ms: record.last_arrival_unix_ms,
    }
}

/// `None` for a reading whose channel is not described; none is stored.
pub(super) fn reading(owner: &Owner, description: &Description, reading: &Reading) -> Option<ReadingView> {
    let channel = description.channels.get(usize::from(reading.channel.0))?;
    let unix_ms = owner.anchor.map(|anchor| anchor.unix_ms_at(reading.tick));
    Some(ReadingView {
        site: owner.site,
        device: owner.origin.device,
        channel: channel.name,
        unit: channel.unit.clone(),
        boot: owner.origin.boot,
        seq: reading.seq.0,
        tick_ms: reading.tick.0,
        time: unix_ms.and_then(rfc3339),
        time_unix_ms: unix_ms,
        time_quality: owner.anchor.map_or(ClockQuality::Unsynced, |anchor| anchor.quality),
        time_error_ms: error_ms(owner.anchor.as_ref(), reading.tick),
        time_corrected: owner.corrected.contains(reading.seq.0),
        value: value(reading.value),
        quality: reading.quality,
    })
}

/// None where nobody knows how far the clock was off.
fn error_ms(anchor: Option<&ClockAnchor>, tick: Tick) -> Option<u64> {
    anchor.filter(|anchor| anchor.error_ms < u32::MAX).map(|anchor| anchor.error_ms_at(tick))
}

pub(super) fn value(value: Value) -> ValueView {
    match value {
        Value::Bool(state) => ValueView::Bool(state),
        other => Some(other.as_f64())
            .filter(|number| number.is_finite())
            .map_or(ValueView::None, ValueView::Number),
    }
}

fn rfc3339(unix_ms: i64) -> Option<String> {
    jiff::Timestamp::from_millisecond(unix_ms).ok().map(|time| time.to_string())
}

pub(super) fn occurrence(known: &Occurrence, anchor: Option<&ClockAnchor>) -> OccurrenceView {
    let place = Place { site: known.site, device: known.device, channel: known.channel, unit: &known.unit };
    let point = |point: Point| EventPoint {
        boot: point.boot,
        seq: point.seq,
        tick_ms: point.tick.0,
        time_unix_ms: anchor.map(|anchor| anchor.unix_ms_at(Tick(point.tick.0))),
    };
    OccurrenceView {
        occurrence: occurrence_id(&place, &known.rule, known.revision, known.raised),
        site: known.site,
        device: known.device,
        channel: known.channel,
        rule: known.rule.clone(),
        revision: known.revision,
        priority: known.priority,
        onset: point(known.onset),
        clear: known.cleared.map(point),
        peak: PeakView {
            seq: known.peak.at.seq.0,
            value: Some(known.peak.value).filter(|value| value.is_finite()),
        },
    }
}
