//! One schedule: who there is, what will happen, and the one clock that all of them live by.

use bytes::Bytes;
use tidegate_agent::core::LinkId;
use tidegate_ingest::core::{Event as IngestEvent, batch::Damaged};
use tidegate_protocol::{GatewayId, SiteId, topic::GatewayPath};

use super::{
    agenda::Agenda,
    board::{Board, declarations},
    checker::Checker,
    cloud::{Cloud, Look, Parcel, edge_rules},
    contents::Library,
    coverage::Coverage,
    dice::Dice,
    gateway::Gateway,
    incident::Incident,
    lake::Step,
    plan::Plan,
    trace::{Detail, Trace},
    truth::Truth,
};

/// Everything that can happen. What names a life, a link or a connection is void when that has ended.
#[derive(Debug)]
pub enum Happening {
    Measure { board: usize, life: u64 },
    BoardWakes { board: usize, life: u64 },
    BoardPowersUp { board: usize },
    BoardConnects { board: usize, gateway: usize, life: u64 },
    FrameUp { board: usize, gateway: usize, link: LinkId, bytes: Vec<u8> },
    FrameDown { board: usize, life: u64, gateway: usize, link: LinkId, bytes: Vec<u8> },
    AgentStarts { gateway: usize, life: u64 },
    AgentWakes { gateway: usize, life: u64 },
    AgentDiskDone { gateway: usize, life: u64 },
    AgentLoaded { gateway: usize, life: u64 },
    UplinkConnects { gateway: usize, life: u64, connection: u64 },
    UplinkBreaks { gateway: usize, life: u64, connection: u64 },
    BlockAtBroker { life: u64, connection: u64, parcel: Parcel },
    PubAck { gateway: usize, life: u64, connection: u64, number: u64 },
    BlockUp { life: u64, connection: u64, parcel: Parcel },
    StatusUp { connection: u64, gateway: usize, online: bool },
    AckDown { gateway: usize, life: u64, connection: u64, bytes: Bytes },
    IngestStarts { life: u64 },
    IngestConnects { life: u64 },
    IngestWakes { life: u64 },
    IngestDiskDone { life: u64 },
    IngestLooked { life: u64, look: Look },
    IngestMeetsDamage { life: u64, met: Damaged, then: Option<Box<IngestEvent>> },
    LakeStep { life: u64, step: Step },
    Misfortune { incident: Incident, mean_us: u64 },
    CalmBegins,
    Tours { board: usize, gateway: usize },
    MeasuringEnds,
    LooksAround,
}

pub struct World {
    pub now_us: u64,
    pub dice: Dice,
    pub plan: Plan,
    pub agenda: Agenda<Happening>,
    pub boards: Vec<Board>,
    pub gateways: Vec<Gateway>,
    pub cloud: Cloud,
    pub broker_forgets_until: u32,
    pub library: Library,
    pub truth: Truth,
    pub checker: Checker,
    pub coverage: Coverage,
    pub trace: Trace,
    /// Nothing goes wrong any more.
    pub calm: bool,
    pub measuring: bool,
    pub ended: bool,
    pub rest_since_us: Option<u64>,
}

/// Why a schedule could not even begin: the machine, not the code under test.
#[derive(Debug, thiserror::Error)]
#[error("the schedule of seed {seed} cannot begin: {because}")]
pub struct BeginError {
    pub seed: u64,
    pub because: String,
}

impl World {
    pub fn new(seed: u64, detail: Detail) -> Result<Self, BeginError> {
        Self::begin(seed, detail).map_err(|error| BeginError { seed, because: format!("{error:#}") })
    }

    fn begin(seed: u64, detail: Detail) -> anyhow::Result<Self> {
        let mut dice = Dice::new(seed);
        let site = SiteId::new("plant")?;
        let mut plan = Plan::draw(&mut dice.apart(), site);
        if plan.rules_at_the_edge {
            plan.agent.rules = edge_rules()?;
        }
        let declared: &'static _ = shared_declarations()?;
        let mut boards = Vec::new();
        for (at, board) in plan.boards.iter().enumerate() {
            let board = Board::new(at, board.clone(), declared, plan.gateways);
            boards.push(board.ok_or_else(|| anyhow::anyhow!("board {at} cannot be built"))?);
        }
        let mut gateways = Vec::new();
        for at in 0..plan.gateways {
            let path = GatewayPath::new(site, GatewayId::new(&format!("gw-{at}"))?);
            let mut gateway = Gateway::new(path, plan.agent.clone());
            if plan.clockless {
                gateway.starts_in_1970();
            }
            gateways.push(gateway);
        }
        let mut world = Self {
            now_us: 0,
            cloud: Cloud::new(plan.ingest, Dice::new(!seed))?,
            agenda: Agenda::default(),
            boards,
            gateways,
            broker_forgets_until: 0,
            library: Library::new()?,
            truth: Truth::default(),
            checker: Checker::default(),
            coverage: Coverage::of_one(),
            trace: Trace::new(detail),
            calm: false,
            measuring: true,
            ended: false,
            rest_since_us: None,
            plan,
            dice,
        };
        world.first_plans();
        Ok(world)
    }

    fn first_plans(&mut self) {
        self.plan_in(0, Happening::IngestStarts { life: 0 });
        for gateway in 0..self.gateways.len() {
            self.plan_in(1_000, Happening::AgentStarts { gateway, life: 0 });
        }
        for board in 0..self.boards.len() {
            let after = self.dice.between(2_000, 500_000);
            self.plan_in(after, Happening::BoardPowersUp { board });
        }
        for (incident, mean_us) in self.plan.incidents.clone() {
            let after = self.dice.waiting(mean_us);
            self.plan_in(after, Happening::Misfortune { incident, mean_us });
        }
        self.plan_in(self.plan.trouble_us, Happening::CalmBegins);
    }

    pub fn plan_in(&mut self, after_us: u64, what: Happening) {
        self.agenda.plan(self.now_us.saturating_add(after_us), what);
    }

    pub fn plan_at(&mut self, at_us: u64, what: Happening) {
        self.agenda.plan(at_us.max(self.now_us), what);
    }

    pub fn note(&mut self, kind: u64, number: u64, words: impl FnOnce() -> String) {
        self.trace.note(self.now_us, kind, number, words);
    }

    /// Until all is settled, or a rule is broken.
    pub fn run(&mut self) {
        while !self.ended && self.checker.violation.is_none() {
            let Some((at_us, what)) = self.agenda.next() else { break };
            self.now_us = at_us;
            self.coverage.events += 1;
            self.happen(what);
        }
        if self.checker.violation.is_none() {
            self.check_the_end();
        }
        self.coverage.virtual_us = self.now_us;
        self.coverage.readings = self.truth.readings;
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Measure { board, life } => self.measure(board, life),
            Happening::BoardWakes { board, life } => self.board_wakes(board, life),
            Happening::BoardPowersUp { board } => self.board_powers_up(board),
            Happening::BoardConnects { board, gateway, life } => self.board_connects(board, gateway, life),
            Happening::FrameUp { board, gateway, link, bytes } => self.frame_up(board, gateway, link, bytes),
            Happening::FrameDown { board, life, gateway, link, bytes } => {
                self.frame_down(board, life, gateway, link, &bytes);
            }
            Happening::AgentStarts { gateway, life } => self.agent_starts(gateway, life),
            Happening::AgentWakes { gateway, life } => self.agent_wakes(gateway, life),
            Happening::AgentDiskDone { gateway, life } => self.agent_disk_done(gateway, life),
            Happening::AgentLoaded { gateway, life } => self.agent_loaded(gateway, life),
            Happening::UplinkConnects { gateway, life, connection } => {
                self.uplink_connects(gateway, life, connection);
            }
            Happening::UplinkBreaks { gateway, life, connection } => {
                self.uplink_breaks(gateway, life, connection);
            }
            Happening::BlockAtBroker { life, connection, parcel } => {
                self.block_at_broker(life, connection, parcel);
            }
            Happening::PubAck { gateway, life, connection, number } => {
                self.puback(gateway, life, connection, number);
            }
            Happening::BlockUp { life, connection, parcel } => self.block_up(life, connection, parcel),
            Happening::StatusUp { connection, gateway, online } => {
                self.status_up(connection, gateway, online);
            }
            Happening::AckDown { gateway, life, connection, bytes } => {
                self.ack_down(gateway, life, connection, &bytes);
            }
            Happening::IngestStarts { life } => self.ingest_starts(life),
            Happening::IngestConnects { life } => self.ingest_connects(life),
            Happening::IngestWakes { life } => self.ingest_wakes(life),
            Happening::IngestDiskDone { life } => self.ingest_disk_done(life),
            Happening::IngestLooked { life, look } => self.ingest_looked(life, look),
            Happening::IngestMeetsDamage { life, met, then } => self.ingest_meets_damage(life, met, then),
            Happening::LakeStep { life, step } => self.lake_step(life, step),
            Happening::Misfortune { incident, mean_us } => self.misfortune(incident, mean_us),
            Happening::CalmBegins => self.calm_begins(),
            Happening::Tours { board, gateway } => self.tours(board, gateway),
            Happening::MeasuringEnds => self.measuring = false,
            Happening::LooksAround => self.look_around(),
        }
    }
}

/// Nodes borrow their declarations for as long as they live; there is one list for all of them.
fn shared_declarations() -> anyhow::Result<&'static super::board::Declarations> {
    static DECLARED: std::sync::OnceLock<super::board::Declarations> = std::sync::OnceLock::new();
    if let Some(declared) = DECLARED.get() {
        return Ok(declared);
    }
    let declared = declarations()?;
    Ok(DECLARED.get_or_init(|| declared))
}
