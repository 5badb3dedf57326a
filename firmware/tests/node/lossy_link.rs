//! A node and a gateway on a link that loses, breaks and cuts frames, with a ring that overflows and a gateway that
//! restarts: nothing is lost silently, nothing arrives with another content, and losses are declared exactly.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::Gateway;
use proptest::prelude::*;
use tidegate_firmware::{Identity, Node, NodeConfig, Sampled, channel};
use tidegate_protocol::{
    BootId, ChannelDecl, DeviceId, Quality, Reading, Tick, Value, ValueKind,
    id::{ChannelIndex, Seq},
};

const STEP_MS: u64 = 20;
/// Long enough for every back-off to run out.
const DRAIN_MS: u64 = 400_000;

#[derive(Clone, Copy, Debug)]
struct Plan {
    seed: u64,
    ring_bytes: usize,
    loss_percent: u64,
    linger_ms: u32,
    window_readings: u32,
    transmit_bytes: usize,
    assigned_boot: bool,
}

fn plans() -> impl Strategy<Value = Plan> {
    let window = prop_oneof![Just(u32::MAX), 1_u32..40];
    (any::<u64>(), 88_usize..3_000, 0_u64..40, 0_u32..100, window, 128_usize..600, any::<bool>()).prop_map(
        |(seed, ring_bytes, loss_percent, linger_ms, window_readings, transmit_bytes, assigned_boot)| Plan {
            seed,
            ring_bytes,
            loss_percent,
            linger_ms,
            window_readings,
            transmit_bytes,
            assigned_boot,
        },
    )
}

/// SplitMix64: a seed gives the same run for ever.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

struct World<'a> {
    node: Node<'a, 4, Vec<u8>>,
    gateway: Gateway,
    dice: Dice,
    now: Tick,
    link: bool,
    loss_percent: u64,
    transmit: Vec<u8>,
    measured: BTreeMap<u64, Reading>,
    dropped: BTreeSet<u64>,
}

fn declarations() -> [ChannelDecl<&'static str>; 4] {
    [
        channel("door", "", ValueKind::Bool, 0).unwrap(),
        channel("temperature", "Cel", ValueKind::Decimal, 2).unwrap(),
        channel("level", "m", ValueKind::F32, 0).unwrap(),
        channel("flow", "l/s", ValueKind::F64, 0).unwrap(),
    ]
}

fn identity() -> Identity<'static> {
    Identity { device: DeviceId::new("pump-3").unwrap(), tag: "P-3", firmware: "test 1" }
}

impl<'a> World<'a> {
    fn new(plan: &Plan, channels: &'a [ChannelDecl<&'static str>]) -> Self {
        let config = NodeConfig {
            linger_ms: plan.linger_ms,
            window_readings: plan.window_readings,
            ..NodeConfig::DEFAULT
        };
        let boot = (!plan.assigned_boot).then_some(BootId(77));
        let node = Node::new(identity(), boot, channels, vec![0; plan.ring_bytes], config).unwrap();
        let transmit = vec![0; plan.transmit_bytes.max(node.transmit_len())];
        Self {
            node,
            gateway: Gateway::default(),
            dice: Dice(plan.seed),
            now: Tick(0),
            link: false,
            loss_percent: plan.loss_percent,
            transmit,
            measured: BTreeMap::new(),
            dropped: BTreeSet::new(),
        }
    }

    fn step(&mut self) {
        self.now = Tick(self.now.0 + STEP_MS);
        match self.dice.next() % 200 {
            0 if self.link => self.cut(),
            1..=20 if !self.link => self.join(),
            21 => self.gateway.restart(),
            22..=50 => self.commit(),
            _ => {}
        }
        for _ in 0..self.dice.next() % 4 {
            self.sample();
        }
        self.exchange();
    }

    fn join(&mut self) {
        self.link = true;
        self.gateway.new_link();
        self.node.link_up(self.now);
    }

    fn cut(&mut self) {
        self.link = false;
        self.gateway.new_link();
        self.node.link_down();
    }

    fn sample(&mut self) {
        let channel = (self.dice.next() % 4) as u8;
        let bits = self.dice.next() >> (self.dice.next() % 64);
        let value = match channel {
            0 => Value::Bool(bits.is_multiple_of(2)),
            1 => Value::Decimal { mantissa: bits as i64, scale: 2 },
            2 => Value::F32(f32::from_bits(bits as u32)),
            _ => Value::F64(f64::from_bits(bits)),
        };
        let quality = if self.dice.chance(10) { Quality::Bad } else { Quality::Good };
        // Mostly forward, now and then a clock that was set back.
        let tick = Tick(if self.dice.chance(5) { self.now.0 / 2 } else { self.now.0 });
        let channel = ChannelIndex(channel);
        let oldest = self.node.held().start;
        let Ok(Sampled::Kept(seq)) = self.node.sample(channel, value, quality, tick) else {
            panic!("without a deadband every sample is kept");
        };
        self.dropped.extend(oldest..self.node.held().start);
        let earlier = self.measured.insert(seq.0, Reading { seq, channel, tick, value, quality });
        assert_eq!(earlier, None, "a seq was used twice");
    }

    fn exchange(&mut self) {
        while let Some(len) = self.node.poll_transmit(self.now, &mut self.transmit) {
            assert!(self.link, "a frame was sent without a link");
            let frame = self.transmit[..len].to_vec();
            if let Some(frame) = self.damage(frame) {
                for answer in self.gateway.receive(&frame) {
                    self.answer(answer);
                }
            }
        }
        let wakeup = self.node.next_wakeup(self.now);
        assert!(wakeup.is_none_or(|at| at > self.now), "it would be woken at {wakeup:?} for nothing");
    }

    fn commit(&mut self) {
        let ack = self.gateway.commit();
        if let Some(ack) = ack.filter(|_| self.link) {
            self.answer(ack);
        }
    }

    fn answer(&mut self, frame: Vec<u8>) {
        if let Some(frame) = self.damage(frame) {
            self.node.receive(self.now, &frame);
        }
    }

    /// What the line makes of a frame.
    fn damage(&mut self, mut frame: Vec<u8>) -> Option<Vec<u8>> {
        if !self.dice.chance(self.loss_percent) {
            return Some(frame);
        }
        let at = (self.dice.next() % frame.len() as u64) as usize;
        match self.dice.next() % 3 {
            0 => return None,
            1 => frame[at] ^= 1 << (self.dice.next() % 8),
            _ => frame.truncate(at),
        }
        Some(frame)
    }

    /// A link without faults until all is in the gateway's keeping.
    fn drain(&mut self) {
        self.loss_percent = 0;
        if !self.link {
            self.join();
        }
        let end = self.now.0 + DRAIN_MS;
        while !self.node.is_drained() {
            assert!(self.now.0 < end, "not drained: {:?}, lost {:?}", self.node.held(), self.node.lost());
            self.now = Tick(self.now.0 + STEP_MS);
            self.exchange();
            self.commit();
        }
    }

    fn check(&self) {
        assert_eq!(self.gateway.violations, Vec::<String>::new());
        let boot = self.node.boot().expect("a drained node has a boot");
        assert_eq!(self.node.next_seq(), Seq(self.measured.len() as u64));
        for (&seq, reading) in &self.measured {
            let (stored, lost) = (self.gateway.readings.get(&(boot, seq)), self.dropped.contains(&seq));
            assert!(stored.is_none_or(|stored| stored == reading), "{seq} was stored as something else");
            let declared = self.gateway.losses.contains(&(boot, seq));
            assert!(stored.is_some() || declared, "{seq} is lost silently (dropped: {lost})");
            assert!(lost || stored.is_some(), "{seq} was held and did not arrive");
            assert!(lost || !declared, "{seq} was declared lost but never dropped");
        }
        let others = self.gateway.readings.keys().filter(|(other, _)| *other != boot).count();
        assert_eq!(others, 0, "readings were sent under a boot that the board did not have");
        assert_eq!(self.gateway.readings.len() + self.lost_only(boot), self.measured.len());
        assert_eq!(self.node.counters().lost as usize, self.dropped.len());
    }

    fn lost_only(&self, boot: BootId) -> usize {
        self.gateway
            .losses
            .iter()
            .filter(|key| key.0 == boot && !self.gateway.readings.contains_key(key))
            .count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_silently_on_a_bad_link(plan in plans()) {
        let channels = declarations();
        let mut world = World::new(&plan, &channels);
        for _ in 0..600 {
            world.step();
        }
        world.drain();
        world.check();
    }
}

#[test]
fn a_perfect_link_with_room_loses_and_repeats_nothing() {
    let plan = Plan {
        seed: 7,
        ring_bytes: 64 * 1024,
        loss_percent: 0,
        linger_ms: 0,
        window_readings: u32::MAX,
        transmit_bytes: 256,
        assigned_boot: true,
    };
    let channels = declarations();
    let mut world = World::new(&plan, &channels);
    world.join();
    for _ in 0..500 {
        world.now = Tick(world.now.0 + STEP_MS);
        world.sample();
        world.exchange();
        world.commit();
    }
    assert!(world.node.is_drained());
    assert_eq!(world.gateway.readings.len(), 500);
    assert_eq!(world.node.counters().repeated, 0);
    assert_eq!(world.gateway.hellos, 2, "one asks for a boot, one tells it");
    world.check();
}
