//! Boards at work, and the lines between them and the gateways: bytes that are lost, doubled, held up, broken.

use tidegate_agent::core::{Event, LinkId};
use tidegate_protocol::{
    BootId,
    frame::{Down, MAX_DOWN_FRAME, MAX_FRAME, encode_down, encoded_len},
};

use super::{
    board::WAITING_FRAMES,
    coverage::Fault,
    plan::{BootKind, Reach},
    world::{Happening, World},
};

/// The way of a frame, one way.
const LINE_US: u64 = 3_000;
/// A reconnection's pause.
const RECONNECT_US: u64 = 300_000;

impl World {
    pub fn board_powers_up(&mut self, at: usize) {
        let now_us = self.now_us;
        let Some(board) = self.boots_again(at) else { return };
        let life = board.life;
        let tick = board.tick(now_us);
        if board.is_open() {
            board.node.link_up(tick);
        }
        let (home, everywhere) = (board.home, board.plan.reach == Reach::Air);
        self.note(1, at as u64, || format!("board-{at} powers up (life {life})"));
        for gateway in 0..self.gateways.len() {
            if everywhere || gateway == home {
                self.plan_at(now_us + 1_000, Happening::BoardConnects { board: at, gateway, life });
            }
        }
        self.plan_in(1_000, Happening::Measure { board: at, life });
    }

    fn boots_again(&mut self, at: usize) -> Option<&mut super::board::Board> {
        let Self { boards, dice, truth, now_us, coverage, .. } = self;
        let board = boards.get_mut(at)?;
        board.power_up(*now_us, dice, truth);
        if board.plan.boot == BootKind::Repeated && board.life > 1 {
            coverage.count(Fault::BootRepeated);
        }
        Some(board)
    }

    pub fn measure(&mut self, at: usize, life: u64) {
        let Self { boards, dice, truth, now_us, coverage, .. } = self;
        let Some(board) = boards.get_mut(at).filter(|board| board.life == life && board.powered) else {
            return;
        };
        if !self.measuring {
            return;
        }
        for _ in 0..dice.between(1, board.plan.burst) {
            let Some(dropped) = board.measure(*now_us, dice, truth) else { continue };
            if dropped > 0 {
                coverage.count(Fault::RingOverflow);
            }
        }
        let every_us = board.plan.every_us;
        let after = dice.waiting(every_us);
        self.plan_in(after, Happening::Measure { board: at, life });
        self.board_turn(at);
    }

    pub fn board_wakes(&mut self, at: usize, life: u64) {
        let Some(board) = self.boards.get_mut(at).filter(|board| board.life == life && board.powered) else {
            return;
        };
        board.wakes_at_us = None;
        self.board_turn(at);
    }

    /// Sends what is to be sent, and asks to be woken.
    pub fn board_turn(&mut self, at: usize) {
        let mut buffer = [0; encoded_len(MAX_FRAME)];
        loop {
            let now_us = self.now_us;
            let Some(board) = self.boards.get_mut(at).filter(|board| board.powered) else { return };
            if board.is_held_back() {
                self.coverage.count(Fault::BoardHeldBack);
                // It is looked at again when the gateway takes something.
                return;
            }
            let tick = board.tick(now_us);
            let Some(len) = board.node.poll_transmit(tick, &mut buffer) else { break };
            let bytes = buffer.get(..len).unwrap_or_default().to_vec();
            self.send_up(at, &bytes);
        }
        let now_us = self.now_us;
        let Some(board) = self.boards.get_mut(at) else { return };
        let tick = board.tick(now_us);
        let Some(wakes) = board.node.next_wakeup(tick) else { return };
        if wakes <= tick {
            let words = format!("board-{at} wants to be woken at tick {} while it is {}", wakes.0, tick.0);
            return self.violate("no-busy-loop", words);
        }
        let wakes_us = board.time_of(wakes);
        if board.wakes_at_us.is_none_or(|planned| wakes_us < planned) {
            board.wakes_at_us = Some(wakes_us);
            let life = board.life;
            self.plan_at(wakes_us, Happening::BoardWakes { board: at, life });
        }
    }

    fn send_up(&mut self, at: usize, bytes: &[u8]) {
        let mut heard_by = 0;
        for gateway in 0..self.gateways.len() {
            let Some(line) = self.boards.get(at).and_then(|board| board.lines.get(gateway)) else { continue };
            let Some(link) = line.link else { continue };
            let dead = self.now_us < line.up_dead_until_us;
            for bytes in self.through_the_air(bytes, dead) {
                let arrives = self.arrival_on_line();
                let Some(line) = self.line(at, gateway) else { continue };
                line.up_free_us = line.up_free_us.max(arrives);
                let arrives = line.up_free_us;
                self.plan_at(arrives, Happening::FrameUp { board: at, gateway, link, bytes });
                heard_by += 1;
            }
        }
        if heard_by > 1 {
            self.coverage.count(Fault::HeardByTwo);
        }
    }

    fn line(&mut self, board: usize, gateway: usize) -> Option<&mut super::board::Line> {
        self.boards.get_mut(board)?.lines.get_mut(gateway)
    }

    fn arrival_on_line(&mut self) -> u64 {
        let mut arrives = self.now_us + LINE_US + self.dice.between(0, LINE_US);
        if self.chance(self.plan.weather.frame_delay) {
            self.coverage.count(Fault::FrameDelayed);
            arrives += self.dice.magnitude(20_000, 2_000_000);
        }
        arrives
    }

    /// Chance, as long as there is trouble.
    pub fn chance(&mut self, probability: f64) -> bool {
        !self.calm && self.dice.chance(probability)
    }

    /// What arrives of a frame: nothing, it, it twice, or something else.
    fn through_the_air(&mut self, bytes: &[u8], dead: bool) -> Vec<Vec<u8>> {
        let weather = self.plan.weather;
        if dead {
            return Vec::new();
        }
        if self.chance(weather.frame_loss) {
            self.coverage.count(Fault::FrameLost);
            return Vec::new();
        }
        let mut bytes = bytes.to_vec();
        if self.chance(weather.frame_corrupt) {
            self.coverage.count(Fault::FrameCorrupted);
            let (place, bit) = (self.dice.place(bytes.len()), self.dice.between(0, 7));
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << bit;
            }
        }
        if self.chance(weather.frame_cut) {
            self.coverage.count(Fault::FrameTruncated);
            let len = self.dice.place(bytes.len());
            bytes.truncate(len);
        }
        if self.chance(weather.frame_twice) {
            self.coverage.count(Fault::FrameDuplicated);
            return vec![bytes.clone(), bytes];
        }
        vec![bytes]
    }

    pub fn board_connects(&mut self, at: usize, gateway: usize, life: u64) {
        let Some(board) = self.boards.get(at).filter(|board| board.life == life && board.powered) else {
            return;
        };
        let is_open = board.lines.get(gateway).is_none_or(|line| line.link.is_some());
        let (line_is_elsewhere, was_open) =
            (board.plan.reach == Reach::Line && board.home != gateway, board.is_open());
        if is_open || line_is_elsewhere {
            return;
        }
        let Some(host) = self.gateways.get_mut(gateway).filter(|gateway| gateway.is_running()) else {
            return self.plan_in(RECONNECT_US, Happening::BoardConnects { board: at, gateway, life });
        };
        let link = host.open_link();
        let now_us = self.now_us;
        if let Some(line) = self.line(at, gateway) {
            let before = std::mem::take(line);
            line.link = Some(link);
            (line.up_dead_until_us, line.down_dead_until_us) =
                (before.up_dead_until_us, before.down_dead_until_us);
        }
        self.note(2, link.0, || format!("board-{at} has a line to gateway {gateway} (link {})", link.0));
        if let Some(board) = self.boards.get_mut(at) {
            let tick = board.tick(now_us);
            // On a bus nobody notices that one more listens.
            if !was_open || board.plan.reach == Reach::Line {
                board.node.link_up(tick);
            }
        }
        self.board_turn(at);
    }

    /// The line between a board and a gateway goes down, for both ends; it is tried again.
    pub fn unplug(&mut self, at: usize, gateway: usize) {
        let Some(line) = self.line(at, gateway) else { return };
        let Some(link) = line.link.take() else { return };
        line.waiting.clear();
        self.note(3, link.0, || format!("the line of board-{at} to gateway {gateway} is cut"));
        let Some(board) = self.boards.get_mut(at) else { return };
        if !board.is_open() {
            board.node.link_down();
        }
        let life = board.life;
        self.agent_event(gateway, Event::LinkClosed(link));
        let after = RECONNECT_US + self.dice.between(0, RECONNECT_US);
        self.plan_in(after, Happening::BoardConnects { board: at, gateway, life });
    }

    pub fn frame_up(&mut self, at: usize, gateway: usize, link: LinkId, bytes: Vec<u8>) {
        let takes = (self.gateways.get(gateway))
            .and_then(|gateway| gateway.process.as_ref())
            .is_some_and(|process| process.core.takes_frames());
        let Some(line) = self.line(at, gateway).filter(|line| line.link == Some(link)) else { return };
        line.waiting.push_back(bytes);
        if takes {
            self.take_waiting(at, gateway);
        }
    }

    /// The gateway reads what waits, as long as it has memory for it.
    pub fn take_waiting(&mut self, at: usize, gateway: usize) {
        loop {
            let takes = (self.gateways.get(gateway))
                .and_then(|gateway| gateway.process.as_ref())
                .is_some_and(|process| process.core.takes_frames());
            if !takes {
                return;
            }
            let Self { boards, dice, .. } = self;
            let Some(board) = boards.get_mut(at) else { return };
            let Some(line) = board.lines.get_mut(gateway) else { return };
            let (Some(link), Some(bytes)) = (line.link, line.waiting.pop_front()) else { return };
            let was_full = line.waiting.len() + 1 == WAITING_FRAMES;
            let frames = line.decoder.push(&bytes, || BootId(dice.bits()));
            if !frames.is_empty() {
                self.frames_arrive(gateway, link, frames);
            }
            if was_full {
                self.board_turn(at);
            }
        }
    }

    /// A gateway sends a frame to the board at the other end of a link.
    pub fn send_down(&mut self, gateway: usize, link: LinkId, frame: &Down) {
        let found = self.boards.iter().position(|board| {
            board.lines.get(gateway).is_some_and(|line| line.link == Some(link)) && board.powered
        });
        let Some(at) = found else { return };
        let mut buffer = [0; MAX_DOWN_FRAME];
        let Ok(len) = encode_down(frame, &mut buffer) else {
            return self.violate("frames-encode", format!("{frame:?} does not encode"));
        };
        let dead = self.line(at, gateway).map_or(0, |line| line.down_dead_until_us) > self.now_us;
        for bytes in self.through_the_air(buffer.get(..len).unwrap_or_default(), dead) {
            let arrives = self.arrival_on_line();
            let Some(board) = self.boards.get_mut(at) else { return };
            let life = board.life;
            let Some(line) = board.lines.get_mut(gateway) else { return };
            line.down_free_us = line.down_free_us.max(arrives);
            let arrives = line.down_free_us;
            self.plan_at(arrives, Happening::FrameDown { board: at, life, gateway, link, bytes });
        }
    }

    /// What was said to a board that lost its power meanwhile was said to nobody: its buffers are gone too.
    pub fn frame_down(&mut self, at: usize, life: u64, gateway: usize, link: LinkId, bytes: &[u8]) {
        let Self { boards, truth, now_us, .. } = self;
        let Some(board) = boards.get_mut(at).filter(|board| board.life == life && board.powered) else {
            return;
        };
        if board.lines.get(gateway).is_none_or(|line| line.link != Some(link)) {
            return;
        }
        let (before, floor) = (board.origin(), board.node.floor().0);
        if let Some(origin) = board.hear(*now_us, bytes, truth) {
            let fault = if before.is_some() { Fault::BootReassigned } else { Fault::BootAssigned };
            self.coverage.count(fault);
            self.note(4, origin.boot.0, || format!("board-{at} numbers under {origin} from now on"));
        } else if let (Some(origin), Some(board)) = (before, self.boards.get(at)) {
            let released = board.node.floor().0;
            if released > floor {
                self.check_released(origin, released);
            }
        }
        self.board_turn(at);
    }
}
