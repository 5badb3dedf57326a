//! Whatever is ordered, measured, failed and started anew, in any order: what the store says of alarms is the sum of its events,
//! every answer is in the store, and what was not committed is not.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_alarms::{
    AlarmEvent, EventId, Lifecycle, Priority, RuleId, TransitionKind,
    lifecycle::{Action, Seen},
};
use tidegate_ingest::{
    core::{
        Event, Snapshot,
        lifecycle::{AlarmDone, AlarmKey, AlarmOrder},
    },
    store::{LmdbStore, Store},
};
use tidegate_protocol::{ValueKind, block::OriginReadings, topic::Lane};

use crate::support::{Bench, channel, described, encode, gateway, origin, reading};

const BOARDS: [&str; 2] = ["board-a", "board-b"];
const SEEDS: u64 = 12;
const STEPS: u32 = 200;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn key(board: &str) -> AlarmKey {
    AlarmKey {
        site: gateway("gw-a").site,
        device: origin(board, 1).device,
        channel: channel("x", ValueKind::F64, 0).name,
        rule: RuleId::new("hot"),
    }
}

struct World {
    dice: Dice,
    bench: Bench,
    store: LmdbStore,
    _folder: tempfile::TempDir,
    seqs: [u64; 2],
    unix_ms: i64,
    done: BTreeSet<EventId>,
}

impl World {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = LmdbStore::open(folder.path(), 1 << 26).unwrap();
        let mut bench = Bench::new(Snapshot::default());
        bench.hold_commits = true;
        let (dice, seqs, done) = (Dice(seed), [0; 2], BTreeSet::new());
        Self { dice, bench, store, _folder: folder, seqs, unix_ms: 1_000, done }
    }

    fn step(&mut self) {
        match self.dice.below(16) {
            0..=4 => self.measure(),
            5..=9 => self.act(),
            10 => {
                let passed = self.dice.below(4_000);
                self.unix_ms += passed as i64;
                self.bench.now_ms += passed;
                self.bench.handle(Event::Time { unix_ms: self.unix_ms });
            }
            11..=13 => self.commit(),
            14 => self.fail(),
            _ if self.dice.below(4) == 0 => self.start_anew(),
            _ => self.commit(),
        }
        self.take_answers();
    }

    fn measure(&mut self) {
        let at = self.dice.below(2) as usize;
        let board = origin(BOARDS[at], 1);
        let value = if self.dice.below(2) == 0 { 99.0 } else { 0.0 };
        let readings = vec![OriginReadings { origin: board, readings: vec![reading(self.seqs[at], value)] }];
        self.seqs[at] += 1;
        self.bench.send(Lane::Live, encode(vec![described(board)], readings));
    }

    fn act(&mut self) {
        let key = key(BOARDS[self.dice.below(2) as usize]);
        let committed = self.store.look().unwrap().known_alarm(&key).unwrap();
        let seen = committed.as_ref().and_then(|known| known.lifecycle.latest);
        let nothing = Seen { occurrence: EventId(1), transition: EventId(1) };
        let until_unix_ms = self.unix_ms + self.dice.below(6_000) as i64;
        let action = match self.dice.below(9) {
            0 | 1 => Action::Acknowledge(seen.unwrap_or(nothing)),
            2 => Action::Shelve { until_unix_ms },
            3 => Action::Unshelve,
            4 => Action::Suppress,
            5 => Action::Unsuppress,
            6 => Action::OutOfService,
            7 => Action::InService,
            _ => Action::Comment,
        };
        let order = AlarmOrder {
            key,
            action,
            operator: "eva".to_owned(),
            comment: String::new(),
            expected: None,
            committed: committed.map(Box::new),
            unix_ms: self.unix_ms,
        };
        self.bench.handle(Event::AlarmAction { ticket: 0, order: Box::new(order) });
    }

    fn commit(&mut self) {
        let Some(number) = self.bench.held.take() else { return };
        let batch = self.bench.batches.last().filter(|batch| batch.number == number).expect("its batch");
        let used_bytes = self.store.commit(batch).unwrap().used_bytes;
        self.bench.handle(Event::Committed { batch: number, used_bytes });
        self.check();
    }

    fn fail(&mut self) {
        let Some(batch) = self.bench.held.take() else { return };
        self.bench.handle(Event::CommitFailed { batch });
        let snapshot = Box::new(self.store.snapshot().unwrap());
        self.bench.handle(Event::Reloaded { snapshot, incarnation: self.dice.below(u64::MAX) });
        self.bench.now_ms += 60_000;
        self.unix_ms += 60_000;
        self.bench.handle(Event::Wakeup);
    }

    fn start_anew(&mut self) {
        self.bench = Bench::new(self.store.snapshot().unwrap());
        self.bench.hold_commits = true;
        self.bench.handle(Event::Time { unix_ms: self.unix_ms });
    }

    fn check(&self) {
        let look = self.store.look().unwrap();
        let events: Vec<AlarmEvent> =
            look.events_after(0, usize::MAX).unwrap().into_iter().map(|(_, event)| event).collect();
        let mut sums: BTreeMap<AlarmKey, Lifecycle> = BTreeMap::new();
        for event in events.iter().filter(|event| !event.late) {
            let sum = sums.entry(AlarmKey::of(event)).or_default();
            add(sum, event);
            assert_eq!(event.lifecycle.as_ref(), Some(&*sum), "after {:?}", event.transition);
            assert_eq!((event.suppressed, event.state), (sum.is_suppressed(), Some(sum.state())));
        }
        let stored: BTreeMap<_, _> =
            look.alarms().unwrap().into_iter().map(|(key, record)| (key, record.lifecycle)).collect();
        assert_eq!(stored, sums);
        let mut log = Vec::new();
        look.alarm_log(None, |number, entry| {
            log.push((number, entry.event));
            true
        })
        .unwrap();
        log.reverse();
        let deeds = events.iter().filter(|event| event.operator.is_some()).map(|event| event.id);
        assert_eq!(log, (0..).zip(deeds).collect::<Vec<_>>(), "each deed is a line of the log");
    }

    /// What was answered is stored, and nothing that an operator did is stored without having been answered, but what a start
    /// anew left unanswered.
    fn end(mut self) -> usize {
        while self.bench.held.is_some() {
            self.commit();
            self.take_answers();
        }
        self.check_counts();
        let events = self.store.look().unwrap().events_after(0, usize::MAX).unwrap();
        let by_eva =
            events.iter().filter(|(_, event)| event.operator.as_ref().is_some_and(|o| o.by == "eva"));
        let by_eva: BTreeSet<EventId> = by_eva.map(|(_, event)| event.id).collect();
        assert_eq!(by_eva, self.done);
        by_eva.len()
    }

    /// What the core counts for the metrics page is what is stored.
    fn check_counts(&self) {
        let (mut active, mut unacknowledged) = ([0; 4], [0; 4]);
        for (_, record) in self.store.look().unwrap().alarms().unwrap() {
            let Some(told) = record.raised.as_ref().or(record.done.as_ref()) else { continue };
            let place = Priority::ALL.iter().position(|known| *known == told.priority).unwrap();
            active[place] += u64::from(record.lifecycle.active);
            unacknowledged[place] += u64::from(!record.lifecycle.acknowledged);
        }
        let counters = self.bench.core.counters();
        assert_eq!((counters.alarms_active, counters.alarms_unacknowledged), (active, unacknowledged));
    }

    fn take_answers(&mut self) {
        for (_, done) in std::mem::take(&mut self.bench.alarms) {
            if let AlarmDone::Done(event) = done {
                assert!(self.done.insert(event.id), "answered twice");
            }
        }
    }
}

/// What an event makes of the axes, said another way than the core says it.
fn add(sum: &mut Lifecycle, event: &AlarmEvent) {
    match event.transition {
        TransitionKind::Raise => {
            (sum.active, sum.acknowledged) = (true, false);
            sum.latest = Some(Seen { occurrence: event.id, transition: event.id });
        }
        TransitionKind::Clear => {
            sum.active = false;
            sum.acknowledged |=
                sum.shelved_until_unix_ms.is_some() || sum.suppressed_by_design || sum.out_of_service;
            sum.latest = Some(Seen { occurrence: event.occurrence, transition: event.id });
        }
        TransitionKind::Acknowledge => sum.acknowledged = true,
        TransitionKind::Shelve => {
            sum.shelved_until_unix_ms = event.operator.as_ref().and_then(|operator| operator.until_unix_ms);
        }
        TransitionKind::Unshelve | TransitionKind::ShelfExpired => sum.shelved_until_unix_ms = None,
        TransitionKind::Suppress => sum.suppressed_by_design = true,
        TransitionKind::Unsuppress => sum.suppressed_by_design = false,
        TransitionKind::OutOfService => sum.out_of_service = true,
        TransitionKind::InService => sum.out_of_service = false,
        TransitionKind::Amend | TransitionKind::Reset | TransitionKind::Comment => {}
        TransitionKind::Disagree | TransitionKind::Agree => panic!("no gateway judges here"),
    }
}

#[test]
fn the_store_is_the_sum_of_its_events_whatever_happens() {
    let mut deeds = 0;
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        (0..STEPS).for_each(|_| world.step());
        deeds += world.end();
    }
    assert!(deeds > 100, "only {deeds} deeds were done");
}
