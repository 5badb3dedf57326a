//! Seeded: whatever fails, and whenever the process is killed, nothing is lost and nothing overtakes.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    quiet::{hours, nights},
    *,
};
use crate::delivery::quiet_hours::quiet_until;

const SEEDS: u64 = 300;
const STEPS: usize = 300;
const DEVICES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// The alarm of this one has a rule with quiet hours at some times, and is never critical.
const QUIET: &str = "e";

/// A world, what is on its way in it, and what was ever seen.
struct Trial {
    world: World,
    rng: ChaCha8Rng,
    next_cursor: u64,
    flying: BTreeMap<u64, Message>,
    digests: BTreeMap<u64, Vec<u64>>,
    done: BTreeSet<u64>,
    quiet: [Arc<Nights>; 2],
}

impl Trial {
    fn new(seed: u64) -> Self {
        let policy = match seed % 3 {
            0 => Policy::default(),
            1 => digests(),
            _ => nights(),
        };
        Self {
            world: World::new(policy),
            rng: ChaCha8Rng::seed_from_u64(seed),
            next_cursor: 1,
            flying: BTreeMap::new(),
            digests: BTreeMap::new(),
            done: BTreeSet::new(),
            quiet: [("13:00", "14:30"), ("14:00", "16:00")].map(|(from, to)| Arc::new(hours(from, to))),
        }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..10) {
            0..=2 => self.queue(),
            3..=6 => self.answer(),
            7 | 8 => {
                let ms = self.rng.random_range(0..20 * MINUTE);
                self.world.pass(ms);
            }
            _ => {
                self.flying.clear();
                self.world.restart();
            }
        }
        self.look();
    }

    fn queue(&mut self) {
        let over = self.rng.random_bool(0.3);
        for _ in 0..self.rng.random_range(1..6) {
            let cursor = self.next_cursor;
            self.next_cursor += 1;
            let device = DEVICES[self.rng.random_range(0..DEVICES.len())];
            let priority = Priority::ALL[self.rng.random_range(0..4)];
            let is_quiet = device == QUIET;
            let priority = if is_quiet { priority.min(Priority::High) } else { priority };
            let quiet = self.quiet.get(self.rng.random_range(0..3)).filter(|_| is_quiet).cloned();
            let event = with_priority(priority, device, 2 * cursor);
            self.world.queue_of_rule([(cursor, event)], over, quiet.as_ref());
        }
    }

    fn answer(&mut self) {
        let Some(first) = self.flying.keys().nth(self.rng.random_range(0..MAX_SENDING)).copied() else {
            return;
        };
        let message = self.flying.remove(&first).expect("it flies");
        match self.rng.random_range(0..10) {
            0..=2 => self.world.fails(first),
            3 => {
                self.done.extend(message.cursors);
                self.world.failed(first, FailureKind::Permanent);
            }
            _ => {
                self.done.extend(message.cursors);
                self.world.delivered(first);
            }
        }
    }

    /// What was sent since the last look.
    fn look(&mut self) {
        for message in std::mem::take(&mut self.world.sent) {
            if message.digest.is_some() {
                let known = self.digests.entry(message.first).or_insert_with(|| message.cursors.clone());
                assert_eq!(*known, message.cursors, "a digest is another message now");
                assert!(message.cursors.len() > 1);
            }
            for cursor in &message.cursors {
                assert!(!self.done.contains(cursor), "{cursor} was done");
                let alarm = &self.world.outbox[cursor].alarm;
                let overtaken = self.world.outbox.range(..cursor).find(|(earlier, queued)| {
                    queued.alarm == *alarm
                        && queued.row.state == RowState::Waiting
                        && !message.cursors.contains(earlier)
                });
                assert!(overtaken.is_none(), "{cursor} overtakes {overtaken:?}");
                self.is_not_in_its_quiet_hours(*cursor);
            }
            assert!(self.flying.insert(message.first, message).is_none(), "it is on its way already");
        }
        assert!(self.flying.len() <= MAX_SENDING);
    }

    /// What failed is tried again whenever its time comes.
    fn is_not_in_its_quiet_hours(&self, cursor: u64) {
        let queued = &self.world.outbox[&cursor];
        let hours = queued.quiet_hours.as_deref();
        if let Some(until) = quiet_until([None, hours], queued.row.queued_unix_ms)
            && queued.row.attempts == 0
        {
            assert!(self.world.now >= until, "{cursor} is sent at {}, before {until}", self.world.now);
        }
    }

    /// Lets everything arrive.
    fn finish(&mut self) {
        for _ in 0..100_000 {
            self.look();
            match self.flying.pop_first() {
                Some((first, message)) => {
                    self.done.extend(message.cursors);
                    self.world.delivered(first);
                }
                None => match self.world.lane.next_wakeup() {
                    Some(at) => {
                        let ms = (at - self.world.now).max(0);
                        self.world.pass(ms);
                    }
                    None => break,
                },
            }
        }
        assert!(self.world.lane.is_empty() && self.world.lane.next_wakeup().is_none());
        let waits = self.world.outbox.values().any(|queued| queued.row.state == RowState::Waiting);
        assert!(!waits, "something never left");
        assert_eq!(self.done.len() as u64, self.next_cursor - 1, "every event was delivered or parked");
    }
}

#[test]
fn whatever_fails_every_event_is_delivered_or_parked_in_the_order_of_its_alarm() {
    for seed in 0..SEEDS {
        let run = std::panic::catch_unwind(|| {
            let mut trial = Trial::new(seed);
            (0..STEPS).for_each(|_| trial.step());
            trial.finish();
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}
