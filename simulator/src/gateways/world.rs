//! The gateways, the broker, the pipe to the ingest, and the ingest, moved from one happening to the next.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use tidegate_agent::core::Event;
use tidegate_alarms::RuleSet;
use tidegate_ingest::core::{self as ingest, Snapshot};
use tidegate_protocol::{
    BootId, SeqRange,
    ack::BlockAck,
    block::{Decoder, Header},
    status::GatewayStatus,
    topic::{GatewayPath, Lane},
};

use super::{
    Report, Scenario,
    gateway::{DISK_MS, Gateway, backlog},
};

/// The ingest's journal is never full here.
const QUOTA_BYTES: u64 = 1 << 40;

enum Happening {
    Wake(usize),
    Measure(usize),
    Connect(usize),
    Up(usize, u64),
    Committed(usize),
    Loaded(usize),
    /// At the broker, over that connection.
    Published(usize, u64, Lane, u64, Vec<u8>),
    PubAck(usize, u64, u64),
    Acked(usize, u64, BlockAck),
    /// At the ingest, in that age of the broker.
    Block(usize, u64, Lane, Vec<u8>),
    Born(usize, u64),
    IngestCommitted(u64),
    IngestWake,
    BrokerGone,
    BrokerBack,
}

struct World<'s> {
    scenario: &'s Scenario,
    now_us: u64,
    order: u64,
    agenda: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: BTreeMap<(u64, u64), Happening>,
    gateways: Vec<Gateway>,
    by_path: BTreeMap<GatewayPath, usize>,
    ingest: ingest::Core,
    pipe_free_us: u64,
    /// None while the broker is gone; it forgets everything with each age.
    broker: Option<u64>,
    age: u64,
    report: Report,
    drained: bool,
    /// Bytes that were published and not acknowledged, all gateways together.
    unacknowledged: u64,
}

/// Runs a scenario to its end.
///
/// # Panics
/// When not everything has arrived long after the measuring ended.
pub fn run(scenario: &Scenario) -> Report {
    let blocks = backlog(scenario);
    let gateways: Vec<Gateway> =
        (0..scenario.gateways).map(|at| Gateway::new(scenario, at, &blocks)).collect();
    let settings = ingest::Settings {
        credit_total_bytes: scenario.credit_total_bytes,
        linger_ms: 2,
        quota_bytes: QUOTA_BYTES,
    };
    let decoder = Decoder::new().expect("memory for one decoder");
    let core = ingest::Core::new(settings, RuleSet::default(), decoder, Snapshot::default(), 1);
    let mut world = World {
        scenario,
        now_us: 0,
        order: 0,
        agenda: BinaryHeap::new(),
        happenings: BTreeMap::new(),
        by_path: gateways.iter().enumerate().map(|(at, gateway)| (gateway.path, at)).collect(),
        gateways,
        ingest: core,
        pipe_free_us: 0,
        broker: Some(0),
        age: 0,
        report: Report::default(),
        drained: false,
        unacknowledged: 0,
    };
    world.begin();
    while !world.drained {
        world.step();
    }
    world.report.readings_stored = world.ingest.counters().readings_stored;
    world.report.live_waits_ms.sort_unstable();
    world.report.waits_beside_backlog_ms.sort_unstable();
    world.report
}

impl World<'_> {
    fn at(&mut self, at_us: u64, happening: Happening) {
        self.order += 1;
        let key = (at_us.max(self.now_us), self.order);
        self.agenda.push(Reverse(key));
        self.happenings.insert(key, happening);
    }

    fn after_ms(&mut self, ms: u64, happening: Happening) {
        self.at(self.now_us + ms * 1_000, happening);
    }

    fn half_trip_us(&self) -> u64 {
        self.scenario.round_trip_ms * 500
    }

    fn begin(&mut self) {
        self.ingest.handle(0, ingest::Event::BrokerConnected);
        for at in 0..self.gateways.len() {
            self.gateways[at].begin(0);
            self.carry_out(at);
            self.at(0, Happening::Connect(at));
            // Boards do not measure in step.
            let first_us = self.scenario.live_interval_ms * 1_000 * at as u64 / self.gateways.len() as u64;
            self.at(first_us, Happening::Measure(at));
        }
        if let Some((at_ms, for_ms)) = self.scenario.outage_ms {
            self.at(at_ms * 1_000, Happening::BrokerGone);
            self.at((at_ms + for_ms) * 1_000, Happening::BrokerBack);
        }
    }

    fn step(&mut self) {
        let Some(Reverse(key)) = self.agenda.pop() else { panic!("nothing happens any more") };
        let Some(happening) = self.happenings.remove(&key) else { return };
        self.now_us = key.0;
        let over = self.now_us > self.scenario.measure_ms * 1_000;
        if self.now_us > self.scenario.measure_ms * 10_000 {
            let view = self.gateways.iter().find(|gateway| !gateway.core.is_drained());
            let view = view.map(|gateway| gateway.core.view(Gateway::now(self.now_us).at));
            panic!("it does not drain: {view:?}");
        }
        match happening {
            Happening::Wake(at) => {
                self.gateways[at].wake_at_us = u64::MAX;
                self.tell(at, Event::Tick);
            }
            Happening::Measure(at) => {
                if !over {
                    self.gateways[at].measure(self.now_us);
                    self.carry_out(at);
                    self.after_ms(self.scenario.live_interval_ms, Happening::Measure(at));
                }
            }
            Happening::Connect(at) => self.connect(at),
            Happening::Up(at, connection) => self.up(at, connection),
            Happening::Committed(at) => {
                let event = self.gateways[at].committed();
                self.tell(at, event);
                self.end_if_drained();
            }
            Happening::Loaded(at) => {
                let event = self.gateways[at].loaded();
                self.tell(at, event);
            }
            Happening::Published(at, connection, lane, number, block) => {
                self.published(at, connection, lane, number, block);
            }
            Happening::PubAck(at, connection, number) => {
                if self.gateways[at].connection == connection {
                    self.tell(at, Event::PubAcked { number });
                }
            }
            Happening::Acked(at, connection, ack) => self.acked(at, connection, ack),
            Happening::Block(at, age, lane, block) => self.block(at, age, lane, block),
            Happening::Born(at, age) => self.born(at, age),
            Happening::IngestCommitted(batch) => {
                self.ingest_event(ingest::Event::Committed { batch, used_bytes: 0 });
            }
            Happening::IngestWake => self.ingest_event(ingest::Event::Wakeup),
            Happening::BrokerGone => self.broker_gone(),
            Happening::BrokerBack => {
                self.age += 1;
                self.broker = Some(self.age);
                self.pipe_free_us = self.now_us;
                self.ingest_event(ingest::Event::BrokerConnected);
            }
        }
    }

    fn tell(&mut self, at: usize, event: Event) {
        let now = Gateway::now(self.now_us);
        self.gateways[at].core.handle(now, event);
        self.carry_out(at);
    }

    fn carry_out(&mut self, at: usize) {
        while let Some(effect) = self.gateways[at].core.poll() {
            let gateway = &mut self.gateways[at];
            let (had_batch, had_load) = (gateway.batch.is_some(), gateway.load.is_some());
            let published = gateway.effect(effect);
            let (has_batch, has_load) = (gateway.batch.is_some(), gateway.load.is_some());
            if has_batch && !had_batch {
                self.after_ms(DISK_MS, Happening::Committed(at));
            }
            if has_load && !had_load {
                self.after_ms(DISK_MS, Happening::Loaded(at));
            }
            if let Some((lane, number, block)) = published {
                self.publish(at, lane, number, block);
            }
        }
        let gateway = &mut self.gateways[at];
        let wake_us = gateway.core.next_wakeup().0.max(self.now_us + 1);
        if wake_us < gateway.wake_at_us {
            gateway.wake_at_us = wake_us;
            self.at(wake_us, Happening::Wake(at));
        }
    }

    fn publish(&mut self, at: usize, lane: Lane, number: u64, block: Vec<u8>) {
        let len = block.len() as u64;
        self.report.blocks_sent += 1;
        self.report.largest_block_bytes = self.report.largest_block_bytes.max(len);
        let gateway = &mut self.gateways[at];
        if !gateway.connected {
            return;
        }
        gateway.unacknowledged.insert(number, len);
        let (connection, there_us) =
            (gateway.connection, gateway.through_link(self.scenario, self.now_us, len));
        self.at(there_us, Happening::Published(at, connection, lane, number, block));
        self.unacknowledged += len;
        let most = &mut self.report.unacknowledged_most_bytes;
        *most = (*most).max(self.unacknowledged);
    }

    fn connect(&mut self, at: usize) {
        if self.broker.is_none() {
            let pause = self.gateways[at].backoff.pause();
            self.at(self.now_us + pause.as_micros() as u64, Happening::Connect(at));
            return;
        }
        if self.age > 0 {
            *self.report.connections.entry(self.now_us / 100_000).or_default() += 1;
        }
        // Connecting, and the subscription with the birth: a round trip each.
        let connection = self.gateways[at].connection;
        self.at(self.now_us + 4 * self.half_trip_us(), Happening::Up(at, connection));
    }

    fn up(&mut self, at: usize, connection: u64) {
        let (Some(age), true) = (self.broker, self.gateways[at].connection == connection) else { return };
        self.gateways[at].connected = true;
        self.gateways[at].backoff.held();
        self.at(self.now_us + 1_000, Happening::Born(at, age));
        self.tell(at, Event::UplinkUp);
    }

    fn broker_gone(&mut self) {
        self.unacknowledged = 0;
        self.broker = None;
        for at in 0..self.gateways.len() {
            let was_up = self.gateways[at].connected;
            self.gateways[at].link_is_cut(self.now_us);
            self.gateways[at].waiting.clear();
            if was_up {
                self.tell(at, Event::UplinkDown);
            }
            let pause = self.gateways[at].backoff.pause();
            self.at(self.now_us + pause.as_micros() as u64, Happening::Connect(at));
        }
    }

    fn published(&mut self, at: usize, connection: u64, lane: Lane, number: u64, block: Vec<u8>) {
        let (Some(age), true) = (self.broker, self.gateways[at].connection == connection) else { return };
        self.at(self.now_us + self.half_trip_us(), Happening::PubAck(at, connection, number));
        let len = block.len() as u64;
        let through_us = len * 1_000_000 / self.scenario.ingest_bytes_per_s;
        self.pipe_free_us = self.pipe_free_us.max(self.now_us) + through_us;
        self.at(self.pipe_free_us, Happening::Block(at, age, lane, block));
    }

    fn block(&mut self, at: usize, age: u64, lane: Lane, block: Vec<u8>) {
        if self.broker != Some(age) {
            return;
        }
        // What is live is in the board's boot.
        let live: Vec<SeqRange> = Header::salvage_directory(&block)
            .into_iter()
            .flatten()
            .filter(|entry| entry.origin.boot == BootId(2))
            .flat_map(|entry| entry.ranges)
            .collect();
        for (taken_us, beside) in self.gateways[at].arrived(&live) {
            let wait_ms = (self.now_us - taken_us).div_ceil(1_000);
            self.report.live_waits_ms.push(wait_ms);
            if beside {
                self.report.waits_beside_backlog_ms.push(wait_ms);
            }
        }
        let from = self.gateways[at].path;
        let arrival_unix_ms = Gateway::now(self.now_us).unix_ms;
        self.ingest_event(ingest::Event::Block { from, lane, bytes: block.into(), arrival_unix_ms });
    }

    fn born(&mut self, at: usize, age: u64) {
        if self.broker != Some(age) {
            return;
        }
        let gateway = &self.gateways[at];
        let epoch = format!("{:016x}", gateway.epoch);
        let status = GatewayStatus {
            online: true,
            version: "sim".to_owned(),
            epoch,
            since_unix_ms: 0,
            ..GatewayStatus::default()
        };
        let (from, unix_ms) = (gateway.path, Gateway::now(self.now_us).unix_ms);
        self.ingest_event(ingest::Event::Status { from, status, unix_ms });
    }

    fn ingest_event(&mut self, event: ingest::Event) {
        let now_ms = self.now_us / 1_000;
        self.ingest.handle(now_ms, event);
        while let Some(effect) = self.ingest.poll() {
            match effect {
                ingest::Effect::Commit(batch) => {
                    self.after_ms(self.scenario.commit_ms, Happening::IngestCommitted(batch.number));
                }
                ingest::Effect::Ack { to, ack } => self.send_down(to, ack),
                ingest::Effect::Verify { ticket, .. } => {
                    // What comes again here is always the same.
                    self.ingest
                        .handle(now_ms, ingest::Event::Verified { ticket, differing: Some(Vec::new()) });
                }
                ingest::Effect::Provisional(_)
                | ingest::Effect::Load { .. }
                | ingest::Effect::Rewind { .. }
                | ingest::Effect::Reload
                | ingest::Effect::RulesDone { .. }
                | ingest::Effect::Retired { .. }
                | ingest::Effect::Settings { .. }
                | ingest::Effect::SettingsDone { .. }
                | ingest::Effect::Rules { .. }
                | ingest::Effect::Compared(_)
                | ingest::Effect::AlarmDone { .. } => {}
            }
        }
        if let Some(at_ms) = self.ingest.next_wakeup() {
            self.at((at_ms * 1_000).max(self.now_us + 1_000), Happening::IngestWake);
        }
    }

    fn send_down(&mut self, to: GatewayPath, ack: BlockAck) {
        let Some(&at) = self.by_path.get(&to) else { return };
        let connection = self.gateways[at].connection;
        if self.broker.is_some() && self.gateways[at].connected {
            self.at(self.now_us + self.half_trip_us() + 1_000, Happening::Acked(at, connection, ack));
        }
    }

    fn acked(&mut self, at: usize, connection: u64, ack: BlockAck) {
        if self.gateways[at].connection != connection {
            return;
        }
        for outcome in &ack.outcomes {
            let len = self.gateways[at].unacknowledged.remove(&outcome.number);
            self.unacknowledged -= len.unwrap_or_default();
        }
        self.tell(at, Event::Acked(ack));
        self.end_if_drained();
    }

    fn end_if_drained(&mut self) {
        let over = self.now_us > self.scenario.measure_ms * 1_000;
        if over && self.gateways.iter().all(|gateway| gateway.core.is_drained()) {
            self.drained = true;
            self.report.drained_ms = self.now_us / 1_000;
            let views = self.gateways.iter().map(|gateway| gateway.core.view(Gateway::now(self.now_us).at));
            self.report.blocks_resent = views.map(|view| view.link.blocks_resent).sum();
            let backlog = self.scenario.backlog_blocks * self.scenario.block_readings;
            self.report.readings_measured =
                self.gateways.iter().map(|gateway| gateway.measured() + backlog as u64).sum();
        }
    }
}
