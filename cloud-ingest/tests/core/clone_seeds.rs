//! Boards that share one identity behind gateways that may share one too, in seeded schedules: cut, sent again, packed anew, late,
//! compared while the store cannot be read. Whatever happens, what is stored is what somebody measured, a block that
//! contradicts what is stored adds nothing to it, and what is not stored is in quarantine.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegate_alarms::{AlarmKind, TransitionKind};
use tidegate_ingest::core::{Event, Snapshot, batch::Batch};
use tidegate_protocol::{
    Origin, Reading, SeqRange,
    ack::Outcome,
    block::{Decoder, OriginReadings, Stamp, ranges_of, stamp},
    topic::Lane,
};

use crate::support::{Bench, described, encode, gateway, origin, reading};

const BOARDS: u64 = 3;
const READINGS: u64 = 40;

type Content = BTreeMap<(Origin, u64), u64>;

/// A block under way, and what it holds.
struct Sent {
    number: u64,
    from: &'static str,
    epoch: u64,
    of: Vec<OriginReadings>,
}

struct World {
    bench: Bench,
    dice: ChaCha8Rng,
    decoder: Decoder,
    stored: Content,
    quarantined: BTreeSet<(Origin, u64, u64)>,
    conflicts: u64,
    seen_batches: usize,
    next_number: u64,
}

fn bits(reading: &Reading) -> u64 {
    reading.value.as_f64().to_bits()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut bench = Bench::new(Snapshot::default());
        bench.handle(Event::Time { unix_ms: 1_800_000_000_000 });
        Self {
            bench,
            dice: ChaCha8Rng::seed_from_u64(seed),
            decoder: Decoder::new().expect("a decoder"),
            stored: Content::new(),
            quarantined: BTreeSet::new(),
            conflicts: 0,
            seen_batches: 0,
            next_number: 0,
        }
    }

    /// What one of the boards measured: each something else under the same seq, but for what all see alike.
    fn measured(&self, board: u64, seq: u64) -> Reading {
        let same = seq % 7 == 3;
        reading(seq, if same { 0.5 } else { (board * 1_000 + seq) as f64 })
    }

    fn send(&mut self, sent: &Sent) {
        let records = sent.of.iter().map(|of| described(of.origin)).collect();
        let mut bytes = encode(records, sent.of.clone());
        stamp(&mut bytes, Stamp { lane: Lane::Live, epoch: sent.epoch, number: sent.number })
            .expect("a block");
        let before = self.stored.clone();
        let from = gateway(sent.from);
        let event = Event::Block { from, lane: Lane::Live, bytes: bytes.into(), arrival_unix_ms: 0 };
        self.bench.handle(event);
        self.take_batches(&before);
    }

    /// Takes over what was committed: nothing over anything else, and nothing of a block beside a contradiction.
    fn take_batches(&mut self, before: &Content) {
        for at in self.seen_batches..self.bench.batches.len() {
            let batch: &Batch = &self.bench.batches[at];
            for entry in &batch.entries {
                let block = self.decoder.decode(&entry.block).expect("it was encoded here");
                for accepted in &entry.head.accepted {
                    let of = &block.origins[accepted.entry as usize];
                    let contradicts = of.readings.iter().any(|reading| {
                        before.get(&(of.origin, reading.seq.0)).is_some_and(|known| *known != bits(reading))
                    });
                    assert!(!contradicts, "a block that contradicts what is stored adds to it");
                    for reading in of.readings.iter().filter(|reading| accepted.range.contains(reading.seq.0))
                    {
                        let known = self.stored.insert((of.origin, reading.seq.0), bits(reading));
                        assert_eq!(known, None, "a seq is stored once");
                    }
                }
            }
            for kept in &batch.quarantine {
                let block = self.decoder.decode(&kept.bytes).expect("it was encoded here");
                for of in &block.origins {
                    self.quarantined.extend(of.readings.iter().map(|r| (of.origin, r.seq.0, bits(r))));
                }
            }
        }
        self.seen_batches = self.bench.batches.len();
    }

    /// Answers some of the looks, in any order; some find the store unreadable.
    fn look(&mut self, all: bool) {
        while !self.bench.verify.is_empty() && (all || self.dice.random_bool(0.6)) {
            let at = self.dice.random_range(0..self.bench.verify.len());
            let (ticket, job) = self.bench.verify.swap_remove(at);
            let block = self.decoder.decode(&job.block).expect("it was encoded here");
            let mut differing = Vec::new();
            for (_, origin, range) in &job.ranges {
                let of = block.origins.iter().find(|of| of.origin == *origin).expect("it is in the block");
                let differs = |reading: &&Reading| {
                    range.contains(reading.seq.0) && self.stored[&(*origin, reading.seq.0)] != bits(reading)
                };
                let wrong: Vec<Reading> = of.readings.iter().filter(differs).copied().collect();
                differing.extend(ranges_of(&wrong).into_iter().map(|range| (*origin, range)));
            }
            let unreadable = !all && self.dice.random_bool(0.2);
            self.conflicts += u64::from(!unreadable && !differing.is_empty());
            let before = self.stored.clone();
            self.bench.handle(Event::Verified { ticket, differing: (!unreadable).then_some(differing) });
            self.take_batches(&before);
        }
    }

    /// What was answered holds: durable is stored as it is, rejected is in quarantine, and the rest of it stored.
    fn check_answer(&self, sent: &Sent, outcome: &Outcome) {
        let parts: &[(Origin, SeqRange)] = match outcome {
            Outcome::Durable => &[],
            Outcome::Rejected { parts, .. } => parts,
        };
        for of in &sent.of {
            for reading in &of.readings {
                let seq = reading.seq.0;
                let rejected =
                    parts.iter().any(|(origin, range)| *origin == of.origin && range.contains(seq));
                if rejected {
                    let kept = self.quarantined.contains(&(of.origin, seq, bits(reading)));
                    assert!(kept, "{} {seq} is rejected and not kept", of.origin);
                } else {
                    let stored = self.stored.get(&(of.origin, seq));
                    assert_eq!(stored, Some(&bits(reading)), "{} {seq} is answered for", of.origin);
                }
            }
        }
    }
}

fn schedule(seed: u64) -> (u64, usize) {
    let mut world = World::new(seed);
    let (twins, single) = (origin("board-a", 1), origin("board-b", 1));
    let gateways = [("gw-a", 1), ("gw-a", 2), ("gw-b", 3)];
    let mut waiting: Vec<Sent> = Vec::new();
    let mut sent_from = [0_u64; BOARDS as usize];
    for _ in 0..200 {
        let board = world.dice.random_range(0..BOARDS);
        let (from, epoch) = gateways[board as usize];
        let next = sent_from[board as usize];
        // Often a part of what was sent before, as a queue that was set back sends it again.
        let start = if world.dice.random_bool(0.4) { world.dice.random_range(0..=next) } else { next };
        let end = (start + world.dice.random_range(1..12)).min(READINGS);
        if start < end {
            let readings = (start..end).map(|seq| world.measured(board, seq)).collect();
            let mut of = vec![OriginReadings { origin: twins, readings }];
            if board == 0 && world.dice.random_bool(0.5) {
                let readings = (start..end).map(|seq| world.measured(0, seq)).collect();
                of.push(OriginReadings { origin: single, readings });
            }
            sent_from[board as usize] = next.max(end);
            let number = world.next_number;
            world.next_number += 1;
            let sent = Sent { number, from, epoch, of };
            world.send(&sent);
            waiting.push(sent);
        }
        world.look(false);
        // What got no answer is sent again, some of it, in any order, under a new number.
        if !waiting.is_empty() && world.dice.random_bool(0.3) {
            let at = world.dice.random_range(0..waiting.len());
            let mut again = waiting.swap_remove(at);
            if world.bench.outcome(again.number).is_none() {
                again.number = world.next_number;
                world.next_number += 1;
                world.send(&again);
            }
            waiting.push(again);
        }
    }
    while waiting.iter().any(|sent| world.bench.outcome(sent.number).is_none()) {
        for sent in &mut waiting {
            if world.bench.outcome(sent.number).is_none() {
                sent.number = world.next_number;
                world.next_number += 1;
                world.send(sent);
            }
        }
        world.look(true);
    }
    for sent in &waiting {
        let outcome = world.bench.outcome(sent.number).expect("all are answered");
        world.check_answer(sent, &outcome);
    }
    let held = |of: Origin| world.quarantined.iter().filter(|(kept, ..)| *kept == of).count();
    let events = world.bench.batches.iter().flat_map(|batch| &batch.events);
    let raised = events.filter(|event| {
        (event.kind, event.transition) == (AlarmKind::System, TransitionKind::Raise)
            && event.rule.as_str() == "identity-conflict"
    });
    let raised: Vec<String> = raised.map(|event| event.device.to_string()).collect();
    let expected: &[&str] = if world.conflicts > 0 { &["board-a"] } else { &[] };
    assert_eq!(raised, expected, "{} conflicts", world.conflicts);
    (world.conflicts, held(twins))
}

#[test]
fn whatever_clones_say_nothing_is_merged_and_nothing_dropped() {
    let long = std::env::var_os("TIDEGATE_TEST_LONG").is_some();
    let (mut conflicts, mut kept) = (0, 0);
    for seed in 0..if long { 2_000 } else { 60 } {
        let found = std::panic::catch_unwind(|| schedule(seed));
        let (of_seed, kept_of_seed) = found.unwrap_or_else(|_| panic!("seed {seed}"));
        conflicts += of_seed;
        kept += kept_of_seed;
    }
    assert!(
        conflicts > 500 && kept > 500,
        "schedules that prove nothing: {conflicts} conflicts, {kept} kept"
    );
}
