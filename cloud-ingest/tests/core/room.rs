//! How many origins there may be, of one gateway and in all: at either bound everything else goes on.

use tidegate_alarms::{AlarmEvent, AlarmKind, TransitionKind};
use tidegate_ingest::{
    core::{Event, Snapshot, room::OriginBounds},
    store::{LmdbStore, Store},
};
use tidegate_protocol::{
    LossReason, LossRecord, Origin, SeqRange, ValueKind,
    ack::{Outcome, RejectReason},
    block::{OriginReadings, Record, Tail},
    topic::Lane,
};

use crate::support::{Bench, channel, described, description, encode, errors_of, origin, reading, readings};

const START_MS: i64 = 1_800_000_000_000;
const QUIET_MS: u64 = 3_600_000;

fn bench(of_gateway: usize, in_all: usize) -> Bench {
    bounded(Bench::new(Snapshot::default()), of_gateway, in_all)
}

fn bounded(mut bench: Bench, of_gateway: usize, in_all: usize) -> Bench {
    bench.core = bench.core.with_bounds(OriginBounds { of_gateway, in_all });
    bench.unix_ms = START_MS;
    bench.handle(Event::Time { unix_ms: START_MS });
    bench
}

fn boot(number: u64) -> Origin {
    origin("board", number)
}

/// A block that describes these boots, with a reading of each.
fn speaks_of(boots: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let boots: Vec<Origin> = boots.into_iter().map(boot).collect();
    encode(
        boots.iter().copied().map(described).collect(),
        boots.iter().map(|boot| readings(*boot, [0])).collect(),
    )
}

fn lost(origin: Origin) -> Record {
    Record::Loss(LossRecord { origin, range: SeqRange::new(0, 5), reason: LossReason::Evicted })
}

fn durable(bench: &Bench, number: u64) -> bool {
    bench.outcome(number) == Some(Outcome::Durable)
}

/// What was told of the system, in order.
fn told(bench: &Bench) -> Vec<&AlarmEvent> {
    let events = bench.batches.iter().flat_map(|batch| &batch.events);
    events.filter(|event| event.kind == AlarmKind::System).collect()
}

fn place(event: &AlarmEvent) -> String {
    format!("{} {}/{}/{}", event.rule, event.site, event.device, event.channel)
}

#[test]
fn a_gateway_at_its_bound_holds_up_its_own_new_boots_and_nothing_else() {
    let mut bench = bench(3, 100);
    let first = bench.send(Lane::Live, speaks_of(0..3));
    assert!(durable(&bench, first), "as many as it may");
    let kept = bench.batches.len();

    let more = bench.send(Lane::Live, speaks_of(3..4));
    let urgent = bench.send(Lane::Alarm, speaks_of(4..5));
    let loss = bench.send(Lane::Backlog, encode(vec![lost(boot(6))], Vec::new()));
    for number in [more, urgent, loss] {
        assert_eq!(bench.outcome(number), None, "it stays with its gateway");
    }
    assert_eq!(bench.core.counters().blocks_refused_origins, 3);
    let written = bench.batches[kept..].iter();
    assert!(written.clone().all(|batch| batch.entries.is_empty() && batch.origins.is_empty()));

    // What it has goes on, records too; and what is not described is asked for.
    let known = encode(vec![described(boot(0)), lost(boot(1))], vec![readings(boot(0), [1])]);
    let known = bench.send(Lane::Live, known);
    assert!(durable(&bench, known));
    let unknown = bench.send(Lane::Live, encode(Vec::new(), vec![readings(boot(7), [0])]));
    let undescribed =
        matches!(bench.outcome(unknown), Some(Outcome::Rejected { reason: RejectReason::Undescribed, .. }));
    assert!(undescribed, "{:?}", bench.outcome(unknown));
    let doubled = vec![channel("x", ValueKind::F64, 0), channel("x", ValueKind::F64, 0)];
    let none = Record::Described(description(boot(8), doubled));
    let none = bench.send(Lane::Live, encode(vec![none], vec![readings(boot(0), [2])]));
    assert!(durable(&bench, none), "what describes nothing takes no room");
    // And so do all others, their alarms too.
    let others = bench.send_from("gw-b", Lane::Live, speaks_of(10..13));
    assert!(durable(&bench, others));
    let hot = OriginReadings { origin: boot(10), readings: vec![reading(1, 99.0)] };
    let of_device = origin("other", 1);
    let hot_too = OriginReadings { origin: of_device, readings: vec![reading(0, 99.0)] };
    let hot = bench.send_from("gw-b", Lane::Live, encode(Vec::new(), vec![hot]));
    assert!(durable(&bench, hot));
    let before = bench.provisional;
    let third = bench.send_from("gw-c", Lane::Alarm, encode(vec![described(of_device)], vec![hot_too]));
    assert!(durable(&bench, third));
    assert_eq!(bench.provisional, before + 1, "an alarm was told");
}

/// Agents put many boards into a block: what a gateway has goes on beside what it may not have.
#[test]
fn what_is_known_in_a_block_is_taken_though_it_gets_no_answer() {
    let mut bench = bench(2, 100);
    bench.send(Lane::Live, speaks_of(0..2));
    let before = bench.provisional;
    let hot = OriginReadings { origin: boot(1), readings: vec![reading(1, 99.0)] };
    let records = vec![described(boot(2)), lost(boot(2)), Record::Measured { origin: boot(0), next: 7 }];
    let mixed = encode(records, vec![hot, readings(boot(2), [0])]);
    for _ in 0..3 {
        let number = bench.send(Lane::Live, mixed.clone());
        assert_eq!(bench.outcome(number), None, "the new one stays with its gateway");
    }
    assert!(bench.verify.is_empty(), "nothing is compared that is not to be answered");
    assert_eq!(bench.provisional, before + 2, "its alarm, and that there are too many");
    let counters = bench.core.counters();
    assert_eq!((counters.readings_stored, counters.origins_open), (3, 2));
    let entries: Vec<_> = bench.batches.iter().flat_map(|batch| &batch.entries).collect();
    assert_eq!(entries.len(), 2, "once");
    let snapshot = bench.snapshot();
    let next: Vec<_> = snapshot.origins.iter().map(|(_, record, _)| record.ledger.next()).collect();
    assert_eq!(next, [7, 2]);
}

#[test]
fn boots_count_for_who_spoke_of_them_first() {
    let mut bench = bench(3, 100);
    bench.send(Lane::Live, speaks_of(0..3));
    // Boards move: what is known costs nobody anything.
    for of_all in [0..3, 0..3] {
        let moved = encode(Vec::new(), of_all.map(|at| readings(boot(at), [7 + at])).collect());
        bench.send_from("gw-b", Lane::Live, moved);
    }
    let own = bench.send_from("gw-b", Lane::Live, speaks_of(10..13));
    assert!(durable(&bench, own), "all of its room was left");
    let further = bench.send_from("gw-b", Lane::Live, speaks_of(13..14));
    assert_eq!(bench.outcome(further), None);
    assert_eq!(bench.core.counters().origins_open, 6);
}

#[test]
fn a_boot_is_new_once_however_often_a_block_speaks_of_it() {
    let mut bench = bench(2, 100);
    let records = vec![described(boot(0)), lost(boot(0)), described(boot(1)), lost(boot(1))];
    let number = bench.send(Lane::Live, encode(records, vec![readings(boot(0), [5])]));
    assert!(durable(&bench, number));
    let number = bench.send(Lane::Live, speaks_of(2..3));
    assert_eq!(bench.outcome(number), None);
}

#[test]
fn it_is_told_once_and_ends_when_there_was_room_for_an_hour() {
    let too_many = || {
        let mut bench = bench(3, 100);
        bench.send(Lane::Live, speaks_of(0..3));
        for number in 0..50 {
            bench.send(Lane::Live, speaks_of([100 + number]));
        }
        bench
    };
    assert_eq!(errors_of(|| drop(too_many())), 1);
    let mut bench = too_many();
    let events = told(&bench);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(place(events[0]), "too-many-origins plant/gw-a/identity");
    for named in ["gateway gw-a", "3 boots", "1 more", "journal.max_origins_per_gateway"] {
        assert!(events[0].message.contains(named), "{}", events[0].message);
    }
    bench.now_ms += QUIET_MS;
    bench.handle(Event::Wakeup);
    let events = told(&bench);
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].transition, TransitionKind::Clear);
}

#[test]
fn where_there_is_no_room_for_anybody_known_boots_are_served() {
    let mut bench = bench(3, 4);
    bench.send(Lane::Live, speaks_of(0..3));
    let two = bench.send_from("gw-b", Lane::Live, speaks_of(10..12));
    assert_eq!(bench.outcome(two), None, "one too many");
    let one = bench.send_from("gw-b", Lane::Live, speaks_of(10..11));
    assert!(durable(&bench, one), "the last place");
    let none = bench.send_from("gw-c", Lane::Alarm, speaks_of(20..21));
    assert_eq!(bench.outcome(none), None);
    for (from, at) in [("gw-a", 0), ("gw-b", 10), ("gw-c", 1)] {
        let known = encode(vec![described(boot(at))], vec![readings(boot(at), 1..5)]);
        let known = bench.send_from(from, Lane::Live, known);
        assert!(durable(&bench, known), "{from}");
    }
    let events = told(&bench);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(place(events[0]), "too-many-origins cloud/ingest/identity");
    assert!(events[0].message.contains("3 boots are not sealed"), "{}", events[0].message);
}

#[test]
fn who_has_how_many_survives_a_restart_with_readings_or_without() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = LmdbStore::open(folder.path(), 1 << 24).expect("a store");
    let mut first = bench(3, 100);
    first.send(Lane::Live, speaks_of(0..1));
    first.send(Lane::Live, encode(vec![described(boot(1)), lost(boot(2))], Vec::new()));
    first.send_from("gw-b", Lane::Live, encode(Vec::new(), vec![readings(boot(1), [0])]));
    for batch in &first.batches {
        store.commit(batch).expect("it commits");
    }
    let mut again = bounded(Bench::new(store.snapshot().expect("a snapshot")), 3, 100);
    assert_eq!(again.core.counters().origins_open, 3);
    let further = again.send(Lane::Live, speaks_of(3..4));
    assert_eq!(again.outcome(further), None, "its room is taken");
    let other = again.send_from("gw-b", Lane::Live, speaks_of(10..13));
    assert!(durable(&again, other), "the other's is not");
}

#[test]
fn what_a_failed_commit_took_back_takes_no_room() {
    let mut bench = bench(3, 100);
    bench.hold_commits = true;
    bench.send(Lane::Live, speaks_of(0..3));
    let batch = bench.held.take().expect("it is being written");
    bench.handle(Event::CommitFailed { batch });
    bench.hold_commits = false;
    bench.handle(Event::Reloaded { snapshot: Box::default(), incarnation: 2 });
    bench.now_ms += 1_000;
    bench.handle(Event::Wakeup);
    let number = bench.send(Lane::Live, speaks_of(10..13));
    assert!(durable(&bench, number));
}

#[test]
fn what_is_sealed_gives_its_room_back() {
    let mut bench = bench(2, 2);
    let ended = Record::Closed { origin: boot(0), tail: Tail::Known(1) };
    bench.send(Lane::Live, encode(vec![described(boot(0)), ended], vec![readings(boot(0), [0])]));
    // Another gateway's word makes the room no other's.
    bench.send_from("gw-b", Lane::Live, encode(vec![described(boot(0))], Vec::new()));
    let second = bench.send(Lane::Live, speaks_of(1..2));
    assert!(durable(&bench, second));
    let third = bench.send(Lane::Live, speaks_of(2..3));
    assert_eq!(bench.outcome(third), None);
    bench.handle(Event::Seal { before_unix_ms: START_MS + 1 });
    assert_eq!(bench.core.counters().origins_sealed, 1);
    let third = bench.send(Lane::Live, speaks_of(2..3));
    assert!(durable(&bench, third), "a place came free");
    let fourth = bench.send(Lane::Live, speaks_of(3..4));
    assert_eq!(bench.outcome(fourth), None, "one");
    let sealed = bench.send(Lane::Backlog, encode(vec![lost(boot(0))], vec![readings(boot(1), [1])]));
    let refused =
        matches!(bench.outcome(sealed), Some(Outcome::Rejected { reason: RejectReason::Sealed, .. }));
    assert!(refused, "what is sealed is not new: {:?}", bench.outcome(sealed));
}
