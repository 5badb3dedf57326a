//! The core, its store and lake, and gateways that send until they are answered.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use tidegate_alarms::AlarmEvent;
use tidegate_ingest::{
    core::{Core, Effect, Event, Loaded, Settings},
    lake::{Lake, RollSettings, Roller},
    readings::Source,
    store::{LmdbStore, Store},
};
use tidegate_protocol::{
    SeqRange,
    ack::{BlockAck, Outcome},
    block::{Decoder, Stamp, stamp},
    topic::{GatewayPath, Lane},
};

use crate::fleet::{Fleet, rules};

const MAP_BYTES: u64 = 64 * 1024 * 1024;

pub struct World {
    pub fleet: Fleet,
    pub store: Arc<LmdbStore>,
    pub lake: Lake,
    core: Core,
    folder: PathBuf,
    /// Removes the folder in the end; a child process leaves it to its parent.
    _owned: Option<TempDir>,
    rng: ChaCha8Rng,
    now_ms: u64,
    incarnation: u64,
    /// Blocks not yet durable, by their place in the fleet.
    waiting: Vec<usize>,
    /// Transmission number → place in the fleet.
    sent: HashMap<u64, usize>,
    next_number: u64,
    /// Events for the core that are under way.
    coming: Vec<Event>,
    pub acks: Vec<(GatewayPath, BlockAck)>,
    pub provisional: Vec<AlarmEvent>,
    faults: bool,
}

impl World {
    pub fn new(seed: u64, fleet: Fleet) -> Self {
        // A crash here is one of the program, not of the machine: syncing may be free.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        let folder = folder.expect("a folder");
        let world = Self::in_folder(folder.path(), seed, fleet);
        Self { _owned: Some(folder), ..world }
    }

    /// Over what the folder holds already.
    pub fn in_folder(folder: &Path, seed: u64, fleet: Fleet) -> Self {
        let store = Arc::new(LmdbStore::open(&folder.join("store"), MAP_BYTES).expect("a store"));
        let lake = Lake::open(&folder.join("lake")).expect("a lake");
        let core = core(&store, 1);
        Self {
            waiting: (0..fleet.blocks.len()).collect(),
            fleet,
            store,
            lake,
            core,
            folder: folder.to_owned(),
            _owned: None,
            rng: ChaCha8Rng::seed_from_u64(seed),
            now_ms: 0,
            incarnation: 1,
            sent: HashMap::new(),
            next_number: 0,
            coming: Vec::new(),
            acks: Vec::new(),
            provisional: Vec::new(),
            faults: true,
        }
    }

    /// Until every block is durable.
    pub fn run(&mut self) {
        for _ in 0..100_000 {
            if self.waiting.is_empty() {
                self.faults = false;
                return self.settle();
            }
            self.step();
        }
        panic!("{} blocks never became durable", self.waiting.len());
    }

    pub fn run_without_faults(&mut self) {
        self.faults = false;
        self.run();
    }

    fn step(&mut self) {
        self.now_ms += self.rng.random_range(0..3);
        match self.rng.random_range(0..100_u32) {
            0 if self.faults => self.crash(),
            1 => self.roll_all(),
            2..=60 => {
                let place = self.rng.random_range(0..self.waiting.len());
                self.send(self.waiting[place]);
            }
            // Sent once more, though it was answered.
            61..=66 => self.send(self.rng.clone().random_range(0..self.fleet.blocks.len())),
            _ => self.bring_one(),
        }
        self.carry_out();
    }

    fn send(&mut self, place: usize) {
        let (gateway, bytes) = self.fleet.blocks[place].clone();
        let from = self.fleet.gateways[gateway];
        let number = self.next_number;
        self.sent.insert(number, place);
        // Some transmissions never arrive.
        if self.faults && self.rng.random_bool(0.1) {
            self.next_number += 1;
            return;
        }
        self.transmit(from, bytes);
    }

    /// Stamps and sends a block; returns its number.
    pub fn transmit(&mut self, from: GatewayPath, mut bytes: Vec<u8>) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let lane = if self.rng.random_bool(0.5) { Lane::Live } else { Lane::Backlog };
        stamp(&mut bytes, Stamp { lane, epoch: 5, number }).expect("a block");
        let block =
            Event::Block { from, lane, bytes: Bytes::from(bytes), arrival_unix_ms: self.now_ms as i64 };
        self.core.handle(self.now_ms, block);
        self.carry_out();
        number
    }

    /// One of the answers under way reaches the core, in any order; or else time passes.
    fn bring_one(&mut self) {
        if self.coming.is_empty() {
            self.now_ms += 5;
            return self.core.handle(self.now_ms, Event::Wakeup);
        }
        let place = self.rng.random_range(0..self.coming.len());
        let event = self.coming.swap_remove(place);
        self.core.handle(self.now_ms, event);
    }

    /// Until nothing is under way any more.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            self.carry_out();
            if self.coming.is_empty() && self.core.is_idle() {
                return;
            }
            self.now_ms += 1_000;
            self.bring_one();
        }
        panic!("the core never comes to rest");
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.core.poll() {
            match effect {
                Effect::Commit(batch) => {
                    let number = batch.number;
                    let fails = self.faults && self.rng.random_bool(0.05);
                    // A failed commit may have reached the disk all the same.
                    let written = !fails || self.rng.random_bool(0.5);
                    let receipt = written.then(|| self.store.commit(&batch).expect("it commits"));
                    self.coming.push(match receipt {
                        Some(receipt) if !fails => {
                            Event::Committed { batch: number, used_bytes: receipt.used_bytes }
                        }
                        _ => Event::CommitFailed { batch: number },
                    });
                }
                Effect::Ack { to, ack } => self.acked(to, ack),
                // Nobody orders anything here.
                Effect::Retired { .. }
                | Effect::Settings { .. }
                | Effect::SettingsDone { .. }
                | Effect::Rules { .. }
                | Effect::Compared(_)
                | Effect::RulesDone { .. }
                | Effect::AlarmDone { .. } => {}
                Effect::Provisional(event) => self.provisional.push(*event),
                Effect::Verify { ticket, job } => {
                    let look = self.store.look().expect("a look");
                    let differing = Source::new(&look, &self.lake).and_then(|mut source| source.verify(&job));
                    self.coming
                        .push(Event::Verified { ticket, differing: Some(differing.expect("it reads")) });
                }
                Effect::Load { origin, range, told } => {
                    let readings = self.stored(origin, range);
                    let look = self.store.look().expect("a look");
                    let loaded = if told {
                        let checkpoints = look.checkpoints(origin, range).expect("it reads");
                        let occurrences = look.raised_in(origin, range).expect("it reads");
                        Loaded { readings, checkpoints, occurrences }
                    } else {
                        Loaded { readings, ..Loaded::default() }
                    };
                    let loaded = Some(loaded);
                    self.coming.push(Event::Loaded { origin, loaded });
                }
                Effect::Rewind { origin, to } => {
                    let checkpoint = self.store.look().and_then(|look| look.checkpoint(origin, to));
                    let checkpoint = Some(checkpoint.expect("it reads"));
                    self.coming.push(Event::Rewound { origin, to, checkpoint });
                }
                Effect::Reload => {
                    self.incarnation += 1;
                    let snapshot = Box::new(self.store.snapshot().expect("a snapshot"));
                    let incarnation = self.incarnation;
                    self.core.handle(self.now_ms, Event::Reloaded { snapshot, incarnation });
                }
            }
        }
    }

    pub fn stored(
        &self,
        origin: tidegate_ingest::core::batch::OriginNo,
        range: SeqRange,
    ) -> Vec<tidegate_protocol::Reading> {
        let look = self.store.look().expect("a look");
        let mut readings = Vec::new();
        let mut source = Source::new(&look, &self.lake).expect("a source");
        let read = source.read(origin, range, (0, u64::MAX), |reading| {
            readings.push(*reading);
            true
        });
        read.expect("it reads");
        readings
    }

    fn acked(&mut self, to: GatewayPath, ack: BlockAck) {
        for outcome in &ack.outcomes {
            let Some(place) = self.sent.get(&outcome.number).copied() else { continue };
            if outcome.outcome == Outcome::Durable {
                self.assert_committed(place);
                self.waiting.retain(|known| *known != place);
            } else {
                panic!("block {place} was rejected: {:?}", outcome.outcome);
            }
        }
        self.acks.push((to, ack));
    }

    /// Rule a: at the moment of its acknowledgement, all of a block is committed.
    fn assert_committed(&self, place: usize) {
        let directory = Decoder::directory(&self.fleet.blocks[place].1).expect("a block");
        let origins = self.store.look().and_then(|look| look.origins()).expect("a look");
        for entry in directory {
            let known = origins.iter().find(|(_, record)| record.origin == entry.origin);
            let (no, _) = known.expect("acknowledged and unknown to the store");
            for range in entry.ranges {
                assert_eq!(
                    self.stored(*no, range).len() as u64,
                    range.len(),
                    "acknowledged and not stored: {range}"
                );
            }
        }
    }

    /// Only what was committed survives.
    fn crash(&mut self) {
        self.coming.clear();
        self.incarnation += 1;
        let placeholder = Arc::new(LmdbStore::open(&self.folder.join("spare"), MAP_BYTES).expect("a store"));
        drop(std::mem::replace(&mut self.store, placeholder));
        let store = LmdbStore::open(&self.folder.join("store"), MAP_BYTES).expect("it opens again");
        self.store = Arc::new(store);
        self.core = core(&self.store, self.incarnation);
    }

    /// Until an origin is sealed, with commits that fail and crashes on the way.
    pub fn seal(&mut self) {
        self.faults = true;
        for _ in 0..1_000 {
            self.core.handle(self.now_ms, Event::Seal { before_unix_ms: i64::MAX });
            self.carry_out();
            if self.rng.random_bool(0.2) {
                self.crash();
            }
            self.bring_one();
            self.carry_out();
            if !self.store.look().and_then(|look| look.sealed()).expect("a look").is_empty() {
                self.faults = false;
                self.settle();
                // It may have been waiting before it tries a commit again.
                self.now_ms += 60_000;
                return self.core.handle(self.now_ms, Event::Wakeup);
            }
        }
        panic!("nothing is ever sealed");
    }

    pub fn roller(&self) -> Roller {
        let settings = RollSettings { interval_ms: 0, bytes: 0 };
        Roller::new(Arc::clone(&self.store), self.lake.clone(), settings)
    }

    /// All that is in the journal goes to the lake.
    pub fn roll_all(&mut self) {
        let roller = self.roller();
        while let Some(rolled) = roller.roll_now().expect("it rolls") {
            let waits = !rolled.damaged.is_empty();
            for damaged in rolled.damaged {
                self.core.handle(self.now_ms, Event::Damaged(damaged));
            }
            // The core takes them out of the journal first.
            if waits {
                return;
            }
            self.core.handle(self.now_ms, Event::Trimmed { used_bytes: rolled.used_bytes });
        }
    }
}

fn core(store: &LmdbStore, incarnation: u64) -> Core {
    let settings = Settings { credit_total_bytes: 8 << 20, linger_ms: 2, quota_bytes: MAP_BYTES / 5 * 4 };
    let decoder = Decoder::new().expect("a decoder");
    Core::new(settings, rules(), decoder, store.snapshot().expect("a snapshot"), incarnation)
}
