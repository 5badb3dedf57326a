//! An alarm as people name it: SITE/DEVICE/CHANNEL/RULE, or the first digits of its latest occurrence.

use super::{filter::Filter, list};
use crate::{
    client::Client,
    commands::decode,
    error::CliError,
    view::{Alarm, AlarmEvent},
};

/// Its path below the API's alarms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlarmName {
    pub site: String,
    pub device: String,
    pub channel: String,
    pub rule: String,
}

impl AlarmName {
    pub fn of(alarm: &Alarm) -> Self {
        let Alarm { site, device, channel, rule, .. } = alarm;
        Self { site: site.clone(), device: device.clone(), channel: channel.clone(), rule: rule.clone() }
    }

    pub fn of_event(event: &AlarmEvent) -> Self {
        let AlarmEvent { site, device, channel, rule, .. } = event;
        Self { site: site.clone(), device: device.clone(), channel: channel.clone(), rule: rule.clone() }
    }

    /// None for what has other parts.
    pub fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let &[site, device, channel, rule] = parts.as_slice() else { return None };
        let is_name = |part: &&str| {
            let of_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !part.is_empty() && part.chars().all(of_a_name)
        };
        let [site, device, channel, rule] =
            [site, device, channel, rule].map(|part| Some(part).filter(is_name).map(str::to_owned));
        Some(Self { site: site?, device: device?, channel: channel?, rule: rule? })
    }

    /// Asks the ingest where an occurrence is named.
    pub async fn find(text: &str, client: &Client) -> Result<Self, CliError> {
        let wrong = || CliError::AlarmName { name: text.to_owned() };
        if text.contains('/') {
            return Self::read(text).ok_or_else(wrong);
        }
        let prefix = text.to_ascii_lowercase();
        if prefix.is_empty() || !prefix.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let all = list::all(client, "all", false, &Filter::default()).await?;
        let mut alarms: Vec<Alarm> = decode(client, &all)?;
        alarms.retain(|alarm| {
            alarm.occurrence.as_ref().is_some_and(|occurrence| occurrence.starts_with(&prefix))
        });
        match alarms.as_slice() {
            [alarm] => Ok(Self::of(alarm)),
            [] => Err(CliError::UnknownOccurrence { prefix }),
            several => {
                let names = several.iter().map(|alarm| Self::of(alarm).to_string()).collect();
                Err(CliError::SeveralOccurrences { prefix, names })
            }
        }
    }

    pub fn path(&self) -> String {
        let Self { site, device, channel, rule } = self;
        format!("/api/v1/alarms/{site}/{device}/{channel}/{rule}")
    }
}

impl std::fmt::Display for AlarmName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { site, device, channel, rule } = self;
        f.pad(&format!("{site}/{device}/{channel}/{rule}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_four_parts_that_lead_nowhere_else() {
        let name = AlarmName::read("plant/b-1/a.b_c/too-hot").expect("a name");
        assert_eq!(name.path(), "/api/v1/alarms/plant/b-1/a.b_c/too-hot");
        assert_eq!(AlarmName::read(&name.to_string()), Some(name));
        for wrong in ["plant/b-1/a", "plant/b-1/a/b/c", "plant//a/b", "plant/b?x/a/b", "plant/b 1/a/b", ""] {
            assert_eq!(AlarmName::read(wrong), None, "{wrong}");
        }
    }
}
