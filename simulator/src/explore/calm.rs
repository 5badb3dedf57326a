//! The end of a schedule: nothing goes wrong any more, every board is heard by every gateway, and all that anybody has must
//! arrive and come to rest.

use super::{
    checker::LIVE_GRACE_US,
    plan::Reach,
    world::{Happening, World},
};

const MS: u64 = 1_000;
const S: u64 = 1_000 * MS;
/// Boards measure on for so long, so that live readings meet the backlog.
const MEASURING_US: u64 = 6 * S;
const LOOK_US: u64 = 500 * MS;
/// All must have been at rest for so long: longer than any core's rounds.
const REST_US: u64 = 7 * S;
/// How long a board stays with a gateway on its last tour.
const TOUR_US: u64 = 5 * S;
/// The longest back-offs are a minute.
const DEADLINE_US: u64 = 400 * S;

impl World {
    pub fn calm_begins(&mut self) {
        self.calm = true;
        self.note(60, 0, || "from here on nothing goes wrong".to_owned());
        self.cloud.slow_until_us = 0;
        self.cloud.occupied_bytes = 0;
        self.broker_forgets_until = 0;
        self.tell_ingest_its_room();
        for at in 0..self.gateways.len() {
            let Some(gateway) = self.gateways.get_mut(at) else { continue };
            gateway.health = Default::default();
            gateway.uplink.up_dead_until_us = 0;
            gateway.uplink.down_dead_until_us = 0;
            gateway.uplink.throttled_until_us = 0;
            // A poisoned store says so; somebody starts the agent again.
            if gateway.process.as_ref().is_some_and(|process| process.poisoned) {
                self.kill_agent(at);
            }
        }
        for board in 0..self.boards.len() {
            let gateways = self.gateways.len();
            let Some(known) = self.boards.get_mut(board) else { continue };
            for line in &mut known.lines {
                (line.up_dead_until_us, line.down_dead_until_us) = (0, 0);
            }
            let (life, on_a_line, home) = (known.life, known.plan.reach == Reach::Line, known.home);
            for turn in 0..gateways {
                if on_a_line {
                    let gateway = (home + turn) % gateways;
                    self.plan_in(TOUR_US * turn as u64, Happening::Tours { board, gateway });
                } else {
                    self.plan_in(10 * MS, Happening::BoardConnects { board, gateway: turn, life });
                }
            }
        }
        // Gateways and boards that are down come back within two seconds; what a slow line still holds comes first.
        let on_the_way =
            self.gateways.iter().map(|gateway| gateway.uplink.up_free_us).max().unwrap_or_default();
        let live_from_us = self.now_us.max(on_the_way) + LIVE_GRACE_US;
        self.checker.live_from_us = Some(live_from_us);
        self.plan_at(live_from_us + MEASURING_US, Happening::MeasuringEnds);
        self.plan_in(LOOK_US, Happening::LooksAround);
    }

    /// A board on a line visits every gateway, so that each hears in which boot it is.
    pub fn tours(&mut self, board: usize, gateway: usize) {
        self.move_board(board, gateway);
    }

    /// Ends the schedule once all has been at rest for a while.
    pub fn look_around(&mut self) {
        self.check_live_waiting();
        let unrest = self.unrest();
        let begun = self.plan.trouble_us;
        if unrest.is_some() {
            self.rest_since_us = None;
        }
        let since = match unrest {
            None => *self.rest_since_us.get_or_insert(self.now_us),
            Some(words) if self.now_us > begun + DEADLINE_US => {
                return self.violate("comes-to-rest", format!("still, {words}"));
            }
            Some(_) => self.now_us,
        };
        self.ended = self.now_us >= since + REST_US;
        if !self.ended {
            self.plan_in(LOOK_US, Happening::LooksAround);
        }
    }

    /// What is not at rest, in words.
    fn unrest(&self) -> Option<String> {
        if self.measuring {
            return Some("boards measure".to_owned());
        }
        for (at, board) in self.boards.iter().enumerate() {
            if !board.powered || !board.node.is_drained() {
                let (floor, next) = (board.node.floor(), board.node.next_seq());
                return Some(format!("board-{at} holds {floor}..{next} of {:?}", board.origin()));
            }
            if !board.is_open() {
                return Some(format!("board-{at} has no line"));
            }
        }
        for (at, gateway) in self.gateways.iter().enumerate() {
            let Some(process) = &gateway.process else { return Some(format!("gateway {at} is down")) };
            if !process.core.is_drained() || !gateway.disk.blocks.is_empty() {
                let blocks = gateway.disk.blocks.len();
                let view = process.core.view(gateway.now(self.now_us).at);
                return Some(format!("gateway {at} holds {blocks} blocks: {:?} {:?}", view.link, view.ram));
            }
        }
        match &self.cloud.core {
            None => Some("the ingest is down".to_owned()),
            Some(core) if !core.is_idle() => Some("the ingest is busy".to_owned()),
            Some(_) if self.plan.lake.is_some() && !self.cloud.store.holdings.journal.is_empty() => {
                Some("the journal waits for the lake".to_owned())
            }
            Some(_) => None,
        }
    }
}
