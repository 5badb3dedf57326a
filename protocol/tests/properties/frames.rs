//! Frames: every message of both directions comes back, through any cutting of the line's bytes.

use proptest::{collection::vec, option, prelude::*, sample::select};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, LossReason, Quality, Reading, Seq, Tick, Value,
    frame::{
        BoardCounters, BoardTime, ChannelList, Deadband, Deframer, Down, FrameError, Heartbeat, Hello,
        HelloMark, Lost, MAX_CHANNELS, MAX_DOWN_FRAME, MAX_FRAME, MAX_TEXT, Readings, SamplePacker, Settings,
        SettingsCode, SettingsResult, Standing, Up, Welcome, decode_up, encode_down, encode_up, encoded_len,
    },
};

use super::given;

/// The line's buffer: the longest stuffed frame.
const LINE: usize = encoded_len(MAX_FRAME);

fn simple_up() -> impl Strategy<Value = Up<'static>> {
    let clock = (given::number(), given::signed(), any::<u32>())
        .prop_map(|(tick, unix_ms, error_ms)| BoardTime { tick: Tick(tick), unix_ms, error_ms });
    let codes = vec![
        SettingsCode::Applied,
        SettingsCode::UnknownChannel,
        SettingsCode::BadPeriod,
        SettingsCode::BadDeadband,
    ];
    prop_oneof![
        (
            given::boot_tag(),
            given::window(),
            given::number(),
            any::<u32>(),
            option::of(clock),
            any::<[u32; 4]>()
        )
            .prop_map(|(boot, (floor, next), tick, ring_free, clock, counters)| {
                let [bad_frames, repeated, refused_acks, links_lost] = counters;
                let counters = BoardCounters { bad_frames, repeated, refused_acks, links_lost };
                Up::Heartbeat(Heartbeat { boot, floor, next, tick: Tick(tick), ring_free, clock, counters })
            }),
        (given::boot_tag(), given::range(), given::number(), select(LossReason::ALL.to_vec())).prop_map(
            |(boot, range, floor, reason)| {
                Up::Lost(Lost { boot, range, reason, floor: Seq(floor.min(range.end)), next: Seq(range.end) })
            }
        ),
        (given::boot_tag(), any::<u8>(), any::<u32>(), select(codes)).prop_map(
            |(boot, channel, revision, code)| {
                Up::SettingsResult { boot, result: SettingsResult { channel, revision, code } }
            }
        ),
    ]
}

fn deadband() -> impl Strategy<Value = Deadband> {
    prop_oneof![
        given::value().prop_map(Deadband::Absolute),
        any::<u16>().prop_map(|hundredths| Deadband::Percent { hundredths }),
    ]
}

fn down() -> impl Strategy<Value = Down> {
    let boot = || given::number().prop_map(BootId);
    let settings = (
        given::boot_tag(),
        any::<u32>(),
        any::<u8>(),
        any::<bool>(),
        any::<u32>(),
        option::of(deadband()),
        any::<u32>(),
    );
    prop_oneof![
        (option::of(boot()), given::number(), boot(), given::signed(), any::<u32>()).prop_map(
            |(said, next, boot, unix_ms, error_ms)| {
                let answers = HelloMark::of(said, Seq(next));
                Down::Welcome(Welcome { answers, boot, unix_ms, error_ms })
            }
        ),
        (boot(), given::number()).prop_map(|(boot, up_to)| Down::Ack { boot, up_to: Seq(up_to) }),
        settings.prop_map(
            |(boot, revision, channel, enabled, period_ms, report_deadband, max_silence_ms)| {
                let settings =
                    Settings { revision, channel, enabled, period_ms, report_deadband, max_silence_ms };
                Down::Settings { boot, settings }
            }
        ),
        (given::signed(), any::<u32>()).prop_map(|(unix_ms, error_ms)| Down::Time { unix_ms, error_ms }),
        Just(Down::Identify),
    ]
}

/// Readings as a board has them: consecutive seqs; a decimal has its channel's scale.
fn board_readings() -> impl Strategy<Value = (Vec<Reading>, Vec<u8>)> {
    let scales = vec(0..=18_u8, 1..9);
    let reading =
        (any::<u8>(), prop_oneof![Just(0), Just(1000), given::number()], given::value(), given::quality());
    (scales, 0..u64::MAX / 2, given::number(), vec(reading, 0..60)).prop_map(
        |(scales, first, base, readings)| {
            let mut tick = base;
            let readings = readings.into_iter().zip(first..).map(|((channel, step, value, quality), seq)| {
                let channel = channel % scales.len() as u8;
                tick = tick.wrapping_add(step);
                let value = match value {
                    Value::Decimal { mantissa, .. } => {
                        Value::Decimal { mantissa, scale: scales[usize::from(channel)] }
                    }
                    other => other,
                };
                Reading { seq: Seq(seq), channel: ChannelIndex(channel), tick: Tick(tick), value, quality }
            });
            (readings.collect(), scales)
        },
    )
}

fn on_the_line(frame: &Up<'_>) -> Vec<u8> {
    let mut line = vec![0xaa; LINE];
    let len = encode_up(frame, &mut line).unwrap();
    line.truncate(len);
    assert_eq!(line.iter().position(|&byte| byte == 0), Some(len - 1), "a zero ends a frame, and only that");
    line
}

fn same(a: &Up<'_>, b: &Up<'_>) -> bool {
    match (a, b) {
        (Up::Hello(a), Up::Hello(b)) => a == b,
        (Up::Readings(a), Up::Readings(b)) => a == b,
        (Up::Heartbeat(a), Up::Heartbeat(b)) => a == b,
        (Up::Lost(a), Up::Lost(b)) => a == b,
        (Up::SettingsResult { boot: a, result: b }, Up::SettingsResult { boot: c, result: d }) => {
            (a, b) == (c, d)
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn plain_up_frames_round_trip(frame in simple_up()) {
        let mut line = on_the_line(&frame);
        line.pop();
        prop_assert!(same(&decode_up(&mut line).unwrap(), &frame));
    }

    #[test]
    fn hellos_round_trip(
        device in given::device(),
        tag in "\\PC{0,16}",
        firmware in "[ -~]{0,64}",
        boot in given::maybe_boot(),
        standing in given::standing(),
        (floor, next) in given::window(),
        mut channels in vec(given::channel_decl(), 0..30),
    ) {
        let mut names = std::collections::HashSet::new();
        channels.retain(|channel| names.insert(channel.name));
        let borrowed: Vec<_> = channels.iter().map(|ChannelDecl { name, unit, kind, scale }| {
            ChannelDecl { name: *name, unit: unit.as_str(), kind: *kind, scale: *scale }
        }).collect();
        let channels = ChannelList::new(&borrowed).unwrap();
        let standing = if boot.is_none() { Standing::Present } else { standing };
        let hello = Hello { device, tag: &tag, firmware: &firmware, boot, standing, floor, next, channels };
        let hello = Up::Hello(hello);
        let mut line = on_the_line(&hello);
        line.pop();
        prop_assert!(same(&decode_up(&mut line).unwrap(), &hello));
    }

    #[test]
    fn readings_round_trip((given, scales) in board_readings(), floor in given::number()) {
        let mut packed = vec![0; 1900];
        let base_tick = given.first().map_or(Tick(0), |first| first.tick);
        let mut packer = SamplePacker::new(&mut packed, base_tick);
        let sent: Vec<_> = given.iter().take_while(|reading| packer.push(reading)).copied().collect();
        let (count, len) = (packer.count(), packer.len());
        let first_seq = given.first().map_or(Seq(0), |first| first.seq);
        let next = Seq(first_seq.0 + u64::from(count));
        let floor = Seq(floor.min(first_seq.0));
        let frame = Up::Readings(Readings { boot: BootId(9).tag(), first_seq, floor, next, base_tick, count, samples: &packed[..len] });
        let mut line = on_the_line(&frame);
        line.pop();
        let decoded = decode_up(&mut line).unwrap();
        prop_assert!(same(&decoded, &frame));
        let Up::Readings(readings) = decoded else { return Err(TestCaseError::fail("not readings")) };

        let mut one_by_one = Vec::new();
        let mut samples = readings.samples();
        while let Some(reading) = samples.next(&scales) {
            one_by_one.push(reading.unwrap());
        }
        prop_assert_eq!(&one_by_one, &sent);
        let mut at_once = vec![one_by_one.first().copied().unwrap_or(ANY)];
        readings.unpack_into(&scales, &mut at_once).unwrap();
        prop_assert_eq!(&at_once[1..], &sent[..]);
        let declared_less = scales.len() - 1;
        if sent.iter().any(|reading| usize::from(reading.channel.0) == declared_less) {
            let unknown = Err(FrameError::UnknownChannel(declared_less as u8));
            prop_assert_eq!(readings.unpack_into(&scales[..declared_less], &mut at_once), unknown);
            prop_assert_eq!(at_once.len(), sent.len() + 1, "an error leaves what was there, and adds nothing");
        }
    }

    #[test]
    fn down_frames_round_trip_within_a_small_buffer(frame in down()) {
        let mut line = [0xaa; MAX_DOWN_FRAME];
        let len = encode_down(&frame, &mut line).unwrap();
        let mut deframer = Deframer::<MAX_DOWN_FRAME>::new();
        let mut seen = Vec::new();
        deframer.down(&line[..len], |frame| seen.push(frame));
        prop_assert_eq!(seen, vec![Ok(frame)]);
    }

    #[test]
    fn a_line_may_be_cut_anywhere(frames in vec(simple_up(), 1..6), cuts in vec(1..40_usize, 1..8)) {
        let line: Vec<u8> = frames.iter().flat_map(on_the_line).collect();
        let mut deframer = Deframer::<LINE>::new();
        let (mut rest, mut seen) = (&line[..], 0);
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            deframer.up(piece, |frame| {
                assert!(same(&frame.unwrap(), &frames[seen]));
                seen += 1;
            });
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(seen, frames.len());
    }

    #[test]
    fn a_small_buffer_is_refused_not_overrun(frame in simple_up(), less in 1..60_usize) {
        let whole = on_the_line(&frame);
        let mut small = vec![0xaa; whole.len().saturating_sub(less)];
        prop_assert_eq!(encode_up(&frame, &mut small), Err(FrameError::TooLong));
    }
}

const ANY: Reading = Reading {
    seq: Seq(0),
    channel: ChannelIndex(0),
    tick: Tick(0),
    value: Value::Bool(false),
    quality: Quality::Good,
};

#[test]
fn garbage_before_a_frame_costs_that_garbage_only() {
    let heartbeat = Heartbeat {
        boot: BootId(9).tag(),
        floor: Seq(1),
        next: Seq(2),
        tick: Tick(3),
        ring_free: 4,
        clock: None,
        counters: BoardCounters { bad_frames: 5, ..BoardCounters::default() },
    };
    let mut line = vec![0x55; 3 * LINE];
    line.extend_from_slice(&[0, 0, 0, 7, 7, 0]);
    line.extend(on_the_line(&Up::Heartbeat(heartbeat)));
    let mut seen = Vec::new();
    Deframer::<LINE>::new().up(&line, |frame| {
        seen.push(frame.map(|frame| matches!(frame, Up::Heartbeat(h) if h == heartbeat)));
    });
    assert_eq!(seen, [Err(FrameError::TooLong), Err(FrameError::Stuffing), Ok(true)]);
}

#[test]
fn a_full_frame_fits_and_one_byte_more_does_not() {
    // Version, head and checksum take 1 + 10 + 4 bytes when the numbers are small.
    for (samples, fits) in [(MAX_FRAME - 16, true), (MAX_FRAME - 15, true), (MAX_FRAME - 14, false)] {
        let samples = vec![0xff; samples];
        let frame = Readings {
            boot: BootId(u64::MAX).tag(),
            first_seq: Seq(0),
            floor: Seq(0),
            next: Seq(9),
            base_tick: Tick(0),
            count: 9,
            samples: &samples,
        };
        let mut line = vec![0; LINE];
        let encoded = encode_up(&Up::Readings(frame), &mut line);
        assert_eq!(encoded.is_ok(), fits);
        if let Ok(len) = encoded {
            assert!(same(&decode_up(&mut line[..len - 1]).unwrap(), &Up::Readings(frame)));
        }
    }
}

#[test]
fn a_full_declaration_fits_a_frame() {
    let channel = |number| {
        let name = ChannelName::new(&format!("nnnnnnnnn-{number:02}")).unwrap();
        ChannelDecl { name, unit: "m/s2", kind: tidegate_protocol::ValueKind::Decimal, scale: 2 }
    };
    let more: Vec<_> = (0..=MAX_CHANNELS).map(channel).collect();
    let all = &more[..MAX_CHANNELS];
    assert!(matches!(ChannelList::new(&more), Err(FrameError::Channels)));
    let text = "t".repeat(MAX_TEXT);
    let device = tidegate_protocol::DeviceId::new(&"d".repeat(32)).unwrap();
    let hello = Hello {
        device,
        tag: &text,
        firmware: &text,
        boot: Some(BootId(u64::MAX)),
        standing: Standing::Former,
        floor: Seq(u64::MAX),
        next: Seq(u64::MAX),
        channels: ChannelList::new(all).unwrap(),
    };
    let mut line = on_the_line(&Up::Hello(hello));
    line.pop();
    assert!(same(&decode_up(&mut line).unwrap(), &Up::Hello(hello)));
    let longer = "t".repeat(MAX_TEXT + 1);
    let refused = encode_up(&Up::Hello(Hello { tag: &longer, ..hello }), &mut [0; LINE]);
    assert_eq!(refused, Err(FrameError::TooLong));
    let nameless = encode_up(&Up::Hello(Hello { boot: None, ..hello }), &mut [0; LINE]);
    assert_eq!(nameless, Err(FrameError::Body), "a former boot has a name");
}
