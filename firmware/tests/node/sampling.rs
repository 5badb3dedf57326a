//! Which samples become readings, and what settings from the gateway change about it.

use crate::support::seen::{Seen, sent, tell, welcome};
use tidegate_firmware::{Identity, Node, NodeConfig, SampleError, Sampled, Sampling, channel};
use tidegate_protocol::{
    BootId, ChannelDecl, DeviceId, Quality, Seq, Tick, Value, ValueKind,
    frame::{Deadband, Down, Settings, SettingsCode, SettingsResult},
    id::ChannelIndex,
};

type TestNode<'a> = Node<'a, 4, Vec<u8>>;

const BOOL: ChannelIndex = ChannelIndex(0);
const DECIMAL: ChannelIndex = ChannelIndex(1);
const F32: ChannelIndex = ChannelIndex(2);
const F64: ChannelIndex = ChannelIndex(3);

fn channels() -> [ChannelDecl<&'static str>; 4] {
    [
        channel("door", "", ValueKind::Bool, 0).unwrap(),
        channel("temperature", "Cel", ValueKind::Decimal, 2).unwrap(),
        channel("level", "m", ValueKind::F32, 0).unwrap(),
        channel("flow", "l/s", ValueKind::F64, 0).unwrap(),
    ]
}

fn node<'a>(channels: &'a [ChannelDecl<&'a str>]) -> TestNode<'a> {
    let identity = Identity { device: DeviceId::new("pump-3").unwrap(), tag: "", firmware: "" };
    let mut node =
        Node::new(identity, Some(BootId(1)), channels, vec![0; 1_024], NodeConfig::DEFAULT).unwrap();
    node.link_up(Tick(0));
    sent(&mut node, 0);
    tell(&mut node, 0, &welcome(1));
    sent(&mut node, 0);
    node
}

fn decimal(mantissa: i64) -> Value {
    Value::Decimal { mantissa, scale: 2 }
}

fn reports(node: &mut TestNode<'_>, channel: ChannelIndex, at_ms: u64, value: Value) -> bool {
    matches!(node.sample(channel, value, Quality::Good, Tick(at_ms)), Ok(Sampled::Kept(_)))
}

fn with_deadband(node: &mut TestNode<'_>, channel: ChannelIndex, deadband: Value, max_silence_ms: u32) {
    let sampling = Sampling {
        report_deadband: Some(Deadband::Absolute(deadband)),
        max_silence_ms,
        ..Sampling::on_event()
    };
    node.set_sampling(channel, sampling).unwrap();
}

#[test]
fn a_deadband_holds_small_changes_back_until_they_add_up_or_the_silence_is_too_long() {
    let channels = channels();
    let mut node = node(&channels);
    with_deadband(&mut node, DECIMAL, decimal(50), 10_000);
    assert!(reports(&mut node, DECIMAL, 0, decimal(2_000)));
    assert!(!reports(&mut node, DECIMAL, 1_000, decimal(2_049)));
    assert!(!reports(&mut node, DECIMAL, 2_000, decimal(1_951)));
    assert!(
        reports(&mut node, DECIMAL, 3_000, decimal(2_050)),
        "against the last reported, not the last seen"
    );
    assert!(!reports(&mut node, DECIMAL, 12_999, decimal(2_050)));
    assert!(reports(&mut node, DECIMAL, 13_000, decimal(2_050)));
    assert_eq!(
        node.sample(DECIMAL, decimal(2_050), Quality::Bad, Tick(13_001)).unwrap(),
        Sampled::Kept(Seq(3))
    );
    assert!(reports(&mut node, DECIMAL, 13_002, decimal(i64::MIN)));
    assert!(reports(&mut node, DECIMAL, 13_003, decimal(i64::MAX)));
    assert_eq!((node.counters().held_back, node.counters().measured), (3, 6));
}

#[test]
fn every_kind_has_its_deadband() {
    let channels = channels();
    let mut node = node(&channels);
    with_deadband(&mut node, BOOL, Value::Bool(true), 0);
    assert!(reports(&mut node, BOOL, 0, Value::Bool(false)));
    assert!(!reports(&mut node, BOOL, 1, Value::Bool(false)));
    assert!(reports(&mut node, BOOL, 2, Value::Bool(true)));
    with_deadband(&mut node, F32, Value::F32(0.5), 0);
    assert!(reports(&mut node, F32, 0, Value::F32(1.0)));
    assert!(!reports(&mut node, F32, 1, Value::F32(1.25)));
    assert!(reports(&mut node, F32, 2, Value::F32(f32::NAN)), "NaN is near to nothing");
    assert!(reports(&mut node, F32, 3, Value::F32(1.25)));
    with_deadband(&mut node, F64, Value::F64(0.0), 0);
    assert!(reports(&mut node, F64, 0, Value::F64(1.0)));
    assert!(reports(&mut node, F64, 1, Value::F64(1.0)), "a deadband of nothing reports everything");
}

#[test]
fn a_value_of_another_kind_or_scale_is_refused_and_not_numbered() {
    let channels = channels();
    let mut node = node(&channels);
    let refused = [
        (DECIMAL, Value::Decimal { mantissa: 1, scale: 3 }),
        (DECIMAL, Value::F32(1.0)),
        (BOOL, Value::F64(1.0)),
        (F64, Value::F32(1.0)),
    ];
    for (channel, value) in refused {
        let error = node.sample(channel, value, Quality::Good, Tick(0));
        assert_eq!(error, Err(SampleError::WrongKind(channel.0)));
    }
    let unknown = node.sample(ChannelIndex(4), Value::Bool(true), Quality::Good, Tick(0));
    assert_eq!(unknown, Err(SampleError::UnknownChannel(4)));
    let wrong =
        Sampling { report_deadband: Some(Deadband::Absolute(Value::Bool(true))), ..Sampling::every(10) };
    assert_eq!(node.set_sampling(F32, wrong), Err(SampleError::WrongKind(2)));
    assert_eq!(node.next_seq().0, 0);
}

#[test]
fn a_deadband_in_percent_is_of_what_was_reported_last() {
    let channels = channels();
    let mut node = node(&channels);
    let percent = |hundredths, period_ms| Sampling {
        report_deadband: Some(Deadband::Percent { hundredths }),
        ..Sampling::every(period_ms)
    };
    for channel in [DECIMAL, F32, F64] {
        node.set_sampling(channel, percent(150, 0)).unwrap();
    }
    // 1.5 % of 2,000 are 30; of -2,030 then 30.45.
    let decimals =
        [(2_000, true), (2_029, false), (1_971, false), (2_030, true), (2_060, false), (2_061, true)];
    for (mantissa, reported) in decimals {
        assert_eq!(reports(&mut node, DECIMAL, 0, decimal(mantissa)), reported, "{mantissa}");
    }
    assert!(reports(&mut node, DECIMAL, 0, decimal(-2_000)), "on the other side of zero");
    assert!(!reports(&mut node, DECIMAL, 0, decimal(-1_971)));
    assert!(reports(&mut node, DECIMAL, 0, decimal(0)));
    assert!(reports(&mut node, DECIMAL, 0, decimal(0)), "of nothing a percent is nothing");
    // What outgrows its integers is reported.
    assert!(reports(&mut node, DECIMAL, 0, decimal(i64::MAX)));
    assert!(reports(&mut node, DECIMAL, 0, decimal(i64::MIN)));
    for (value, reported) in
        [(200.0, true), (202.9, false), (203.1, true), (f64::NAN, true), (f64::NAN, true)]
    {
        assert_eq!(reports(&mut node, F64, 0, Value::F64(value)), reported, "{value}");
        assert_eq!(reports(&mut node, F32, 0, Value::F32(value as f32)), reported, "{value}");
    }
    assert!(reports(&mut node, F64, 0, Value::F64(1e300)));
    assert!(reports(&mut node, F64, 0, Value::F64(1e300)), "beyond single precision");
    assert_eq!(node.set_sampling(BOOL, percent(100, 0)), Err(SampleError::WrongKind(0)));
}

#[test]
fn polled_channels_fall_due_on_their_period_and_never_in_bursts() {
    let channels = channels();
    let mut node = node(&channels);
    node.set_sampling(DECIMAL, Sampling::every(100)).unwrap();
    node.set_sampling(F32, Sampling::every(250)).unwrap();
    let mut due =
        |now| std::iter::from_fn(|| node.due(Tick(now))).map(|channel| channel.0).collect::<Vec<_>>();
    assert_eq!(due(0), [1, 2]);
    assert_eq!(due(99), []);
    assert_eq!(due(104), [1], "late by a little: the next one is counted from when it was due");
    assert_eq!(due(200), [1]);
    assert_eq!(due(250), [2]);
    assert_eq!(due(1_000), [1, 2], "late by a lot: once");
    assert_eq!(due(1_099), []);
    assert_eq!(due(1_100), [1]);
}

fn settings(channel: u8) -> Settings {
    Settings { revision: 7, channel, enabled: true, period_ms: 500, report_deadband: None, max_silence_ms: 0 }
}

fn told(settings: Settings) -> Down {
    Down::Settings { boot: BootId(1).tag(), settings }
}

fn answer(node: &mut TestNode<'_>, settings: Settings) -> SettingsCode {
    tell(node, 1_000, &told(settings));
    let answers = sent(node, 1_000);
    let [Seen::Answer(SettingsResult { channel, revision, code })] = answers[..] else {
        panic!("one answer and nothing else: {answers:?}");
    };
    assert_eq!((channel, revision), (settings.channel, settings.revision));
    code
}

#[test]
fn settings_are_applied_or_refused_with_a_code_and_a_refused_one_changes_nothing() {
    let channels = channels();
    let mut node = node(&channels);
    node.set_sampling(DECIMAL, Sampling::every(60_000)).unwrap();
    node.due(Tick(1_000));
    let with = |width| Settings { report_deadband: Some(Deadband::Absolute(width)), ..settings(1) };
    let before = *node.sampling(DECIMAL).unwrap();
    for (code, refused) in [
        (SettingsCode::UnknownChannel, settings(4)),
        (SettingsCode::UnknownChannel, settings(200)),
        (SettingsCode::BadPeriod, Settings { period_ms: 9, ..settings(1) }),
        (SettingsCode::BadPeriod, Settings { period_ms: 86_400_001, ..settings(1) }),
        (SettingsCode::BadPeriod, Settings { period_ms: 0, ..settings(1) }),
        (SettingsCode::BadPeriod, settings(0)),
        (SettingsCode::BadDeadband, with(Value::F32(1.0))),
        (SettingsCode::BadDeadband, with(Value::Decimal { mantissa: 5, scale: 1 })),
        (SettingsCode::BadDeadband, with(decimal(-1))),
    ] {
        assert_eq!(answer(&mut node, refused), code, "{refused:?}");
        assert_eq!(*node.sampling(DECIMAL).unwrap(), before);
    }
    assert_eq!(answer(&mut node, with(decimal(50))), SettingsCode::Applied);
    assert_eq!(node.sampling(DECIMAL).unwrap().report_deadband, Some(Deadband::Absolute(decimal(50))));
    // The new, shorter period counts from now, not from the end of the old one.
    assert_eq!(node.due(Tick(1_499)), None);
    assert_eq!(node.due(Tick(1_500)), Some(DECIMAL));
}

#[test]
fn a_channel_that_is_switched_off_is_neither_due_nor_reported() {
    let channels = channels();
    let mut node = node(&channels);
    node.set_sampling(DECIMAL, Sampling::every(100)).unwrap();
    assert_eq!(answer(&mut node, Settings { enabled: false, ..settings(1) }), SettingsCode::Applied);
    assert_eq!(node.due(Tick(90_000)), None);
    let sampled = node.sample(DECIMAL, decimal(1), Quality::Good, Tick(90_000));
    assert_eq!((sampled, node.next_seq().0), (Ok(Sampled::Off), 0));
}

#[test]
fn settings_for_several_channels_at_once_are_all_answered() {
    let channels = channels();
    let mut node = node(&channels);
    for channel in [DECIMAL, F32, F64] {
        node.set_sampling(channel, Sampling::every(1_000)).unwrap();
        tell(&mut node, 0, &told(settings(channel.0)));
    }
    let answered: Vec<_> =
        sent(&mut node, 0)
            .into_iter()
            .map(|seen| {
                if let Seen::Answer(result) = seen {
                    (result.channel, result.code)
                } else {
                    panic!("{seen:?}")
                }
            })
            .collect();
    let applied = SettingsCode::Applied;
    assert_eq!(answered, [(1, applied), (2, applied), (3, applied)]);
}

/// Their channels may have other indices.
#[test]
fn settings_for_another_boot_are_not_taken() {
    let channels = channels();
    let mut node = node(&channels);
    node.set_sampling(DECIMAL, Sampling::every(1_000)).unwrap();
    tell(&mut node, 0, &Down::Settings { boot: BootId(2).tag(), settings: settings(1) });
    assert_eq!(sent(&mut node, 0), []);
    assert_eq!(node.sampling(DECIMAL), Some(&Sampling::every(1_000)));
    assert_eq!(answer(&mut node, settings(1)), SettingsCode::Applied);
}
