//! The gateways at work: events into the agent's core, its effects carried out by an imaginary disk and network.

use tidegate_agent::core::{Batch, BoardFrame, CommitFailure, Effect, Event, LinkId};
use tidegate_protocol::{BootId, DeviceId, Origin, RangeSet, Reading, SeqRange, frame::Down, topic::Lane};

use super::{
    coverage::Fault,
    plan::Reach,
    world::{Happening, World},
};

/// What the core may hold beyond its limit: blocks loaded ahead of the link, twice a load, and the last frames taken.
const MEMORY_BESIDE_LIMIT_BYTES: u64 = 512 * 1024;

impl World {
    pub fn agent_starts(&mut self, at: usize, life: u64) {
        let (epoch, jitter_seed) = (self.dice.bits(), self.dice.bits());
        let now_us = self.now_us;
        let Some(gateway) = self.gateways.get_mut(at).filter(|gateway| gateway.life == life) else { return };
        if gateway.is_running() {
            return;
        }
        if !gateway.synced {
            self.coverage.count(Fault::GatewayWithoutClock);
        }
        if let Err(error) = gateway.start(now_us, epoch, jitter_seed) {
            return self.violate("memory", error.to_string());
        }
        let life = gateway.life;
        let used_before = !self.checker.epochs.insert(epoch);
        if used_before {
            return self.violate("epoch-is-new", format!("epoch {epoch:016x} is used twice"));
        }
        self.note(10, epoch, || format!("gateway {at} starts (epoch {epoch:016x})"));
        self.connect_later(at, 1_000);
        for board in 0..self.boards.len() {
            let Some(known) = self.boards.get(board) else { continue };
            let board_life = known.life;
            if known.plan.reach == Reach::Air || known.home == at {
                let after = self.dice.between(1_000, 200_000);
                self.plan_in(after, Happening::BoardConnects { board, gateway: at, life: board_life });
            }
        }
        self.plan_in(0, Happening::AgentWakes { gateway: at, life });
    }

    pub fn agent_wakes(&mut self, at: usize, life: u64) {
        let now_us = self.now_us;
        let Some(gateway) = self.gateways.get_mut(at).filter(|gateway| gateway.life == life) else { return };
        let (now, clock) = (gateway.now(now_us), gateway.clock());
        let Some(process) = &mut gateway.process else { return };
        process.wakes_at_us = None;
        if process.core.next_wakeup() > now.at {
            return self.ask_for_wake(at);
        }
        self.agent_event(at, clock);
        let Some(process) = self.gateways.get(at).and_then(|gateway| gateway.process.as_ref()) else {
            return;
        };
        if process.core.next_wakeup() <= now.at {
            self.violate("no-busy-loop", format!("gateway {at}'s core would never sleep"));
        }
        self.take_all_waiting(at);
    }

    fn ask_for_wake(&mut self, at: usize) {
        let Some(gateway) = self.gateways.get_mut(at) else { return };
        let Some(next) = gateway.process.as_ref().map(|process| process.core.next_wakeup()) else { return };
        let wakes_us = gateway.time_of(next).max(self.now_us);
        let life = gateway.life;
        let Some(process) = &mut gateway.process else { return };
        if process.wakes_at_us.is_none_or(|planned| wakes_us < planned) {
            process.wakes_at_us = Some(wakes_us);
            self.plan_at(wakes_us, Happening::AgentWakes { gateway: at, life });
        }
    }

    pub fn frames_arrive(&mut self, at: usize, link: LinkId, frames: Vec<BoardFrame>) {
        self.frames_for_checker(at, &frames);
        self.note_hellos(at, link, &frames);
        let Some(arrived) = self.gateways.get(at).map(|gateway| gateway.now(self.now_us).at) else { return };
        self.agent_event(at, Event::Board { link, arrived, frames });
    }

    /// What waits at the lines, now that there may be memory for it.
    pub fn take_all_waiting(&mut self, at: usize) {
        for board in 0..self.boards.len() {
            let waits = (self.boards.get(board).and_then(|board| board.lines.get(at)))
                .is_some_and(|line| !line.waiting.is_empty());
            if waits {
                self.take_waiting(board, at);
            }
        }
    }

    pub fn agent_event(&mut self, at: usize, event: Event) {
        let now_us = self.now_us;
        let Some(gateway) = self.gateways.get_mut(at) else { return };
        let now = gateway.now(now_us);
        let Some(process) = &mut gateway.process else { return };
        process.core.handle(now, event);
        let mut effects = Vec::new();
        while let Some(effect) = process.core.poll() {
            effects.push(effect);
        }
        self.check_lanes(at, &effects);
        for effect in effects {
            self.agent_effect(at, effect);
        }
        self.ask_for_wake(at);
    }

    fn agent_effect(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Send { link, frame } => {
                if let Down::Ack { boot, up_to } = frame {
                    self.check_board_ack(at, link, boot, up_to.0);
                }
                if let Down::Welcome(welcome) = &frame {
                    self.check_welcome(at, link, welcome.boot);
                }
                self.send_down(at, link, &frame);
            }
            Effect::Commit(batch) => self.agent_commits(at, batch),
            Effect::Load { keys } => {
                let Some(gateway) = self.gateways.get_mut(at) else { return };
                let life = gateway.life;
                let Some(process) = &mut gateway.process else { return };
                let outstanding = process.loading.replace(keys).is_some();
                if outstanding {
                    return self.violate("one-load", format!("gateway {at} loads twice at once"));
                }
                let after = self.disk_time(at);
                self.plan_in(after, Happening::AgentLoaded { gateway: at, life });
            }
            Effect::Publish { lane, number, block } => {
                if lane == Lane::Alarm {
                    self.coverage.count(Fault::AlarmAhead);
                }
                self.check_published(at, lane, number, &block);
                self.publish_up(at, lane, number, block);
            }
            // Nothing is wanted of channels here, and rules stay where they are (tests/rules.rs).
            Effect::Report(_)
            | Effect::AnswerRules(_)
            | Effect::Verdicts(_)
            | Effect::LocalAlarm { .. }
            | Effect::Held { .. } => {}
        }
    }

    fn disk_time(&mut self, at: usize) -> u64 {
        let slow = self.gateways.get(at).is_some_and(|gateway| gateway.health.slow_until_us > self.now_us);
        let usual = self.plan.disk_us;
        let time = self.dice.between(usual / 2, usual * 2);
        if !slow {
            return time;
        }
        self.coverage.count(Fault::DiskSlow);
        time + self.dice.between(200_000, 2_500_000)
    }

    fn agent_commits(&mut self, at: usize, batch: Batch) {
        let Some(gateway) = self.gateways.get_mut(at) else { return };
        let life = gateway.life;
        let Some(process) = &mut gateway.process else { return };
        if process.committing.replace(batch).is_some() {
            return self.violate("one-commit", format!("gateway {at} commits twice at once"));
        }
        let after = self.disk_time(at);
        self.plan_in(after, Happening::AgentDiskDone { gateway: at, life });
    }

    pub fn agent_disk_done(&mut self, at: usize, life: u64) {
        let weather = self.plan.weather;
        if self.gateways.get(at).is_none_or(|gateway| gateway.life != life || !gateway.is_running()) {
            return;
        }
        if self.chance(weather.kill_at_commit) {
            return self.kill_agent(at);
        }
        let fails = self.chance(weather.commit_failure);
        let now_us = self.now_us;
        let Some(gateway) = self.gateways.get_mut(at) else { return };
        let health = gateway.health;
        let Some(process) = &mut gateway.process else { return };
        let Some(batch) = process.committing.take() else { return };
        let failure = if process.poisoned {
            process.maybe_written.get_or_insert(batch);
            Some((CommitFailure::Poisoned, Fault::DiskPoisoned))
        } else if health.read_only_until_us > now_us || fails {
            Some((CommitFailure::Failed, Fault::DiskReadOnly))
        } else if health.full_until_us > now_us && !batch.puts.is_empty() {
            Some((CommitFailure::Full, Fault::DiskFull))
        } else {
            self.commit_to_disk(at, &batch);
            None
        };
        match failure {
            Some((failure, fault)) => {
                self.coverage.count(fault);
                self.note(11, at as u64, || format!("gateway {at}: commit fails ({failure:?})"));
                self.agent_event(at, Event::CommitFailed(failure));
            }
            None => self.agent_event(at, Event::Committed),
        }
        self.look_at_agent(at);
        self.take_all_waiting(at);
    }

    /// Invariant 5, and what only the agent's own view tells.
    fn look_at_agent(&mut self, at: usize) {
        let Some(gateway) = self.gateways.get(at) else { return };
        let Some(process) = &gateway.process else { return };
        let view = process.core.view(gateway.now(self.now_us).at);
        if view.queue.refusing {
            self.coverage.count(Fault::QuotaReached);
        }
        let held = view.ram.block_bytes + view.ram.readings_waiting * size_of::<Reading>() as u64;
        if held > view.ram.limit_bytes + MEMORY_BESIDE_LIMIT_BYTES {
            let words = format!("gateway {at} holds {held} bytes, its limit is {}", view.ram.limit_bytes);
            self.violate("memory-is-bounded", words);
        }
    }

    /// The batch is on the disk from here on, whoever hears of it.
    fn commit_to_disk(&mut self, at: usize, batch: &Batch) {
        let Some(gateway) = self.gateways.get_mut(at) else { return };
        match gateway.disk.apply(batch, &mut self.library) {
            Err(words) => self.violate("queue-keys", format!("gateway {at}: {words}")),
            Ok(applied) => {
                let (puts, deletes) = (applied.put.len(), applied.deleted.len());
                self.note(12, (puts * 1_000 + deletes) as u64, || {
                    format!("gateway {at}: {puts} blocks committed, {deletes} deleted")
                });
                let damaged = batch.quarantine.iter().filter(|kept| kept.reason == "damaged").count();
                self.coverage.add(Fault::BlockDamaged, damaged as u64);
                self.check_queue_commit(at, &applied);
            }
        }
    }

    pub fn agent_loaded(&mut self, at: usize, life: u64) {
        let fails = self.chance(self.plan.weather.load_failure);
        let Some(gateway) = self.gateways.get_mut(at).filter(|gateway| gateway.life == life) else { return };
        let Some(process) = &mut gateway.process else { return };
        let Some(keys) = process.loading.take() else { return };
        let event = if fails {
            self.coverage.count(Fault::DiskUnreadable);
            Event::LoadFailed
        } else {
            Event::Loaded { entries: gateway.disk.load(&keys) }
        };
        self.agent_event(at, event);
        self.take_all_waiting(at);
    }

    /// Only what is on the disk is left; a commit under way is there, or not.
    pub fn kill_agent(&mut self, at: usize) {
        self.count_unknown_answers(at);
        self.forget_what_is_in_memory(at);
        let Some(gateway) = self.gateways.get_mut(at) else { return };
        let Some(mut process) = gateway.process.take() else { return };
        self.coverage.count(Fault::AgentKilled);
        let open = process.maybe_written.take().or(process.committing.take());
        let written = self.dice.chance(0.5);
        self.note(13, at as u64, || format!("gateway {at} is killed (commit under way: {})", open.is_some()));
        if let Some(batch) = open {
            let fault = if written { Fault::AgentKilledCommitted } else { Fault::AgentKilledUncommitted };
            self.coverage.count(fault);
            if written {
                self.commit_to_disk(at, &batch);
            }
        }
        self.close_lines_of(at);
        self.uplink_ends(at);
        let Some(life) = self.gateways.get(at).map(|gateway| gateway.life) else { return };
        let after = self.dice.between(20_000, 1_500_000);
        self.plan_in(after, Happening::AgentStarts { gateway: at, life });
    }

    pub fn count_unknown_answers(&mut self, at: usize) {
        let Some(gateway) = self.gateways.get(at) else { return };
        let Some(process) = &gateway.process else { return };
        let unknown = process.core.view(gateway.now(self.now_us).at).counters.acks_unknown;
        self.coverage.add(Fault::AckUnknown, unknown);
    }

    /// What the core knew of origins and its disk does not: with the process, that knowledge dies.
    fn forget_what_is_in_memory(&mut self, at: usize) {
        let Some(gateway) = self.gateways.get(at) else { return };
        let Some(process) = &gateway.process else { return };
        for device in process.core.view(gateway.now(self.now_us).at).devices {
            let (Ok(id), Ok(boot)) = (DeviceId::new(&device.device), device.boot.parse::<BootId>()) else {
                continue;
            };
            let origin = Origin::new(id, boot);
            let known = gateway.disk.origins.get(&origin);
            // A boot that is used again goes on after its end.
            if known.is_none_or(|record| record.next < device.next || (device.closed && !record.closed)) {
                self.truth.entry(origin).forgotten = true;
            }
        }
    }

    fn close_lines_of(&mut self, at: usize) {
        for board in &mut self.boards {
            let Some(line) = board.lines.get_mut(at) else { continue };
            line.waiting.clear();
            if line.link.take().is_some() && !board.is_open() && board.plan.reach == Reach::Line {
                board.node.link_down();
            }
        }
    }

    /// What of an origin is neither in any queue nor at the cloud.
    pub fn uncovered(&self, origin: Origin, range: SeqRange) -> RangeSet {
        let mut missing: RangeSet = [range].into_iter().collect();
        self.cloud.store.cover(origin, &mut missing);
        for gateway in &self.gateways {
            if missing.is_empty() {
                break;
            }
            gateway.disk.cover(origin, &mut missing);
        }
        missing
    }

    /// Of those what nothing that befell the disks explains.
    pub fn nowhere(&self, origin: Origin, range: SeqRange) -> RangeSet {
        let mut missing = self.uncovered(origin, range);
        if let Some(truth) = self.truth.get(origin) {
            let excused = [&truth.flipped, &truth.forfeited, &truth.rolled_back];
            excused.into_iter().flat_map(RangeSet::iter).for_each(|range| missing.remove(range));
        }
        missing
    }
}
