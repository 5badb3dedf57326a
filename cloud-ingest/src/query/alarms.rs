//! Alarms as they are known now, and their settled history.

use std::collections::HashMap;

use tidegate_alarms::RuleId;
use tidegate_protocol::{ChannelName, DeviceId, SiteId};

use super::{QueryError, shapes};
use crate::{
    events::{AlarmSelection, AlarmState, AlarmView, AlarmsView, HistoryView, MAX_ALARMS_PAGE},
    store::Look,
};

pub(super) fn now(look: &Look<'_>, selection: &AlarmSelection) -> Result<AlarmsView, QueryError> {
    let mut alarms = Vec::new();
    for (_, record) in look.alarms()? {
        let Some(raised) = record.raised else { continue };
        let state = if record.cleared.is_some() { AlarmState::Cleared } else { AlarmState::Active };
        let wanted = selects(selection, raised.site, raised.device, raised.channel, &raised.rule);
        if !wanted || (selection.active_only && state == AlarmState::Cleared) {
            continue;
        }
        alarms.push(AlarmView {
            occurrence: raised.occurrence,
            site: raised.site,
            device: raised.device,
            channel: raised.channel,
            rule: raised.rule.clone(),
            priority: raised.priority,
            state,
            raised,
            cleared: record.cleared,
        });
    }
    alarms.sort_by_key(|alarm| std::cmp::Reverse((alarm.raised.time_unix_ms, alarm.raised.seq)));
    alarms.truncate(selection.limit.clamp(1, MAX_ALARMS_PAGE));
    Ok(AlarmsView { alarms })
}

/// In the order of raising: by time where it is known, then by place and seq, so that the order does not depend on
/// which boot was heard of first.
pub(super) fn history(look: &Look<'_>, selection: &AlarmSelection) -> Result<HistoryView, QueryError> {
    let anchors: HashMap<_, _> = look.owners()?.into_iter().map(|(no, owner)| (no, owner.anchor)).collect();
    let mut occurrences = Vec::new();
    for (no, known) in look.history()? {
        if selects(selection, known.site, known.device, known.channel, &known.rule)
            && !(selection.active_only && known.cleared.is_some())
        {
            let anchor = anchors.get(&no).and_then(Option::as_ref);
            occurrences.push((known.raised, shapes::occurrence(&known, anchor)));
        }
    }
    occurrences.sort_by(|(a, one), (b, other)| {
        let key = |point: &tidegate_alarms::step::Point| (point.boot, point.seq);
        let time = |view: &crate::events::OccurrenceView| view.onset.time_unix_ms;
        time(one)
            .cmp(&time(other))
            .then_with(|| (one.site, one.device).cmp(&(other.site, other.device)))
            .then_with(|| key(a).cmp(&key(b)))
            .then_with(|| one.rule.cmp(&other.rule))
    });
    let newest = occurrences.len().saturating_sub(selection.limit.clamp(1, MAX_ALARMS_PAGE));
    Ok(HistoryView { occurrences: occurrences.into_iter().skip(newest).map(|(_, view)| view).collect() })
}

fn selects(
    selection: &AlarmSelection,
    site: SiteId,
    device: DeviceId,
    channel: ChannelName,
    rule: &RuleId,
) -> bool {
    selection.site.is_none_or(|wanted| wanted == site)
        && selection.device.is_none_or(|wanted| wanted == device)
        && selection.channel.is_none_or(|wanted| wanted == channel)
        && selection.rule.as_ref().is_none_or(|wanted| wanted == rule)
}
