//! What nobody says: channels that fall silent (stale rules), and gateways that are gone.
//!
//! Alarms of silence are raised by the clock and cleared by the next word. Whether one stands is its life cycle's to say, so that it
//! survives a restart and ends when its channel speaks. A gateway that is gone raises one alarm, `gateway-offline` on the
//! channel `link` of a device of its name; while all gateways that brought a device are gone, its channels' silence is held back.
//!
//! Silence is only judged while this ingest hears what there is to hear: not without the broker, not while what arrives is
//! older than `lag_ms` (a backlog behind a restart), nor for `settle_ms` after either; and then every channel has its
//! whole time again. Timers are per channel with a stale rule, and are put off when they fire, not with every reading.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use tidegate_alarms::{
    AlarmEvent, AlarmKind, Priority, Rule, RuleId, RuleSet, RulesSettings, TransitionKind,
    event::{Facts, Place, Standing, WallTime, message_of},
    step::{Peak, Point, Raised, Transition},
};
use tidegate_protocol::{BootId, ChannelName, ClockQuality, DeviceId, Seq, Tick, Value, topic::GatewayPath};

use super::{Core, Effect, batch::OriginNo, commits::Mode, current::has_ended, lifecycle::AlarmKey};

/// When something is called silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SilenceSettings {
    /// A gateway must be gone for so long.
    pub offline_after_ms: u64,
    /// So long all must be well before silence is judged.
    pub settle_ms: u64,
    /// Live readings that are older than this when they arrive: the ingest is behind.
    pub lag_ms: u64,
}

impl Default for SilenceSettings {
    fn default() -> Self {
        Self { offline_after_ms: 15_000, settle_ms: 10_000, lag_ms: 5_000 }
    }
}

/// When to look again where silence cannot be judged now.
const LOOK_AGAIN_MS: u64 = 5_000;

pub const GATEWAY_OFFLINE: &str = "gateway-offline";
const LINK: &str = "link";

#[derive(Debug, Default)]
pub(super) struct Silence {
    settings: SilenceSettings,
    connected: bool,
    /// Not judged before.
    judged_from_ms: u64,
    /// Channels to look at, by when.
    timers: BTreeSet<(u64, OriginNo, usize)>,
    /// Gateways that are gone, and since when.
    gone: BTreeMap<GatewayPath, u64>,
}

impl Silence {
    pub fn next_wakeup(&self) -> Option<u64> {
        let channel = self.timers.first().map(|(due, ..)| *due);
        let gateway =
            self.gone.values().map(|since| since.saturating_add(self.settings.offline_after_ms)).min();
        [channel, gateway].into_iter().flatten().min()
    }
}

impl Core {
    pub fn with_silence(mut self, settings: SilenceSettings) -> Self {
        self.silence.settings = settings;
        self
    }

    pub(super) fn broker_found(&mut self, now_ms: u64) {
        self.silence.connected = true;
        self.listen_anew(now_ms);
    }

    /// Every channel has its whole time again.
    pub(super) fn listen_anew(&mut self, now_ms: u64) {
        if !self.silence.connected {
            return;
        }
        self.silence.judged_from_ms = now_ms.saturating_add(self.silence.settings.settle_ms);
        self.restart_timers(now_ms);
        // A will may have been said while nobody listened, or before the start.
        for (path, gateway) in &self.gateways {
            if !gateway.record.online {
                self.silence.gone.insert(*path, now_ms);
            }
        }
    }

    pub(super) fn broker_lost(&mut self) {
        self.silence.connected = false;
        self.silence.gone.clear();
    }

    fn restart_timers(&mut self, now_ms: u64) {
        self.silence.timers.clear();
        let numbers: Vec<OriginNo> = self.origins.iter().map(|(no, _)| no).collect();
        for no in numbers {
            let Some(state) = self.origins.get_mut(no) else { continue };
            for channel in state.watch.restart_silence(now_ms) {
                self.silence.timers.insert((now_ms, no, channel));
            }
        }
    }

    /// Live readings came: of channels that need a timer, of others that were silent; and how old the newest was.
    pub(super) fn spoke(&mut self, now_ms: u64, no: OriginNo, spoke: &[Spoke], arrival_unix_ms: i64) {
        for word in spoke {
            if word.needs_timer {
                self.silence.timers.insert((now_ms, no, word.channel));
            }
            if word.was_silent {
                self.end_silence(now_ms, no, word.channel);
            }
        }
        let Some(state) = self.origins.get(no) else { return };
        let newest = state.latest.iter().flatten().map(|reading| reading.tick).max();
        let newest = newest.zip(state.record.anchor).map(|(tick, anchor)| anchor.unix_ms_at(tick));
        let SilenceSettings { lag_ms, settle_ms, .. } = self.silence.settings;
        if newest.is_some_and(|newest| arrival_unix_ms > newest.saturating_add_unsigned(lag_ms)) {
            self.silence.judged_from_ms = self.silence.judged_from_ms.max(now_ms.saturating_add(settle_ms));
        }
    }

    pub(super) fn look_for_silence(&mut self, now_ms: u64) {
        if self.mode != Mode::Taking {
            return;
        }
        let Some(unix_ms) = self.lifecycles.unix_ms_at(now_ms) else { return };
        let offline_after_ms = self.silence.settings.offline_after_ms;
        let gone =
            self.silence.gone.extract_if(.., |_, since| now_ms >= since.saturating_add(offline_after_ms));
        for (path, since) in gone.collect::<Vec<_>>() {
            let began = unix_ms.saturating_sub_unsigned(now_ms.saturating_sub(since));
            self.of_gateway(now_ms, path, began, unix_ms, true);
        }
        let judges = self.silence.connected && now_ms >= self.silence.judged_from_ms;
        while let Some(due) = self.silence.timers.pop_first() {
            let (at, no, channel) = due;
            if at > now_ms {
                self.silence.timers.insert(due);
                break;
            }
            if let Some(again) = self.look_at_channel(now_ms, unix_ms, no, channel, judges) {
                self.silence.timers.insert((again, no, channel));
            }
        }
    }

    /// Says when to look again; never where the channel is not watched any more, or an alarm waits for its next word.
    fn look_at_channel(
        &mut self,
        now_ms: u64,
        unix_ms: i64,
        no: OriginNo,
        channel: usize,
        judges: bool,
    ) -> Option<u64> {
        let state = self.origins.get(no)?;
        let (site, device) = (state.record.site, state.record.origin.device);
        let is_present = self.origins.current(site, device) == Some(no) && !has_ended(state);
        let silent = state.watch.silent_channel(channel, unix_ms)?;
        let reachable = state.record.gateways.iter().any(|gateway| {
            let path = GatewayPath::new(site, *gateway);
            self.gateways.get(&path).is_none_or(|gateway| gateway.record.online)
        });
        if !is_present {
            self.origins.get_mut(no)?.watch.without_timer(channel);
            return None;
        }
        if !judges || !reachable {
            // Its whole time begins anew when it can be heard again.
            self.origins.get_mut(no)?.watch.put_off(channel, now_ms);
            return Some(now_ms.saturating_add(LOOK_AGAIN_MS));
        }
        let mut again: Option<u64> = None;
        for rule in &silent.rules {
            let Some(allowed_ms) = rule.stale().and_then(|stale| stale.silence_ms(silent.interval_ms)) else {
                continue;
            };
            let due = silent.heard_ms.saturating_add(allowed_ms).saturating_add(1);
            if now_ms < due {
                again = Some(again.map_or(due, |known| known.min(due)));
                continue;
            }
            let silent_ms = now_ms.saturating_sub(silent.heard_ms);
            let place = Place { site, device, channel: silent.name, unit: &silent.unit };
            let facts = Facts::Silence { silent_ms, allowed_ms };
            self.by_clock(
                now_ms,
                ByClock {
                    kind: AlarmKind::Stale,
                    rule,
                    place,
                    at: silent.last,
                    // It began when the reading was missed that would have been in time.
                    since_unix_ms: unix_ms.saturating_sub_unsigned(silent_ms.saturating_sub(allowed_ms)),
                    unix_ms,
                    raise: true,
                    message: message_of(rule, &place, TransitionKind::Raise, &facts),
                },
            );
        }
        if again.is_none() {
            self.origins.get_mut(no)?.watch.without_timer(channel);
        }
        again
    }

    /// A channel spoke again, or is not looked at any more: its alarms of silence end.
    fn end_silence(&mut self, now_ms: u64, no: OriginNo, channel: usize) {
        let Some(unix_ms) = self.lifecycles.unix_ms_at(now_ms) else { return };
        let Some(state) = self.origins.get(no) else { return };
        let (site, device) = (state.record.site, state.record.origin.device);
        let Some(silent) = state.watch.silent_channel(channel, unix_ms) else { return };
        for rule in &silent.rules {
            let place = Place { site, device, channel: silent.name, unit: &silent.unit };
            let message = format!("{device} {} speaks again", silent.name);
            let (kind, at, raise) = (AlarmKind::Stale, silent.last, false);
            self.by_clock(
                now_ms,
                ByClock { kind, rule, place, at, since_unix_ms: unix_ms, unix_ms, raise, message },
            );
        }
    }

    /// Nothing more is expected of an origin.
    pub(super) fn end_silence_of(&mut self, now_ms: u64, no: OriginNo) {
        let channels = self.origins.get(no).map_or(0, |state| state.watch.channel_count());
        (0..channels).for_each(|channel| self.end_silence(now_ms, no, channel));
    }

    pub(super) fn gateway_spoke(&mut self, now_ms: u64, path: GatewayPath, online: bool) {
        if online {
            self.silence.gone.remove(&path);
            if let Some(unix_ms) = self.lifecycles.unix_ms_at(now_ms) {
                self.of_gateway(now_ms, path, unix_ms, unix_ms, false);
            }
        } else if self.silence.connected {
            self.silence.gone.entry(path).or_insert(now_ms);
        }
    }

    fn of_gateway(&mut self, now_ms: u64, path: GatewayPath, since_unix_ms: i64, unix_ms: i64, raise: bool) {
        let (Ok(device), Ok(channel)) = (DeviceId::new(path.gateway.as_str()), ChannelName::new(LINK)) else {
            return;
        };
        let Some(rule) = GATEWAY_RULE.as_ref() else { return };
        let place = Place { site: path.site, device, channel, unit: "" };
        let at = u64::try_from(since_unix_ms).unwrap_or_default();
        let at = Point { boot: BootId(0), seq: Seq(at), tick: Tick(at) };
        let message = format!("gateway {} is {}", path.gateway, if raise { "offline" } else { "back" });
        let kind = AlarmKind::Gateway;
        self.by_clock(now_ms, ByClock { kind, rule, place, at, since_unix_ms, unix_ms, raise, message });
    }

    /// Raises an alarm that does not stand, or clears one that does.
    pub(super) fn by_clock(&mut self, now_ms: u64, what: ByClock<'_>) {
        let ByClock { kind: of, rule, place, at, since_unix_ms, unix_ms, raise, message } = what;
        let Place { site, device, channel, .. } = place;
        let key = AlarmKey { site, device, channel, rule: rule.id().clone() };
        let stands = self.standing(&key);
        if raise == stands.is_some() {
            return;
        }
        let peak = Peak { at, value: f64::NAN };
        let raised = stands.unwrap_or(Raised { onset: at, at, revision: rule.revision(), peak });
        let kind = if raise { TransitionKind::Raise } else { TransitionKind::Clear };
        let (value, measure) = (Value::Bool(!raise), f64::NAN);
        let transition = Transition { kind, onset: at, trigger: at, value, measure, raised };
        let time = WallTime { unix_ms: Some(since_unix_ms), quality: ClockQuality::Estimated };
        let standing = Standing { provisional: true, late: false };
        let event = AlarmEvent::new(rule, place, &transition, standing, |_| time);
        let mut event =
            AlarmEvent { kind: of, value: None, message, learned_unix_ms: Some(unix_ms), ..event };
        self.note_live(&mut event);
        self.building.events.push(AlarmEvent { provisional: false, ..event.clone() });
        self.counters.alarm_events_provisional += 1;
        self.effects.push_back(Effect::Provisional(Box::new(event)));
        self.urgent = true;
        self.touch_batch(now_ms);
    }

    /// Whether an alarm is raised and not cleared.
    pub(super) fn stands(&self, place: Place<'_>, rule: &RuleId) -> bool {
        let Place { site, device, channel, .. } = place;
        self.standing(&AlarmKey { site, device, channel, rule: rule.clone() }).is_some()
    }

    /// The occurrence that stands, as it was raised.
    fn standing(&self, key: &AlarmKey) -> Option<Raised> {
        let told = self.lifecycles.active(key)?;
        let point = |boot, seq, tick| Point { boot, seq, tick: Tick(tick) };
        let at = point(told.boot, told.seq, told.tick_ms);
        let onset = point(told.onset.boot, told.onset.seq, told.onset.tick_ms);
        Some(Raised { onset, at, revision: told.revision, peak: Peak { at, value: f64::NAN } })
    }
}

/// What becomes of an alarm by the clock, or by many readings.
pub(super) struct ByClock<'a> {
    pub kind: AlarmKind,
    pub rule: &'a Rule,
    pub place: Place<'a>,
    /// The last reading before, or the first after.
    pub at: Point,
    /// When it began, or ended.
    pub since_unix_ms: i64,
    pub unix_ms: i64,
    pub raise: bool,
    pub message: String,
}

/// A live reading's word to those who watch for silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoke {
    pub channel: usize,
    pub needs_timer: bool,
    pub was_silent: bool,
}

/// Nothing is wrong with it: a test raises an alarm by it.
static GATEWAY_RULE: LazyLock<Option<Arc<Rule>>> = LazyLock::new(|| {
    let rule = serde_json::json!({
        "id": GATEWAY_OFFLINE, "select": { "channel": LINK }, "equals": false, "priority": Priority::High,
    });
    let settings = serde_json::from_value::<RulesSettings>(serde_json::json!({ "rule": [rule] })).ok()?;
    RuleSet::from_settings(settings).ok()?.get(GATEWAY_OFFLINE).cloned()
});
