//! Settings and what became of them.

use proptest::{collection::vec, option, prelude::*, sample::select};
use tidegate_protocol::{
    ChannelName, DeviceId,
    frame::Deadband,
    sealed::SealError,
    settings::{
        ChannelSettings, DesiredChannel, DesiredSettings, MAX_SETTINGS, ReportedChannel, ReportedSettings,
        SettingsOutcome,
    },
};

use super::given;

fn settings() -> impl Strategy<Value = ChannelSettings> {
    let deadband = prop_oneof![
        given::value().prop_map(Deadband::Absolute),
        any::<u16>().prop_map(|hundredths| Deadband::Percent { hundredths }),
    ];
    (any::<bool>(), any::<u32>(), option::of(deadband), any::<u32>()).prop_map(
        |(enabled, period_ms, report_deadband, max_silence_ms)| ChannelSettings {
            enabled,
            period_ms,
            report_deadband,
            max_silence_ms,
        },
    )
}

fn names() -> impl Strategy<Value = (DeviceId, ChannelName)> {
    ("[a-z0-9-]{1,32}", "[a-z0-9_.-]{1,32}")
        .prop_map(|(device, channel)| (DeviceId::new(&device).unwrap(), ChannelName::new(&channel).unwrap()))
}

proptest! {
    #[test]
    fn what_is_wanted_round_trips(
        channels in vec((names(), any::<u32>(), option::of(settings())), 0..MAX_SETTINGS)
    ) {
        let channels = channels.into_iter().map(|((device, channel), revision, settings)| {
            DesiredChannel { device, channel, revision, settings }
        });
        let desired = DesiredSettings { channels: channels.collect() };
        prop_assert_eq!(DesiredSettings::decode(&desired.encode().unwrap()), Ok(desired));
    }

    #[test]
    fn what_became_of_it_round_trips(
        channels in vec((names(), any::<u32>(), select(SettingsOutcome::ALL.to_vec())), 0..MAX_SETTINGS)
    ) {
        let channels = channels.into_iter().map(|((device, channel), revision, outcome)| {
            ReportedChannel { device, channel, revision, outcome }
        });
        let reported = ReportedSettings { channels: channels.collect() };
        prop_assert_eq!(ReportedSettings::decode(&reported.encode().unwrap()), Ok(reported));
    }
}

#[test]
fn as_many_channels_as_the_bound_fit_however_long_their_names_and_no_more() {
    let value = tidegate_protocol::Value::Decimal { mantissa: i64::MIN, scale: 18 };
    let settings = ChannelSettings {
        enabled: true,
        period_ms: u32::MAX,
        report_deadband: Some(Deadband::Absolute(value)),
        max_silence_ms: u32::MAX,
    };
    let longest = DesiredChannel {
        device: DeviceId::new(&"d".repeat(32)).unwrap(),
        channel: ChannelName::new(&"c".repeat(32)).unwrap(),
        revision: u32::MAX,
        settings: Some(settings),
    };
    let mut desired = DesiredSettings { channels: vec![longest; MAX_SETTINGS] };
    assert_eq!(DesiredSettings::decode(&desired.encode().unwrap()), Ok(desired.clone()));
    desired.channels.push(longest);
    assert_eq!(desired.encode(), Err(SealError::TooMany(MAX_SETTINGS as u64)));
}
