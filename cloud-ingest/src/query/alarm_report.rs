//! The alarm report: what a stretch of time was like, out of the events; and what stands now, out of the alarms.
//!
//! One look at the store, in portions: [`tidegate_alarms::report`] says what is held of the events; of the alarms as they stand,
//! [`MAX_LISTED`] of each kind are.

use serde::Serialize;
use tidegate_alarms::{
    AlarmState, Priority,
    report::{AlarmName, Report, Reporter},
};

use super::QueryError;
use crate::{
    events::AlarmNames,
    store::{Look, alarms::AlarmRecord, keys},
};

/// How long before the stretch a raise may lie whose acknowledgement or clear is looked at.
pub const CONTEXT_MS: i64 = 7 * 24 * 3_600_000;
/// Active for longer, an alarm is standing (EEMUA 191); so is one that waits to be acknowledged for longer stale.
pub const STANDING_MS: i64 = 24 * 3_600_000;
/// How many alarms each list of what stands now has.
pub const MAX_LISTED: usize = 50;

const HOUR_MS: i64 = 3_600_000;
/// Events and alarms read at a time.
const PORTION: usize = 1_000;

/// A stretch of time, `from` included, `to` excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmReportRequest {
    pub names: AlarmNames,
    pub from_unix_ms: i64,
    pub to_unix_ms: i64,
    pub now_unix_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlarmReportView {
    #[serde(flatten)]
    pub report: Report,
    pub now: AlarmsNowView,
}

/// Alarms as they stand, whatever the stretch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlarmsNowView {
    pub at_unix_ms: i64,
    /// Most urgent first.
    pub priorities: [PriorityNowView; 4],
    /// Active for more than 24 h.
    pub standing: ListedView,
    /// Not acknowledged for more than 24 h.
    pub stale_unacknowledged: ListedView,
    pub shelved: ListedView,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PriorityNowView {
    pub priority: Priority,
    pub active: u64,
    pub unacknowledged: u64,
}

/// The first [`MAX_LISTED`] of how many there are; those raised first come first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ListedView {
    pub count: u64,
    pub alarms: Vec<StandingView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StandingView {
    #[serde(flatten)]
    pub alarm: AlarmName,
    pub priority: Priority,
    pub state: AlarmState,
    /// Null where nobody knows, or where it was never raised.
    pub raised_unix_ms: Option<i64>,
    pub shelved_until_unix_ms: Option<i64>,
}

impl ListedView {
    pub(super) fn add(&mut self, alarm: &StandingView) {
        self.count += 1;
        self.alarms.push(alarm.clone());
        if self.alarms.len() >= 2 * MAX_LISTED {
            self.cut();
        }
    }

    pub(super) fn cut(&mut self) {
        // Whose time nobody knows come last; of equals, those first that were found first.
        self.alarms.sort_by_key(|alarm| alarm.raised_unix_ms.unwrap_or(i64::MAX));
        self.alarms.truncate(MAX_LISTED);
    }
}

pub(super) fn report(look: &Look<'_>, request: &AlarmReportRequest) -> Result<AlarmReportView, QueryError> {
    let mut reporter = Reporter::new(request.from_unix_ms, request.to_unix_ms);
    let context = request.from_unix_ms.saturating_sub(CONTEXT_MS);
    let hour = u64::try_from(context.div_euclid(HOUR_MS)).unwrap_or_default();
    let mut cursor = look.noted_before(hour)?.map_or(0, |(_, cursor)| cursor);
    loop {
        let portion = look.events_after(cursor, PORTION)?;
        let Some((last, _)) = portion.last() else { break };
        cursor = *last;
        for (_, event) in &portion {
            if request.names.select(event.site, event.device, event.channel, &event.rule) {
                reporter.take(event);
            }
        }
    }
    Ok(AlarmReportView { report: reporter.finish(), now: now(look, request)? })
}

fn now(look: &Look<'_>, request: &AlarmReportRequest) -> Result<AlarmsNowView, QueryError> {
    let mut told = AlarmsNowView::nothing(request.now_unix_ms);
    let mut after: Option<Vec<u8>> = None;
    loop {
        let portion = look.alarms_after(after.as_deref(), PORTION)?;
        let Some((last, _)) = portion.last() else { break };
        after = Some(last.clone());
        for (key, record) in portion {
            let key = keys::read_alarm(&key)?;
            if request.names.select(key.site, key.device, key.channel, &key.rule) {
                let alarm =
                    AlarmName { site: key.site, device: key.device, channel: key.channel, rule: key.rule };
                told.note(alarm, &record);
            }
        }
    }
    for listed in [&mut told.standing, &mut told.stale_unacknowledged, &mut told.shelved] {
        listed.cut();
    }
    Ok(told)
}

impl AlarmsNowView {
    pub fn nothing(at_unix_ms: i64) -> Self {
        let none = |priority| PriorityNowView { priority, active: 0, unacknowledged: 0 };
        Self {
            at_unix_ms,
            priorities: Priority::ALL.map(none),
            standing: ListedView::default(),
            stale_unacknowledged: ListedView::default(),
            shelved: ListedView::default(),
        }
    }

    fn note(&mut self, alarm: AlarmName, record: &AlarmRecord) {
        let raised = record.raised.as_ref();
        let Some(told) = raised.or(record.cleared.as_ref()).or(record.done.as_ref()) else { return };
        let lifecycle = &record.lifecycle;
        if let Some(counts) = self.priorities.iter_mut().find(|counts| counts.priority == told.priority) {
            counts.active += u64::from(lifecycle.active);
            counts.unacknowledged += u64::from(!lifecycle.acknowledged);
        }
        let view = StandingView {
            alarm,
            priority: told.priority,
            state: lifecycle.state(),
            raised_unix_ms: raised.and_then(|raised| raised.time_unix_ms.or(raised.learned_unix_ms)),
            shelved_until_unix_ms: lifecycle.shelved_until_unix_ms,
        };
        let is_old =
            view.raised_unix_ms.is_some_and(|raised| self.at_unix_ms.saturating_sub(raised) > STANDING_MS);
        if lifecycle.active && is_old {
            self.standing.add(&view);
        }
        if !lifecycle.acknowledged && is_old {
            self.stale_unacknowledged.add(&view);
        }
        if lifecycle.shelved_until_unix_ms.is_some() {
            self.shelved.add(&view);
        }
    }
}
