//! MQTT topics. Plain MQTT 3.1.1, so that any broker serves.
//!
//! ```text
//! tidegate/v1/{pp}/{site}/{gateway}/up/{lane}
//! tidegate/v1/{pp}/{site}/{gateway}/up/settings | rules | verdicts
//! tidegate/v1/{pp}/{site}/{gateway}/down/{what}
//! tidegate/v1/{pp}/{site}/{gateway}/status
//! tidegate/v1/alarms/{site}/{device}/{channel}/{rule}
//! ```
//! `pp` is the site's partition: wire law from the first day, so that all state of a site lives in one place.

use alloc::{format, string::String};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::id::{ChannelName, DeviceId, GatewayId, SiteId};

/// What every topic starts with.
pub const ROOT: &str = "tidegate/v1";

/// What the ingest subscribes to: blocks, and beside them what gateways have to say of settings and rules.
pub const ALL_BLOCKS: &str = "tidegate/v1/+/+/+/up/+";
pub const ALL_STATUS: &str = "tidegate/v1/+/+/+/status";

/// The last level of the topic on which a gateway tells what became of settings, where a block's lane would be.
pub const UP_SETTINGS: &str = "settings";
/// The same of what it makes of rules that it is offered.
pub const UP_RULES: &str = "rules";
/// And of what is active by them.
pub const UP_VERDICTS: &str = "verdicts";
/// What a gateway says there besides blocks.
pub const UP_WORDS: [&str; 3] = [UP_SETTINGS, UP_RULES, UP_VERDICTS];

/// The order in which an agent spends its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Lane {
    Alarm = 0,
    Live = 1,
    Backlog = 2,
    Bulk = 3,
}

impl Lane {
    pub const ALL: [Self; 4] = [Self::Alarm, Self::Live, Self::Backlog, Self::Bulk];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Live => "live",
            Self::Backlog => "backlog",
            Self::Bulk => "bulk",
        }
    }

    pub const fn code(self) -> u8 {
        self as u8
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Lane {
    type Err = TopicError;
    fn from_str(text: &str) -> Result<Self, TopicError> {
        Self::ALL.into_iter().find(|lane| lane.name() == text).ok_or(TopicError::Lane)
    }
}

/// What the ingest sends down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Down {
    /// Block acknowledgements.
    Ack,
    /// Settings for devices.
    Settings,
    /// Alarm rules.
    Rules,
}

impl Down {
    pub const ALL: [Self; 3] = [Self::Ack, Self::Settings, Self::Rules];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Settings => "settings",
            Self::Rules => "rules",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    #[error("not a Tidegate topic")]
    Shape,
    #[error("the site or gateway in the topic is not a slug")]
    Name,
    #[error("the partition in the topic is not the site's")]
    Partition,
    #[error("the lane in the topic is none of alarm, live, backlog, bulk")]
    Lane,
}

/// CRC-32C(site) mod 256: the partition that holds all state of a site, as two hexadecimal digits in topics.
pub fn partition(site: SiteId) -> u8 {
    (crate::frame::crc::crc32c(site.as_str().as_bytes()) & 0xff) as u8
}

/// A gateway's place in the topic tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GatewayPath {
    pub site: SiteId,
    pub gateway: GatewayId,
}

/// What a gateway says, by its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpTopic {
    Block(Lane),
    /// What became of settings.
    Settings,
    /// What became of rules.
    Rules,
    Verdicts,
    Status,
}

impl GatewayPath {
    pub const fn new(site: SiteId, gateway: GatewayId) -> Self {
        Self { site, gateway }
    }

    /// `tidegate/v1/{pp}/{site}/{gateway}`
    pub fn root(&self) -> String {
        format!("{ROOT}/{:02x}/{}/{}", partition(self.site), self.site, self.gateway)
    }

    pub fn up(&self, lane: Lane) -> String {
        format!("{}/up/{lane}", self.root())
    }

    /// Where it tells what became of settings.
    pub fn up_settings(&self) -> String {
        format!("{}/up/{UP_SETTINGS}", self.root())
    }

    /// Where it tells what became of rules.
    pub fn up_rules(&self) -> String {
        format!("{}/up/{UP_RULES}", self.root())
    }

    /// Where it tells what is active by its own evaluation.
    pub fn up_verdicts(&self) -> String {
        format!("{}/up/{UP_VERDICTS}", self.root())
    }

    pub fn down(&self, what: Down) -> String {
        format!("{}/down/{}", self.root(), what.name())
    }

    /// The one subscription of a gateway.
    pub fn down_filter(&self) -> String {
        format!("{}/down/#", self.root())
    }

    pub fn status(&self) -> String {
        format!("{}/status", self.root())
    }

    /// Reads a topic that a gateway publishes on; the partition must be the site's.
    pub fn parse_up(topic: &str) -> Result<(Self, UpTopic), TopicError> {
        let rest =
            topic.strip_prefix(ROOT).and_then(|rest| rest.strip_prefix('/')).ok_or(TopicError::Shape)?;
        let mut levels = rest.split('/');
        let mut next = || levels.next().ok_or(TopicError::Shape);
        let (pp, site, gateway) = (next()?, next()?, next()?);
        let site = SiteId::new(site).map_err(|_| TopicError::Name)?;
        let gateway = GatewayId::new(gateway).map_err(|_| TopicError::Name)?;
        let what = match next()? {
            "status" => UpTopic::Status,
            "up" => match next()? {
                UP_SETTINGS => UpTopic::Settings,
                UP_RULES => UpTopic::Rules,
                UP_VERDICTS => UpTopic::Verdicts,
                lane => UpTopic::Block(lane.parse()?),
            },
            _ => return Err(TopicError::Shape),
        };
        if levels.next().is_some() {
            return Err(TopicError::Shape);
        }
        if pp != format!("{:02x}", partition(site)) {
            return Err(TopicError::Partition);
        }
        Ok((Self { site, gateway }, what))
    }
}

/// Where an alarm's state is retained for anyone's MQTT client.
pub fn alarm(site: SiteId, device: DeviceId, channel: ChannelName, rule: &str) -> String {
    format!("{ROOT}/alarms/{site}/{device}/{channel}/{rule}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> GatewayPath {
        GatewayPath::new(SiteId::new("plant").unwrap(), GatewayId::new("gw-a").unwrap())
    }

    #[test]
    fn topics_round_trip() {
        for lane in Lane::ALL {
            assert_eq!(GatewayPath::parse_up(&path().up(lane)), Ok((path(), UpTopic::Block(lane))));
        }
        assert_eq!(GatewayPath::parse_up(&path().up_settings()), Ok((path(), UpTopic::Settings)));
        assert_eq!(GatewayPath::parse_up(&path().up_rules()), Ok((path(), UpTopic::Rules)));
        assert_eq!(GatewayPath::parse_up(&path().up_verdicts()), Ok((path(), UpTopic::Verdicts)));
        assert_eq!(GatewayPath::parse_up(&path().status()), Ok((path(), UpTopic::Status)));
    }

    #[test]
    fn the_partition_is_wire_law() {
        // Computed bit by bit, apart from this crate (polynomial 0x1EDC6F41, reflected).
        for (site, pp) in [("default", 0xe5), ("plant", 0x4b)] {
            assert_eq!(partition(SiteId::new(site).unwrap()), pp, "{site}");
        }
        assert_eq!(crate::frame::crc::crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn foreign_topics_are_refused() {
        let good = path().up(Lane::Live);
        let wrong_partition = good.replacen(&path().root()[12..14], "zz", 1);
        for (topic, error) in [
            ("tidegate/v2/00/plant/gw-a/up/live", TopicError::Shape),
            (wrong_partition.as_str(), TopicError::Partition),
            (&format!("{good}/more"), TopicError::Shape),
            (&good.replace("live", "lively"), TopicError::Lane),
            (&good.replace("plant", "Plant"), TopicError::Name),
            ("", TopicError::Shape),
        ] {
            assert_eq!(GatewayPath::parse_up(topic), Err(error), "{topic}");
        }
    }
}
