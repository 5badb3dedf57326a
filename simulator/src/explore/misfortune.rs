//! Faults carried out.

use std::rc::Rc;

use tidegate_ingest::core::Event as IngestEvent;
use tidegate_protocol::{RangeSet, SeqRange};

use super::{
    board::Line,
    coverage::Fault,
    gateway::Gateway,
    incident::Incident,
    plan::Reach,
    world::{Happening, World},
};

const MS: u64 = 1_000;
const S: u64 = 1_000 * MS;
/// How long a connection may be dead before somebody notices.
const KEEP_ALIVE_US: u64 = 3 * S;
/// At most this many processes, twins included.
const MOST_GATEWAYS: usize = 3;

impl World {
    pub fn misfortune(&mut self, incident: Incident, mean_us: u64) {
        if self.calm {
            return;
        }
        let after = self.dice.waiting(mean_us);
        self.plan_in(after, Happening::Misfortune { incident, mean_us });
        let gateway = self.dice.place(self.gateways.len());
        let board = self.dice.place(self.boards.len());
        self.note(50, incident as u64, || format!("{incident:?} (gateway {gateway}, board-{board})"));
        match incident {
            Incident::KillAgent => self.kill_agent(gateway),
            Incident::KillIngest => self.kill_ingest(),
            Incident::BrownOut => self.brown_out(board),
            Incident::UnplugBoard => {
                self.coverage.count(Fault::BoardUnplugged);
                self.unplug(board, gateway);
            }
            Incident::MoveBoard => self.move_board(board, gateway),
            Incident::DeafenLine => self.deafen(board, gateway),
            Incident::CutUplink => self.break_uplink(gateway, 0, Fault::UplinkCut),
            Incident::PartitionUplink => self.kill_directions(gateway, true, true),
            Incident::HalfOpenUplink => {
                let up = self.dice.chance(0.5);
                self.kill_directions(gateway, up, !up);
            }
            Incident::ThrottleUplink => self.throttle(gateway),
            Incident::RestartBroker => self.restart_broker(),
            Incident::FillDisk | Incident::ReadOnlyDisk | Incident::SlowDisk | Incident::PoisonDisk => {
                self.spoil_disk(incident, gateway);
            }
            Incident::FlipByte => self.flip_byte(gateway),
            Incident::JumpClock | Incident::SetClock => self.change_clock(incident, gateway),
            Incident::TakeImage => {
                if let Some(gateway) = self.gateways.get_mut(gateway) {
                    gateway.image = Some(gateway.disk.clone());
                }
            }
            Incident::RestoreImage => self.restore_image(gateway),
            Incident::StartTwin => self.start_twin(gateway),
            Incident::KickTwin => self.kick_twin(),
            Incident::SlowIngest => {
                self.cloud.slow_until_us = self.now_us + self.dice.between(500 * MS, 4 * S)
            }
            Incident::FillIngest => {
                self.cloud.occupied_bytes = self.plan.ingest.quota_bytes;
                self.tell_ingest_its_room();
            }
            Incident::FreeIngest => {
                self.cloud.occupied_bytes = 0;
                self.tell_ingest_its_room();
            }
            Incident::BackUpIngest => self.cloud.backup = Some(self.cloud.store.backed_up()),
            Incident::RestoreIngest => self.restore_ingest(),
            Incident::SealEnded => self.seal_ended(),
            Incident::RetireDevice => self.retire_device(board),
            Incident::FlipJournal => self.flip_journal(),
        }
    }

    pub fn tell_ingest_its_room(&mut self) {
        let used_bytes = self.cloud.used_bytes();
        self.ingest_event(IngestEvent::Trimmed { used_bytes });
    }

    fn brown_out(&mut self, at: usize) {
        let Self { boards, truth, .. } = self;
        let Some(board) = boards.get_mut(at).filter(|board| board.powered) else { return };
        let held = board.power_down(truth);
        self.coverage.count(Fault::BrownOut);
        if held > 0 {
            self.coverage.count(Fault::BrownOutWithReadings);
        }
        // A serial line stays open; a network connection is closed by the gateway, or by the board's next try.
        if self.dice.chance(0.5) {
            for gateway in 0..self.gateways.len() {
                self.unplug(at, gateway);
            }
        }
        let after = self.dice.between(20 * MS, S);
        self.plan_in(after, Happening::BoardPowersUp { board: at });
    }

    pub fn move_board(&mut self, at: usize, gateway: usize) {
        let Some(board) = self.boards.get_mut(at) else { return };
        if board.plan.reach != Reach::Line || board.home == gateway {
            return;
        }
        let (from, life) = (std::mem::replace(&mut board.home, gateway), board.life);
        self.coverage.count(Fault::BoardMoved);
        self.unplug(at, from);
        self.plan_in(50 * MS, Happening::BoardConnects { board: at, gateway, life });
    }

    fn deafen(&mut self, at: usize, gateway: usize) {
        let until = self.now_us + self.dice.between(300 * MS, 4 * S);
        let up = self.dice.chance(0.5);
        let Some(line) = self.boards.get_mut(at).and_then(|board| board.lines.get_mut(gateway)) else {
            return;
        };
        if line.link.is_none() {
            return;
        }
        *(if up { &mut line.up_dead_until_us } else { &mut line.down_dead_until_us }) = until;
        self.coverage.count(Fault::BoardLinkHalfOpen);
    }

    fn break_uplink(&mut self, at: usize, after_us: u64, fault: Fault) {
        let Some(gateway) = self.gateways.get(at).filter(|gateway| gateway.uplink.up) else { return };
        let (life, connection) = (gateway.life, gateway.uplink.connection);
        self.coverage.count(fault);
        self.plan_in(after_us, Happening::UplinkBreaks { gateway: at, life, connection });
    }

    fn kill_directions(&mut self, at: usize, up: bool, down: bool) {
        let until = self.now_us + self.dice.between(500 * MS, 5 * S);
        let noticed = self.dice.between(S, KEEP_ALIVE_US);
        let fault = if up && down { Fault::UplinkPartitioned } else { Fault::UplinkHalfOpen };
        let Some(gateway) = self.gateways.get_mut(at).filter(|gateway| gateway.uplink.up) else { return };
        if up {
            gateway.uplink.up_dead_until_us = until;
        }
        if down {
            gateway.uplink.down_dead_until_us = until;
        }
        self.break_uplink(at, noticed, fault);
    }

    fn throttle(&mut self, at: usize) {
        let (rate, until) = (self.dice.magnitude(500, 20_000), self.now_us + self.dice.between(S, 8 * S));
        if let Some(gateway) = self.gateways.get_mut(at) {
            gateway.uplink.bytes_per_s = rate;
            gateway.uplink.throttled_until_us = until;
        }
    }

    fn restart_broker(&mut self) {
        self.coverage.count(Fault::BrokerForgot);
        self.ingest_loses_broker();
        for at in 0..self.gateways.len() {
            let Some(gateway) = self.gateways.get(at) else { continue };
            let (life, connection) = (gateway.life, gateway.uplink.connection);
            self.uplink_breaks(at, life, connection);
        }
    }

    fn spoil_disk(&mut self, incident: Incident, at: usize) {
        let until = self.now_us + self.dice.between(500 * MS, 5 * S);
        let Some(gateway) = self.gateways.get_mut(at) else { return };
        match incident {
            Incident::FillDisk => gateway.health.full_until_us = until,
            Incident::ReadOnlyDisk => gateway.health.read_only_until_us = until,
            Incident::SlowDisk => gateway.health.slow_until_us = until,
            _ => {
                if let Some(process) = &mut gateway.process {
                    process.poisoned = true;
                }
            }
        }
    }

    fn flip_byte(&mut self, at: usize) {
        let Self { gateways, dice, truth, .. } = self;
        let Some(gateway) = gateways.get_mut(at) else { return };
        let place = dice.place(gateway.disk.blocks.len());
        let Some(block) = gateway.disk.blocks.values_mut().nth(place) else { return };
        let at = dice.place(block.bytes.len());
        let bit = dice.between(0, 7);
        let Some(byte) = block.bytes.get_mut(at) else { return };
        *byte ^= 1 << bit;
        for (origin, ranges) in &block.contents.readings {
            ranges.iter().for_each(|range| truth.entry(*origin).flipped.insert(*range));
        }
        for loss in &block.contents.losses {
            truth.entry(loss.origin).flipped.insert(loss.range);
        }
        self.coverage.count(Fault::BlockFlipped);
    }

    fn flip_journal(&mut self) {
        let Self { cloud, truth, .. } = self;
        let lake_dice = &mut cloud.lake_dice;
        // What a roll has just read is the more interesting.
        let holdings = &mut cloud.store.holdings;
        let rolling = holdings.intent.as_ref().map(|intent| intent.from..intent.to);
        let within = rolling.filter(|_| lake_dice.chance(0.7)).unwrap_or(0..u64::MAX);
        let place = lake_dice.place(holdings.journal.range(within.clone()).count());
        let Some((&position, entry)) = holdings.journal.range_mut(within).nth(place) else { return };
        // Often in its head, which is short.
        let reach = if lake_dice.chance(0.4) { 64 } else { usize::MAX };
        let value = Rc::make_mut(&mut entry.value);
        let at = lake_dice.place(value.len().min(reach));
        let Some(byte) = value.get_mut(at) else { return };
        *byte ^= 1 << lake_dice.between(0, 7);
        entry.is_damaged = true;
        for run in &entry.head.accepted {
            let Some(record) = cloud.store.origins.get(&run.origin) else { continue };
            let truth = truth.entry(record.origin);
            truth.flipped.insert(run.range);
            truth.was_damaged_at_cloud = true;
        }
        self.coverage.count(Fault::JournalFlipped);
        // Somebody asks for it.
        if self.cloud.lake_dice.chance(0.4) {
            self.meet_damage(position, None);
        }
    }

    fn change_clock(&mut self, incident: Incident, at: usize) {
        let jump = self.dice.magnitude(100, 400 * 86_400_000) as i64;
        let back = self.dice.chance(0.5);
        let Some(gateway) = self.gateways.get_mut(at) else { return };
        if incident == Incident::SetClock {
            (gateway.clock_offset_ms, gateway.synced) = (0, true);
        } else if back {
            gateway.clock_offset_ms -= jump;
            self.coverage.count(Fault::GatewayClockBack);
        } else {
            gateway.clock_offset_ms += jump;
            self.coverage.count(Fault::GatewayClockForward);
        }
    }

    /// The gateway comes back with what its disk held once. What only the newer state held is gone, and no custody can
    /// help it: the operator threw it away.
    fn restore_image(&mut self, at: usize) {
        if self.gateways.get(at).is_none_or(|gateway| gateway.image.is_none() || !gateway.is_running()) {
            return;
        }
        self.kill_agent(at);
        self.coverage.count(Fault::OldImage);
        let Some(gateway) = self.gateways.get_mut(at) else { return };
        let Some(image) = gateway.image.clone() else { return };
        gateway.was_set_back = true;
        let newer = std::mem::replace(&mut gateway.disk, image);
        let mut held: Vec<_> = Vec::new();
        for contents in newer
            .blocks
            .values()
            .map(|block| &block.contents)
            .chain(newer.quarantine.iter().map(|kept| &kept.contents))
        {
            let losses = contents.losses.iter().map(|loss| (loss.origin, loss.range));
            let readings = contents.readings.iter();
            let readings = readings.flat_map(|(origin, ranges)| ranges.iter().map(|range| (*origin, *range)));
            held.extend(readings.chain(losses));
        }
        for (origin, range) in held {
            let gone = self.uncovered(origin, range);
            let truth = self.truth.entry(origin);
            gone.iter().for_each(|range| truth.forfeited.insert(range));
        }
        for origin in newer.origins.keys() {
            self.truth.entry(*origin).forgotten = true;
        }
    }

    fn start_twin(&mut self, at: usize) {
        if self.gateways.len() >= MOST_GATEWAYS {
            return;
        }
        let Some(original) = self.gateways.get(at) else { return };
        let mut twin = Gateway::new(original.path, original.settings.clone());
        twin.disk = original.disk.clone();
        twin.was_set_back = true;
        let twin_at = self.gateways.len();
        self.gateways.push(twin);
        self.boards.iter_mut().for_each(|board| board.lines.push(Line::default()));
        self.coverage.count(Fault::Twin);
        self.plan_in(10 * MS, Happening::AgentStarts { gateway: twin_at, life: 0 });
    }

    /// Two processes under one name: the broker lets the one go when the other comes.
    fn kick_twin(&mut self) {
        let Some((twin, others)) = self.gateways.split_last() else { return };
        let Some(at) = others.iter().position(|gateway| gateway.path == twin.path) else { return };
        let kicked = if self.dice.chance(0.5) { at } else { others.len() };
        self.break_uplink(kicked, 0, Fault::TwinKicked);
    }

    /// Of what has ended and was heard of up to a while ago, a row is enough.
    fn seal_ended(&mut self) {
        let retention_ms = self.dice.magnitude(1, 5_000) as i64;
        let before_unix_ms = self.ingest_unix_ms() - retention_ms;
        self.ingest_event(IngestEvent::Seal { before_unix_ms });
    }

    /// The ingest comes back with what a backup holds, and says that it was restored.
    fn restore_ingest(&mut self) {
        let Some(mut backup) = self.cloud.backup.clone() else { return };
        if self.cloud.core.is_none() {
            return;
        }
        self.kill_ingest();
        self.coverage.count(Fault::IngestRestored);
        backup.ledger = self.cloud.store.ledger + 1;
        let newer = std::mem::replace(&mut self.cloud.store, backup);
        for origin in self.truth.origins() {
            let mut gone: RangeSet = [SeqRange::new(0, u64::MAX)].into_iter().collect();
            let mut kept = gone.clone();
            newer.cover(origin, &mut kept);
            kept.iter().for_each(|range| gone.remove(range));
            self.cloud.store.cover(origin, &mut gone);
            self.coverage.add(Fault::RolledBack, gone.count());
            let truth = self.truth.entry(origin);
            truth.was_rolled_back = true;
            gone.iter().for_each(|range| truth.rolled_back.insert(range));
        }
    }
}
