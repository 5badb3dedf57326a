//! Alarms of the system itself: an identity with two contents, a gateway that runs twice or was set back, a certificate that ends.
//!
//! | rule | on | raised | cleared |
//! |---|---|---|---|
//! | `identity-conflict` | `SITE/DEVICE/identity` | readings came under a seq that is stored with another content | no more of them for `quiet_ms` |
//! | `gateway-cloned` | `SITE/GATEWAY/identity` | two processes must be alive under the gateway's name (`epochs`) | nothing more shows it for `quiet_ms` |
//! | `gateway-set-back` | `SITE/GATEWAY/identity` | its queue is younger than it was (`set_back`) | it was not again for `quiet_ms` |
//! | `device-at-two-gateways` | `SITE/DEVICE/identity` | a boot goes on at a gateway after one at another took its place (`presence`) | it has not for `quiet_ms` |
//! | `too-many-origins` | `SITE/GATEWAY/identity`, `cloud/ingest/identity` | there was no room for the new origins of a block (`room`) | there was for `quiet_ms` |
//! | `certificate-expiry-warning`, `certificate-expiry-critical` | `SITE/GATEWAY/certificate`, `cloud/{ingest,broker,api}/certificate` | fewer days are left than the settings say | another certificate is shown |
//!
//! One alarm stands for a device, a gateway, a certificate, however many readings conflict. As with silence, whether one
//! stands is its life cycle's to say, so that it survives a restart; then its quiet time begins anew.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use tidegate_alarms::{AlarmKind, Priority, Rule, RuleSet, RulesSettings, event::Place, step::Point};
use tidegate_protocol::{
    BootId, ChannelName, DeviceId, Origin, Seq, SeqRange, SiteId, Tick, block::Stamp, topic::GatewayPath,
};

use super::{Core, epochs::Twice, silence::ByClock};

pub const IDENTITY_CONFLICT: &str = "identity-conflict";
pub const GATEWAY_CLONED: &str = "gateway-cloned";
pub const GATEWAY_SET_BACK: &str = "gateway-set-back";
pub const DEVICE_AT_TWO_GATEWAYS: &str = "device-at-two-gateways";
pub const TOO_MANY_ORIGINS: &str = "too-many-origins";
pub const CERTIFICATE_WARNING: &str = "certificate-expiry-warning";
pub const CERTIFICATE_CRITICAL: &str = "certificate-expiry-critical";

const IDENTITY: &str = "identity";
const CERTIFICATE: &str = "certificate";
/// The place of the cloud's own alarms, which is at no site.
pub(super) const CLOUD: &str = "cloud";
pub(super) const INGEST: &str = "ingest";

/// Rules, the channels that they are on, and priorities. Those of identities end when it was quiet.
const KNOWN: [(&str, &str, Priority); 7] = [
    (IDENTITY_CONFLICT, IDENTITY, Priority::High),
    (GATEWAY_CLONED, IDENTITY, Priority::High),
    (GATEWAY_SET_BACK, IDENTITY, Priority::High),
    (DEVICE_AT_TWO_GATEWAYS, IDENTITY, Priority::High),
    (TOO_MANY_ORIGINS, IDENTITY, Priority::High),
    (CERTIFICATE_WARNING, CERTIFICATE, Priority::Medium),
    (CERTIFICATE_CRITICAL, CERTIFICATE, Priority::Critical),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemSettings {
    /// An alarm of identities ends when nothing was wrong for so long.
    pub quiet_ms: u64,
    pub certificate_warning_s: i64,
    pub certificate_critical_s: i64,
}

impl Default for SystemSettings {
    fn default() -> Self {
        const DAY_S: i64 = 86_400;
        Self { quiet_ms: 3_600_000, certificate_warning_s: 30 * DAY_S, certificate_critical_s: 7 * DAY_S }
    }
}

/// Whose certificate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certified {
    /// What the ingest shows the broker.
    Ingest,
    Broker,
    /// What the ingest shows those who ask it by HTTP.
    Api,
    Gateway(GatewayPath),
}

#[derive(Debug, Default)]
pub(super) struct System {
    settings: SystemSettings,
    /// When alarms of identities end, if nothing more happens.
    quiet_at_ms: BTreeMap<(&'static str, SiteId, DeviceId), u64>,
    /// When certificates end, in Unix seconds.
    certificates: BTreeMap<Certified, i64>,
}

impl System {
    pub fn next_wakeup(&self) -> Option<u64> {
        self.quiet_at_ms.values().min().copied()
    }
}

impl Core {
    pub fn with_system(mut self, settings: SystemSettings) -> Self {
        self.system.settings = settings;
        self
    }

    /// Alarms that stand after a start end by time as well.
    pub(super) fn adopt_system(&mut self) {
        let quiet_at_ms = self.lifecycles.now_ms().saturating_add(self.system.settings.quiet_ms);
        self.system.quiet_at_ms.clear();
        for key in self.lifecycles.active_of(AlarmKind::System) {
            let rule = KNOWN.into_iter().find(|(rule, ..)| *rule == key.rule.as_str());
            if let Some((rule, IDENTITY, _)) = rule {
                self.system.quiet_at_ms.insert((rule, key.site, key.device), quiet_at_ms);
            }
        }
    }

    /// Another content came under seqs that are stored.
    pub(super) fn identity_conflict(
        &mut self,
        now_ms: u64,
        from: GatewayPath,
        origin: Origin,
        range: SeqRange,
        unix_ms: i64,
    ) {
        let of = self.origins.number(from.site, origin).and_then(|no| self.origins.get(no));
        let brought: Vec<&str> = of.map_or(Vec::new(), |state| {
            state.record.gateways.iter().map(|gateway| gateway.as_str()).collect()
        });
        let message = format!(
            "{} came with two contents: readings {} to {} of boot {} by gateway {} are not those that are stored; its \
             readings came by {}. A board or a gateway runs twice, or was set back; see tidegate quarantine list",
            origin.device,
            range.start,
            range.end.saturating_sub(1),
            origin.boot,
            from.gateway,
            brought.join(", "),
        );
        self.raise_trouble(
            now_ms,
            IDENTITY_CONFLICT,
            from.site,
            origin.device,
            origin.boot,
            unix_ms,
            message,
        );
    }

    /// A block came under the gateway's name. It is as late as it came, however long it waited behind others here.
    pub(super) fn epoch_heard(
        &mut self,
        now_ms: u64,
        from: GatewayPath,
        Stamp { epoch, number, .. }: Stamp,
        content: u64,
        arrival_unix_ms: i64,
    ) {
        let arrival_ms = u64::try_from(arrival_unix_ms).unwrap_or_default();
        let Some(gateway) = self.gateways.get_mut(&from) else { return };
        let Some(twice) = gateway.epochs.heard(arrival_ms, epoch, number, content) else { return };
        let Ok(device) = DeviceId::new(from.gateway.as_str()) else { return };
        let how = match twice {
            Twice::ByTurns { epoch, other } => {
                format!("processes {other:016x} and {epoch:016x} speak by turns under its name")
            }
            Twice::Reused { epoch, number } => {
                format!("process {epoch:016x} said two different things as its block {number}")
            }
            Twice::TooMany { epochs, within_ms } => {
                format!("{epochs} processes spoke under its name within {} s", within_ms / 1_000)
            }
        };
        let message = format!(
            "gateway {} runs twice: {how}; stop one, and give it an identity and an empty queue of its own",
            from.gateway
        );
        self.raise_trouble(now_ms, GATEWAY_CLONED, from.site, device, BootId(0), arrival_unix_ms, message);
    }

    /// Says whether it is news.
    #[expect(clippy::too_many_arguments, reason = "an alarm's place, time and words")]
    pub(super) fn raise_trouble(
        &mut self,
        now_ms: u64,
        rule: &'static str,
        site: SiteId,
        device: DeviceId,
        boot: BootId,
        unix_ms: i64,
        message: String,
    ) -> bool {
        let quiet_at_ms = now_ms.saturating_add(self.system.settings.quiet_ms);
        let before = self.system.quiet_at_ms.insert((rule, site, device), quiet_at_ms);
        self.system_alarm(
            now_ms,
            Told { rule, channel: IDENTITY, site, device, boot, raise: true },
            unix_ms,
            message,
        );
        before.is_none()
    }

    /// What was quiet for long enough ends.
    pub(super) fn end_troubles(&mut self, now_ms: u64) {
        let Some(unix_ms) = self.lifecycles.unix_ms_at(now_ms) else { return };
        let quiet: Vec<_> = self.system.quiet_at_ms.extract_if(.., |_, due| *due <= now_ms).collect();
        for ((rule, site, device), _) in quiet {
            let message = match rule {
                GATEWAY_CLONED => format!("gateway {device} speaks as one process"),
                GATEWAY_SET_BACK => format!("gateway {device} was not set back again"),
                DEVICE_AT_TWO_GATEWAYS => format!("{device} was heard at one gateway only"),
                TOO_MANY_ORIGINS => {
                    "no block was left unanswered for want of room for its new boots".to_owned()
                }
                _ => format!("{device} came with no second content any more"),
            };
            let told = Told { rule, channel: IDENTITY, site, device, boot: BootId(0), raise: false };
            self.system_alarm(now_ms, told, unix_ms, message);
        }
    }

    /// Somebody's certificate lasts until then, in Unix seconds; or none is shown any more.
    pub(super) fn certificate_shown(&mut self, now_ms: u64, whose: Certified, expires_unix_s: Option<i64>) {
        match expires_unix_s {
            Some(expires) => {
                self.system.certificates.insert(whose, expires);
            }
            None => {
                self.system.certificates.remove(&whose);
                self.judge_certificate(now_ms, whose, i64::MAX);
            }
        }
        self.judge_certificates(now_ms);
    }

    fn judge_certificates(&mut self, now_ms: u64) {
        let Some(unix_ms) = self.lifecycles.unix_ms_at(now_ms) else { return };
        let known: Vec<_> =
            self.system.certificates.iter().map(|(whose, expires)| (*whose, *expires)).collect();
        for (whose, expires) in known {
            self.judge_certificate(now_ms, whose, expires.saturating_sub(unix_ms.div_euclid(1_000)));
        }
    }

    fn judge_certificate(&mut self, now_ms: u64, whose: Certified, left_s: i64) {
        let Some(unix_ms) = self.lifecycles.unix_ms_at(now_ms) else { return };
        let (device, words) = match whose {
            Certified::Ingest => (INGEST, "the ingest's certificate for the broker".to_owned()),
            Certified::Broker => ("broker", "the broker's certificate".to_owned()),
            Certified::Api => ("api", "the certificate of the ingest's API".to_owned()),
            Certified::Gateway(ref path) => {
                (path.gateway.as_str(), format!("gateway {}'s certificate", path.gateway))
            }
        };
        let site = match whose {
            Certified::Gateway(path) => Ok(path.site),
            _ => SiteId::new(CLOUD),
        };
        if let Ok(site) = site {
            self.of_certificate(now_ms, unix_ms, site, device, &words, left_s);
        }
    }

    fn of_certificate(
        &mut self,
        now_ms: u64,
        unix_ms: i64,
        site: SiteId,
        device: &str,
        words: &str,
        left_s: i64,
    ) {
        let Ok(device) = DeviceId::new(device) else { return };
        let SystemSettings { certificate_warning_s, certificate_critical_s, .. } = self.system.settings;
        for (rule, limit) in
            [(CERTIFICATE_WARNING, certificate_warning_s), (CERTIFICATE_CRITICAL, certificate_critical_s)]
        {
            let raise = left_s <= limit;
            let message = match left_s {
                ..0 => format!("{words} has expired"),
                i64::MAX => format!("{words} is not shown any more"),
                left => format!("{words} lasts {} more days", left / 86_400),
            };
            let told = Told { rule, channel: CERTIFICATE, site, device, boot: BootId(0), raise };
            self.system_alarm(now_ms, told, unix_ms, message);
        }
    }

    fn system_alarm(&mut self, now_ms: u64, told: Told, unix_ms: i64, message: String) {
        let Told { rule, channel, site, device, boot, raise } = told;
        let (Some(rule), Ok(channel)) =
            (RULES.as_ref().and_then(|rules| rules.get(rule)), ChannelName::new(channel))
        else {
            return;
        };
        let place = Place { site, device, channel, unit: "" };
        // No reading's: every occurrence has a moment of its own.
        let at = u64::try_from(unix_ms).unwrap_or_default();
        let at = Point { boot, seq: Seq(at), tick: Tick(at) };
        let (kind, since_unix_ms) = (AlarmKind::System, unix_ms);
        self.by_clock(now_ms, ByClock { kind, rule, place, at, since_unix_ms, unix_ms, raise, message });
    }
}

/// An alarm of the system, and what becomes of it.
struct Told {
    rule: &'static str,
    channel: &'static str,
    site: SiteId,
    device: DeviceId,
    boot: BootId,
    raise: bool,
}

/// Nothing is wrong with them: a test raises an alarm by each.
static RULES: LazyLock<Option<BTreeMap<&'static str, Arc<Rule>>>> = LazyLock::new(|| {
    let rule = |(id, channel, priority): (&str, &str, Priority)| serde_json::json!({ "id": id, "select": { "channel": channel }, "equals": false, "priority": priority });
    let settings = serde_json::json!({ "rule": KNOWN.map(rule) });
    let rules = RuleSet::from_settings(serde_json::from_value::<RulesSettings>(settings).ok()?).ok()?;
    KNOWN.into_iter().map(|(id, ..)| Some((id, Arc::clone(rules.get(id)?)))).collect()
});
