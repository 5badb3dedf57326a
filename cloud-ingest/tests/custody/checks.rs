//! What must hold, whatever happened.

use std::collections::{BTreeSet, HashSet};

use tidegate_alarms::{ReadingAt, State, TransitionKind};
use tidegate_ingest::core::batch::{Occurrence, OriginNo, OriginRecord};
use tidegate_protocol::{
    BootId, Origin, Reading, SeqRange, Value,
    ack::{Outcome, RejectReason},
    block::{Block, OriginReadings, Record},
};

use crate::{
    fleet::{description, encode, rules, site},
    world::World,
};

fn records(world: &World) -> Vec<(OriginNo, OriginRecord)> {
    world.store.look().and_then(|look| look.origins()).expect("a look")
}

fn number_of(world: &World, origin: Origin) -> OriginNo {
    let owners = world.store.look().and_then(|look| look.owners()).expect("a look");
    let found = owners.into_iter().find(|(_, owner)| owner.origin == origin);
    found.expect("the store knows the origin").0
}

/// Invariant 1, and that contents are those that were measured.
pub fn stored_exactly_once(world: &World) {
    for origin in &world.fleet.origins {
        let no = number_of(world, origin.origin);
        let stored = world.stored(no, SeqRange::new(0, u64::MAX));
        assert_eq!(stored, origin.readings, "{}", origin.origin);
    }
    // The journal's and the lake's accepted runs hold each seq once: the index cannot hide a second copy.
    let look = world.store.look().expect("a look");
    let mut seen = HashSet::new();
    let journal = look.journal(0, |_, head, _| {
        for accepted in head.accepted {
            for seq in accepted.range.start..accepted.range.end {
                assert!(seen.insert((accepted.origin, seq)), "seq {seq} twice in the journal");
            }
        }
        Ok(true)
    });
    journal.expect("it reads");
    let in_lake: u64 = look.lake_files().expect("it reads").iter().map(|(_, file)| file.rows).sum();
    let measured: usize = world.fleet.origins.iter().map(|origin| origin.readings.len()).sum();
    assert_eq!(seen.len() as u64 + in_lake, measured as u64);
}

pub fn ledger_is_complete(world: &World) {
    for (_, record) in records(world) {
        let measured = world.fleet.origins.iter().find(|origin| origin.origin == record.origin);
        let count = measured.expect("an origin of the fleet").readings.len() as u64;
        assert_eq!(record.ledger.stored().count(), count);
        assert_eq!(record.ledger.next(), count);
        assert_eq!(record.ledger.lost_count(), 0, "what arrived is not lost");
        assert!(record.ledger.outstanding().is_empty());
        assert!(record.conflicts.is_empty());
        assert_eq!(record.settled, count, "history is settled to the end");
    }
}

type Told = (String, String, u64, u64, Option<u64>, f64);

fn told(occurrence: &Occurrence) -> Told {
    (
        occurrence.channel.to_string(),
        occurrence.rule.to_string(),
        occurrence.onset.seq.0,
        occurrence.raised.seq.0,
        occurrence.cleared.map(|point| point.seq.0),
        occurrence.peak.value,
    )
}

/// Invariant 7: the same as reading by reading, in order, without anything going wrong.
pub fn history_is_that_of_order(world: &World) {
    let history = world.store.look().and_then(|look| look.history()).expect("a look");
    let mut any = false;
    for origin in &world.fleet.origins {
        let no = number_of(world, origin.origin);
        let mut kept: Vec<Told> =
            history.iter().filter(|(of, _)| *of == no).map(|(_, occurrence)| told(occurrence)).collect();
        let mut expected = in_order(origin.origin, &origin.readings);
        let order = |a: &Told, b: &Told| (&a.0, &a.1, a.3).cmp(&(&b.0, &b.1, b.3));
        kept.sort_by(order);
        expected.sort_by(order);
        any |= !expected.is_empty();
        assert_eq!(kept, expected, "{}", origin.origin);
    }
    assert!(any, "this seed raises no alarm at all");
}

fn in_order(origin: Origin, readings: &[Reading]) -> Vec<Told> {
    let mut history = Vec::new();
    for (index, channel) in description(origin).channels.iter().enumerate() {
        for rule in rules().matching(site(), origin.device, channel.name, &channel.unit, "").rules {
            let mut state = State::default();
            for reading in readings.iter().filter(|reading| usize::from(reading.channel.0) == index) {
                let transition = rule.step(&mut state, &ReadingAt::new(origin.boot, reading));
                let Some(transition) = transition.filter(|known| known.kind == TransitionKind::Clear) else {
                    continue;
                };
                let raised = transition.raised;
                let cleared = Some(transition.trigger.seq.0);
                let rule = rule.id().to_string();
                history.push((
                    channel.name.to_string(),
                    rule,
                    raised.onset.seq.0,
                    raised.at.seq.0,
                    cleared,
                    raised.peak.value,
                ));
            }
            if let Some(raised) = state.raised() {
                let rule = rule.id().to_string();
                history.push((
                    channel.name.to_string(),
                    rule,
                    raised.onset.seq.0,
                    raised.at.seq.0,
                    None,
                    raised.peak.value,
                ));
            }
        }
    }
    history
}

/// Every event has a cursor of its own and an id of its own, and what was told before its commit is among them or was
/// never committed.
pub fn events_are_told_once(world: &World) {
    let events = world.store.look().and_then(|look| look.events_after(0, usize::MAX)).expect("a look");
    let ids: BTreeSet<_> = events.iter().map(|(_, event)| event.id).collect();
    assert_eq!(ids.len(), events.len(), "an event is stored twice");
    assert!(events.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert!(events.iter().all(|(_, event)| !event.provisional));
    assert!(world.provisional.iter().all(|event| event.provisional && !event.late));
    assert!(!events.is_empty());
}

/// Rule b.
pub fn a_changed_copy_is_rejected(world: &mut World) {
    let origin = world.fleet.origins[0].origin;
    let mut readings = world.fleet.origins[0].readings[5..15].to_vec();
    readings[3].value = Value::F64(1e9);
    let changed = readings[3].seq.0;
    let from = world.fleet.gateways[0];
    let block = Block { records: Vec::new(), origins: vec![OriginReadings { origin, readings }] };
    let number = world.transmit(from, encode(&block));
    world.settle();
    let outcome = outcome_of(world, number);
    let Outcome::Rejected { reason: RejectReason::BootConflict, parts } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(parts.iter().any(|(of, range)| *of == origin && range.contains(changed)), "{parts:?}");
    let look = world.store.look().expect("a look");
    assert_eq!(look.quarantined().expect("it reads"), 1);
    drop(look);
    let record = records(world).remove(0).1;
    assert!(record.conflicts.contains(changed));
    assert_eq!(world.stored(OriginNo(0), SeqRange::new(0, u64::MAX)), world.fleet.origins[0].readings);
}

pub fn undescribed_parts_are_named_and_taken_later(world: &mut World) {
    let known = world.fleet.origins[0].clone();
    let unknown = OriginReadings {
        origin: Origin::new(known.origin.device, BootId(77)),
        readings: known.readings[..10].to_vec(),
    };
    let from = world.fleet.gateways[0];
    let both = Block {
        records: vec![Record::Described(description(known.origin))],
        origins: vec![known.clone(), unknown.clone()],
    };
    let number = world.transmit(from, encode(&both));
    world.settle();
    let parts = vec![(unknown.origin, SeqRange::new(0, 10))];
    assert_eq!(outcome_of(world, number), Outcome::Rejected { reason: RejectReason::Undescribed, parts });
    assert_eq!(world.stored(OriginNo(0), SeqRange::new(0, u64::MAX)).len(), known.readings.len());

    let described = Block {
        records: vec![Record::Described(description(unknown.origin))],
        origins: vec![unknown.clone()],
    };
    let number = world.transmit(from, encode(&described));
    world.settle();
    assert_eq!(outcome_of(world, number), Outcome::Durable);
    let no = number_of(world, unknown.origin);
    assert_eq!(world.stored(no, SeqRange::new(0, u64::MAX)), unknown.readings);
}

/// Invariant 6.
pub fn damaged_blocks_are_quarantined(world: &mut World) {
    let from = world.fleet.gateways[0];
    let mut damaged = world.fleet.blocks[0].1.clone();
    if let Some(last) = damaged.last_mut() {
        *last ^= 0x55;
    }
    let number = world.transmit(from, damaged);
    world.settle();
    let expected = Outcome::Rejected { reason: RejectReason::Corrupt, parts: Vec::new() };
    assert_eq!(outcome_of(world, number), expected);
    assert_eq!(world.store.look().and_then(|look| look.quarantined()).expect("it reads"), 1);
    // What follows is taken as ever.
    world.run_without_faults();
    stored_exactly_once(world);
}

fn outcome_of(world: &World, number: u64) -> Outcome {
    let mut outcomes = world.acks.iter().flat_map(|(_, ack)| &ack.outcomes);
    let found = outcomes.rfind(|outcome| outcome.number == number);
    found.expect("the block was answered").outcome.clone()
}

/// Rule h: what is sealed keeps its readings and its counts, and whoever brings it again is told so.
pub fn what_is_sealed_is_refused_and_kept(world: &mut World) {
    let sealed = world.store.look().and_then(|look| look.sealed()).expect("a look");
    let [(no, record)] = sealed.as_slice() else { panic!("one boot has been superseded: {sealed:?}") };
    let measured = world.fleet.origins.iter().find(|origin| origin.origin == record.origin);
    let count = measured.expect("an origin of the fleet").readings.len() as u64;
    assert_eq!((record.next, record.stored, record.lost.len()), (count, count, 0));
    assert!(records(world).iter().all(|(open, _)| open != no), "it has no row beside");
    for (gateway, bytes) in world.fleet.blocks.clone() {
        let directory = tidegate_protocol::block::Decoder::directory(&bytes).expect("a block");
        let concerned = directory.iter().any(|entry| entry.origin == record.origin);
        let number = world.transmit(world.fleet.gateways[gateway], bytes);
        world.settle();
        let refused = match outcome_of(world, number) {
            Outcome::Durable => false,
            Outcome::Rejected { reason: RejectReason::Sealed, parts } => {
                assert!(parts.iter().all(|(origin, _)| *origin == record.origin), "{parts:?}");
                true
            }
            other => panic!("{other:?}"),
        };
        assert!(refused || !concerned, "readings of a sealed origin were acknowledged");
    }
    let after = world.store.look().and_then(|look| look.sealed()).expect("a look");
    assert!(after[0].1.refused > 0, "they are counted");
    assert_eq!(after[0].1.digest, record.digest);
}
