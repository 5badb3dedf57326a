//! Alarm rules through all cores at once: an ingest over a real store, and two gateways that measure. Rules change, words of them and
//! verdicts are lost, processes are killed between a commit's begin and its end. A gateway never says that rules are in force which are
//! not on its disk, nothing is raised twice, and once it is calm all judge by the same rules and find the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegate_agent::core::{
    self as agent, BacklogOrder, BroughtRules, CoreSettings, LaneCaps, Now, Policy, Recovered, Time,
};
use tidegate_alarms::{EventId, RuleSet, RulesSettings, TransitionKind};
use tidegate_ingest::{
    core::{self as ingest, bringing::RulesState, rulebook::RulesOrder, verdicts::Compared},
    store::{LmdbStore, Store},
};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, ClockQuality, DeviceId, GatewayId, Origin, Quality,
    SiteId, Tick, Value, ValueKind,
    block::{Decoder, Description},
    rules::{RulesAnswer, RulesDown, RulesName, RulesUp, Verdicts},
    status::GatewayStatus,
    topic::GatewayPath,
};

const SEEDS: u64 = 10;
const MORE_SEEDS: u64 = 600;
const STEP_MS: u64 = 50;
const TROUBLE_MS: u64 = 60_000;
/// Longer than the longest pause before a gateway is offered rules again.
const CALM_MS: u64 = 320_000;
const EACH_MS: u64 = 500;

struct Gateway {
    path: GatewayPath,
    core: agent::Core,
    /// What a restart finds.
    kept: Option<BroughtRules>,
    committing: Option<agent::Batch>,
    origin: Origin,
    boots: u64,
    booted_ms: u64,
    value: f64,
}

struct World {
    seed: u64,
    rng: ChaCha8Rng,
    now_ms: u64,
    loss: f64,
    store: LmdbStore,
    cloud: ingest::Core,
    committing: Option<Box<ingest::batch::Batch>>,
    gateways: [Gateway; 2],
    to_gateways: VecDeque<(usize, agent::Event)>,
    to_cloud: VecDeque<ingest::Event>,
    compared: Vec<Compared>,
    /// Editions that were ever committed.
    committed: BTreeSet<u64>,
    raised: BTreeMap<EventId, u32>,
    differences: u64,
    parts: u64,
}

fn site() -> SiteId {
    SiteId::new("plant").unwrap()
}

fn at(now_ms: u64) -> Now {
    Now { at: Time::from_ms(now_ms), unix_ms: unix_ms(now_ms) }
}

const fn unix_ms(now_ms: u64) -> i64 {
    1_800_000_000_000 + now_ms as i64
}

fn agent_core(epoch: u64, now_ms: u64, rules: Option<BroughtRules>) -> agent::Core {
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
        initial_credit_bytes: 1 << 16,
        max_origins: 64,
        backlog_order: BacklogOrder::OldestFirst,
        caps: LaneCaps::default(),
        site: site(),
        rules: RuleSet::default(),
        admit: agent::Admit::Any,
        permits: Default::default(),
    };
    agent::Core::new(settings, Recovered { rules, ..Recovered::default() }, at(now_ms)).unwrap()
}

fn ingest_core(store: &LmdbStore, incarnation: u64) -> ingest::Core {
    let settings = ingest::Settings { credit_total_bytes: 1 << 20, linger_ms: 0, quota_bytes: 1 << 30 };
    let snapshot = store.snapshot().unwrap();
    // What is kept goes on: an order changes it.
    let kept = tidegate_alarms::RuleBook::restore(snapshot.rules.clone());
    ingest::Core::new(settings, kept, Decoder::new().unwrap(), snapshot, incarnation)
}

/// Between none and many, some of which come and go.
fn rules(rng: &mut ChaCha8Rng) -> RuleSet {
    let mut rules = Vec::new();
    for at in 0..rng.random_range(0..4) {
        let limit = f64::from(rng.random_range(50..80));
        let deadband = f64::from(rng.random_range(0..3));
        rules.push(serde_json::json!({ "id": format!("rule-{at}"), "above": limit, "deadband": deadband }));
    }
    // So that it takes several parts.
    if rng.random_bool(0.3) {
        rules.extend((0..400).map(
            |at| serde_json::json!({ "id": format!("far-{at}"), "above": 1000, "message": "x".repeat(100) }),
        ));
    }
    let settings: RulesSettings = serde_json::from_value(serde_json::json!({ "rule": rules })).unwrap();
    RuleSet::from_settings(settings).unwrap()
}

impl World {
    fn new(seed: u64, folder: &std::path::Path) -> Self {
        let gateway = |name: &str, epoch| Gateway {
            path: GatewayPath::new(site(), GatewayId::new(name).unwrap()),
            core: agent_core(epoch, 0, None),
            kept: None,
            committing: None,
            origin: Origin::new(DeviceId::new(&format!("host-{name}")).unwrap(), BootId(0)),
            boots: 0,
            booted_ms: 0,
            value: 40.0,
        };
        let store = LmdbStore::open(folder, 64 << 20).unwrap();
        let mut world = Self {
            seed,
            rng: ChaCha8Rng::seed_from_u64(seed),
            now_ms: 0,
            loss: 0.3,
            cloud: ingest_core(&store, 1),
            store,
            committing: None,
            gateways: [gateway("gw-a", 1), gateway("gw-b", 2)],
            to_gateways: VecDeque::new(),
            to_cloud: VecDeque::new(),
            compared: Vec::new(),
            committed: BTreeSet::new(),
            raised: BTreeMap::new(),
            differences: 0,
            parts: 0,
        };
        world.cloud_event(ingest::Event::Time { unix_ms: unix_ms(0) });
        world.cloud_event(ingest::Event::BrokerConnected);
        (0..2).for_each(|which| world.begins(which));
        world
    }

    fn is_lost(&mut self) -> bool {
        self.loss > 0.0 && self.rng.random_bool(self.loss)
    }

    /// A gateway's process, with a new boot of what it measures itself, and its link.
    fn begins(&mut self, which: usize) {
        let now_ms = self.now_ms;
        let gateway = &mut self.gateways[which];
        gateway.boots += 1;
        gateway.booted_ms = now_ms;
        gateway.origin.boot = BootId(gateway.boots);
        let channel = ChannelDecl {
            name: ChannelName::new("load").unwrap(),
            unit: "%".into(),
            kind: ValueKind::F64,
            scale: 0,
        };
        let description = Description {
            origin: gateway.origin,
            tag: String::new(),
            firmware: String::new(),
            channels: vec![channel],
        };
        let from = gateway.path;
        self.gateway_event(which, agent::Event::Clock { error_ms: 10, quality: ClockQuality::Synced });
        self.gateway_event(which, agent::Event::LocalOpened { description, flush_interval_ms: 1_000 });
        for online in [false, true] {
            let status = GatewayStatus { online, ..GatewayStatus::default() };
            let unix_ms = unix_ms(self.now_ms);
            self.to_cloud.push_back(ingest::Event::Status { from, status, unix_ms });
        }
        self.gateway_event(which, agent::Event::UplinkUp);
    }

    fn cloud_event(&mut self, event: ingest::Event) {
        self.cloud.handle(self.now_ms, event);
        while let Some(effect) = self.cloud.poll() {
            match effect {
                ingest::Effect::Commit(batch) => assert!(self.committing.replace(batch).is_none()),
                ingest::Effect::Ack { to, ack } => {
                    self.to_gateways.push_back((self.which(to), agent::Event::Acked(ack)));
                }
                ingest::Effect::Rules { to, down } => {
                    let down = RulesDown::decode(&down.encode().unwrap()).unwrap();
                    let (RulesDown::Offer { name, .. } | RulesDown::Part { name, .. }) = &down;
                    let edition = name.edition;
                    assert!(self.committed.contains(&edition), "seed {}: told before its commit", self.seed);
                    self.parts += u64::from(matches!(&down, RulesDown::Part { at, .. } if *at > 0));
                    if !self.is_lost() {
                        self.to_gateways.push_back((self.which(to), agent::Event::Rules(down)));
                    }
                }
                ingest::Effect::Compared(compared) => {
                    self.differences += compared.iter().filter(|one| one.difference.is_some()).count() as u64;
                    self.compared = compared;
                }
                // History is not asked for here.
                ingest::Effect::Load { origin, .. } => {
                    self.to_cloud.push_back(ingest::Event::Loaded { origin, loaded: None });
                }
                ingest::Effect::Rewind { origin, to } => {
                    self.to_cloud.push_back(ingest::Event::Rewound { origin, to, checkpoint: None });
                }
                ingest::Effect::Verify { ticket, .. } => {
                    self.to_cloud.push_back(ingest::Event::Verified { ticket, differing: Some(Vec::new()) });
                }
                _ => {}
            }
        }
    }

    fn which(&self, path: GatewayPath) -> usize {
        usize::from(self.gateways[1].path == path)
    }

    fn cloud_commits(&mut self) {
        let Some(batch) = self.committing.take() else { return };
        let used_bytes = self.store.commit(&batch).unwrap().used_bytes;
        self.committed.extend(batch.rules.iter().map(|change| change.edition));
        for event in &batch.events {
            if event.transition == TransitionKind::Raise {
                *self.raised.entry(event.occurrence).or_default() += 1;
            }
        }
        self.cloud_event(ingest::Event::Committed { batch: batch.number, used_bytes });
    }

    fn gateway_event(&mut self, which: usize, event: agent::Event) {
        self.gateways[which].core.handle(at(self.now_ms), event);
        let from = self.gateways[which].path;
        while let Some(effect) = self.gateways[which].core.poll() {
            match effect {
                agent::Effect::Commit(batch) => {
                    assert!(self.gateways[which].committing.replace(batch).is_none());
                }
                agent::Effect::Publish { lane, number, block } => {
                    let arrival_unix_ms = unix_ms(self.now_ms);
                    self.to_cloud.push_back(ingest::Event::Block {
                        from,
                        lane,
                        bytes: block.into(),
                        arrival_unix_ms,
                    });
                    self.to_gateways.push_back((which, agent::Event::PubAcked { number }));
                }
                agent::Effect::Load { .. } => {
                    self.to_gateways.push_back((which, agent::Event::LoadFailed));
                }
                agent::Effect::AnswerRules(up) => {
                    let up = RulesUp::decode(&up.encode().unwrap()).unwrap();
                    if up.answer == RulesAnswer::InForce {
                        let kept = self.gateways[which].kept.as_ref().map(|kept| kept.name);
                        assert_eq!(kept, Some(up.name), "seed {}: not on the disk", self.seed);
                    }
                    if !self.is_lost() {
                        self.to_cloud.push_back(ingest::Event::RulesAnswered { from, up, unix_ms: 0 });
                    }
                }
                agent::Effect::Verdicts(verdicts) => {
                    let verdicts = Verdicts::decode(&verdicts.encode().unwrap()).unwrap();
                    if !self.is_lost() {
                        self.to_cloud.push_back(ingest::Event::Verdicts { from, verdicts });
                    }
                }
                agent::Effect::Report(_)
                | agent::Effect::Send { .. }
                | agent::Effect::LocalAlarm { .. }
                | agent::Effect::Held { .. } => {}
            }
        }
    }

    fn gateway_commits(&mut self, which: usize) {
        let Some(batch) = self.gateways[which].committing.take() else { return };
        if batch.rules.is_some() {
            self.gateways[which].kept = batch.rules;
        }
        self.gateway_event(which, agent::Event::Committed);
    }

    fn measure(&mut self, which: usize) {
        let now_ms = self.now_ms;
        let step = self.rng.random_range(-12.0..12.5);
        let gateway = &mut self.gateways[which];
        gateway.value = (gateway.value + step).clamp(30.0, 100.0);
        let sample = agent::Event::LocalSample {
            origin: gateway.origin,
            tick: Tick(now_ms - gateway.booted_ms),
            taken: at(now_ms).at,
            values: vec![(ChannelIndex(0), Value::F64(gateway.value), Quality::Good)],
        };
        self.gateway_event(which, sample);
    }

    fn misfortune(&mut self) {
        match self.rng.random_range(0..600) {
            0 | 1 => {
                let which = self.rng.random_range(0..2);
                let kept = self.gateways[which].kept.clone();
                let epoch = self.rng.random();
                self.gateways[which].core = agent_core(epoch, self.now_ms, kept);
                self.gateways[which].committing = None;
                self.to_gateways.retain(|(to, _)| *to != which);
                self.begins(which);
            }
            2 | 3 => {
                let incarnation = self.rng.random();
                self.committing = None;
                self.to_cloud.clear();
                self.cloud = ingest_core(&self.store, incarnation);
                self.cloud_event(ingest::Event::Time { unix_ms: unix_ms(self.now_ms) });
                self.cloud_event(ingest::Event::BrokerConnected);
                for which in 0..2 {
                    let from = self.gateways[which].path;
                    let status = GatewayStatus { online: true, ..GatewayStatus::default() };
                    let unix_ms = unix_ms(self.now_ms);
                    self.to_cloud.push_back(ingest::Event::Status { from, status, unix_ms });
                }
            }
            4 => {
                let which = self.rng.random_range(0..2);
                self.to_gateways.retain(|(to, _)| *to != which);
                self.gateway_event(which, agent::Event::UplinkDown);
                self.gateway_event(which, agent::Event::UplinkUp);
            }
            5..10 => {
                let rules = rules(&mut self.rng);
                let (operator, reason) = ("eva".to_owned(), String::new());
                let order = Box::new(RulesOrder {
                    rules,
                    operator,
                    reason,
                    expected: None,
                    unix_ms: unix_ms(self.now_ms),
                });
                self.cloud_event(ingest::Event::ChangeRules { ticket: 1, order });
            }
            _ => {}
        }
    }

    fn step(&mut self) {
        self.now_ms += STEP_MS;
        self.cloud_event(ingest::Event::Time { unix_ms: unix_ms(self.now_ms) });
        for event in std::mem::take(&mut self.to_cloud) {
            self.cloud_event(event);
        }
        for (which, event) in std::mem::take(&mut self.to_gateways) {
            self.gateway_event(which, event);
        }
        for which in 0..2 {
            if self.now_ms.is_multiple_of(EACH_MS) {
                self.measure(which);
            }
            self.gateway_event(which, agent::Event::Tick);
        }
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
        let twice = self.raised.values().filter(|count| **count > 1).count();
        assert_eq!(twice, 0, "seed {seed}: raised twice");
        let look = self.store.look().unwrap();
        let edition = look.rules_edition().unwrap();
        let book = tidegate_alarms::RuleBook::restore(look.rules().unwrap()).for_site(site());
        let standing: BTreeMap<_, _> = look.rules_standing().unwrap().into_iter().collect();
        for gateway in &self.gateways {
            let view = gateway.core.view(at(self.now_ms).at);
            if edition == 0 {
                assert_eq!(view.rules.from, "none", "seed {seed}");
                continue;
            }
            let kept = gateway.kept.as_ref().map(|kept| kept.name);
            let wanted = RulesName::of(edition, &book.document().unwrap());
            assert_eq!(kept, Some(wanted), "seed {seed}");
            assert_eq!((view.rules.edition, view.rules.rules), (Some(edition), book.rules().count()));
            let standing = &standing[&gateway.path];
            assert_eq!((standing.edition, standing.state), (edition, RulesState::InForce), "seed {seed}");
        }
        let differing: Vec<_> = self.compared.iter().filter(|one| one.difference.is_some()).collect();
        assert!(differing.is_empty(), "seed {seed}: {differing:?}");
    }
}

#[test]
fn whatever_is_lost_or_killed_gateways_come_to_judge_as_the_cloud_does() {
    let (mut raised, mut parts, mut differences) = (0, 0, 0);
    let long = std::env::var_os("TIDEGATE_TEST_LONG").is_some_and(|set| set == "1");
    let seeds = if long { MORE_SEEDS } else { SEEDS };
    for seed in 0..seeds {
        let folder = tempfile::tempdir().unwrap();
        let mut world = World::new(seed, folder.path());
        while world.now_ms < TROUBLE_MS {
            world.step();
        }
        world.loss = 0.0;
        while world.now_ms < TROUBLE_MS + CALM_MS {
            world.step();
        }
        world.check_calm();
        raised += world.raised.len();
        parts += world.parts;
        differences += world.differences;
    }
    assert!(
        raised > 10 * seeds as usize && parts > 0 && differences > 0,
        "{raised} raised, {parts} parts, {differences} differences: too little happened"
    );
}
