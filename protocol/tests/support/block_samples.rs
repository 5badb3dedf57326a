//! The blocks among the samples.

use tidegate_protocol::{
    BootId, ChannelIndex, ClockQuality, LossReason, LossRecord, Origin, Quality, Reading, SeqRange, Summary,
    Tick, Value, ValueKind,
    block::{Block, Description, OriginReadings, Record, Tail},
};

use super::{BOOT, board_readings, channel, decimal, origin, reading};

/// Blocks, with their names and what they hold.
pub fn blocks() -> Vec<(&'static str, &'static str, Block)> {
    let of = |origins| Block { records: Vec::new(), origins };
    let board = OriginReadings { origin: origin("board-7", BOOT), readings: board_readings() };
    let still = (0..2000).map(|seq| reading(seq, 0, seq * 1000, Value::Bool(true))).collect();
    vec![
        ("block-empty", "nothing", Block::default()),
        ("block-board", "one board, two rounds of three channels", of(vec![board])),
        ("block-minute", "a counter, noise, and rounds that are late, then slower", of(vec![minute()])),
        ("block-odd", "every kind of value, holes, ticks that wrap and go back", of(odd_origins())),
        (
            "block-records",
            "no readings; a record of every kind",
            Block { records: records(), origins: Vec::new() },
        ),
        (
            "block-codes",
            "a loss for every reason, a clock of every quality",
            Block { records: codes(), origins: Vec::new() },
        ),
        (
            "block-still",
            "2000 times the same: zstd makes it shorter",
            of(vec![OriginReadings { origin: origin("door", BootId(1)), readings: still }]),
        ),
    ]
}

/// Twenty-four rounds of a steady counter and of noise about a mean: each has another way to foretell it.
fn minute() -> OriginReadings {
    let noise = [3, -2, 4, 0, -5, 1, -1, 2, -4, 5, -3, 0, 2, -2, 1, 4, -4, 3, -1, 0, 5, -5, 2, -3];
    let (mut readings, mut due) = (Vec::new(), 5_000);
    for (round, noise) in (0..).zip(noise) {
        let late = u64::from(round % 7 == 3) * 2;
        readings.push(reading(2 * round, 0, due + late, decimal(1_000 + 250 * round as i64, 0)));
        readings.push(reading(2 * round + 1, 1, due + late, Value::F32((2_000 + noise) as f32 / 100.0)));
        // Slower for good, and once by a twelfth, which teaches the new step, too.
        due += [1_000, 2_500, 2_700][usize::from(round >= 12) + usize::from(round >= 18)];
    }
    OriginReadings { origin: origin("meter-1", BOOT), readings }
}

fn odd_origins() -> Vec<OriginReadings> {
    let nan = f64::from_bits(0x7ff8_0000_dead_beef);
    let first = vec![
        reading(0, 5, u64::MAX - 1, Value::F64(nan)),
        reading(1, 5, 3, Value::F64(-0.0)),
        Reading { quality: Quality::Bad, ..reading(9, 9, 1, decimal(i64::MIN, 18)) },
        Reading { quality: Quality::Bad, ..reading(10, 9, 1, decimal(i64::MAX, 18)) },
        reading(1 << 40, 5, 2, Value::F64(1.0 / 3.0)),
    ];
    let second = vec![
        reading(5, 5, 1000, Value::F64(21.4)),
        reading(6, 255, 1000, Value::Bool(true)),
        reading(7, 255, 1000, decimal(7, 1)),
        reading(8, 255, 1000, Value::F32(f32::NEG_INFINITY)),
        reading(9, 255, 1000, Value::F64(2.0)),
        reading(10, 7, 2000, Value::F32(21.5)),
        reading(12, 7, 3000, Value::F32(21.25)),
        reading(14, 6, 3000, Value::F32(0.1)),
        reading(15, 6, 3001, Value::F32(f32::MIN_POSITIVE)),
    ];
    let long = "a-device-with-a-very-long-name-1";
    vec![
        OriginReadings { origin: origin(long, BootId(1)), readings: first },
        OriginReadings { origin: origin(long, BootId(2)), readings: second.clone() },
        OriginReadings { origin: origin("b", BootId(u64::MAX)), readings: second },
    ]
}

fn summary(origin: Origin) -> Summary {
    Summary {
        origin,
        channel: ChannelIndex(0),
        range: SeqRange::new(30, 89),
        ticks: (Tick(30_000), Tick(49_000)),
        count: 20,
        min: 21.25,
        max: 22.5,
        mean: 21.75,
        crossings: 7,
    }
}

fn records() -> Vec<Record> {
    let of = origin("board-7", BOOT);
    let channels = vec![
        channel("temperature", "Cel".to_owned(), ValueKind::Decimal, 2),
        channel("speed", "1/min".to_owned(), ValueKind::F32, 0),
    ];
    let (tag, firmware) = ("TT-101A".to_owned(), "demo 1.0".to_owned());
    let quality = ClockQuality::Synced;
    vec![
        Record::Described(Description { origin: of, tag, firmware, channels }),
        Record::Loss(LossRecord { origin: of, range: SeqRange::new(90, 96), reason: LossReason::Evicted }),
        Record::Anchor { origin: of, tick: Tick(61_000), unix_ms: 1_790_000_000_000, error_ms: 5, quality },
        Record::Closed { origin: of, tail: Tail::Known(106) },
        Record::Closed { origin: of, tail: Tail::AtLeast(106) },
        Record::Measured { origin: of, next: 106 },
        Record::Summary(summary(of)),
    ]
}

fn codes() -> Vec<Record> {
    let of = origin("board-7", BOOT);
    let lost = (0..).zip(LossReason::ALL).map(|(at, reason)| {
        Record::Loss(LossRecord { origin: of, range: SeqRange::new(10 * at, 10 * at + 6), reason })
    });
    let clocks = [ClockQuality::Unsynced, ClockQuality::Estimated, ClockQuality::Synced];
    let clocks = (0..).zip(clocks).map(|(at, quality)| {
        let (tick, unix_ms) = (Tick(1_000 * at), 1_790_000_000_000 + 1_000 * at as i64);
        Record::Anchor { origin: of, tick, unix_ms, error_ms: 5, quality }
    });
    lost.chain(clocks).collect()
}
