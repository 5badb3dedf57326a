//! Alarms as they are known now, their settled history, and what operators did with them.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use tidegate_alarms::Priority;

use super::{QueryError, shapes};
use crate::{
    core::{
        batch::Occurrence,
        lifecycle::{AlarmDone, AlarmKey},
    },
    events::{
        AlarmDetailView, AlarmLogPage, AlarmLogView, AlarmMark, AlarmNames, AlarmSelection, AlarmView,
        AlarmsView, DETAIL_LINES, HistoryMark, HistorySelection, HistoryView, LogSelection, MAX_ALARMS_PAGE,
        OccurrenceView, States, mark_as_text,
    },
    store::{Look, alarms::AlarmRecord},
    verdicts::VerdictView,
};

/// How many lines of the log are looked through for those of one alarm.
const LOG_LOOKED_THROUGH: usize = 100_000;

pub(super) fn now(look: &Look<'_>, selection: &AlarmSelection) -> Result<AlarmsView, QueryError> {
    let mut found = Vec::new();
    for (key, record) in look.alarms()? {
        if !selection.names.select(key.site, key.device, key.channel, &key.rule) {
            continue;
        }
        let Some(alarm) = shown(key, record) else { continue };
        let mark = mark(&alarm);
        if selects(selection, &alarm) && selection.after.as_ref().is_none_or(|after| *after < mark) {
            found.push((mark, alarm));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    let limit = selection.limit.clamp(1, MAX_ALARMS_PAGE);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(mark, _)| mark_as_text(mark));
    Ok(AlarmsView { alarms: found.into_iter().map(|(_, alarm)| alarm).collect(), next })
}

/// None for a record that no event has told of.
pub(super) fn shown(key: AlarmKey, record: AlarmRecord) -> Option<AlarmView> {
    let told = record.raised.as_ref().or(record.cleared.as_ref()).or(record.done.as_ref())?;
    Some(AlarmView {
        occurrence: record.lifecycle.latest.map(|latest| latest.occurrence),
        kind: told.kind,
        site: key.site,
        device: key.device,
        channel: key.channel,
        rule: key.rule,
        priority: told.priority,
        state: record.lifecycle.state(),
        lifecycle: record.lifecycle,
        raised: record.raised,
        cleared: record.cleared,
        done: record.done,
    })
}

fn mark(alarm: &AlarmView) -> AlarmMark {
    let raised = alarm.raised.as_ref();
    AlarmMark(
        Reverse(raised.and_then(|raised| raised.time_unix_ms)),
        Reverse(raised.map_or(0, |raised| raised.seq.0)),
        alarm.site,
        alarm.device,
        alarm.channel,
        alarm.rule.clone(),
    )
}

fn selects(selection: &AlarmSelection, alarm: &AlarmView) -> bool {
    let of_state = match &selection.states {
        States::All => true,
        States::Active => alarm.lifecycle.active,
        States::Standing => !alarm.lifecycle.is_plain(),
        States::These(states) => states.contains(&alarm.state),
    };
    let of_priority = |wanted: &Vec<Priority>| wanted.is_empty() || wanted.contains(&alarm.priority);
    of_state
        && of_priority(&selection.priorities)
        && (selection.kinds.is_empty() || selection.kinds.contains(&alarm.kind))
        && !(selection.unacknowledged && alarm.lifecycle.acknowledged)
}

pub(super) fn one(
    look: &Look<'_>,
    key: &AlarmKey,
    verdicts: Vec<VerdictView>,
) -> Result<AlarmDetailView, QueryError> {
    let record = look.alarm(key)?.ok_or(QueryError::UnknownAlarm)?;
    let newest = record.newest.ok_or(QueryError::UnknownAlarm)?;
    let alarm = shown(key.clone(), record).ok_or(QueryError::UnknownAlarm)?;
    let names = AlarmNames::exactly(key);
    let of_log = LogSelection { names: names.clone(), limit: DETAIL_LINES, after: None };
    let of_history = HistorySelection { names, limit: DETAIL_LINES, after: None };
    Ok(AlarmDetailView {
        newest,
        alarm,
        verdicts,
        log: log(look, &of_log)?.log,
        occurrences: history(look, &of_history)?.occurrences,
    })
}

/// The newest occurrences before the mark, in the order of raising. Of all that there are no more than a page is held.
pub(super) fn history(look: &Look<'_>, selection: &HistorySelection) -> Result<HistoryView, QueryError> {
    let anchors: HashMap<_, _> = look.owners()?.into_iter().map(|(no, owner)| (no, owner.anchor)).collect();
    let limit = selection.limit.clamp(1, MAX_ALARMS_PAGE);
    // The oldest is on top, and leaves first. One more than is shown: is there a page before?
    let mut newest: BinaryHeap<Reverse<Placed>> = BinaryHeap::new();
    for (no, known) in look.history()? {
        if !selection.names.select(known.site, known.device, known.channel, &known.rule) {
            continue;
        }
        let view = shapes::occurrence(&known, anchors.get(&no).and_then(Option::as_ref));
        let mark = history_mark(&known, &view);
        if selection.after.as_ref().is_none_or(|after| mark < *after) {
            newest.push(Reverse(Placed { mark, view }));
        }
        if newest.len() > limit + 1 {
            newest.pop();
        }
    }
    let more = newest.len() > limit;
    if more {
        newest.pop();
    }
    let mut page: Vec<Placed> = newest.into_iter().map(|Reverse(placed)| placed).collect();
    page.sort();
    let next = page.first().filter(|_| more).map(|placed| mark_as_text(&placed.mark));
    Ok(HistoryView { occurrences: page.into_iter().map(|placed| placed.view).collect(), next })
}

fn history_mark(known: &Occurrence, view: &OccurrenceView) -> HistoryMark {
    let raised = known.raised;
    HistoryMark(
        view.onset.time_unix_ms,
        known.site,
        known.device,
        raised.boot,
        raised.seq,
        known.rule.clone(),
    )
}

struct Placed {
    mark: HistoryMark,
    view: OccurrenceView,
}

impl PartialEq for Placed {
    fn eq(&self, other: &Self) -> bool {
        self.mark == other.mark
    }
}

impl Eq for Placed {}

impl PartialOrd for Placed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Placed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.mark.cmp(&other.mark)
    }
}

/// The operator log, newest first.
pub(super) fn log(look: &Look<'_>, selection: &LogSelection) -> Result<AlarmLogPage, QueryError> {
    let limit = selection.limit.clamp(1, MAX_ALARMS_PAGE);
    let (mut log, mut looked_through, mut next) = (Vec::new(), 0, None);
    look.alarm_log(selection.after, |number, entry| {
        if log.len() == limit || looked_through == LOG_LOOKED_THROUGH {
            next = Some((number + 1).to_string());
            return false;
        }
        looked_through += 1;
        if selection.names.select(entry.site, entry.device, entry.channel, &entry.rule) {
            log.push(AlarmLogView { number, entry });
        }
        true
    })?;
    Ok(AlarmLogPage { log, next })
}

/// What the core made of an order, as an answer.
pub(super) fn acted(done: AlarmDone) -> Result<tidegate_alarms::AlarmEvent, QueryError> {
    match done {
        AlarmDone::Done(event) => Ok(*event),
        AlarmDone::Refused(refusal, lifecycle) => Err(QueryError::AlarmRefused { refusal, lifecycle }),
        AlarmDone::Changed => Err(QueryError::AlarmChanged),
        AlarmDone::Unknown => Err(QueryError::UnknownAlarm),
        AlarmDone::NotCommitted => Err(crate::orders::OrderError::NotCommitted.into()),
    }
}
