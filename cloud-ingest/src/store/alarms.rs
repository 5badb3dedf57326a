//! Alarms as people see them, and the log of what people did with them.

use serde::{Deserialize, Serialize};
use tidegate_alarms::{AlarmEvent, AlarmState, EventId, Lifecycle, RuleId, TransitionKind, event::Operator};
use tidegate_protocol::{ChannelName, DeviceId, SiteId};

use super::{
    StoreError, commit, keys,
    lmdb::{Table, Writer},
    look::{Look, from_json},
};
use crate::core::lifecycle::{AlarmKey, KnownAlarm};

/// The latest occurrence of one rule on one channel, as its events told it, and its life cycle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlarmRecord {
    pub raised: Option<AlarmEvent>,
    pub cleared: Option<AlarmEvent>,
    /// The newest event that is neither.
    pub done: Option<AlarmEvent>,
    /// The newest event of all.
    pub newest: Option<EventId>,
    pub lifecycle: Lifecycle,
}

/// A line of the operator log of alarms. It stays when its event has left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmLogEntry {
    pub unix_ms: i64,
    pub action: TransitionKind,
    pub operator: Operator,
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
    pub rule: RuleId,
    pub occurrence: EventId,
    /// The event that it became.
    pub event: EventId,
    /// The state after it.
    pub state: Option<AlarmState>,
}

impl AlarmRecord {
    /// The newest event: what is retained at the broker.
    pub fn newest_event(&self) -> Option<&AlarmEvent> {
        let all = [&self.done, &self.cleared, &self.raised];
        all.into_iter().flatten().find(|event| Some(event.id) == self.newest)
    }

    fn known(self) -> Option<KnownAlarm> {
        let newest = self.newest?;
        let told = self.cleared.or(self.raised).or(self.done)?;
        Some(KnownAlarm { lifecycle: self.lifecycle, told: Box::new(told), newest })
    }

    /// Of the occurrence that is shown, another beginning.
    fn amend(&mut self, event: &AlarmEvent) {
        if let Some(raised) = self.raised.as_mut().filter(|raised| raised.occurrence == event.occurrence) {
            raised.onset = event.onset.clone();
        }
    }

    /// Takes an event that is not late.
    fn take(&mut self, event: &AlarmEvent) {
        match event.transition {
            TransitionKind::Raise => {
                self.raised = Some(event.clone());
                self.cleared = None;
            }
            TransitionKind::Clear => self.cleared = Some(event.clone()),
            _ => self.done = Some(event.clone()),
        }
        self.newest = Some(event.id);
        if let Some(lifecycle) = &event.lifecycle {
            self.lifecycle = lifecycle.clone();
        }
    }
}

/// What an event changes: late news nothing but how an occurrence began.
pub(super) fn write(writer: &mut Writer<'_>, event: &AlarmEvent) -> Result<(), StoreError> {
    let amends = event.transition == TransitionKind::Amend;
    if event.late && !amends {
        return Ok(());
    }
    let key = keys::alarm(event.site, event.device, event.channel, &event.rule);
    let known = writer.get(Table::Alarms, &key)?.and_then(|bytes| serde_json::from_slice(bytes).ok());
    let mut record: AlarmRecord = known.unwrap_or_default();
    if amends {
        record.amend(event);
    } else {
        record.take(event);
    }
    writer.put(Table::Alarms, &key, &commit::json(&record)?)?;
    let Some(operator) = event.operator.clone() else { return Ok(()) };
    let entry = AlarmLogEntry {
        unix_ms: event.time_unix_ms.unwrap_or_default(),
        action: event.transition,
        operator,
        site: event.site,
        device: event.device,
        channel: event.channel,
        rule: event.rule.clone(),
        occurrence: event.occurrence,
        event: event.id,
        state: event.state,
    };
    let last = writer.last(Table::AlarmLog)?.map(|(key, _)| keys::read_number(key)).transpose()?;
    let next = last.map_or(0, |last| last + 1);
    writer.append(Table::AlarmLog, &keys::number(next), &commit::json(&entry)?)
}

impl Look<'_> {
    pub fn alarms(&self) -> Result<Vec<(AlarmKey, AlarmRecord)>, StoreError> {
        let alarms = self.reader().scan(Table::Alarms, &[])?.map(|pair| {
            let (key, value) = pair?;
            Ok((keys::read_alarm(key)?, from_json(value)?))
        });
        alarms.collect()
    }

    pub fn alarm(&self, key: &AlarmKey) -> Result<Option<AlarmRecord>, StoreError> {
        self.reader().get(Table::Alarms, &keys::alarm_of(key))?.map(from_json).transpose()
    }

    /// An alarm as the core is to know it.
    pub fn known_alarm(&self, key: &AlarmKey) -> Result<Option<KnownAlarm>, StoreError> {
        Ok(self.alarm(key)?.and_then(AlarmRecord::known))
    }

    /// Those that are not plain normal.
    pub(super) fn alarms_to_keep(&self) -> Result<Vec<(AlarmKey, KnownAlarm)>, StoreError> {
        let known = self.alarms()?.into_iter().filter(|(_, record)| !record.lifecycle.is_plain());
        Ok(known.filter_map(|(key, record)| Some((key, record.known()?))).collect())
    }

    /// Alarms behind a key, by key.
    pub fn alarms_after(
        &self,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, AlarmRecord)>, StoreError> {
        let from = after.map(|key| [key, &[0]].concat()).unwrap_or_default();
        let alarms = self.reader().scan(Table::Alarms, &from)?.take(limit).map(|pair| {
            let (key, value) = pair?;
            Ok((key.to_vec(), from_json(value)?))
        });
        alarms.collect()
    }

    /// The number of the next line of the operator log.
    pub(super) fn next_deed(&self) -> Result<u64, StoreError> {
        let last = self.reader().last(Table::AlarmLog)?;
        Ok(last.map(|(key, _)| keys::read_number(key)).transpose()?.map_or(0, |last| last + 1))
    }

    /// The operator log, newest first, below a number where one is given, until `each` says stop.
    pub fn alarm_log(
        &self,
        below: Option<u64>,
        mut each: impl FnMut(u64, AlarmLogEntry) -> bool,
    ) -> Result<(), StoreError> {
        for pair in self.reader().scan_back(Table::AlarmLog)? {
            let (key, value) = pair?;
            let number = keys::read_number(key)?;
            if below.is_some_and(|below| number >= below) {
                continue;
            }
            if !each(number, from_json(value)?) {
                break;
            }
        }
        Ok(())
    }
}
