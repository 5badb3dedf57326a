//! Settings through all cores at once: an ingest, two gateways, and a board that one of them hears. Messages and frames are lost, processes
//! are killed between a commit's begin and its end, the board starts anew with its channels in another order and moves to the
//! other gateway. What is stored never contradicts itself, and once it is calm every board measures as it is wanted.

use std::collections::{BTreeMap, VecDeque};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegate_agent::{
    core::{self as agent, BacklogOrder, CoreSettings, LaneCaps, LinkId, Now, Policy, Recovered, Time},
    sources::decoder::Decoder as FrameDecoder,
};
use tidegate_alarms::RuleSet;
use tidegate_firmware::{Identity, Node, NodeConfig, Sampling};
use tidegate_ingest::core::{
    self as ingest, Snapshot,
    batch::{Batch, GatewayRecord},
    desired::{ChannelKey, SettingsDone, SettingsOrder, SettingsRecord},
};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, DeviceId, GatewayId, SiteId, Tick, ValueKind,
    block::Decoder,
    frame::{MAX_DOWN_FRAME, encode_down},
    settings::{ChannelSettings, DesiredChannel, DesiredSettings, ReportedSettings, SettingsOutcome},
    status::GatewayStatus,
    topic::GatewayPath,
};

const SEEDS: u64 = 100;
const MORE_SEEDS: u64 = 3_000;
const STEP_MS: u64 = 50;
const TROUBLE_MS: u64 = 120_000;
/// Longer than the longest pause before a gateway is asked again.
const CALM_MS: u64 = 400_000;
const CHANNELS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// Shorter periods are refused by the board.
const LEAST_PERIOD_MS: u32 = NodeConfig::DEFAULT.min_period_ms;

type Board = Node<'static, 6, Vec<u8>>;

struct Gateway {
    path: GatewayPath,
    core: agent::Core,
    /// What a restart finds.
    kept: Vec<DesiredChannel>,
    committing: Option<agent::Batch>,
    decoder: FrameDecoder,
    link: u64,
}

struct Cloud {
    core: ingest::Core,
    committing: Option<Box<Batch>>,
    settings: BTreeMap<ChannelKey, SettingsRecord>,
    gateways: BTreeMap<GatewayPath, GatewayRecord>,
    /// Every revision that was ever committed, with what it wanted.
    history: BTreeMap<(ChannelKey, u32), Option<ChannelSettings>>,
    promised: BTreeMap<ChannelKey, SettingsRecord>,
}

struct World {
    seed: u64,
    rng: ChaCha8Rng,
    now_ms: u64,
    loss: f64,
    cloud: Cloud,
    gateways: [Gateway; 2],
    board: Board,
    names: Vec<&'static str>,
    boot: u64,
    booted_ms: u64,
    /// Which gateway hears the board.
    heard_by: usize,
    down: VecDeque<(usize, DesiredSettings)>,
    up: VecDeque<(usize, ReportedSettings)>,
    ticket: u64,
}

fn site() -> SiteId {
    SiteId::new("plant").unwrap()
}

fn device() -> DeviceId {
    DeviceId::new("board").unwrap()
}

fn agent_core(epoch: u64, now_ms: u64, desired: Vec<DesiredChannel>) -> agent::Core {
    let settings = CoreSettings {
        epoch,
        jitter_seed: epoch,
        flush_interval_ms: 1_000,
        outage_flush_interval_ms: 15_000,
        block_readings: 100,
        linger_ms: 50,
        quota_bytes: 1 << 20,
        policy: Policy::Refuse,
        ram_limit_bytes: 1 << 20,
        max_in_flight_bytes: 1 << 20,
        initial_credit_bytes: 1,
        max_origins: 4_096,
        backlog_order: BacklogOrder::OldestFirst,
        caps: LaneCaps::default(),
        site: site(),
        rules: RuleSet::default(),
        admit: agent::Admit::Any,
        permits: Default::default(),
    };
    agent::Core::new(settings, Recovered { desired, ..Recovered::default() }, at(now_ms)).unwrap()
}

fn at(now_ms: u64) -> Now {
    Now { at: Time::from_ms(now_ms), unix_ms: now_ms as i64 }
}

fn ingest_core(cloud: Option<&Cloud>, incarnation: u64) -> ingest::Core {
    let settings = ingest::Settings { credit_total_bytes: 1 << 20, linger_ms: 0, quota_bytes: 1 << 30 };
    let snapshot = cloud.map_or_else(Snapshot::default, |cloud| Snapshot {
        settings: cloud.settings.clone().into_iter().collect(),
        gateways: cloud.gateways.clone().into_iter().collect(),
        ..Snapshot::default()
    });
    ingest::Core::new(settings, RuleSet::default(), Decoder::new().unwrap(), snapshot, incarnation)
}

fn board(boot: u64, names: &[&'static str]) -> Board {
    let declared = names.iter().map(|name| ChannelDecl {
        name: ChannelName::new(name).unwrap(),
        unit: "m",
        kind: ValueKind::F32,
        scale: 0,
    });
    let declared: &'static [ChannelDecl<&'static str>] = declared.collect::<Vec<_>>().leak();
    let identity = Identity { device: device(), tag: "", firmware: "" };
    let mut node =
        Node::new(identity, Some(BootId(boot)), declared, vec![0; 256], NodeConfig::DEFAULT).unwrap();
    for index in 0..declared.len() as u8 {
        node.set_sampling(ChannelIndex(index), Sampling::every(1_000)).unwrap();
    }
    node.link_up(Tick(0));
    node
}

/// What a board makes of it.
fn outcome(settings: &ChannelSettings) -> SettingsOutcome {
    if settings.period_ms < LEAST_PERIOD_MS { SettingsOutcome::BadPeriod } else { SettingsOutcome::Applied }
}

impl World {
    fn new(seed: u64) -> Self {
        let gateway = |name: &str, epoch| Gateway {
            path: GatewayPath::new(site(), GatewayId::new(name).unwrap()),
            core: agent_core(epoch, 0, Vec::new()),
            kept: Vec::new(),
            committing: None,
            decoder: FrameDecoder::default(),
            link: epoch << 32,
        };
        let cloud = Cloud {
            core: ingest_core(None, 1),
            committing: None,
            settings: BTreeMap::new(),
            gateways: BTreeMap::new(),
            history: BTreeMap::new(),
            promised: BTreeMap::new(),
        };
        let mut world = Self {
            seed,
            rng: ChaCha8Rng::seed_from_u64(seed),
            now_ms: 0,
            loss: 0.3,
            cloud,
            gateways: [gateway("gw-a", 1), gateway("gw-b", 2)],
            board: board(1, &CHANNELS),
            names: CHANNELS.to_vec(),
            boot: 1,
            booted_ms: 0,
            heard_by: 0,
            down: VecDeque::new(),
            up: VecDeque::new(),
            ticket: 0,
        };
        (0..2).for_each(|which| world.says(which, true));
        world
    }

    fn is_lost(&mut self) -> bool {
        self.loss > 0.0 && self.rng.random_bool(self.loss)
    }

    fn tick(&self) -> Tick {
        Tick(self.now_ms - self.booted_ms)
    }

    /// A birth or a will; the broker retains it, so it arrives.
    fn says(&mut self, which: usize, online: bool) {
        let status = GatewayStatus {
            online,
            version: String::new(),
            epoch: String::new(),
            since_unix_ms: 0,
            ..GatewayStatus::default()
        };
        let from = self.gateways[which].path;
        self.cloud_event(ingest::Event::Status { from, status, unix_ms: self.now_ms as i64 });
    }

    fn cloud_event(&mut self, event: ingest::Event) {
        self.cloud.core.handle(self.now_ms, event);
        while let Some(effect) = self.cloud.core.poll() {
            match effect {
                ingest::Effect::Commit(batch) => assert!(self.cloud.committing.replace(batch).is_none()),
                ingest::Effect::Settings { to, wanted } => {
                    let wanted = DesiredSettings::decode(&wanted.encode().unwrap()).unwrap();
                    for told in &wanted.channels {
                        let key = ChannelKey { site: site(), device: told.device, channel: told.channel };
                        let committed = self.cloud.history.get(&(key, told.revision));
                        assert_eq!(
                            committed,
                            Some(&told.settings),
                            "seed {}: told before its commit",
                            self.seed
                        );
                    }
                    let which = usize::from(self.gateways[1].path == to);
                    self.down.push_back((which, wanted));
                }
                ingest::Effect::SettingsDone { done: SettingsDone::Wanted(record), .. } => {
                    let key = self.last_key();
                    self.cloud.promised.insert(key, record);
                }
                _ => {}
            }
        }
    }

    /// Orders are given one at a time here, for the channel that the ticket says.
    fn last_key(&self) -> ChannelKey {
        let name = CHANNELS[self.ticket as usize % CHANNELS.len()];
        ChannelKey { site: site(), device: device(), channel: ChannelName::new(name).unwrap() }
    }

    fn cloud_commits(&mut self) {
        let Some(batch) = self.cloud.committing.take() else { return };
        for (key, record) in &batch.settings {
            let before = self.cloud.settings.insert(*key, record.clone()).unwrap_or_default();
            assert!(record.revision >= before.revision, "seed {}: a revision went back", self.seed);
            let known = self.cloud.history.entry((*key, record.revision)).or_insert(record.desired);
            assert_eq!(*known, record.desired, "seed {}: one revision, two meanings", self.seed);
            let Some(answer) = &record.answer else { continue };
            let answered = before.answer.map_or(0, |answer| answer.revision);
            assert!(answer.revision >= answered, "seed {}: an answer went back", self.seed);
            let wanted = self.cloud.history[&(*key, answer.revision)].expect("nothing to answer");
            assert_eq!(answer.outcome, outcome(&wanted), "seed {}: another revision's answer", self.seed);
        }
        self.cloud.gateways.extend(batch.gateways.iter().cloned());
        self.cloud_event(ingest::Event::Committed { batch: batch.number, used_bytes: 0 });
    }

    fn gateway_event(&mut self, which: usize, event: agent::Event) {
        self.gateways[which].core.handle(at(self.now_ms), event);
        while let Some(effect) = self.gateways[which].core.poll() {
            match effect {
                agent::Effect::Send { link, frame } => {
                    let mut line = [0; MAX_DOWN_FRAME];
                    let len = encode_down(&frame, &mut line).unwrap();
                    let is_heard = which == self.heard_by && link == LinkId(self.gateways[which].link);
                    if is_heard && !self.is_lost() {
                        self.board.receive(self.tick(), &line[..len]);
                    }
                }
                agent::Effect::Commit(batch) => {
                    assert!(self.gateways[which].committing.replace(batch).is_none());
                }
                agent::Effect::Report(reported) => {
                    let reported = ReportedSettings::decode(&reported.encode().unwrap()).unwrap();
                    self.up.push_back((which, reported));
                }
                // No block arrives anywhere: settings need none.
                agent::Effect::AnswerRules(_)
                | agent::Effect::Verdicts(_)
                | agent::Effect::Publish { .. }
                | agent::Effect::Load { .. }
                | agent::Effect::LocalAlarm { .. }
                | agent::Effect::Held { .. } => {}
            }
        }
    }

    fn gateway_commits(&mut self, which: usize) {
        let Some(batch) = self.gateways[which].committing.take() else { return };
        if let Some(desired) = batch.desired {
            self.gateways[which].kept = desired;
        }
        self.gateway_event(which, agent::Event::Committed);
    }

    fn relink(&mut self, which: usize) {
        let old = LinkId(self.gateways[which].link);
        self.gateways[which].link += 1;
        self.gateways[which].decoder = FrameDecoder::default();
        self.gateway_event(which, agent::Event::LinkClosed(old));
    }

    fn misfortune(&mut self) {
        match self.rng.random_range(0..400) {
            0 => {
                let which = self.rng.random_range(0..2);
                let kept = self.gateways[which].kept.clone();
                let epoch = self.rng.random();
                self.gateways[which].core = agent_core(epoch, self.now_ms, kept);
                self.gateways[which].committing = None;
                self.says(which, false);
                self.relink(which);
                if which == self.heard_by {
                    self.board.link_up(self.tick());
                }
                self.says(which, true);
            }
            1 => {
                let incarnation = self.rng.random();
                self.cloud.core = ingest_core(Some(&self.cloud), incarnation);
                self.cloud.committing = None;
                self.cloud_event(ingest::Event::BrokerConnected);
                (0..2).for_each(|which| self.says(which, true));
            }
            2 | 3 => {
                self.boot += 1;
                self.booted_ms = self.now_ms;
                self.names.rotate_left(1);
                self.board = board(self.boot, &self.names);
            }
            4 => {
                self.relink(self.heard_by);
                self.heard_by = 1 - self.heard_by;
                self.board.link_up(self.tick());
            }
            5..15 => self.order(),
            _ => {}
        }
    }

    fn order(&mut self) {
        self.ticket += 1;
        let key = self.last_key();
        let period_ms = self.rng.random_range(LEAST_PERIOD_MS - 3..LEAST_PERIOD_MS + 9);
        let settings = ChannelSettings { enabled: true, period_ms, report_deadband: None, max_silence_ms: 7 };
        let settings = (!self.rng.random_bool(0.1)).then_some(settings);
        let order = Box::new(SettingsOrder { key, settings, expected: None, unix_ms: self.now_ms as i64 });
        self.cloud_event(ingest::Event::WantSettings { ticket: self.ticket, order });
        // What is under way first, then this: its answer comes before anyone orders again.
        self.cloud_commits();
        self.cloud_commits();
    }

    fn step(&mut self) {
        self.now_ms += STEP_MS;
        let mut frame = [0; 600];
        while let Some(len) = self.board.poll_transmit(self.tick(), &mut frame) {
            if self.is_lost() {
                continue;
            }
            let (which, fresh) = (self.heard_by, BootId(self.now_ms | 1 << 60));
            let frames = self.gateways[which].decoder.push(&frame[..len], || fresh);
            let link = LinkId(self.gateways[which].link);
            self.gateway_event(which, agent::Event::Board { link, arrived: at(self.now_ms).at, frames });
        }
        for (which, wanted) in std::mem::take(&mut self.down) {
            if !self.is_lost() {
                self.gateway_event(which, agent::Event::SettingsWanted(wanted));
            }
        }
        for (which, reported) in std::mem::take(&mut self.up) {
            if !self.is_lost() {
                let from = self.gateways[which].path;
                self.cloud_event(ingest::Event::SettingsReported { from, reported, unix_ms: 0 });
            }
        }
        (0..2).for_each(|which| self.gateway_event(which, agent::Event::Tick));
        self.cloud_event(ingest::Event::Wakeup);
        if self.loss > 0.0 {
            self.misfortune();
        }
        // So kills come between a commit's begin and its end.
        if self.loss == 0.0 || self.rng.random_bool(0.5) {
            self.cloud_commits();
            (0..2).for_each(|which| self.gateway_commits(which));
        }
    }

    fn check_calm(&self) {
        let seed = self.seed;
        for (key, promised) in &self.cloud.promised {
            let stored = &self.cloud.settings[key];
            assert!(stored.revision >= promised.revision, "seed {seed}: {key:?} forgot {promised:?}");
        }
        for (key, record) in &self.cloud.settings {
            let Some(wanted) = record.desired else { continue };
            let found = record.present_answer().map(|answer| answer.outcome);
            assert_eq!(found, Some(outcome(&wanted)), "seed {seed}: {key:?} {record:?}");
            if outcome(&wanted) == SettingsOutcome::Applied {
                let index = self.names.iter().position(|name| *name == key.channel.as_str()).unwrap();
                let sampling = self.board.sampling(ChannelIndex(index as u8)).unwrap();
                assert_eq!(sampling.period_ms, wanted.period_ms, "seed {seed}: {key:?}");
            }
        }
    }
}

#[test]
fn whatever_is_lost_or_killed_boards_come_to_measure_as_it_is_wanted() {
    let (mut applied, mut refused) = (0, 0);
    let long = std::env::var_os("TIDEGATE_TEST_LONG").is_some_and(|set| set == "1");
    let seeds = if long { MORE_SEEDS } else { SEEDS };
    for seed in 0..seeds {
        let mut world = World::new(seed);
        while world.now_ms < TROUBLE_MS {
            world.step();
        }
        world.loss = 0.0;
        while world.now_ms < TROUBLE_MS + CALM_MS {
            world.step();
        }
        world.check_calm();
        let answers = world.cloud.settings.values().filter_map(SettingsRecord::present_answer);
        for answer in answers {
            *(if answer.outcome.is_refusal() { &mut refused } else { &mut applied }) += 1;
        }
    }
    assert!(
        applied > seeds && refused > seeds / 4,
        "{applied} applied, {refused} refused: too little happened"
    );
}
