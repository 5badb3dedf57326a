//! Which alarms are active at this gateway, whatever the cloud hears of it.
//!
//! The rules of channels alone are stepped here; silence and groups are judged by the cloud. Only what is live counts: late
//! readings, and all of a boot that its device left, change nothing. An alarm goes on over a boot of its device, as it does in
//! the cloud, and ends when a live reading clears it, or its device comes with other channels. Nothing of it is stored: after a
//! start it is told by the next readings.
//!
//! At most [`MAX_LOCAL_ALARMS`] are kept: at the bound a more urgent one takes the place of a less urgent one, and others are
//! counted and not kept.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_alarms::{
    AlarmEvent, Evaluated, Priority, Revision, RuleId, Transition, TransitionKind,
    event::{Place, Standing, WallTime},
    step::Point,
};
use tidegate_protocol::{ChannelName, DeviceId, Tick, Value, rules::VerdictRaise};

use super::{Core, Effect, clock::Anchored, origin::Slot, time::Now, watch::Stand};

pub const MAX_LOCAL_ALARMS: usize = 4_096;

/// What an alarm is of, at one gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlarmKey {
    pub device: DeviceId,
    pub channel: ChannelName,
    pub rule: RuleId,
}

/// An alarm that is active here.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalAlarm {
    /// The device's free text.
    pub tag: String,
    /// Of the rule that raised it.
    pub revision: Revision,
    pub priority: Priority,
    /// The onset, by the gateway's clock.
    pub since_unix_ms: i64,
    /// The last good reading's; a bool is 0 or 1.
    pub value: f64,
    /// The worst: a value, or the rate or deviation that the rule compares. NaN: none yet.
    pub peak: f64,
    /// Of the raise.
    pub message: String,
}

#[derive(Debug)]
struct Kept {
    alarm: LocalAlarm,
    /// Which occurrence it is.
    raised_at: Point,
    /// For the next boot of the device.
    evaluated: Evaluated,
}

impl Kept {
    fn raise(&self) -> VerdictRaise {
        VerdictRaise {
            revision: self.alarm.revision.0,
            boot: self.raised_at.boot,
            seq: self.raised_at.seq,
            since_unix_ms: self.alarm.since_unix_ms,
        }
    }
}

#[derive(Debug, Default)]
pub struct LocalAlarms {
    kept: BTreeMap<AlarmKey, Kept>,
}

impl LocalAlarms {
    pub fn evaluated(&self, device: DeviceId, channel: ChannelName, rule: &RuleId) -> Option<&Evaluated> {
        self.kept.get(&AlarmKey { device, channel, rule: rule.clone() }).map(|kept| &kept.evaluated)
    }

    /// What raised each.
    pub fn raises(&self) -> impl Iterator<Item = (&AlarmKey, VerdictRaise)> {
        self.kept.iter().map(|(key, kept)| (key, kept.raise()))
    }

    pub fn by_priority(&self) -> BTreeMap<&'static str, u64> {
        let mut counts: BTreeMap<_, _> = Priority::ALL.map(|priority| (priority.name(), 0)).into();
        for kept in self.kept.values() {
            *counts.entry(kept.alarm.priority.name()).or_default() += 1;
        }
        counts
    }

    /// What a device has no channel or rule for any more.
    pub fn remove_unwatched(
        &mut self,
        device: DeviceId,
        is_watched: impl Fn(ChannelName, &RuleId) -> bool,
    ) -> Vec<AlarmKey> {
        let is_gone = |key: &AlarmKey| key.device == device && !is_watched(key.channel, &key.rule);
        self.kept.extract_if(.., |key, _| is_gone(key)).map(|(key, _)| key).collect()
    }

    /// Makes room for one of this priority, if it must and can; says what went.
    fn make_room(&mut self, priority: Priority) -> Result<Option<AlarmKey>, Full> {
        if self.kept.len() < MAX_LOCAL_ALARMS {
            return Ok(None);
        }
        let least = self.kept.iter().min_by_key(|(_, kept)| kept.alarm.priority);
        let less = least.filter(|(_, kept)| kept.alarm.priority < priority).map(|(key, _)| key.clone());
        let key = less.ok_or(Full)?;
        self.kept.remove(&key);
        Ok(Some(key))
    }
}

/// As many are kept as may be, and none is less urgent.
struct Full;

impl Core {
    /// Takes over where rules stand after live readings; `tick` is of the last of these.
    pub(super) fn stand_locally(&mut self, slot: Slot, tick: Tick, stands: &[Stand]) {
        let now = self.now;
        for stand in stands {
            let Some(state) = self.origins.get_mut(slot) else { return };
            let Some(channel) = state.description.channels.get(stand.channel).cloned() else { continue };
            let anchored = state.anchored.unwrap_or(Anchored { tick, at: now.at, delay_ms: 0 });
            let (device, boot) = (state.origin().device, state.boot());
            let tag = state.description.tag.clone();
            let Some(watched) = state.watch.as_mut().and_then(|watch| watch.watched_mut(stand)) else {
                continue;
            };
            let key = AlarmKey { device, channel: channel.name, rule: watched.rule.id().clone() };
            let Some((rule, raised)) =
                watched.live.raised().map(|(rule, raised)| (Arc::clone(rule), *raised))
            else {
                watched.is_shown = false;
                if self.local_alarms.kept.remove(&key).is_some() {
                    self.local_alarm_ended(key);
                }
                continue;
            };
            let evaluated = watched.live.clone();
            if let Some(kept) =
                self.local_alarms.kept.get_mut(&key).filter(|kept| kept.raised_at == raised.at)
            {
                kept.evaluated = evaluated;
                let before = (kept.alarm.value.to_bits(), kept.alarm.peak.to_bits());
                (kept.alarm.value, kept.alarm.peak) = (stand.value, raised.peak.value);
                if before != (stand.value.to_bits(), raised.peak.value.to_bits()) {
                    let alarm = Some(kept.alarm.clone());
                    self.effects.push_back(Effect::LocalAlarm { key, alarm });
                }
                continue;
            }
            // One that late readings raised is told by the first live one.
            let raise = stand.raise.clone().filter(|(_, raise)| raise.trigger == raised.at);
            let transition = raise.map(|(_, raise)| raise).unwrap_or(Transition {
                kind: TransitionKind::Raise,
                onset: raised.onset,
                trigger: raised.at,
                value: Value::F64(stand.value),
                measure: raised.peak.value,
                raised,
            });
            let place =
                Place { site: self.settings.site, device, channel: channel.name, unit: &channel.unit };
            let standing = Standing { provisional: true, late: false };
            let quality = self.clock.quality();
            let time_of = |point: Point| WallTime {
                unix_ms: (point.boot == boot).then(|| unix_ms_of(point.tick, anchored, now)),
                quality,
            };
            let event = AlarmEvent::new(&rule, place, &transition, standing, time_of);
            let alarm = LocalAlarm {
                tag,
                revision: raised.revision,
                priority: rule.priority(),
                since_unix_ms: event.onset.time_unix_ms.unwrap_or(now.unix_ms),
                value: stand.value,
                peak: raised.peak.value,
                message: event.message,
            };
            match self.local_alarms.make_room(alarm.priority) {
                Ok(left) => left.into_iter().for_each(|key| self.local_alarm_ended(key)),
                Err(Full) => {
                    self.counters.local_alarms_refused += 1;
                    continue;
                }
            }
            let kept = Kept { alarm: alarm.clone(), raised_at: raised.at, evaluated };
            self.verdicts.changed(&key, Some(kept.raise()));
            self.local_alarms.kept.insert(key.clone(), kept);
            self.effects.push_back(Effect::LocalAlarm { key, alarm: Some(alarm) });
        }
    }

    pub(super) fn local_alarm_ended(&mut self, key: AlarmKey) {
        self.verdicts.changed(&key, None);
        self.effects.push_back(Effect::LocalAlarm { key, alarm: None });
    }
}

/// When it was this tick, by the clock as it shows now; not after now.
pub(super) fn unix_ms_of(tick: Tick, anchored: Anchored, now: Now) -> i64 {
    let at_anchor = now.unix_ms.saturating_sub_unsigned(now.at.us_since(anchored.at) / 1_000);
    let ahead = tick.0.saturating_sub(anchored.tick.0);
    let behind = anchored.tick.0.saturating_sub(tick.0);
    at_anchor.saturating_add_unsigned(ahead).saturating_sub_unsigned(behind).min(now.unix_ms)
}
