//! What gateways say is active by their own evaluation, held against this ingest's live verdict.
//!
//! A gateway's word raises nothing: alarms are raised by this ingest's own verdict on the readings. Where the two differ, and go on
//! to for a while (readings and words are on their way), an event of the alarm says so, and another when they agree again.
//! Accounts are in memory: a gateway gives a whole one when its link comes up, and when it is asked, which it is when this ingest
//! starts and when one of its messages is missing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tidegate_alarms::{Revision, RuleId, TransitionKind, event::Operator};
use tidegate_protocol::{
    ChannelName, DeviceId, GatewayId,
    rules::{Verdict, VerdictRaise, Verdicts},
    topic::GatewayPath,
};

use super::{Core, Effect, Mode, lifecycle::AlarmKey};

/// A difference is told if it is there at two looks in a row, which are so far apart.
const LOOK_MS: u64 = 5_000;
/// More is kept of no gateway; an agent has fewer.
const MAX_KEPT: usize = 8_192;

/// How a gateway's verdict differs from the ingest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// Active at the gateway, and not here.
    GatewayOnly,
    /// Active here, and not at the gateway, which judges the channel by the same rules.
    CloudOnly,
    /// Active at both, under different revisions of the rule.
    Revision,
}

impl Difference {
    pub const fn name(self) -> &'static str {
        match self {
            Self::GatewayOnly => "gateway-only",
            Self::CloudOnly => "cloud-only",
            Self::Revision => "revision",
        }
    }
}

/// A gateway's verdict on an alarm, and the ingest's.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    pub gateway: GatewayId,
    pub key: AlarmKey,
    /// None: it is not active there.
    pub raised: Option<VerdictRaise>,
    /// The revision under which it is active here.
    pub cloud_revision: Option<Revision>,
    pub difference: Option<Difference>,
}

/// What one gateway says.
#[derive(Debug, Default)]
struct Account {
    epoch: u64,
    number: u64,
    /// Nothing is missing of it.
    is_whole: bool,
    raised: BTreeMap<(DeviceId, ChannelName, RuleId), VerdictRaise>,
}

impl Account {
    /// Says whether something is missing.
    fn take(&mut self, verdicts: Verdicts) -> bool {
        let Verdicts { verdicts, epoch, number, begins } = verdicts;
        if begins {
            *self = Self { epoch, number, is_whole: true, raised: BTreeMap::new() };
        } else if self.is_whole && self.epoch == epoch && number <= self.number {
            // The broker brought it once more.
            return false;
        } else if !self.is_whole || self.epoch != epoch || number != self.number + 1 {
            self.is_whole = false;
            return true;
        }
        self.number = number;
        for Verdict { device, channel, rule, raised } in verdicts {
            let key = (device, channel, RuleId::new(&rule));
            match raised {
                Some(raise) if self.raised.len() < MAX_KEPT => {
                    self.raised.insert(key, raise);
                }
                Some(_) => self.is_whole = false,
                None => {
                    self.raised.remove(&key);
                }
            }
        }
        false
    }
}

type Differing = BTreeMap<(AlarmKey, GatewayId), Difference>;

#[derive(Debug, Default)]
pub(super) struct Accounts {
    gateways: BTreeMap<GatewayPath, Account>,
    /// Differences of the last look, and those that were told.
    seen: Differing,
    told: Differing,
    look_at_ms: Option<u64>,
}

impl Accounts {
    pub const fn next_wakeup(&self) -> Option<u64> {
        self.look_at_ms
    }
}

impl Core {
    pub(super) fn verdicts_came(&mut self, now_ms: u64, from: GatewayPath, verdicts: Verdicts) {
        if self.verdicts.gateways.entry(from).or_default().take(verdicts) {
            self.offer_rules(now_ms, from, false);
        }
        self.look_at_verdicts(now_ms);
    }

    /// A gateway was born, or is gone: what it said before says nothing any more.
    pub(super) fn forget_verdicts(&mut self, now_ms: u64, path: GatewayPath) {
        if self.verdicts.gateways.remove(&path).is_some() {
            self.look_at_verdicts(now_ms);
        }
    }

    /// Something may differ now, or agree.
    pub(super) fn look_at_verdicts(&mut self, now_ms: u64) {
        if !self.verdicts.gateways.is_empty() || !self.verdicts.told.is_empty() {
            self.verdicts.look_at_ms.get_or_insert(now_ms.saturating_add(LOOK_MS));
        }
    }

    pub(super) fn compare_verdicts(&mut self, now_ms: u64) {
        if self.mode != Mode::Taking || self.verdicts.look_at_ms.is_none_or(|at| at > now_ms) {
            return;
        }
        let Some(unix_ms) = self.lifecycles.unix_ms_at(now_ms) else { return };
        self.verdicts.look_at_ms = None;
        let mut compared = self.compared();
        let differing = |one: &Compared| Some(((one.key.clone(), one.gateway), one.difference?));
        let now: Differing = compared.iter().filter_map(differing).collect();
        let before = std::mem::take(&mut self.verdicts.told);
        let is_told = |(what, difference): &(&(AlarmKey, GatewayId), &Difference)| {
            before.get(*what) == Some(*difference) || self.verdicts.seen.get(*what) == Some(*difference)
        };
        let told: Differing =
            now.iter().filter(is_told).map(|(what, difference)| (what.clone(), *difference)).collect();
        if now.len() > told.len() {
            self.verdicts.look_at_ms = Some(now_ms.saturating_add(LOOK_MS));
        }
        for one in &mut compared {
            one.difference = told.get(&(one.key.clone(), one.gateway)).copied();
        }
        let changed: BTreeSet<_> = before.keys().chain(told.keys()).cloned().collect();
        for what in changed {
            let difference = told.get(&what);
            if before.get(&what) != difference {
                let one = compared.iter().find(|one| one.key == what.0 && one.gateway == what.1);
                self.tell_difference(now_ms, unix_ms, what.0, what.1, difference.and(one));
            }
        }
        (self.verdicts.seen, self.verdicts.told) = (now, told);
        self.counters.verdicts_differing = self.verdicts.told.len() as u64;
        self.effects.push_back(Effect::Compared(compared));
    }

    /// All that is active at a gateway that is here, and what it should have.
    fn compared(&mut self) -> Vec<Compared> {
        let mut compared = Vec::new();
        for (path, account) in &self.verdicts.gateways {
            if !account.is_whole || !self.gateways.get(path).is_some_and(|gateway| gateway.heard) {
                continue;
            }
            for ((device, channel, rule), raise) in &account.raised {
                let site = path.site;
                let key = AlarmKey { site, device: *device, channel: *channel, rule: rule.clone() };
                let here = self.live_revision(&key);
                let difference = match here {
                    None => Some(Difference::GatewayOnly),
                    Some(revision) if revision.0 != raise.revision => Some(Difference::Revision),
                    Some(_) => None,
                };
                let (gateway, raised) = (path.gateway, Some(*raise));
                compared.push(Compared { gateway, key, raised, cloud_revision: here, difference });
            }
        }
        for (path, key, revision) in self.active_here() {
            let Some(account) = self.verdicts.gateways.get(&path).filter(|account| account.is_whole) else {
                continue;
            };
            let is_known = account.raised.contains_key(&(key.device, key.channel, key.rule.clone()));
            let is_there = self.gateways.get(&path).is_some_and(|gateway| gateway.heard);
            if is_there && !is_known && self.bringing.is_in_force(path) {
                let (cloud_revision, difference) = (Some(revision), Some(Difference::CloudOnly));
                compared.push(Compared {
                    gateway: path.gateway,
                    key,
                    raised: None,
                    cloud_revision,
                    difference,
                });
            }
        }
        compared
    }

    /// Under which revision a rule is active on a channel, by the live verdict.
    fn live_revision(&self, key: &AlarmKey) -> Option<Revision> {
        let state = self.origins.get(self.origins.current(key.site, key.device)?)?;
        let mut active = state.watch.active();
        active
            .find(|(channel, rule, _)| *channel == key.channel && **rule == key.rule)
            .map(|(.., revision)| revision)
    }

    /// What is active here on channels of devices, with the gateway that brought their newest readings.
    fn active_here(&self) -> Vec<(GatewayPath, AlarmKey, Revision)> {
        let mut found = Vec::new();
        for (no, state) in self.origins.iter() {
            let (site, device) = (state.record.site, state.record.origin.device);
            let Some(gateway) = state.brought_by.filter(|_| state.watch.any()) else { continue };
            if self.origins.current(site, device) != Some(no) {
                continue;
            }
            let path = GatewayPath::new(site, gateway);
            found.extend(state.watch.active().map(|(channel, rule, revision)| {
                (path, AlarmKey { site, device, channel, rule: rule.clone() }, revision)
            }));
        }
        found
    }

    /// An event of the alarm says it; where this ingest has no such rule, the log of the program does.
    fn tell_difference(
        &mut self,
        now_ms: u64,
        unix_ms: i64,
        key: AlarmKey,
        gateway: GatewayId,
        one: Option<&Compared>,
    ) {
        let difference = one.and_then(|one| one.difference);
        let kind = match difference {
            Some(_) => TransitionKind::Disagree,
            None => TransitionKind::Agree,
        };
        self.counters.verdict_differences += u64::from(difference.is_some());
        let (site, device, channel, rule) = (key.site, key.device, key.channel, &key.rule);
        match difference.map(Difference::name) {
            Some(difference) => tracing::warn!(
                %site, %gateway, %device, %channel, %rule, difference, "a gateway's verdict differs"
            ),
            None => {
                tracing::info!(%site, %gateway, %device, %channel, %rule, "a gateway's verdict agrees again")
            }
        }
        let Some(alarm) = self.known_alarm(&key) else { return };
        let comment = one.map(sentence).unwrap_or_default();
        let operator = Operator { by: format!("gateway {gateway}"), comment, until_unix_ms: None };
        self.write_deed(now_ms, key, alarm, kind, operator, unix_ms);
    }
}

fn sentence(one: &Compared) -> String {
    let revision = |revision: Revision| format!("under revision {revision}");
    let there = one.raised.map(|raise| revision(Revision(raise.revision)));
    let here = one.cloud_revision.map(revision);
    match (there, here) {
        (Some(there), Some(here)) => format!("active there {there}, here {here}"),
        (Some(there), None) => format!("active there {there}, not here"),
        (None, Some(here)) => format!("active here {here}, not there"),
        (None, None) => String::new(),
    }
}
