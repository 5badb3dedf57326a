//! What a seed draws before anything happens: who there is, with which settings, and which faults there will be. Each
//! seed takes a handful of faults and leaves the others out: what hides behind one fault shows without it.

use tidegate_agent::core::{Admit, BacklogOrder, CoreSettings, Policy};
use tidegate_alarms::RuleSet;
use tidegate_ingest::core::Settings as IngestSettings;
use tidegate_protocol::SiteId;

use super::{dice::Dice, incident::Incident, lake::LakePlan};

/// How a board comes by its boot ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootKind {
    /// A counter in its flash, or entropy: never the same twice.
    Own,
    /// It asks the gateway.
    Asked,
    /// It is broken, and comes back under one id.
    Repeated,
}

/// How a board is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A line to one gateway, until it is moved to another.
    Line,
    /// A bus or a radio: all gateways hear it, each with its own holes, and all answer.
    Air,
}

#[derive(Clone, Debug)]
pub struct BoardPlan {
    pub boot: BootKind,
    pub reach: Reach,
    pub ring_bytes: usize,
    /// Mean time between measurements, and how many readings one brings at most.
    pub every_us: u64,
    pub burst: u64,
}

/// What happens to messages, as probabilities.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    pub frame_loss: f64,
    pub frame_twice: f64,
    pub frame_delay: f64,
    pub frame_corrupt: f64,
    pub frame_cut: f64,
    pub block_twice: f64,
    pub block_late: f64,
    pub ack_loss: f64,
    pub ack_twice: f64,
    pub ack_late: f64,
    /// The broker acknowledges a publish and forgets it; the run of messages it skips is up to this long.
    pub forget: f64,
    pub forget_run: u64,
    pub commit_failure: f64,
    pub load_failure: f64,
    pub kill_at_commit: f64,
    pub ingest_commit_failure: f64,
    pub ingest_unreadable: f64,
    pub ingest_kill_at_commit: f64,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub boards: Vec<BoardPlan>,
    pub gateways: usize,
    pub agent: CoreSettings,
    pub ingest: IngestSettings,
    pub weather: Weather,
    /// What happens now and then, and how long between two times on average.
    pub incidents: Vec<(Incident, u64)>,
    pub trouble_us: u64,
    /// The way from a gateway to the broker, one way.
    pub uplink_us: u64,
    pub disk_us: u64,
    pub ingest_disk_us: u64,
    /// Gateways that start without a clock.
    pub clockless: bool,
    /// Gateways have a rule by which readings go ahead.
    pub rules_at_the_edge: bool,
    /// The journal goes to a lake.
    pub lake: Option<LakePlan>,
}

const MS: u64 = 1_000;
const S: u64 = 1_000 * MS;

impl Plan {
    pub fn draw(dice: &mut Dice, site: SiteId) -> Self {
        let gateways = if dice.chance(0.45) { 2 } else { 1 };
        let count = dice.between(1, 3);
        let boards = (0..count).map(|_| board(dice, gateways)).collect();
        let gentle = dice.chance(0.1);
        let mut plan = Self {
            boards,
            gateways,
            agent: agent(dice, site),
            ingest: IngestSettings {
                credit_total_bytes: 1 << 20,
                linger_ms: dice.between(1, 20),
                quota_bytes: 1 << 30,
            },
            weather: if gentle { Weather::default() } else { weather(dice) },
            incidents: if gentle { Vec::new() } else { incidents(dice, gateways) },
            trouble_us: dice.between(6, 24) * S,
            uplink_us: dice.magnitude(2, 120) * MS,
            disk_us: dice.magnitude(2, 60) * MS,
            ingest_disk_us: dice.magnitude(1, 40) * MS,
            clockless: dice.chance(0.3),
            rules_at_the_edge: dice.chance(0.5),
            lake: None,
        };
        // Alarms in a queue that soon has to choose.
        if plan.rules_at_the_edge && dice.chance(0.4) {
            plan.agent.quota_bytes = dice.between(3, 8) * 1024;
            plan.agent.policy = if dice.chance(0.5) { Policy::DropOldest } else { Policy::ThinOldest };
            plan.agent.outage_flush_interval_ms = dice.between(100, 500);
        }
        if !gentle && dice.chance(0.3) {
            plan.incidents.push((Incident::SealEnded, dice.magnitude(300, 4_000) * MS));
        }
        if !gentle && dice.chance(0.3) {
            plan.incidents.push((Incident::RetireDevice, dice.magnitude(1_500, 20_000) * MS));
        }
        plan.lake = dice.chance(0.6).then(|| LakePlan::draw(dice, gentle));
        if !gentle && dice.chance(0.3) {
            plan.incidents.push((Incident::FlipJournal, dice.magnitude(500, 10_000) * MS));
        }
        plan
    }
}

fn board(dice: &mut Dice, gateways: usize) -> BoardPlan {
    let reach = if gateways > 1 && dice.chance(0.6) { Reach::Air } else { Reach::Line };
    let boot = match dice.between(0, 9) {
        0..=5 => BootKind::Own,
        6..=8 => BootKind::Asked,
        _ => BootKind::Repeated,
    };
    BoardPlan {
        boot,
        reach,
        ring_bytes: dice.magnitude(120, 8_000) as usize,
        every_us: dice.magnitude(15, 300) * MS,
        burst: dice.between(1, 4),
    }
}

fn agent(dice: &mut Dice, site: SiteId) -> CoreSettings {
    let tight = dice.chance(0.35);
    CoreSettings {
        epoch: 0,
        jitter_seed: 0,
        flush_interval_ms: dice.between(100, 1_000),
        outage_flush_interval_ms: dice.between(500, 4_000),
        block_readings: dice.between(10, 120) as usize,
        linger_ms: dice.between(10, 50),
        quota_bytes: if tight { dice.between(6, 40) * 1024 } else { 4 << 20 },
        policy: match dice.between(0, 2) {
            0 => Policy::Refuse,
            1 => Policy::DropOldest,
            _ => Policy::ThinOldest,
        },
        ram_limit_bytes: if dice.chance(0.25) { dice.between(4, 24) * 1024 } else { 1 << 20 },
        max_in_flight_bytes: 1 << 20,
        initial_credit_bytes: dice.magnitude(200, 256 * 1024) as u32,
        max_origins: 64,
        backlog_order: if dice.chance(0.6) { BacklogOrder::OldestFirst } else { BacklogOrder::NewestFirst },
        caps: Default::default(),
        site,
        rules: RuleSet::default(),
        admit: Admit::Any,
        permits: Default::default(),
    }
}

fn weather(dice: &mut Dice) -> Weather {
    let mut up_to =
        |most: f64| if dice.chance(0.35) { most * dice.between(1, 100) as f64 / 100.0 } else { 0.0 };
    Weather {
        frame_loss: up_to(0.3),
        frame_twice: up_to(0.1),
        frame_delay: up_to(0.1),
        frame_corrupt: up_to(0.15),
        frame_cut: up_to(0.1),
        block_twice: up_to(0.2),
        block_late: up_to(0.2),
        ack_loss: up_to(0.4),
        ack_twice: up_to(0.2),
        ack_late: up_to(0.2),
        forget: up_to(0.15),
        forget_run: 1 + (up_to(8.0) as u64),
        commit_failure: up_to(0.2),
        load_failure: up_to(0.3),
        kill_at_commit: up_to(0.05),
        ingest_commit_failure: up_to(0.1),
        ingest_unreadable: up_to(0.2),
        ingest_kill_at_commit: up_to(0.05),
    }
}

fn incidents(dice: &mut Dice, gateways: usize) -> Vec<(Incident, u64)> {
    let mut drawn = Vec::new();
    for &incident in Incident::ALL {
        let possible = incident != Incident::MoveBoard || gateways > 1;
        if possible && dice.chance(incident.likely()) {
            drawn.push((incident, dice.magnitude(1_500, 20_000) * MS));
        }
    }
    drawn
}
