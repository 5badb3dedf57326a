//! The core over a real store, on one thread: what it wants done is done at once.

use std::{collections::VecDeque, path::Path};

use tempfile::TempDir;
use tidegate_alarms::{AlarmEvent, RuleBook, RuleSet, RulesSettings};
use tidegate_ingest::{
    core::{
        Core, Effect, Event, Loaded, Settings,
        batch::Occurrence,
        rulebook::{RulesDone, RulesOrder},
    },
    lake::Lake,
    readings::Source,
    store::{LmdbStore, Store},
};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, ClockQuality, DeviceId, GatewayId, LossReason,
    LossRecord, Origin, Quality, Reading, Seq, SeqRange, SiteId, Tick, Value, ValueKind,
    block::{Block, Decoder, Description, Encoder, OriginReadings, Record, Stamp, stamp},
    rules::{RulesAnswer, RulesDown, RulesUp},
    topic::{GatewayPath, Lane},
};

const MAP_BYTES: u64 = 256 * 1024 * 1024;
/// Between two readings of an origin.
pub const TICK_MS: u64 = 1_000;
pub const ARRIVAL_MS: i64 = 1_800_000_000_000;

/// Of an occurrence: where it began, was raised, ended.
pub type Span = (u64, u64, Option<u64>);

pub fn rules(rules: serde_json::Value) -> RuleSet {
    let settings: RulesSettings =
        serde_json::from_value(serde_json::json!({ "rule": rules })).expect("rules");
    RuleSet::from_settings(settings).expect("good rules")
}

pub fn origin(boot: u64) -> Origin {
    Origin::new(DeviceId::new("board-a").expect("a slug"), BootId(boot))
}

pub fn site() -> SiteId {
    SiteId::new("plant").expect("a slug")
}

pub struct World {
    core: Core,
    book: RuleBook,
    ruled: Option<RulesDone>,
    store: LmdbStore,
    lake: Lake,
    encoder: Encoder,
    _folder: TempDir,
    next_number: u64,
    /// Looks at the store take their time: none is answered before [`World::look_once`].
    pub is_slow: bool,
    waiting: VecDeque<Effect>,
}

impl World {
    pub fn new(rules: RuleSet) -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        let folder = folder.expect("a folder");
        let store = LmdbStore::open(&folder.path().join("store"), MAP_BYTES).expect("a store");
        let lake = Lake::open(&folder.path().join("lake")).expect("a lake");
        let book = RuleBook::from(rules);
        let core = core(&store, &book, 1);
        let encoder = Encoder::new().expect("an encoder");
        let mut world = Self {
            core,
            book,
            ruled: None,
            store,
            lake,
            encoder,
            _folder: folder,
            next_number: 0,
            is_slow: false,
            waiting: VecDeque::new(),
        };
        // So that the rules are in the store.
        world.handle(Event::Wakeup);
        world
    }

    /// A process that ends, and another that starts on the same store, and takes the rules from it.
    pub fn restart(&mut self) {
        let kept = self.store.look().and_then(|look| look.rules()).expect("rules");
        self.book = RuleBook::restore(kept);
        self.core = core(&self.store, &self.book, self.next_number + 2);
        self.carry_out();
    }

    pub fn handle(&mut self, event: Event) {
        self.core.handle(self.next_number, event);
        self.carry_out();
        // What lingers, and what is looked at again.
        for _ in 0..100 {
            let Some(at) = self.core.next_wakeup() else { return };
            self.core.handle(at.max(self.next_number), Event::Wakeup);
            self.carry_out();
        }
        panic!("it never comes to rest");
    }

    /// Answers the look that waits longest, with so many readings at most, as a store that does not have all yet; says whether one
    /// waited.
    pub fn look_once(&mut self, most: usize) -> bool {
        let Some(effect) = self.waiting.pop_front() else { return false };
        if let Some(answer) = self.answer(effect, most) {
            self.handle(answer);
        }
        true
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.core.poll() {
            if self.is_slow && matches!(effect, Effect::Load { .. } | Effect::Rewind { .. }) {
                self.waiting.push_back(effect);
            } else if let Some(answer) = self.answer(effect, usize::MAX) {
                self.core.handle(self.next_number, answer);
            }
        }
    }

    fn answer(&mut self, effect: Effect, most: usize) -> Option<Event> {
        let answer = match effect {
            Effect::Commit(batch) => {
                let used_bytes = self.store.commit(&batch).expect("it commits").used_bytes;
                Event::Committed { batch: batch.number, used_bytes }
            }
            Effect::Verify { ticket, .. } => Event::Verified { ticket, differing: Some(Vec::new()) },
            Effect::Load { origin, range, told } => {
                let look = self.store.look().expect("a look");
                let mut loaded = Loaded::default();
                let each = |reading: &Reading| {
                    loaded.readings.push(*reading);
                    loaded.readings.len() < most
                };
                let mut source = Source::new(&look, &self.lake).expect("a source");
                source.read(origin, range, (0, u64::MAX), each).expect("it reads");
                if told {
                    loaded.checkpoints = look.checkpoints(origin, range).expect("it reads");
                    loaded.occurrences = look.raised_in(origin, range).expect("it reads");
                }
                Event::Loaded { origin, loaded: Some(loaded) }
            }
            Effect::Rewind { origin, to } => {
                let checkpoint = self.store.look().and_then(|look| look.checkpoint(origin, to));
                Event::Rewound { origin, to, checkpoint: Some(checkpoint.expect("it reads")) }
            }
            // The gateway has rules of its own.
            Effect::Rules { to, down } => match *down {
                RulesDown::Offer { name, .. } => {
                    let up = RulesUp { name, answer: RulesAnswer::Declined };
                    Event::RulesAnswered { from: to, up, unix_ms: 0 }
                }
                RulesDown::Part { .. } => panic!("nobody asked for a part"),
            },
            Effect::RulesDone { done, .. } => {
                self.ruled = Some(done);
                return None;
            }
            _ => return None,
        };
        Some(answer)
    }

    pub fn send(&mut self, lane: Lane, records: Vec<Record>, origins: Vec<OriginReadings>) {
        let mut bytes = self.encoder.encode(&Block { records, origins }).expect("a block");
        stamp(&mut bytes, Stamp { lane, epoch: 7, number: self.next_number }).expect("a block");
        self.next_number += 1;
        let from = GatewayPath::new(site(), GatewayId::new("gw-a").expect("a slug"));
        let arrival_unix_ms = ARRIVAL_MS + self.next_number as i64;
        self.handle(Event::Block { from, lane, bytes: bytes.into(), arrival_unix_ms });
    }

    /// Readings of a boot, one a second: `value_of` their seq.
    pub fn measured(
        &mut self,
        lane: Lane,
        origin: Origin,
        range: std::ops::Range<u64>,
        value_of: impl Fn(u64) -> f64,
    ) {
        let reading = |seq| Reading {
            seq: Seq(seq),
            channel: ChannelIndex(0),
            tick: Tick(seq * TICK_MS),
            value: Value::F64(value_of(seq)),
            quality: Quality::Good,
        };
        let readings = OriginReadings { origin, readings: range.map(reading).collect() };
        self.send(lane, vec![Record::Described(description(origin))], vec![readings]);
    }

    pub fn lost(&mut self, origin: Origin, range: std::ops::Range<u64>) {
        let range = SeqRange::new(range.start, range.end);
        let loss = LossRecord { origin, range, reason: LossReason::Evicted };
        self.send(
            Lane::Backlog,
            vec![Record::Described(description(origin)), Record::Loss(loss)],
            Vec::new(),
        );
    }

    pub fn anchored(&mut self, origin: Origin, started_unix_ms: i64, quality: ClockQuality) {
        let anchor = Record::Anchor { origin, tick: Tick(0), unix_ms: started_unix_ms, error_ms: 5, quality };
        self.send(Lane::Live, vec![Record::Described(description(origin)), anchor], Vec::new());
    }

    /// The rules are these from now on.
    pub fn change_rules(&mut self, rules: RuleSet, unix_ms: i64) -> RulesDone {
        let (operator, reason) = ("eva".to_owned(), "a test".to_owned());
        let order = Box::new(RulesOrder { rules, operator, reason, expected: None, unix_ms });
        self.handle(Event::ChangeRules { ticket: 1, order });
        self.ruled.take().expect("an answer")
    }

    pub fn history(&self) -> Vec<Occurrence> {
        let history = self.store.look().and_then(|look| look.history()).expect("a look");
        history.into_iter().map(|(_, known)| known).collect()
    }

    /// In short: where it began, was raised, ended.
    pub fn spans(&self) -> Vec<Span> {
        let span = |known: &Occurrence| {
            (known.onset.seq.0, known.raised.seq.0, known.cleared.map(|point| point.seq.0))
        };
        self.history().iter().map(span).collect()
    }

    pub fn events(&self) -> Vec<AlarmEvent> {
        let events = self.store.look().and_then(|look| look.events_after(0, usize::MAX)).expect("a look");
        events.into_iter().map(|(_, event)| event).collect()
    }

    /// In short: what, late or not, at which seq.
    pub fn told(&self) -> Vec<String> {
        let told = |event: &AlarmEvent| {
            let late = if event.late { "late " } else { "" };
            format!("{late}{} at {}", event.transition.name(), event.seq.0)
        };
        self.events().iter().map(told).collect()
    }

    pub fn settled(&self) -> u64 {
        self.core.counters().readings_settled
    }

    pub fn store(&self) -> &LmdbStore {
        &self.store
    }
}

fn core(store: &LmdbStore, book: &RuleBook, incarnation: u64) -> Core {
    let settings = Settings { credit_total_bytes: 8 << 20, linger_ms: 0, quota_bytes: MAP_BYTES / 5 * 4 };
    let decoder = Decoder::new().expect("a decoder");
    Core::new(settings, book.clone(), decoder, store.snapshot().expect("a snapshot"), incarnation)
}

fn description(origin: Origin) -> Description {
    let name = ChannelName::new("temperature").expect("a name");
    let channel = ChannelDecl { name, unit: "Cel".to_owned(), kind: ValueKind::F64, scale: 0 };
    Description { origin, tag: "TT-1".to_owned(), firmware: "test".to_owned(), channels: vec![channel] }
}
