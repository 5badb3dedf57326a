//! A world around one core: a disk that survives kills, a lossy broker, a cloud that commits, dies and forgets, and
//! boards that follow the board link's rules. Everything is drawn from one seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegate_protocol::{BootId, LossReason, Origin, SeqRange, ack::BlockAck, block::Decoder};

use super::{
    bench::Disk,
    board::Board,
    cloud::{Cloud, Ledger},
};
use crate::core::{
    Batch, BoardFrame, CommitFailure, Core, CoreSettings, Effect, Event, Key, LinkId, Now, Time,
};

/// The world moves in steps of this length.
const STEP_MS: u64 = 10;

/// How badly things go; all zero heals the world.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    pub frame_loss: f64,
    pub publish_loss: f64,
    pub ack_loss: f64,
    pub uplink_cut: f64,
    pub agent_kill: f64,
    pub ingest_kill: f64,
    /// The cloud is backed up, or restored from its backup.
    pub ingest_backup: f64,
    pub ingest_restore: f64,
    pub board_reset: f64,
    pub board_unplug: f64,
    pub commit_failure: f64,
}

enum Downward {
    PubAck(u64),
    Ack(BlockAck),
}

pub struct World {
    pub seed: u64,
    pub rng: ChaCha8Rng,
    pub weather: Weather,
    pub now: Now,
    settings: CoreSettings,
    pub core: Core,
    pub disk: Disk,
    pub cloud: Cloud,
    backup: BTreeMap<Origin, Ledger>,
    pub boards: Vec<Board>,
    decoder: Decoder,
    links: u64,
    epoch: u64,
    uplink: bool,
    reconnect_at: u64,
    cloud_commit_at: u64,
    batch: Option<(u64, Batch)>,
    load: Option<(u64, Vec<Key>)>,
    upward: VecDeque<(u64, Vec<u8>, u64)>,
    downward: VecDeque<(u64, Downward)>,
    pub kills: u64,
    rate: u64,
}

impl World {
    pub fn new(seed: u64, settings: CoreSettings, weather: Weather) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let disk = Disk::default();
        let now = Now { at: Time::from_ms(1_000), unix_ms: 1_800_000_000_000 };
        let epoch = rng.random();
        let settings = CoreSettings { epoch, jitter_seed: rng.random(), ..settings };
        let core = Core::new(settings.clone(), disk.recovered(), now).expect("zstd gets its memory");
        let count = rng.random_range(1..4);
        let boards = (0..count).map(|at| Board::new(at, rng.random_range(50..3_000))).collect();
        let rate = rng.random_range(1..5);
        Self {
            seed,
            weather,
            now,
            settings,
            core,
            disk,
            cloud: Cloud::default(),
            backup: BTreeMap::new(),
            boards,
            decoder: Decoder::new().unwrap(),
            links: 0,
            epoch,
            uplink: false,
            reconnect_at: 0,
            cloud_commit_at: 0,
            batch: None,
            load: None,
            upward: VecDeque::new(),
            downward: VecDeque::new(),
            kills: 0,
            rate,
            rng,
        }
    }

    pub fn now_ms(&self) -> u64 {
        self.now.at.0 / 1_000
    }

    fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.random_bool(probability)
    }

    fn event(&mut self, event: Event) {
        self.core.handle(self.now, event);
        while let Some(effect) = self.core.poll() {
            let soon = self.now_ms() + self.rng.random_range(5..80);
            match effect {
                Effect::Send { link, frame } => {
                    if !self.happens(self.weather.frame_loss)
                        && let Some(board) = self.boards.iter_mut().find(|board| board.link == Some(link))
                    {
                        board.told(frame);
                    }
                }
                Effect::Commit(batch) => {
                    assert!(self.batch.replace((soon, batch)).is_none(), "seed {}: two batches", self.seed);
                }
                Effect::Load { keys } => {
                    assert!(self.load.replace((soon, keys)).is_none(), "seed {}: two loads", self.seed);
                }
                Effect::Publish { number, block, .. } => self.upward.push_back((soon, block, number)),
                // Nothing is wanted of channels in this world.
                Effect::Report(reported) => panic!("seed {}: {reported:?}", self.seed),
                Effect::AnswerRules(answer) => panic!("seed {}: {answer:?}", self.seed),
                Effect::Verdicts(told) => panic!("seed {}: no rule, and {told:?}", self.seed),
                Effect::Held { device, .. } => panic!("seed {}: {device} is held", self.seed),
                Effect::LocalAlarm { key, .. } => panic!("seed {}: no rule, and {key:?}", self.seed),
            }
        }
    }

    /// One step of the world. Boards measure while `measuring`.
    pub fn step(&mut self, measuring: bool) {
        self.now.at = self.now.at.plus_ms(STEP_MS);
        self.now.unix_ms += STEP_MS as i64;
        self.misfortunes();
        self.boards_act(measuring);
        self.disk_acts();
        self.network_acts();
        self.cloud_acts();
        if self.core.next_wakeup() <= self.now.at {
            self.event(Event::Tick);
            let next = self.core.next_wakeup();
            assert!(next > self.now.at, "seed {}: the core would never sleep", self.seed);
        }
    }

    fn misfortunes(&mut self) {
        if self.uplink && self.happens(self.weather.uplink_cut) {
            self.cut_uplink();
        }
        if !self.uplink && self.now_ms() >= self.reconnect_at {
            self.uplink = true;
            self.event(Event::UplinkUp);
            // The birth is answered with credit.
            let announcement = self.cloud.ack(0, Vec::new());
            self.send_down(Downward::Ack(announcement));
        }
        if self.happens(self.weather.ingest_kill) {
            self.cloud.arrived.clear();
            self.cloud.incarnation += 1;
            let announcement = self.cloud.ack(0, Vec::new());
            self.send_down(Downward::Ack(announcement));
        }
        if self.happens(self.weather.ingest_backup) {
            self.backup = self.cloud.ledger.clone();
        }
        if self.happens(self.weather.ingest_restore) {
            self.cloud.ledger = self.backup.clone();
            self.cloud.arrived.clear();
            self.cloud.incarnation += 1;
            self.cloud.rolled_back += 1;
            let announcement = self.cloud.ack(0, Vec::new());
            self.send_down(Downward::Ack(announcement));
        }
        if self.happens(self.weather.agent_kill) {
            self.kill_agent();
        }
    }

    fn cut_uplink(&mut self) {
        self.uplink = false;
        self.upward.clear();
        self.downward.clear();
        self.reconnect_at = self.now_ms() + self.rng.random_range(100..8_000);
        self.event(Event::UplinkDown);
    }

    /// Only what was committed is left; a commit under way happened or did not.
    fn kill_agent(&mut self) {
        self.kills += 1;
        if let Some((_, batch)) = self.batch.take()
            && self.rng.random_bool(0.5)
        {
            self.disk.apply(&batch);
        }
        self.load = None;
        self.upward.clear();
        self.downward.clear();
        self.uplink = false;
        self.reconnect_at = self.now_ms() + self.rng.random_range(100..1_000);
        self.epoch = self.rng.random();
        self.settings.epoch = self.epoch;
        self.core = Core::new(self.settings.clone(), self.disk.recovered(), self.now).unwrap();
        for board in &mut self.boards {
            (board.link, board.welcomed) = (None, false);
            // What was heard and not written is forgotten; a board that is still there says it again.
            board.heard_next = (board.heard_next.iter())
                .filter_map(|(origin, next)| {
                    let record = self.disk.origins.get(origin)?;
                    Some((*origin, record.next.min(*next)))
                })
                .collect();
        }
    }

    fn boards_act(&mut self, measuring: bool) {
        let now_ms = self.now_ms();
        for at in 0..self.boards.len() {
            if self.happens(self.weather.board_unplug)
                && let Some(link) = self.boards[at].link.take()
            {
                self.boards[at].welcomed = false;
                self.event(Event::LinkClosed(link));
            }
            if self.happens(self.weather.board_reset) {
                let boot = BootId(self.boards[at].boot.0 + 1_000);
                self.boards[at].renumber(boot);
            }
            let link = *self.boards[at].link.get_or_insert_with(|| {
                self.links += 1;
                LinkId(self.links)
            });
            if measuring && self.rng.random_bool(0.3) {
                let count = self.rng.random_range(1..=self.rate);
                self.boards[at].measure(count);
            }
            if !self.core.takes_frames() {
                continue;
            }
            let mut frames = self.boards[at].speak(now_ms);
            frames.retain(|_| {
                !(self.weather.frame_loss > 0.0 && self.rng.random_bool(self.weather.frame_loss))
            });
            self.heard(at, &frames);
            if !frames.is_empty() {
                self.event(Event::Board { link, arrived: self.now.at, frames });
            }
        }
    }

    /// What the agent heard of, it must account for.
    fn heard(&mut self, at: usize, frames: &[BoardFrame]) {
        let board = &mut self.boards[at];
        let origin = board.origin();
        let nexts = frames.iter().filter_map(|frame| match frame {
            BoardFrame::Readings { next, .. } | BoardFrame::Lost { next, .. } => Some(*next),
            _ => None,
        });
        if let Some(next) = nexts.max()
            && board.welcomed
        {
            let heard = board.heard_next.entry(origin).or_default();
            *heard = (*heard).max(next);
        }
    }

    fn disk_acts(&mut self) {
        let now_ms = self.now_ms();
        if self.batch.as_ref().is_some_and(|(at, _)| now_ms >= *at)
            && let Some((_, batch)) = self.batch.take()
        {
            if self.happens(self.weather.commit_failure) {
                self.event(Event::CommitFailed(CommitFailure::Failed));
            } else {
                self.disk.apply(&batch);
                self.event(Event::Committed);
            }
        }
        if self.load.as_ref().is_some_and(|(at, _)| now_ms >= *at)
            && let Some((_, keys)) = self.load.take()
        {
            let entries = self.disk.load(&keys);
            self.event(Event::Loaded { entries });
        }
    }

    fn network_acts(&mut self) {
        let now_ms = self.now_ms();
        while self.upward.front().is_some_and(|(at, ..)| now_ms >= *at)
            && let Some((_, block, number)) = self.upward.pop_front()
        {
            self.send_down(Downward::PubAck(number));
            // The broker says it took it, and forgets it.
            if !self.happens(self.weather.publish_loss) {
                self.cloud.arrived.push((self.epoch, number, block));
            }
        }
        while self.downward.front().is_some_and(|(at, _)| now_ms >= *at)
            && let Some((_, message)) = self.downward.pop_front()
        {
            self.event(match message {
                Downward::PubAck(number) => Event::PubAcked { number },
                Downward::Ack(ack) => Event::Acked(ack),
            });
        }
    }

    fn send_down(&mut self, message: Downward) {
        let lost = matches!(message, Downward::Ack(_)) && self.happens(self.weather.ack_loss);
        if self.uplink && !lost {
            self.downward.push_back((self.now_ms() + 15, message));
        }
    }

    fn cloud_acts(&mut self) {
        if self.now_ms() < self.cloud_commit_at {
            return;
        }
        self.cloud_commit_at = self.now_ms() + self.rng.random_range(10..150);
        for ack in self.cloud.commit(&mut self.decoder) {
            self.send_down(Downward::Ack(ack));
        }
    }

    /// Runs on with nothing going wrong until everything has arrived.
    pub fn heal(&mut self) {
        self.weather = Weather::default();
        let deadline = self.now_ms() + 600_000;
        while !self.is_settled() {
            assert!(self.now_ms() < deadline, "seed {}: {}", self.seed, self.state());
            self.step(false);
        }
    }

    fn state(&self) -> String {
        let boards: Vec<_> =
            self.boards.iter().map(|board| (board.origin(), board.floor, board.next)).collect();
        format!("the world does not settle: {boards:?} {:?}", self.core.view(self.now.at))
    }

    fn is_settled(&self) -> bool {
        let boards = self.boards.iter().all(|board| board.floor == board.next);
        boards && self.core.is_drained() && self.disk.blocks.is_empty()
    }

    /// Every reading that anyone answers for is stored once as it was measured, or declared lost for a reason that is
    /// among `allowed`.
    pub fn check(&self, allowed: &[LossReason]) {
        for board in &self.boards {
            let heard = board.heard_next.iter().chain(&board.acked);
            let mut known: BTreeMap<Origin, u64> = BTreeMap::new();
            for (&origin, &next) in heard {
                let most = known.entry(origin).or_default();
                *most = (*most).max(next);
            }
            for (origin, next) in known {
                self.check_origin(origin, next, allowed);
            }
        }
    }

    fn check_origin(&self, origin: Origin, next: u64, allowed: &[LossReason]) {
        let ledger = self.cloud.ledger.get(&origin).cloned().unwrap_or_default();
        let missing: Vec<u64> = (0..next)
            .filter(|seq| !ledger.stored.contains_key(seq))
            .filter(|seq| {
                !ledger.lost.values().any(|ranges| ranges.contains_all(SeqRange::new(*seq, seq + 1)))
            })
            .collect();
        assert!(
            missing.is_empty(),
            "seed {}: {origin} misses {missing:?} of {next}; closed {}, lost {:?}, disk {:?}",
            self.seed,
            ledger.closed,
            ledger.lost,
            self.disk.origins.get(&origin)
        );
        for (seq, stored) in &ledger.stored {
            let expected = (seq * 1_000 + origin.boot.0 % 1_000) as f64;
            assert_eq!(stored.value, tidegate_protocol::Value::F64(expected), "seed {}: {origin}", self.seed);
            assert_eq!(stored.seq.0, *seq);
        }
        let thinned = ledger.lost.get(&LossReason::Thinned);
        for range in thinned.map(|thinned| thinned.ranges().to_vec()).unwrap_or_default() {
            for seq in range.start..range.end {
                let summed_up = ledger.summaries.iter().any(|summary| summary.range.contains(seq));
                assert!(summed_up, "seed {}: {origin} has no summary of {seq}", self.seed);
            }
        }
        let value = |seq: u64| (seq * 1_000 + origin.boot.0 % 1_000) as f64;
        for summary in &ledger.summaries {
            let range = summary.range;
            assert_eq!(
                (summary.min, summary.max),
                (value(range.start), value(range.end - 1)),
                "seed {}",
                self.seed
            );
            assert_eq!(summary.count, range.len(), "seed {}: {summary:?}", self.seed);
            assert!((summary.mean - (summary.min + summary.max) / 2.0).abs() < 1e-6, "{summary:?}");
            assert!(thinned.is_some_and(|thinned| thinned.contains_all(range)));
        }
        let reasons: BTreeSet<LossReason> = ledger.lost.keys().copied().collect();
        let known: BTreeSet<LossReason> = allowed.iter().copied().collect();
        assert!(reasons.is_subset(&known), "seed {}: {origin} lost for {reasons:?}", self.seed);
    }
}
