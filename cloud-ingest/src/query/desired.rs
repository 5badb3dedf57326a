//! What is wanted of channels, and what became of it.

use std::collections::BTreeMap;

use tidegate_protocol::ChannelDecl;

use super::{Query, QueryError, Selection, current_boots, selects};
use crate::{
    core::desired::{ChannelKey, SettingsDone, SettingsOrder},
    desired::{SettingsListView, SettingsRequest, SettingsView},
    store::Look,
};

/// Of the channels that something is wanted of now.
pub(super) fn list(look: &Look<'_>, selection: &Selection) -> Result<SettingsListView, QueryError> {
    let mut units = BTreeMap::new();
    for (no, record) in current_boots(look, selection)? {
        for declared in look.description(no)?.into_iter().flat_map(|description| description.channels) {
            units.insert((record.site, record.origin.device, declared.name), declared.unit);
        }
    }
    let is_asked = |key: &ChannelKey| {
        selects(selection, key.site, key.device)
            && selection.channel.is_none_or(|wanted| wanted == key.channel)
    };
    let wanted = look.settings()?.into_iter();
    let wanted = wanted.filter(|(key, record)| is_asked(key) && record.desired.is_some());
    let views = wanted.map(|(key, record)| {
        let unit = units.get(&(key.site, key.device, key.channel)).cloned();
        SettingsView::new(key, unit, &record)
    });
    Ok(SettingsListView { settings: views.collect() })
}

pub(super) fn one(look: &Look<'_>, key: ChannelKey) -> Result<SettingsView, QueryError> {
    let record = look.settings_of(key)?;
    let declared = match declared(look, key) {
        Ok(declared) => Some(declared),
        // The device may be away for good, and its settings are there all the same.
        Err(_) if record.is_some() => None,
        Err(error) => return Err(error),
    };
    Ok(SettingsView::new(key, declared.map(|declared| declared.unit), &record.unwrap_or_default()))
}

/// The channel in the device's present boot.
fn declared(look: &Look<'_>, key: ChannelKey) -> Result<ChannelDecl<String>, QueryError> {
    let ChannelKey { site, device, channel } = key;
    let selection = Selection { site: Some(site), device: Some(device), channel: None };
    let Some((no, _)) = current_boots(look, &selection)?.pop() else { return Err(QueryError::UnknownDevice) };
    let channels = look.description(no)?.map(|description| description.channels).unwrap_or_default();
    let names: Vec<String> = channels.iter().map(|declared| declared.name.to_string()).collect();
    let found = channels.into_iter().find(|declared| declared.name == channel);
    found.ok_or_else(|| QueryError::UnknownChannel { device, channel, known: names.join(", ") })
}

impl Query {
    /// What is wanted of a channel from now on. Returns once that is committed.
    pub fn want_settings(&self, request: &SettingsRequest) -> Result<SettingsView, QueryError> {
        let look = self.store.look()?;
        let key = request.key;
        let (settings, unit) = match &request.wanted {
            None => (None, one(&look, key)?.unit),
            Some(wanted) => {
                let declared = declared(&look, key)?;
                (Some(wanted.for_channel(declared.kind, declared.scale)?), Some(declared.unit))
            }
        };
        // What is committed meanwhile must not be pinned.
        drop(look);
        let order = SettingsOrder { key, settings, expected: request.expected.clone(), unix_ms: 0 };
        match self.orders.want(order)? {
            SettingsDone::Wanted(record) => Ok(SettingsView::new(key, unit, &record)),
            SettingsDone::Elsewhere { revision } => Err(QueryError::SettingsChanged { revision }),
            SettingsDone::Exhausted => Err(QueryError::NoRevision),
            SettingsDone::NotCommitted => Err(crate::orders::OrderError::NotCommitted.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_alarms::RuleSet;
    use tidegate_protocol::{
        BootId, ChannelName, GatewayId, Origin, ValueKind,
        block::Description,
        settings::{ReportedChannel, ReportedSettings, SettingsOutcome},
        topic::GatewayPath,
    };
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        core::{
            Event,
            batch::{Batch, OriginNo, OriginRecord},
        },
        desired::WantedSettings,
    };

    fn key(device: &str, channel: &str) -> ChannelKey {
        ChannelKey {
            site: "plant".parse().unwrap(),
            device: device.parse().unwrap(),
            channel: channel.parse().unwrap(),
        }
    }

    fn each(period_ms: u32) -> Option<WantedSettings> {
        Some(WantedSettings { enabled: true, period_ms, report_deadband: None, max_silence_ms: 0 })
    }

    /// A store that knows a board with one channel, and a core that commits to it.
    fn served(folder: &std::path::Path) -> (Query, mpsc::Sender<Event>) {
        let level = key("board", "level");
        let origin = Origin::new(level.device, BootId(1));
        let declared =
            ChannelDecl { name: level.channel, unit: "m".to_owned(), kind: ValueKind::Decimal, scale: 2 };
        let (tag, firmware) = (String::new(), String::new());
        let description = Description { origin, tag, firmware, channels: vec![declared] };
        let batch = Batch {
            origins: vec![(OriginNo(0), OriginRecord::new(level.site, origin))],
            descriptions: vec![(OriginNo(0), description)],
            ..Batch::default()
        };
        super::super::served::served(folder, RuleSet::default(), Some(&batch))
    }

    #[test]
    fn settings_are_wanted_reported_and_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let (query, events) = served(folder.path());
        let level = key("board", "level");
        let unset = query.settings_of(level).unwrap();
        assert_eq!((unset.revision, unset.state, unset.unit.as_deref()), (0, "unset", Some("m")));
        let request = SettingsRequest { key: level, wanted: each(500), expected: Some(vec![0]) };
        let wanted = query.want_settings(&request).unwrap();
        assert_eq!((wanted.revision, wanted.state, wanted.code), (1, "pending", None));
        assert_eq!(query.settings_of(level).unwrap(), wanted, "it is committed");
        let changed = query.want_settings(&SettingsRequest { wanted: each(600), ..request.clone() });
        assert!(matches!(changed, Err(QueryError::SettingsChanged { revision: 1 })), "{changed:?}");

        let path = GatewayPath::new(level.site, GatewayId::new("gw-a").unwrap());
        let (device, channel, outcome) = (level.device, level.channel, SettingsOutcome::BadPeriod);
        let channels = vec![ReportedChannel { device, channel, revision: 1, outcome }];
        let reported = ReportedSettings { channels };
        events.blocking_send(Event::SettingsReported { from: path, reported, unix_ms: 9 }).unwrap();
        // The order behind it is answered after it.
        let again = SettingsRequest { expected: None, ..request };
        let refused = query.want_settings(&again).unwrap();
        assert_eq!((refused.revision, refused.state, refused.code), (1, "rejected", Some("bad-period")));
        assert_eq!(query.settings(&Selection::default()).unwrap().settings, [refused]);

        let cleared = query.want_settings(&SettingsRequest { wanted: None, ..again }).unwrap();
        assert_eq!((cleared.revision, cleared.state), (2, "unset"));
        assert!(cleared.reported.is_some_and(|reported| reported.revision == 1), "of an earlier revision");
        assert!(query.settings(&Selection::default()).unwrap().settings.is_empty());
    }

    #[test]
    fn what_is_not_there_or_cannot_be_is_refused_before_anyone_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let (query, _events) = served(folder.path());
        let want = |device: &str, channel: &str, wanted| {
            query.want_settings(&SettingsRequest { key: key(device, channel), wanted, expected: None })
        };
        assert!(matches!(want("other", "level", each(500)), Err(QueryError::UnknownDevice)));
        let unknown = want("board", "humidity", each(500));
        let Err(QueryError::UnknownChannel { channel, known, .. }) = unknown else { panic!("{unknown:?}") };
        assert_eq!((channel, known.as_str()), (ChannelName::new("humidity").unwrap(), "level"));
        assert!(matches!(want("board", "humidity", None), Err(QueryError::UnknownChannel { .. })));
        assert!(matches!(want("board", "level", each(u32::MAX)), Err(QueryError::WrongSetting(_))));
        assert_eq!(query.settings_of(key("board", "level")).unwrap().revision, 0);
    }
}
