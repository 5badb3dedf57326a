//! Who may do what, said once more and in another way: lists of names for gateways, and for everybody else what they
//! may read topic by topic. A filter is allowed if all it could bring is.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Gateway { pp: &'static str, site: &'static str, gateway: &'static str, user: &'static str },
    Ingest,
    Observer,
    Operator,
}

/// A level that stands in for whatever a wildcard takes.
const ANY: &str = "q";

impl Who {
    pub const GW1: Self = Self::Gateway { pp: "4b", site: "plant", gateway: "gw1", user: "gw1" };
    pub const GW2: Self = Self::Gateway { pp: "4b", site: "plant", gateway: "gw2", user: "gw2" };
    /// The same name at another site.
    pub const NAMESAKE: Self = Self::Gateway { pp: "e5", site: "default", gateway: "gw1", user: "namesake" };
    pub const ALL: [Self; 6] =
        [Self::GW1, Self::GW2, Self::NAMESAKE, Self::Ingest, Self::Observer, Self::Operator];

    pub fn user(&self) -> &'static str {
        match self {
            Self::Gateway { user, .. } => user,
            Self::Ingest => "ingest",
            Self::Observer => "viewer",
            Self::Operator => "operator",
        }
    }

    pub fn uri(&self) -> String {
        match self {
            Self::Gateway { site, gateway, .. } => format!("tidegate://{site}/{gateway}"),
            Self::Ingest => "tidegate:role/ingest".into(),
            Self::Observer => "tidegate:role/observer/eva".into(),
            Self::Operator => "tidegate:role/operator".into(),
        }
    }

    /// A client id of its own.
    pub fn id(&self) -> String {
        match self {
            Self::Gateway { site, gateway, .. } => format!("{site}.{gateway}"),
            other => other.user().into(),
        }
    }

    pub fn may_publish(&self, name: &[u8]) -> bool {
        let Some(topic) = usable(name).filter(|topic| !topic.contains(['+', '#'])) else { return false };
        let levels: Vec<&str> = topic.split('/').collect();
        match self {
            Self::Gateway { pp, site, gateway, .. } => {
                let words = ["up/alarm", "up/live", "up/backlog", "up/bulk", "up/settings", "up/rules"];
                let own = words.into_iter().chain(["up/verdicts", "status"]);
                own.map(|word| format!("tidegate/v1/{pp}/{site}/{gateway}/{word}")).any(|own| own == topic)
            }
            Self::Ingest => matches!(
                levels.as_slice(),
                ["tidegate", "v1", _, _, _, "down", ..] | ["tidegate", "v1", "alarms", ..]
            ),
            Self::Observer => false,
            Self::Operator => !matches!(levels.as_slice(), ["tidegate", "v1", ..]),
        }
    }

    pub fn may_subscribe(&self, name: &[u8]) -> bool {
        let Some(filter) = usable(name).filter(|filter| is_well_formed(filter)) else { return false };
        if let Self::Gateway { pp, site, gateway, .. } = self {
            let own = ["#", "+", "ack", "settings", "rules"];
            return own
                .map(|word| format!("tidegate/v1/{pp}/{site}/{gateway}/down/{word}"))
                .contains(&filter.to_owned());
        }
        brought_by(filter).iter().all(|topic| self.may_read(topic))
    }

    fn may_read(&self, topic: &[&str]) -> bool {
        match self {
            Self::Gateway { .. } => false,
            Self::Ingest => {
                matches!(topic, ["tidegate", "v1", _, _, _, "up", _] | ["tidegate", "v1", _, _, _, "status"])
            }
            Self::Observer => matches!(topic, ["tidegate", "v1", ..]),
            Self::Operator => true,
        }
    }

    /// `is_gateway` says which site and gateway are one.
    pub fn may_be_called(&self, id: &str, is_gateway: &dyn Fn(&str, &str) -> bool) -> bool {
        let bad = |byte: u8| byte < 0x20 || byte == 0x7f || b"+$#/".contains(&byte);
        if id.is_empty() || id.len() > 64 || id.bytes().any(bad) {
            return false;
        }
        let parts: Vec<&str> = id.split('.').collect();
        match self {
            Self::Gateway { site, gateway, .. } => parts.starts_with(&[site, gateway]),
            other => {
                let is_the_ingests = id.get(..15) == Some("tidegate-ingest");
                let is_a_gateways =
                    matches!(parts.as_slice(), [site, gateway, ..] if is_gateway(site, gateway));
                !is_a_gateways && (!is_the_ingests || matches!(other, Self::Ingest))
            }
        }
    }
}

/// What any client at all may name.
fn usable(name: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(name).ok()?;
    let reserved = text.split_once('/').is_some_and(|(first, _)| first == "tidegate-broker");
    let first = *text.as_bytes().first()?;
    (first != b'$' && !text.contains('\0') && text.len() <= 1024 && !reserved).then_some(text)
}

fn is_well_formed(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').collect();
    let (last, before) = levels.split_last().expect("split gives one at least");
    let plain = |level: &str| !level.contains(['+', '#']);
    (plain(last) || *last == "+" || *last == "#") && before.iter().all(|level| plain(level) || *level == "+")
}

/// Topics that stand for all that a filter brings: `#` takes its parent, and any number of levels.
fn brought_by(filter: &str) -> Vec<Vec<&str>> {
    let mut levels: Vec<&str> =
        filter.split('/').map(|level| if level == "+" { ANY } else { level }).collect();
    if levels.last() != Some(&"#") {
        return vec![levels];
    }
    levels.pop();
    (0..6).map(|more| [levels.clone(), vec![ANY; more]].concat()).filter(|topic| !topic.is_empty()).collect()
}
