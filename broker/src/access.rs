//! Who may do what. Pure: names and strings in, a verdict out.
//!
//! | role | subscribes | publishes (wills too) |
//! |---|---|---|
//! | gateway | its own `…/down/#`, `…/down/+`, or one word there | its own `…/up/{lane}`, `…/up/settings`, `…/up/rules`, `…/up/verdicts` and `…/status` |
//! | ingest | `tidegate/v1/+/+/+/up/+`, `tidegate/v1/+/+/+/status`, or narrower | `tidegate/v1/+/+/+/down/#`, `tidegate/v1/alarms/#` |
//! | observer | `tidegate/v1/#` or narrower | nothing |
//! | operator | everything | everything outside `tidegate/v1` |
//!
//! Nobody uses topics or filters that start with `$`, shared subscriptions included, nor the broker's own
//! ([`PROBE_ROOT`]), nor longer ones than [`MAX_TOPIC_BYTES`].
//!
//! A gateway has eight topics and five filters in all. The router keeps a log for every filter it was ever told
//! of, and the broker bounds their number for everybody together: who could make up filters could use them up.

use crate::catalogue::Claim;
use std::sync::Arc;

use tidegate_protocol::topic::{ALL_BLOCKS, ALL_STATUS, Down, GatewayPath, Lane, UP_WORDS};
use tidegate_protocol::{GatewayId, SiteId};

use crate::mqtt::{covers, matches};

/// Topics below this are the broker's own: its health probe.
pub const PROBE_ROOT: &str = "tidegate-broker/";

pub(crate) const ALL_DOWN: &str = "tidegate/v1/+/+/+/down/#";
pub(crate) const ALL_ALARMS: &str = "tidegate/v1/alarms/#";
pub(crate) const EVERYTHING_OF_OURS: &str = "tidegate/v1/#";

/// How the client ids of ingests begin, that of `broker.client_id` in their settings among them.
pub const INGEST_CLIENT_ID: &str = "tidegate-ingest";

/// Longer ids buy nothing and cost memory in every table.
pub const MAX_CLIENT_ID_BYTES: usize = 64;

/// MQTT allows 65,535; names are kept for as long as the router runs.
pub const MAX_TOPIC_BYTES: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    Gateway(GatewayAccess),
    Ingest,
    Observer,
    Operator,
}

/// What one gateway may use, spelled out once at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayAccess {
    client_id: String,
    up_prefix: String,
    down_prefix: String,
    status: String,
}

impl GatewayAccess {
    pub fn new(path: GatewayPath) -> Self {
        let root = path.root();
        Self {
            client_id: format!("{}.{}", path.site, path.gateway),
            up_prefix: format!("{root}/up/"),
            down_prefix: format!("{root}/down/"),
            status: path.status(),
        }
    }

    fn owns_client_id(&self, id: &str) -> bool {
        id.strip_prefix(&self.client_id).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl Role {
    pub fn may_publish(&self, topic: &str) -> bool {
        if !usable_by_clients(topic) {
            return false;
        }
        match self {
            Self::Gateway(gateway) => match topic.strip_prefix(&gateway.up_prefix) {
                Some(kind) => UP_WORDS.contains(&kind) || kind.parse::<Lane>().is_ok(),
                None => topic == gateway.status,
            },
            Self::Ingest => matches(ALL_DOWN, topic) || matches(ALL_ALARMS, topic),
            Self::Observer => false,
            Self::Operator => !covers(EVERYTHING_OF_OURS, topic),
        }
    }

    /// Whether it can do with the names that it has, or may choose from any number.
    pub fn claim(&self) -> Claim {
        match self {
            Self::Gateway(_) | Self::Ingest => Claim::Own,
            Self::Observer | Self::Operator => Claim::Guest,
        }
    }

    /// `filter` is well-formed (see [`crate::mqtt::filter_problem`]).
    pub fn may_subscribe(&self, filter: &str) -> bool {
        if !usable_by_clients(filter) {
            return false;
        }
        match self {
            Self::Gateway(gateway) => filter.strip_prefix(&gateway.down_prefix).is_some_and(|what| {
                matches!(what, "#" | "+") || Down::ALL.iter().any(|known| known.name() == what)
            }),
            Self::Ingest => covers(ALL_BLOCKS, filter) || covers(ALL_STATUS, filter),
            Self::Observer => covers(EVERYTHING_OF_OURS, filter),
            Self::Operator => true,
        }
    }
}

fn usable_by_clients(topic_or_filter: &str) -> bool {
    !topic_or_filter.is_empty()
        && !topic_or_filter.starts_with('$')
        && topic_or_filter.len() <= MAX_TOPIC_BYTES
        && !topic_or_filter.starts_with(PROBE_ROOT)
}

/// Who a connection belongs to, for as long as it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's name, or the URI of the client's certificate; empty for a client without credentials.
    pub user: Arc<str>,
    pub role: Arc<Role>,
}

/// What a certificate says takes the place of a user.
impl From<tidegate_trust::Identity> for Identity {
    fn from(certified: tidegate_trust::Identity) -> Self {
        use tidegate_trust::{Identity as Certified, Role as CertifiedRole};
        let user = certified.to_string().into();
        let role = match certified {
            Certified::Gateway { site, gateway } => {
                Role::Gateway(GatewayAccess::new(GatewayPath::new(site, gateway)))
            }
            Certified::Role { role: CertifiedRole::Ingest, .. } => Role::Ingest,
            Certified::Role { role: CertifiedRole::Observer, .. } => Role::Observer,
            Certified::Role { role: CertifiedRole::Operator, .. } => Role::Operator,
        };
        Self { user, role: Arc::new(role) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientIdProblem {
    #[error("it is longer than {MAX_CLIENT_ID_BYTES} bytes")]
    TooLong,
    #[error("it holds one of + $ # / or a control character")]
    Character,
    #[error("an empty one needs a clean session")]
    Empty,
    #[error("a gateway's is {{site}}.{{gateway}}, or that and a dot and more")]
    NotTheGateways,
    #[error("it is reserved for a gateway")]
    Reserved,
    #[error("what begins with {INGEST_CLIENT_ID} is reserved for users with the role ingest")]
    ReservedForIngest,
}

/// Whether `identity` may call itself `id`. The names of all gateways are reserved for them, and the ingest's for
/// ingests: whoever has an id keeps every other user out of it, also while its session is only kept.
pub fn check_client_id(identity: &Identity, id: &str, all: &[Identity]) -> Result<(), ClientIdProblem> {
    if id.len() > MAX_CLIENT_ID_BYTES {
        return Err(ClientIdProblem::TooLong);
    }
    if id.contains(|character: char| character.is_control() || "+$#/".contains(character)) {
        return Err(ClientIdProblem::Character);
    }
    if id.is_empty() {
        return Err(ClientIdProblem::Empty);
    }
    match &*identity.role {
        Role::Gateway(gateway) if gateway.owns_client_id(id) => Ok(()),
        Role::Gateway(_) => Err(ClientIdProblem::NotTheGateways),
        role => {
            let taken = |other: &Identity| matches!(&*other.role, Role::Gateway(gateway) if gateway.owns_client_id(id));
            if all.iter().any(taken) {
                return Err(ClientIdProblem::Reserved);
            }
            if *role != Role::Ingest && id.starts_with(INGEST_CLIENT_ID) {
                return Err(ClientIdProblem::ReservedForIngest);
            }
            Ok(())
        }
    }
}

/// Whether some gateway's id looks like this, where gateways are known by their certificates and by no list.
pub fn could_be_another_gateways(identity: &Identity, id: &str) -> bool {
    let mut parts = id.split('.');
    let is_site = parts.next().is_some_and(|site| SiteId::new(site).is_ok());
    let is_gateway = parts.next().is_some_and(|gateway| GatewayId::new(gateway).is_ok());
    !matches!(&*identity.role, Role::Gateway(_)) && is_site && is_gateway
}

/// The id of a client that sent none. A gateway's keeps its required start.
pub fn generated_client_id(identity: &Identity, random: u64) -> String {
    match &*identity.role {
        Role::Gateway(gateway) => format!("{}.auto-{random:016x}", gateway.client_id),
        _ => format!("auto-{random:016x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(site: &str, gateway: &str) -> Identity {
        let site = SiteId::new(site).expect("a site");
        let path = GatewayPath::new(site, GatewayId::new(gateway).expect("a gateway"));
        Identity { user: gateway.into(), role: Arc::new(Role::Gateway(GatewayAccess::new(path))) }
    }

    fn root() -> String {
        GatewayPath::new(SiteId::new("plant").expect("a site"), GatewayId::new("gw1").expect("a gateway"))
            .root()
    }

    #[test]
    fn a_gateway_speaks_on_its_own_topics_only() {
        let role = gateway("plant", "gw1").role;
        let root = root();
        for topic in [
            "up/alarm",
            "up/live",
            "up/backlog",
            "up/bulk",
            "up/settings",
            "up/rules",
            "up/verdicts",
            "status",
        ] {
            assert!(role.may_publish(&format!("{root}/{topic}")), "{topic}");
        }
        for topic in [
            "up/other",
            "up/live/x",
            "up/settings/x",
            "up/rules/x",
            "down/settings",
            "down/rules",
            "up/",
            "down/ack",
            "status/x",
            "",
        ] {
            assert!(!role.may_publish(&format!("{root}/{topic}")), "{topic}");
        }
        let wrong_partition = format!("tidegate/v1/zz/plant/gw1/{}", "up/live");
        for topic in ["tidegate/v1/alarms/plant/d/c/r", &wrong_partition, &format!("{root}2/up/live"), "x"] {
            assert!(!role.may_publish(topic), "{topic}");
        }
        for filter in ["down/#", "down/ack", "down/+"] {
            assert!(role.may_subscribe(&format!("{root}/{filter}")), "{filter}");
        }
        for filter in ["up/live", "#", "+/ack", "down", "status"] {
            assert!(!role.may_subscribe(&format!("{root}/{filter}")), "{filter}");
        }
        for filter in ["#", "tidegate/v1/#", "tidegate/v1/+/plant/gw1/down/#", "$share/g/x"] {
            assert!(!role.may_subscribe(filter), "{filter}");
        }
    }

    #[test]
    fn the_ingest_hears_blocks_and_status_and_speaks_down_and_on_alarms() {
        let role = Role::Ingest;
        for filter in [ALL_BLOCKS, ALL_STATUS, "tidegate/v1/3f/plant/+/up/live"] {
            assert!(role.may_subscribe(filter), "{filter}");
        }
        for filter in ["tidegate/v1/#", "tidegate/v1/+/+/+/up/#", "tidegate/v1/+/+/+/down/#", "#"] {
            assert!(!role.may_subscribe(filter), "{filter}");
        }
        for topic in ["tidegate/v1/3f/plant/gw1/down/ack", "tidegate/v1/alarms/plant/d/c/r"] {
            assert!(role.may_publish(topic), "{topic}");
        }
        for topic in ["tidegate/v1/3f/plant/gw1/up/live", "tidegate/v1/3f/plant/gw1/status", "elsewhere"] {
            assert!(!role.may_publish(topic), "{topic}");
        }
    }

    #[test]
    fn observers_read_and_operators_also_speak_outside() {
        for filter in ["tidegate/v1/#", "tidegate/v1/alarms/+/+/+/+"] {
            assert!(Role::Observer.may_subscribe(filter), "{filter}");
            assert!(Role::Operator.may_subscribe(filter), "{filter}");
        }
        for filter in ["#", "home/+"] {
            assert!(!Role::Observer.may_subscribe(filter), "{filter}");
            assert!(Role::Operator.may_subscribe(filter), "{filter}");
        }
        assert!(!Role::Observer.may_publish("home/lamp"));
        assert!(Role::Operator.may_publish("home/lamp"));
        for topic in ["tidegate/v1", "tidegate/v1/alarms/a/b/c/d", "tidegate/v1/3f/plant/gw1/down/ack"] {
            assert!(!Role::Operator.may_publish(topic), "{topic}");
        }
    }

    #[test]
    fn nobody_uses_reserved_topics() {
        for text in ["$SYS/x", "$share/g/tidegate/v1/#", "tidegate-broker/probe/1", ""] {
            assert!(!Role::Operator.may_publish(text), "{text}");
            assert!(!Role::Operator.may_subscribe(text), "{text}");
        }
    }

    #[test]
    fn client_ids_are_bounded_and_a_gateways_are_its_own() {
        let (gw1, gw2) = (gateway("plant", "gw1"), gateway("plant", "gw2"));
        let viewer = Identity { user: "viewer".into(), role: Arc::new(Role::Observer) };
        let all = [gw1.clone(), gw2.clone(), viewer.clone()];
        let check = |identity, id: &str| check_client_id(identity, id, &all);
        assert_eq!(check(&gw1, "plant.gw1"), Ok(()));
        assert_eq!(check(&gw1, "plant.gw1.test"), Ok(()));
        assert_eq!(check(&gw1, "plant.gw11"), Err(ClientIdProblem::NotTheGateways));
        assert_eq!(check(&gw2, "plant.gw1"), Err(ClientIdProblem::NotTheGateways));
        assert_eq!(check(&viewer, "plant.gw1"), Err(ClientIdProblem::Reserved));
        assert_eq!(check(&viewer, "plant.gw1.x"), Err(ClientIdProblem::Reserved));
        assert_eq!(check(&viewer, "plant.gw11"), Ok(()));
        assert_eq!(check(&viewer, ""), Err(ClientIdProblem::Empty));
        assert_eq!(check(&viewer, &"x".repeat(64)), Ok(()));
        assert_eq!(check(&viewer, &"x".repeat(65)), Err(ClientIdProblem::TooLong));
        for id in ["a+b", "a$b", "a#b", "a/b", "a\nb"] {
            assert_eq!(check(&viewer, id), Err(ClientIdProblem::Character), "{id:?}");
        }
        assert!(
            could_be_another_gateways(&viewer, "plant.gw3") && could_be_another_gateways(&viewer, "a.b.c")
        );
        assert!(
            !could_be_another_gateways(&viewer, "tidegate-ingest")
                && !could_be_another_gateways(&gw1, "plant.gw1")
        );
        for identity in [&gw1, &viewer] {
            assert_eq!(check(identity, &generated_client_id(identity, 7)), Ok(()));
        }
    }

    #[test]
    fn the_ingests_client_id_is_kept_for_ingests() {
        let named = |name: &str, role| Identity { user: name.into(), role: Arc::new(role) };
        let ingest = named("ingest", Role::Ingest);
        // Of a site that happens to be called so: its ids are its own, and nobody else's.
        let namesake = gateway("tidegate-ingest", "gw1");
        let all = [ingest.clone(), namesake.clone()];
        for id in ["tidegate-ingest", "tidegate-ingest-2", "tidegate-ingest.2", "tidegate-ingests"] {
            assert_eq!(check_client_id(&ingest, id, &all), Ok(()), "{id}");
            for other in [named("viewer", Role::Observer), named("", Role::Operator)] {
                let refused = Err(ClientIdProblem::ReservedForIngest);
                assert_eq!(check_client_id(&other, id, &all), refused, "{other:?} as {id}");
            }
        }
        for id in ["tidegate-inges", "Tidegate-ingest", "a-tidegate-ingest", "ingest"] {
            assert_eq!(check_client_id(&named("", Role::Observer), id, &all), Ok(()), "{id}");
        }
        assert_eq!(check_client_id(&namesake, "tidegate-ingest.gw1", &all), Ok(()));
        assert_eq!(check_client_id(&ingest, "tidegate-ingest.gw1", &all), Err(ClientIdProblem::Reserved));
        assert_eq!(check_client_id(&namesake, "tidegate-ingest", &all), Err(ClientIdProblem::NotTheGateways));
    }
}
