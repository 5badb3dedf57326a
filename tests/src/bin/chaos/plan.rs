//! What is done to the chain, and when: drawn from a seed before anything starts, so that a seed names its choices. How
//! far the programs have come when a fault meets them is left to the machine.

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

pub const AGENTS: usize = 2;
pub const BOARDS: usize = 4;
/// Beside the kills, a fault begins about this often.
const OTHER_FAULT_EVERY_MS: u64 = 1_200;
/// The flow has begun before the first fault.
const QUIET_START_MS: u64 = 1_500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Program {
    Agent(usize),
    Broker,
    Ingest,
}

impl Program {
    pub const ALL: [Self; 4] = [Self::Agent(0), Self::Agent(1), Self::Broker, Self::Ingest];
    /// Those that keep something.
    pub const WITH_DISK: [Self; 3] = [Self::Agent(0), Self::Agent(1), Self::Ingest];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Link {
    /// A board to its agent.
    Board(usize),
    /// An agent to the broker.
    Uplink(usize),
    /// The ingest to the broker.
    Intake,
}

impl Link {
    pub fn all() -> Vec<Self> {
        let boards = (0..BOARDS).map(Self::Board);
        boards.chain((0..AGENTS).map(Self::Uplink)).chain([Self::Intake]).collect()
    }
}

/// A fault as the table counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Kill,
    Terminate,
    Freeze,
    Cut,
    Stall,
    Throttle,
    FullDisk,
    NoPermission,
    ReadOnly,
    DamageQueue,
    DamageJournal,
    Reboot,
    Roam,
}

impl Kind {
    pub const ALL: [Self; 13] = [
        Self::Kill,
        Self::Terminate,
        Self::Freeze,
        Self::Cut,
        Self::Stall,
        Self::Throttle,
        Self::FullDisk,
        Self::NoPermission,
        Self::ReadOnly,
        Self::DamageQueue,
        Self::DamageJournal,
        Self::Reboot,
        Self::Roam,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "process killed (SIGKILL)",
            Self::Terminate => "process ended (SIGTERM) and started again",
            Self::Freeze => "process stopped and continued",
            Self::Cut => "link cut",
            Self::Stall => "link stalled",
            Self::Throttle => "link throttled",
            Self::FullDisk => "disk full",
            Self::NoPermission => "data folder without permission",
            Self::ReadOnly => "disk read-only",
            Self::DamageQueue => "block damaged in an agent's queue",
            Self::DamageJournal => "block damaged in the ingest's journal",
            Self::Reboot => "board unplugged and started anew",
            Self::Roam => "board moved to the other agent",
        }
    }

    /// Whether it takes a disk of its own, small and mounted.
    pub const fn needs_mount(self) -> bool {
        matches!(self, Self::FullDisk | Self::ReadOnly)
    }
}

/// One thing that is done. What begins something names its [`Kind`]; its end has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Kill {
        program: Program,
        pause_ms: u64,
    },
    Terminate(Program),
    Freeze(Program),
    Thaw(Program),
    Cut(Link),
    Stall(Link),
    Throttle(Link, u64),
    Restore(Link),
    Fill(Program),
    Free(Program),
    /// `kill`: the program meets it at its start; otherwise while it runs.
    Deny {
        program: Program,
        kill: bool,
    },
    Allow(Program),
    ReadOnly(Program),
    Writable(Program),
    /// `choice` picks the block and the bit.
    Damage {
        program: Program,
        choice: u64,
    },
    Reboot(usize),
    Roam(usize),
}

impl Act {
    /// What it counts as, if it begins something.
    pub const fn kind(self) -> Option<Kind> {
        Some(match self {
            Self::Kill { .. } => Kind::Kill,
            Self::Terminate(_) => Kind::Terminate,
            Self::Freeze(_) => Kind::Freeze,
            Self::Cut(_) => Kind::Cut,
            Self::Stall(_) => Kind::Stall,
            Self::Throttle(..) => Kind::Throttle,
            Self::Fill(_) => Kind::FullDisk,
            Self::Deny { .. } => Kind::NoPermission,
            Self::ReadOnly(_) => Kind::ReadOnly,
            Self::Damage { program: Program::Ingest, .. } => Kind::DamageJournal,
            Self::Damage { .. } => Kind::DamageQueue,
            Self::Reboot(_) => Kind::Reboot,
            Self::Roam(_) => Kind::Roam,
            Self::Thaw(_) | Self::Restore(_) | Self::Free(_) | Self::Allow(_) | Self::Writable(_) => {
                return None;
            }
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub at_ms: u64,
    pub act: Act,
}

/// How much is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub seed: u64,
    pub length_ms: u64,
    pub kills: u64,
    /// Whether small disks can be mounted here.
    pub mounts: bool,
}

/// Something that has one fault at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Process(Program),
    Disk(Program),
    Link(Link),
    Board(usize),
}

struct Planner {
    rng: ChaCha8Rng,
    steps: Vec<Step>,
    busy: Vec<(Place, u64)>,
    end_ms: u64,
}

/// All that is done, in order of time.
pub fn plan(wanted: &Wanted) -> Vec<Step> {
    let rng = ChaCha8Rng::seed_from_u64(wanted.seed);
    let mut planner = Planner { rng, steps: Vec::new(), busy: Vec::new(), end_ms: wanted.length_ms };
    planner.kills(wanted.kills);
    planner.others(wanted.mounts);
    planner.steps.sort_by_key(|step| step.at_ms);
    planner.steps
}

impl Planner {
    fn kills(&mut self, kills: u64) {
        let span = self.end_ms.saturating_sub(QUIET_START_MS);
        for number in 0..kills {
            let (from, to) = (span * number / kills, span * (number + 1) / kills);
            let at_ms = QUIET_START_MS + self.rng.random_range(from..to.max(from + 1));
            let program = self.any(&Program::ALL);
            let pause_ms = self.rng.random_range(0..400);
            self.steps.push(Step { at_ms, act: Act::Kill { program, pause_ms } });
        }
    }

    /// Every kind in turn, in an order that is shuffled anew each time.
    fn others(&mut self, mounts: bool) {
        let mut bag: Vec<Kind> = Vec::new();
        let mut at_ms = QUIET_START_MS;
        while at_ms < self.end_ms {
            if bag.is_empty() {
                bag.extend(
                    Kind::ALL
                        .into_iter()
                        .filter(|kind| *kind != Kind::Kill && (mounts || !kind.needs_mount())),
                );
                bag.shuffle(&mut self.rng);
            }
            if let Some(kind) = bag.pop() {
                self.fault(kind, at_ms);
            }
            at_ms += self.rng.random_range(OTHER_FAULT_EVERY_MS / 3..OTHER_FAULT_EVERY_MS * 5 / 3);
        }
    }

    fn fault(&mut self, kind: Kind, at: u64) {
        let links = Link::all();
        let boards: Vec<usize> = (0..BOARDS).collect();
        match kind {
            Kind::Kill => (),
            Kind::Terminate => {
                // One that cannot write cannot end well either; so its disk is left alone meanwhile.
                let free = |program: Program| [Place::Process(program), Place::Disk(program)];
                self.begin(at, &Program::ALL, 2_000..2_001, free, Act::Terminate, None);
            }
            Kind::Freeze => {
                self.begin(
                    at,
                    &Program::ALL,
                    200..4_000,
                    |p| [Place::Process(p)],
                    Act::Freeze,
                    Some(Act::Thaw),
                );
            }
            Kind::Cut => {
                self.begin(at, &links, 100..5_000, |l| [Place::Link(l)], Act::Cut, Some(Act::Restore));
            }
            Kind::Stall => {
                self.begin(at, &links, 300..6_000, |l| [Place::Link(l)], Act::Stall, Some(Act::Restore));
            }
            Kind::Throttle => {
                let rate = self.rng.random_range(500..8_000);
                let slow = |link| Act::Throttle(link, rate);
                self.begin(at, &links, 1_000..8_000, |l| [Place::Link(l)], slow, Some(Act::Restore));
            }
            Kind::FullDisk => {
                self.begin(at, &Program::WITH_DISK, 1_000..8_000, on_disk, Act::Fill, Some(Act::Free));
            }
            Kind::NoPermission => {
                let kill = self.rng.random();
                let deny = |program| Act::Deny { program, kill };
                self.begin(at, &Program::WITH_DISK, 500..4_000, on_disk, deny, Some(Act::Allow));
            }
            Kind::ReadOnly => {
                let disks = &Program::WITH_DISK;
                self.begin(at, disks, 500..4_000, on_disk, Act::ReadOnly, Some(Act::Writable));
            }
            Kind::DamageQueue => {
                // A queue holds something while its agent has no link; so that goes first.
                let choice = self.rng.random();
                let places = |agent| [Place::Disk(Program::Agent(agent)), Place::Link(Link::Uplink(agent))];
                let (cut, restore) =
                    (|agent| Act::Cut(Link::Uplink(agent)), |agent| Act::Restore(Link::Uplink(agent)));
                let damage = |agent| Act::Damage { program: Program::Agent(agent), choice };
                if let Some(agent) = self.begin(at, &[0, 1], 2_500..2_501, places, cut, Some(restore)) {
                    self.steps.push(Step { at_ms: at + 2_000, act: damage(agent) });
                }
            }
            Kind::DamageJournal => {
                let choice = self.rng.random();
                let damage = |program| Act::Damage { program, choice };
                self.begin(at, &[Program::Ingest], 500..501, on_disk, damage, None);
            }
            Kind::Reboot => {
                self.begin(at, &boards, 500..501, |b| [Place::Board(b)], Act::Reboot, None);
            }
            Kind::Roam => {
                let (place, end) = (|b| [Place::Link(Link::Board(b))], |b| Act::Restore(Link::Board(b)));
                self.begin(at, &boards, 300..301, place, Act::Roam, Some(end));
            }
        }
    }

    /// Lets a fault begin, and end, at one of the targets whose places have none; at none if all have.
    fn begin<T: Copy, const PLACES: usize>(
        &mut self,
        at_ms: u64,
        targets: &[T],
        lasting_ms: std::ops::Range<u64>,
        places: impl Fn(T) -> [Place; PLACES],
        act: impl Fn(T) -> Act,
        end: Option<fn(T) -> Act>,
    ) -> Option<T> {
        self.busy.retain(|(_, until)| *until > at_ms);
        let is_free =
            |target: &T| places(*target).iter().all(|place| self.busy.iter().all(|(busy, _)| busy != place));
        let free: Vec<T> = targets.iter().copied().filter(is_free).collect();
        let lasting = self.rng.random_range(lasting_ms);
        if free.is_empty() {
            return None;
        }
        let target = self.any(&free);
        let until = at_ms + lasting;
        self.busy.extend(places(target).map(|place| (place, until)));
        self.steps.push(Step { at_ms, act: act(target) });
        if let Some(end) = end {
            self.steps.push(Step { at_ms: until, act: end(target) });
        }
        Some(target)
    }

    fn any<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.random_range(0..from.len())]
    }
}

fn on_disk(program: Program) -> [Place; 1] {
    [Place::Disk(program)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted = Wanted { seed: 7, length_ms: 60_000, kills: 40, mounts: true };

    #[test]
    fn a_seed_names_its_choices() {
        assert_eq!(plan(&WANTED), plan(&WANTED));
        assert_ne!(plan(&WANTED), plan(&Wanted { seed: 8, ..WANTED }));
    }

    #[test]
    fn every_kill_that_is_asked_for_is_there() {
        let kills =
            |wanted: &Wanted| plan(wanted).iter().filter(|step| matches!(step.act, Act::Kill { .. })).count();
        assert_eq!(kills(&WANTED), 40);
        assert_eq!(kills(&Wanted { kills: 1_000, ..WANTED }), 1_000);
    }

    #[test]
    fn a_link_or_a_disk_has_one_fault_at_a_time() {
        for seed in 0..200 {
            let mut faulty: Vec<Place> = Vec::new();
            for Step { act, .. } in plan(&Wanted { seed, ..WANTED }) {
                let (begins, ends) = match act {
                    Act::Cut(link) | Act::Stall(link) | Act::Throttle(link, _) => {
                        (Some(Place::Link(link)), None)
                    }
                    Act::Roam(board) => (Some(Place::Link(Link::Board(board))), None),
                    Act::Restore(link) => (None, Some(Place::Link(link))),
                    Act::Fill(p) | Act::ReadOnly(p) | Act::Deny { program: p, .. } => {
                        (Some(Place::Disk(p)), None)
                    }
                    Act::Free(p) | Act::Writable(p) | Act::Allow(p) => (None, Some(Place::Disk(p))),
                    _ => (None, None),
                };
                faulty.retain(|place| Some(*place) != ends);
                if let Some(place) = begins {
                    assert!(!faulty.contains(&place), "seed {seed}: {act:?} while {faulty:?}");
                    faulty.push(place);
                }
            }
        }
    }

    #[test]
    fn the_seed_of_the_short_run_has_every_kind_of_fault() {
        let short = Wanted { seed: 7, length_ms: 30_000, kills: 25, mounts: true };
        for kind in Kind::ALL {
            assert!(plan(&short).iter().any(|step| step.act.kind() == Some(kind)), "{}", kind.name());
        }
    }

    #[test]
    fn without_mounts_no_disk_is_filled() {
        let steps = plan(&Wanted { mounts: false, ..WANTED });
        assert!(!steps.iter().any(|step| matches!(step.act, Act::Fill(_) | Act::ReadOnly(_))));
        assert!(steps.iter().any(|step| matches!(step.act, Act::Deny { .. })));
    }
}
