//! Which boards are welcomed, and which are held and listed.
//!
//! A board that is held is answered nothing: it keeps what it measures in its own ring and says Hello again, so nothing of it is lost and
//! nothing of it is taken. Once it is allowed, its next Hello is welcomed and all it kept follows.
//!
//! Names cost whoever makes them up nothing, so the list is bounded ([`MAX_PENDING`]). When it is full, the host with most names on it
//! gives up the one that was silent longest: a flood from one place pushes out its own, and a board beside it is back with its next Hello.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use tidegate_protocol::DeviceId;

use super::{
    Core,
    event::{Effect, LinkId},
    hello::Introduction,
    time::{Now, Time},
};

/// Boards that are held and listed at once.
pub const MAX_PENDING: usize = 64;
/// One that has not been heard for so long is listed no more.
const FORGOTTEN_MS: u64 = 24 * 3_600_000;

/// Which boards are welcomed without being on the list of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admit {
    Any,
    /// Those on this machine's own lines: whoever can plug one in is in the building.
    #[default]
    Local,
    None,
}

/// What the list of devices says of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permit {
    /// None: it has a key, and whether it is welcomed is as for a device that is not listed.
    pub allowed: Option<bool>,
    /// It has a key of its own, and is taken under that alone.
    pub keyed: bool,
}

pub type Permits = BTreeMap<DeviceId, Permit>;

/// Where a link comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkFrom {
    /// A serial line's path, or an address without its port.
    pub host: String,
    /// Of this machine: nobody on a network is at its other end.
    pub is_local: bool,
}

/// Why a board is not welcomed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// It is not on the list of devices.
    Unknown,
    /// It has a key here, and came without.
    InClear,
    /// It comes under a key, and there is none of it here.
    KeyUnknown,
    /// It comes under a key, and what it was asked to prove it did not: its key is another, or the line is bad.
    KeyUnproved,
}

impl Held {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::InClear => "in-clear",
            Self::KeyUnknown => "key-unknown",
            Self::KeyUnproved => "key-unproved",
        }
    }
}

/// A board that is held, for people.
#[derive(Clone, Debug, Serialize)]
pub struct PendingDevice {
    pub device: String,
    pub held: Held,
    /// It has shown that it has its key.
    pub proved_key: bool,
    pub tag: String,
    pub firmware: String,
    /// Names and units; none where it comes under a key that is not known here.
    pub channels: Vec<String>,
    pub from: String,
    pub first_seen_unix_ms: i64,
    pub last_seen_unix_ms: i64,
    /// How often it asked.
    pub asked: u64,
}

#[derive(Debug)]
struct Pending {
    device: DeviceId,
    seen: Time,
    shown: PendingDevice,
}

#[derive(Debug, Default)]
struct Link {
    from: LinkFrom,
    /// The device that its Hello was welcomed for, and whether that was under its key.
    welcomed: Option<(DeviceId, bool)>,
}

#[derive(Debug, Default)]
pub(super) struct Admission {
    admit: Admit,
    permits: Permits,
    links: HashMap<LinkId, Link>,
    pending: Vec<Pending>,
}

enum Verdict {
    Welcome,
    Forbidden,
    Held(Held),
}

impl Admission {
    pub fn new(admit: Admit, permits: Permits) -> Self {
        Self { admit, permits, ..Self::default() }
    }

    pub fn opened(&mut self, link: LinkId, from: LinkFrom) {
        self.links.insert(link, Link { from, welcomed: None });
    }

    pub fn closed(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    fn judge(&self, is_local: bool, device: DeviceId, proven: bool) -> Verdict {
        let Permit { allowed, keyed } = self.permits.get(&device).copied().unwrap_or_default();
        let is_admitted = match self.admit {
            Admit::Any => true,
            Admit::Local => is_local,
            Admit::None => false,
        };
        match allowed {
            Some(false) => Verdict::Forbidden,
            _ if keyed && !proven => Verdict::Held(Held::InClear),
            Some(true) => Verdict::Welcome,
            None if is_admitted => Verdict::Welcome,
            None => Verdict::Held(Held::Unknown),
        }
    }

    fn is_local(&self, link: LinkId) -> bool {
        // A link that nobody announced is of a test or a simulation, in this very process.
        self.links.get(&link).is_none_or(|link| link.from.is_local)
    }

    /// Puts a board on the list; whether it, or why it is held, is new there.
    fn hold(&mut self, now: Now, device: DeviceId, mut shown: PendingDevice) -> bool {
        self.pending.retain(|pending| now.at < pending.seen.plus_ms(FORGOTTEN_MS));
        if let Some(known) = self.pending.iter_mut().find(|pending| pending.device == device) {
            let is_new = known.shown.held != shown.held;
            shown.first_seen_unix_ms = known.shown.first_seen_unix_ms;
            shown.asked += known.shown.asked;
            (known.seen, known.shown) = (now.at, shown);
            return is_new;
        }
        if self.pending.len() >= MAX_PENDING {
            self.make_room();
        }
        self.pending.push(Pending { device, seen: now.at, shown });
        true
    }

    fn make_room(&mut self) {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for pending in &self.pending {
            *names.entry(&pending.shown.from).or_default() += 1;
        }
        let Some((host, _)) = names.into_iter().max_by_key(|(_, names)| *names) else { return };
        let of_host = self.pending.iter().enumerate().filter(|(_, pending)| pending.shown.from == host);
        if let Some((at, _)) = of_host.min_by_key(|(_, pending)| pending.seen) {
            self.pending.swap_remove(at);
        }
    }

    /// What is on the list, by name.
    pub fn pending(&self) -> Vec<PendingDevice> {
        let mut shown: Vec<_> = self.pending.iter().map(|pending| pending.shown.clone()).collect();
        shown.sort_by(|a, b| a.device.cmp(&b.device));
        shown
    }

    pub const fn admit(&self) -> Admit {
        self.admit
    }

    pub fn permits(&self) -> usize {
        self.permits.len()
    }
}

impl Core {
    /// Whether a board that says Hello may go on. If not, it is held, and nothing more is taken from this link.
    pub(super) fn admits(&mut self, link: LinkId, who: &Introduction) -> bool {
        match self.admission.judge(self.admission.is_local(link), who.device, who.proven) {
            Verdict::Welcome => {
                self.admission.pending.retain(|pending| pending.device != who.device);
                let link = self.admission.links.entry(link).or_insert_with(|| Link {
                    from: LinkFrom { is_local: true, ..LinkFrom::default() },
                    welcomed: None,
                });
                link.welcomed = Some((who.device, who.proven));
                return true;
            }
            Verdict::Forbidden => self.counters.hello_held("forbidden"),
            Verdict::Held(held) => {
                let channels = who.channels.iter().map(|channel| match channel.unit.as_str() {
                    "" => channel.name.to_string(),
                    unit => format!("{} {unit}", channel.name),
                });
                let shown = PendingDevice {
                    proved_key: who.proven,
                    tag: who.tag.clone(),
                    firmware: who.firmware.clone(),
                    channels: channels.collect(),
                    ..self.asks(link, who.device, held)
                };
                self.hold(link, who.device, shown);
            }
        }
        self.shut_out(link);
        false
    }

    /// A board asks for a session under a key, and gets none, or has not shown that it has the key.
    pub(super) fn called(&mut self, link: LinkId, device: DeviceId, held: Held) {
        let Permit { allowed, .. } = self.admission.permits.get(&device).copied().unwrap_or_default();
        if allowed == Some(false) {
            return self.counters.hello_held("forbidden");
        }
        let shown = self.asks(link, device, held);
        self.hold(link, device, shown);
    }

    fn asks(&self, link: LinkId, device: DeviceId, held: Held) -> PendingDevice {
        PendingDevice {
            device: device.to_string(),
            held,
            proved_key: false,
            tag: String::new(),
            firmware: String::new(),
            channels: Vec::new(),
            from: self.admission.links.get(&link).map_or_else(String::new, |link| link.from.host.clone()),
            first_seen_unix_ms: self.now.unix_ms,
            last_seen_unix_ms: self.now.unix_ms,
            asked: 1,
        }
    }

    fn hold(&mut self, link: LinkId, device: DeviceId, shown: PendingDevice) {
        self.counters.hello_held(shown.held.name());
        let (held, from) = (shown.held, shown.from.clone());
        if self.admission.hold(self.now, device, shown) {
            self.effects.push_back(Effect::Held { link, device, held, from });
        }
    }

    fn shut_out(&mut self, link: LinkId) {
        self.origins.detach(link);
        if let Some(link) = self.admission.links.get_mut(&link) {
            link.welcomed = None;
        }
    }

    /// The list of devices is another now. Whoever would not be welcomed any more is not heard any more: its board is asked who it is.
    pub(super) fn permits_came(&mut self, permits: Permits) {
        self.admission.permits = permits;
        let admission = &mut self.admission;
        admission.pending.retain(|pending| {
            admission.permits.get(&pending.device).is_none_or(|permit| permit.allowed != Some(false))
        });
        let admission = &self.admission;
        let mut gone: Vec<LinkId> = admission
            .links
            .iter()
            .filter_map(|(link, Link { from, welcomed })| {
                let (device, proven) = (*welcomed)?;
                let stays = matches!(admission.judge(from.is_local, device, proven), Verdict::Welcome);
                (!stays).then_some(*link)
            })
            .collect();
        gone.sort_unstable();
        gone.into_iter().for_each(|link| self.shut_out(link));
    }
}
