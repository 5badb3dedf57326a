//! A seeded fleet of sensor boards, the load that sizes and speeds are measured on.
//!
//! Each board has eight channels, sampled together once a second, as a small condition-monitoring board has them.
//! A signal is a random walk, pulled back to the board's own mean, plus the sensor's noise, rounded to the sensor's
//! resolution:
//!
//! ```text
//! channel       kind, resolution      mean over boards     walk a second   noise   after
//! temperature   decimal, 0.01 Cel     22 ± 4               0.01            0.01    SHT4x
//! humidity      decimal, 0.01 %RH     45 ± 10              0.03            0.03    SHT4x
//! pressure      decimal, 1 Pa         101 325 ± 300        0.5             1.5     BME280
//! acceleration  decimal, 0.001 m/s2   9.81 ± 0.2           0.002           0.005   LIS3DH, low rate
//! current       decimal, 0.01 A       8 ± 5                0.05            0.01    ADS1115 and a shunt
//! voltage       decimal, 0.001 V      3.3 ± 0.15           0.0002          0.001   a battery through an ADC
//! flow          f32, 0.1 l/min        40 ± 15              0.2             0.1     a pulse counter
//! running       bool                  changes about every ten minutes
//! ```
//! Boots are 64 random bits. Boards have been up for at most 30 days; ticks are late by a millisecond one time in
//! eight; one reading in a thousand is of uncertain quality.

use tidegate_protocol::{
    BootId, ChannelIndex, DeviceId, Origin, Quality, Reading, Seq, Tick, Value,
    block::{Block, OriginReadings},
};

pub const CHANNELS: usize = 8;
const PERIOD_MS: u64 = 1000;

/// SplitMix64: the same numbers everywhere, for ever.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound.max(1)
    }

    /// About normal, mean 0, deviation 1: the sum of twelve uniform numbers less six.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| (self.bits() >> 11) as f64 / (1_u64 << 53) as f64).sum::<f64>() - 6.0
    }
}

/// A signal's law, in units of the resolution's inverse `per_unit`.
struct Signal {
    scale: u8,
    mean: f64,
    spread: f64,
    walk: f64,
    noise: f64,
}

#[rustfmt::skip]
const SIGNALS: [Signal; 7] = [
    Signal { scale: 2, mean: 22.0, spread: 4.0, walk: 0.01, noise: 0.01 },
    Signal { scale: 2, mean: 45.0, spread: 10.0, walk: 0.03, noise: 0.03 },
    Signal { scale: 0, mean: 101_325.0, spread: 300.0, walk: 0.5, noise: 1.5 },
    Signal { scale: 3, mean: 9.81, spread: 0.2, walk: 0.002, noise: 0.005 },
    Signal { scale: 2, mean: 8.0, spread: 5.0, walk: 0.05, noise: 0.01 },
    Signal { scale: 3, mean: 3.3, spread: 0.15, walk: 0.0002, noise: 0.001 },
    Signal { scale: 1, mean: 40.0, spread: 15.0, walk: 0.2, noise: 0.1 },
];

struct Board {
    origin: Origin,
    seq: u64,
    tick: u64,
    late_ms: u64,
    means: [f64; 7],
    levels: [f64; 7],
    running: bool,
}

pub struct Fleet {
    random: Random,
    boards: Vec<Board>,
}

impl Fleet {
    pub fn new(boards: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let boards = (0..boards).map(|at| Board::new(at, &mut random)).collect();
        Self { random, boards }
    }

    /// The next block: `readings` spread evenly over the boards, each board going on where it stopped.
    pub fn block(&mut self, readings: usize) -> Block {
        let each = readings / self.boards.len();
        let Self { random, boards } = self;
        let origins = boards.iter_mut().map(|board| OriginReadings {
            origin: board.origin,
            readings: (0..each).map(|_| board.measure(random)).collect(),
        });
        Block { records: Vec::new(), origins: origins.collect() }
    }
}

impl Board {
    fn new(at: usize, random: &mut Random) -> Self {
        let device = DeviceId::new(&format!("line{}-press-{:02}", at / 20, at)).expect("a slug");
        let rounds = random.below(30 * 24 * 3600);
        let means = SIGNALS.each_ref().map(|signal| signal.mean + signal.spread * random.normal());
        Self {
            origin: Origin::new(device, BootId(random.bits())),
            // A block may start anywhere in a round.
            seq: rounds * CHANNELS as u64 + random.below(CHANNELS as u64),
            tick: rounds * PERIOD_MS + random.below(PERIOD_MS),
            late_ms: 0,
            means,
            levels: means,
            running: random.below(2) == 1,
        }
    }

    fn measure(&mut self, random: &mut Random) -> Reading {
        let channel = (self.seq % CHANNELS as u64) as usize;
        if channel == 0 {
            self.tick += PERIOD_MS;
            self.late_ms = u64::from(random.below(8) == 0);
        }
        let reading = Reading {
            seq: Seq(self.seq),
            channel: ChannelIndex(channel as u8),
            tick: Tick(self.tick + self.late_ms),
            value: self.sample(channel, random),
            quality: if random.below(1000) == 0 { Quality::Uncertain } else { Quality::Good },
        };
        self.seq += 1;
        reading
    }

    fn sample(&mut self, channel: usize, random: &mut Random) -> Value {
        let Some(signal) = SIGNALS.get(channel) else {
            self.running ^= random.below(600) == 0;
            return Value::Bool(self.running);
        };
        let level = &mut self.levels[channel];
        *level += signal.walk * random.normal() + (self.means[channel] - *level) * 0.001;
        let power = 10_f64.powi(i32::from(signal.scale));
        let mantissa = ((*level + signal.noise * random.normal()) * power).round();
        match channel {
            6 => Value::F32((mantissa / power) as f32),
            _ => Value::Decimal { mantissa: mantissa as i64, scale: signal.scale },
        }
    }
}
