//! The ingest's lake thread: rolls in their three steps, with the world going on in between, and rule j after each.

use tidegate_ingest::{
    core::Event,
    lake::{Gathered, RollSettings, Rolled, Roller},
    readings::ReadError,
    store::keys::Intent,
};

use super::{
    coverage::Fault,
    dice::Dice,
    journal::Rolling,
    world::{Happening, World},
};

/// How an ingest's journal goes to the lake.
#[derive(Clone, Copy, Debug)]
pub struct LakePlan {
    pub settings: RollSettings,
    /// Between two looks whether a roll is due.
    pub turn_us: u64,
    /// What a step takes.
    pub step_us: u64,
    /// That a transaction or a file fails.
    pub failure: f64,
    /// That the ingest is killed after a step.
    pub kill: f64,
}

impl LakePlan {
    pub fn draw(dice: &mut Dice, gentle: bool) -> Self {
        let mut up_to = |most: f64| if gentle { 0.0 } else { most * dice.between(0, 100) as f64 / 100.0 };
        let (failure, kill) = (up_to(0.2), up_to(0.06));
        Self {
            settings: RollSettings {
                interval_ms: dice.magnitude(100, 5_000),
                bytes: dice.magnitude(1_000, 1 << 20),
            },
            turn_us: dice.magnitude(50, 1_000) * 1_000,
            step_us: dice.magnitude(1, 300) * 1_000,
            failure,
            kill,
        }
    }
}

/// What the thread does next.
#[derive(Debug)]
pub enum Step {
    SetOut,
    WriteOut(Intent),
    Register(Gathered),
}

/// What a step came to.
enum Done {
    NotDue,
    Next(Step),
    Rolled(Rolled),
}

impl World {
    /// The thread starts with the ingest. Temporary files are not there to begin with.
    pub fn lake_starts(&mut self) {
        let Some(lake) = self.plan.lake else { return };
        let life = self.cloud.life;
        self.plan_in(lake.turn_us, Happening::LakeStep { life, step: Step::SetOut });
        self.check_lake();
    }

    pub fn lake_step(&mut self, life: u64, step: Step) {
        let Some(lake) = self.plan.lake else { return };
        if self.cloud.life != life || self.cloud.core.is_none() {
            return;
        }
        let now_unix_ms = self.ingest_unix_ms();
        let trouble = if self.calm { 0.0 } else { 1.0 };
        let begun = self.cloud.store.holdings.intent.is_some() && matches!(step, Step::SetOut);
        self.coverage.add(Fault::RollDoneAgain, u64::from(begun));
        let cloud = &mut self.cloud;
        let rolling = Rolling::new(&mut cloud.store, &mut cloud.lake_dice, lake.failure * trouble);
        let done = carry_out(&Roller::new(&rolling, &rolling, lake.settings), now_unix_ms, step);
        rolling.into_faults().into_iter().for_each(|fault| self.coverage.count(fault));
        if !matches!(done, Ok(Done::NotDue)) {
            // Readings change their place with the last step alone.
            if matches!(done, Ok(Done::Next(_))) {
                self.check_strays()
            } else {
                self.check_lake()
            }
            if self.cloud.lake_dice.chance(lake.kill * trouble) {
                return self.kill_ingest();
            }
        }
        let pause = match &done {
            Ok(Done::Rolled(rolled)) if rolled.damaged.is_empty() => 0,
            Ok(Done::Next(_)) => self.cloud.lake_dice.between(lake.step_us / 2, lake.step_us * 2),
            _ => lake.turn_us,
        };
        let next = match done {
            Ok(Done::Next(next)) => next,
            Ok(Done::NotDue) => Step::SetOut,
            Ok(Done::Rolled(rolled)) => {
                self.rolled(rolled);
                Step::SetOut
            }
            Err(error) => {
                self.note(36, 0, || format!("the journal cannot be rolled to the lake: {error}"));
                Step::SetOut
            }
        };
        self.plan_in(pause, Happening::LakeStep { life, step: next });
    }

    fn rolled(&mut self, rolled: Rolled) {
        let Rolled { file, used_bytes, damaged } = rolled;
        let given_up = damaged.is_empty() && self.cloud.store.holdings.intent.is_some();
        self.coverage.add(Fault::EntryGoneInRoll, u64::from(given_up));
        if let Some(file) = file {
            self.coverage.count(Fault::JournalRolled);
            self.note(37, file.from, || format!("{} rows go to the lake as {}", file.rows, file.path));
            self.check_rows(&file.path);
        }
        for damaged in damaged {
            self.note(38, damaged.position, || format!("a roll meets damage: {damaged:?}"));
            self.ingest_event(Event::Damaged(damaged));
        }
        let used_bytes = used_bytes + self.cloud.occupied_bytes;
        self.ingest_event(Event::Trimmed { used_bytes });
    }

    /// Rule j: each stored reading is in one registered file or in one journal entry, and the index finds it there.
    pub fn check_lake(&mut self) {
        let store = &self.cloud.store;
        let origin_of = |no| store.origins.get(&no).map(|record| record.origin);
        let words = match store.holdings.counted(origin_of) {
            Err(words) => words,
            Ok(counted) => {
                let stored = store.accepted.iter().filter(|(_, ranges)| !ranges.is_empty());
                let other = stored.clone().find(|(origin, ranges)| counted.get(origin) != Some(ranges));
                match other {
                    Some((origin, ranges)) => {
                        let there = counted.get(origin).map(|ranges| ranges.ranges());
                        format!("{origin} {:?} was stored, {there:?} is there", ranges.ranges())
                    }
                    None if stored.count() < counted.len() => "more is there than was stored".to_owned(),
                    None => return self.check_strays(),
                }
            }
        };
        self.violate("in-one-place", words);
    }

    /// Other programs read every file that has its final name.
    fn check_strays(&mut self) {
        if let Some(name) = self.cloud.store.holdings.stray_file() {
            let words = format!("the lake has {name}, which is neither registered nor under way");
            self.violate("no-stray-file", words);
        }
    }

    fn check_rows(&mut self, path: &str) {
        let Some(file) = self.cloud.store.holdings.shelf.get(path) else { return };
        let other = file.all().find(|(origin, reading)| {
            !self.truth.get(*origin).is_some_and(|truth| truth.was_measured(reading))
        });
        if let Some((origin, reading)) = other {
            let words = format!("{path} has {origin} {reading:?}, which never was");
            self.violate("stored-as-measured", words);
        }
    }
}

fn carry_out(
    roller: &Roller<&Rolling<'_>, &Rolling<'_>>,
    now_unix_ms: i64,
    step: Step,
) -> Result<Done, ReadError> {
    Ok(match step {
        Step::SetOut => match roller.set_out(now_unix_ms)? {
            Some(intent) => Done::Next(Step::WriteOut(intent)),
            None => Done::NotDue,
        },
        Step::WriteOut(intent) => Done::Next(Step::Register(roller.write_out(intent)?)),
        Step::Register(gathered) => Done::Rolled(roller.register(gathered)?),
    })
}
