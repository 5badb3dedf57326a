//! A snapshot that is read while events are committed, over a real store.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegate_alarms::{AlarmEvent, EventId, Lifecycle, TransitionKind, lifecycle::Seen};

use super::snapshot::{changed, standing};
use crate::{
    core::{batch::Batch, lifecycle::AlarmKey},
    delivery::core::test_support::{cleared, event},
    events::{AlarmView, Cursor},
    store::{LmdbStore, Look, Store},
};

const SEEDS: u64 = 60;
const DEVICES: u64 = 40;
const PAGE: usize = 3;

/// A raise, a clear, or what was done; not late, unless it is said.
fn made(rng: &mut ChaCha8Rng, number: u64) -> AlarmEvent {
    let device = format!("d{}", rng.random_range(0..DEVICES));
    let active = rng.random_bool(0.6);
    let told =
        if active { event("plant", &device, 2 * number) } else { cleared("plant", &device, 2 * number) };
    let latest = Some(Seen { occurrence: told.occurrence, transition: told.id });
    let life = Lifecycle { active, acknowledged: rng.random_bool(0.5), latest, ..Lifecycle::default() };
    let done = rng.random_bool(0.3);
    AlarmEvent {
        id: EventId(u128::from(number) + 1),
        transition: if done { TransitionKind::Acknowledge } else { told.transition },
        late: rng.random_bool(0.1),
        state: Some(life.state()),
        lifecycle: Some(life),
        ..told
    }
}

fn commit(store: &LmdbStore, rng: &mut ChaCha8Rng, number: &mut u64, count: u64) {
    let events = (0..count).map(|_| {
        *number += 1;
        made(rng, *number)
    });
    let events = events.collect();
    store.commit(&Batch { events, ..Batch::default() }).unwrap();
}

type Known = BTreeMap<String, AlarmView>;

fn take(known: &mut Known, alarms: Vec<AlarmView>) {
    for alarm in alarms {
        if alarm.lifecycle.is_plain() {
            known.remove(alarm.device.as_str());
        } else {
            known.insert(alarm.device.to_string(), alarm);
        }
    }
}

fn stands(look: &Look<'_>) -> Known {
    let mut known = Known::new();
    take(&mut known, standing(look, None, 1_000).unwrap().alarms);
    known
}

#[test]
fn whatever_is_committed_meanwhile_a_snapshot_is_all_that_stands_as_of_its_cursor() {
    for seed in 0..SEEDS {
        let folder = tempfile::tempdir().unwrap();
        let store = LmdbStore::open(folder.path(), 16 << 20).unwrap();
        let (mut rng, mut number) = (ChaCha8Rng::seed_from_u64(seed), 0);
        commit(&store, &mut rng, &mut number, 80);
        let (mut known, mut after, mut since): (Known, Option<AlarmKey>, Option<Cursor>) = Default::default();
        loop {
            let page = standing(&store.look().unwrap(), after.as_ref(), PAGE).unwrap();
            assert!(page.alarms.len() <= PAGE && page.alarms.iter().all(|alarm| !alarm.lifecycle.is_plain()));
            take(&mut known, page.alarms);
            since.get_or_insert(page.cursor);
            if rng.random_bool(0.3) {
                commit(&store, &mut rng, &mut number, 2);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let mut since = since.unwrap();
        let mut busy = 4;
        loop {
            let page = changed(&store.look().unwrap(), since, PAGE).unwrap();
            assert!(page.alarms.len() <= PAGE, "seed {seed}");
            since = page.cursor;
            take(&mut known, page.alarms);
            if page.is_complete {
                break;
            }
            if busy > 0 {
                busy -= 1;
                commit(&store, &mut rng, &mut number, 2);
            }
        }
        let look = store.look().unwrap();
        assert_eq!(since, look.last_cursor().unwrap(), "seed {seed}");
        assert_eq!(known, stands(&look), "seed {seed}");
        assert!(!known.is_empty());
    }
}
