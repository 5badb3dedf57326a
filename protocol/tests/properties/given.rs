//! Strategies for the things of the wire. Each favours the edges: extremes, NaN payloads, holes, wraps.

use proptest::{collection::vec, option, prelude::*, sample::select, string::string_regex};
use tidegate_protocol::{
    BootId, BootTag, ChannelDecl, ChannelIndex, ChannelName, ClockQuality, DeviceId, LossReason, LossRecord,
    Origin, Quality, Reading, Seq, SeqRange, Summary, Tick, Value, ValueKind,
    block::{Block, Description, OriginReadings, Record, Tail},
    frame::Standing,
    reading::MAX_SCALE,
};

pub fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..200_u64, any::<u64>(), (0..64_u32).prop_map(|shift| 1 << shift), Just(u64::MAX)]
}

pub fn boot_tag() -> impl Strategy<Value = BootTag> {
    number().prop_map(|number| BootId(number).tag())
}

/// A seq that has an end: every 64-bit number but the last.
pub fn seq() -> impl Strategy<Value = u64> {
    number().prop_map(|number| number.min(u64::MAX - 1))
}

pub fn signed() -> impl Strategy<Value = i64> {
    prop_oneof![-200..200_i64, any::<i64>(), Just(i64::MIN), Just(i64::MAX)]
}

pub fn range() -> impl Strategy<Value = SeqRange> {
    (seq(), number()).prop_map(|(a, b)| if a < b { SeqRange::new(a, b) } else { SeqRange::new(b, a + 1) })
}

/// A bare pattern would be parsed anew for every text.
pub fn text(pattern: &str) -> impl Strategy<Value = String> + use<> {
    string_regex(pattern).unwrap()
}

pub fn device() -> impl Strategy<Value = DeviceId> {
    prop_oneof![text("board-[0-9]{1,3}"), text("[a-z0-9-]{1,32}")]
        .prop_map(|text| DeviceId::new(&text).unwrap())
}

pub fn origin() -> impl Strategy<Value = Origin> {
    (device(), number()).prop_map(|(device, boot)| Origin::new(device, BootId(boot)))
}

pub fn quality() -> impl Strategy<Value = Quality> {
    prop_oneof![6 => Just(Quality::Good), 1 => Just(Quality::Uncertain), 1 => Just(Quality::Bad)]
}

pub fn kind() -> impl Strategy<Value = ValueKind> {
    select(vec![ValueKind::Bool, ValueKind::Decimal, ValueKind::F32, ValueKind::F64])
}

pub fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        (signed(), 0..=MAX_SCALE).prop_map(|(mantissa, scale)| Value::Decimal { mantissa, scale }),
        float32().prop_map(Value::F32),
        float64().prop_map(Value::F64),
    ]
}

/// Every bit pattern, and many that print as short decimals.
pub fn float32() -> impl Strategy<Value = f32> {
    prop_oneof![
        any::<u32>().prop_map(f32::from_bits),
        (-40_000..40_000_i32, 0..4_i32).prop_map(|(m, s)| (f64::from(m) / 10_f64.powi(s)) as f32),
        select(vec![0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE, f32::MAX]),
    ]
}

pub fn float64() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (-40_000..40_000_i32, 0..6_i32).prop_map(|(m, s)| f64::from(m) / 10_f64.powi(s)),
        select(vec![
            0.0,
            -0.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            f64::MAX,
            9e15
        ]),
    ]
}

/// The values of one channel: mostly of one kind, sometimes anything.
fn channel_values() -> impl Strategy<Value = Vec<Value>> {
    let some = 1..12_usize;
    prop_oneof![
        vec(any::<bool>().prop_map(Value::Bool), some.clone()),
        (0..=MAX_SCALE, vec(signed(), some.clone())).prop_map(|(scale, mantissas)| {
            mantissas.into_iter().map(|mantissa| Value::Decimal { mantissa, scale }).collect()
        }),
        vec(float32().prop_map(Value::F32), some.clone()),
        vec(float64().prop_map(Value::F64), some.clone()),
        vec((-9_999..9_999_i32).prop_map(|m| Value::F32((f64::from(m) / 100.0) as f32)), some.clone()),
        vec((-9_999..9_999_i32).prop_map(|m| Value::F64(f64::from(m) / 1000.0)), some.clone()),
        vec(value(), some),
    ]
}

/// How an origin's readings follow each other: the gap in seqs, and the step in ticks, backwards too.
fn steps() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let gap = prop_oneof![8 => Just(0), 1 => 1..5_u64, 1 => 0..1_u64 << 50];
    let step = prop_oneof![4 => Just(0), 4 => Just(1000), 2 => 0..100_000_u64, 1 => any::<u64>()];
    vec((gap, step), 1..40)
}

pub fn origin_readings() -> impl Strategy<Value = OriginReadings> {
    let channels = vec((any::<u8>(), channel_values()), 1..6);
    (origin(), 0..1_u64 << 60, number(), steps(), channels, vec(quality(), 1..8)).prop_map(
        |(origin, first, tick, steps, channels, qualities)| {
            let (mut seq, mut tick) = (first, tick);
            let readings = steps.iter().enumerate().map(|(at, (gap, step))| {
                let (channel, values) = &channels[at % channels.len()];
                seq += 1 + gap;
                tick = tick.wrapping_add(*step);
                Reading {
                    seq: Seq(seq - 1),
                    channel: ChannelIndex(*channel),
                    tick: Tick(tick),
                    value: values[at / channels.len() % values.len()],
                    quality: qualities[at / 3 % qualities.len()],
                }
            });
            OriginReadings { origin, readings: readings.collect() }
        },
    )
}

pub fn channel_decl() -> impl Strategy<Value = ChannelDecl<String>> {
    (text("[a-z0-9_.-]{1,32}"), text("[ -~]{0,16}"), kind(), 0..=MAX_SCALE).prop_map(
        |(name, unit, kind, scale)| ChannelDecl { name: ChannelName::new(&name).unwrap(), unit, kind, scale },
    )
}

/// Of readings, and of none that have figures.
pub fn summary() -> impl Strategy<Value = Summary> {
    let finite = || float64().prop_map(|figure| if figure.is_finite() { figure } else { 1.5 });
    let figures = (finite(), finite(), finite(), number(), number());
    (origin(), any::<u8>(), range(), (number(), number()), figures).prop_map(
        |(origin, channel, range, ticks, (a, b, c, count, crossings))| {
            let count = count % range.len().saturating_add(1);
            let mut figures = [a, b, c];
            figures.sort_by(f64::total_cmp);
            let [min, mean, max] = if count == 0 { [f64::NAN; 3] } else { figures };
            Summary {
                origin,
                channel: ChannelIndex(channel),
                range,
                ticks: (Tick(ticks.0), Tick(ticks.1)),
                count,
                min,
                max,
                mean,
                crossings: crossings.checked_rem(count).unwrap_or(0),
            }
        },
    )
}

pub fn record() -> impl Strategy<Value = Record> {
    let clock = select(vec![ClockQuality::Unsynced, ClockQuality::Estimated, ClockQuality::Synced]);
    let tail = prop_oneof![number().prop_map(Tail::Known), number().prop_map(Tail::AtLeast)];
    prop_oneof![
        (origin(), text("\\PC{0,30}"), text("\\PC{0,30}"), vec(channel_decl(), 0..9)).prop_map(
            |(origin, tag, firmware, channels)| Record::Described(Description {
                origin,
                tag,
                firmware,
                channels
            })
        ),
        (origin(), range(), select(LossReason::ALL.to_vec()))
            .prop_map(|(origin, range, reason)| Record::Loss(LossRecord { origin, range, reason })),
        (origin(), number(), signed(), any::<u32>(), clock).prop_map(
            |(origin, tick, unix_ms, error_ms, quality)| {
                Record::Anchor { origin, tick: Tick(tick), unix_ms, error_ms, quality }
            }
        ),
        (origin(), tail).prop_map(|(origin, tail)| Record::Closed { origin, tail }),
        (origin(), number()).prop_map(|(origin, next)| Record::Measured { origin, next }),
        summary().prop_map(Record::Summary),
    ]
}

pub fn block() -> impl Strategy<Value = Block> {
    (vec(record(), 0..5), vec(origin_readings(), 0..12)).prop_map(|(records, mut origins)| {
        origins.sort_by_key(|entry| entry.origin);
        origins.dedup_by_key(|entry| entry.origin);
        Block { records, origins }
    })
}

/// Floor and next of a board, in order.
pub fn window() -> impl Strategy<Value = (Seq, Seq)> {
    (number(), number()).prop_map(|(a, b)| (Seq(a.min(b)), Seq(a.max(b))))
}

pub fn standing() -> impl Strategy<Value = Standing> {
    select(vec![Standing::Present, Standing::Keeping, Standing::Former])
}

pub fn maybe_boot() -> impl Strategy<Value = Option<BootId>> {
    option::of(number().prop_map(BootId))
}
