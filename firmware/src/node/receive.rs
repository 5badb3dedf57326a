//! Frames to state: what the gateway says.

use tidegate_protocol::{
    BootId, Tick,
    frame::{Down, HelloMark, Welcome},
    id::Seq,
};

use super::{Node, Session};
use crate::{clock::WallTime, counters::Counters, log};

impl<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>> Node<'_, CHANNELS, S> {
    /// Takes bytes from the link, in whatever pieces they come. What does not decode is counted and skipped.
    pub fn receive(&mut self, now: Tick, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let deframed = self.deframer.push(bytes);
            bytes = bytes.get(deframed.used..).unwrap_or_default();
            match deframed.frame.map(|frame| frame.and_then(|stuffed| self.line.read(stuffed))) {
                Some(Ok(Some(down))) => self.handle(now, down),
                Some(Ok(None)) => self.greet(now),
                Some(Err(_)) => {
                    Counters::add(&mut self.counters.bad_frames, 1);
                    log::warn!("a bad frame came, the {}. of this boot", self.counters.bad_frames);
                }
                None => {}
            }
        }
    }

    fn handle(&mut self, now: Tick, down: Down) {
        match down {
            Down::Welcome(welcome) => self.welcomed(now, &welcome),
            Down::Ack { boot, up_to } => self.acknowledged(now, boot, up_to),
            Down::Settings { boot, settings } if self.boot.map(BootId::tag) == Some(boot) => {
                self.channels.apply(&settings, &self.config.periods_ms(), now);
            }
            // A gateway that missed this boot's Hello speaks of the channels of the boot before.
            Down::Settings { .. } => {}
            Down::Time { unix_ms, error_ms } => self.wall.hear(now, WallTime { unix_ms, error_ms }),
            // While greeting, the Hello is on its way already.
            Down::Identify if self.is_welcomed() => self.greet(now),
            Down::Identify => {}
        }
    }

    fn welcomed(&mut self, now: Tick, welcome: &Welcome) {
        if self.former_is_welcomed(now, welcome.answers, welcome.boot) {
            return;
        }
        if self.boot != Some(welcome.boot) {
            return self.offered(now, welcome);
        }
        if let Session::Greeting { said_at: Some(said_at), .. } = self.session {
            // The answer cannot be older than the question.
            let error_ms = u64::from(welcome.error_ms).saturating_add(now.0.saturating_sub(said_at.0));
            let error_ms = u32::try_from(error_ms).unwrap_or(u32::MAX);
            self.wall.hear(now, WallTime { unix_ms: welcome.unix_ms, error_ms });
            // The gateway may have lost all it had not made safe: from the floor again.
            self.window.rewind(self.ring.tail(), self.ring.end(), now, &self.config);
            self.send_kept_again(Seq(u64::MAX));
            self.greet_for_former(now);
            self.session = Session::Welcomed { heartbeat_at: now };
            log::info!("welcomed as boot {}", welcome.boot);
        }
    }

    /// A gateway gives another boot, since this board has none or its numbers went back. An offer that answers an
    /// older Hello is of a copy that was held up: the gateway knew of what came after it.
    fn offered(&mut self, now: Tick, welcome: &Welcome) {
        if welcome.answers == HelloMark::of(self.boot, self.said_next) {
            self.adopt(welcome.boot);
            // All gateways on this line are to hear which boot it is now.
            self.greet(now);
        }
    }

    /// Readings are numbered under `boot` from now on, from 0: what is held was acknowledged under no boot.
    fn adopt(&mut self, boot: BootId) {
        if self.boot.is_some() {
            Counters::add(&mut self.counters.reassigned_boots, 1);
        }
        log::info!("the gateway gives boot {}, this board had {}", boot, self.boot);
        self.boot = Some(boot);
        // What flash holds, and what was lost behind it, stays with the boot that it was kept under.
        let from = if self.kept_end() > self.floor { self.ring.tail().seq } else { self.floor };
        self.forget_kept();
        self.ring.renumber(from.0);
        self.hurried_to = Seq(self.hurried_to.0.saturating_sub(from.0));
        self.floor = Seq(0);
        self.window.forget();
    }

    fn acknowledged(&mut self, now: Tick, boot: BootId, up_to: Seq) {
        if self.former_is_acknowledged(now, boot, up_to) {
            return;
        }
        if self.boot != Some(boot) || up_to > self.window.told() {
            Counters::add(&mut self.counters.refused_acks, 1);
            log::debug!("refused an acknowledgement of boot {} up to {}", boot, up_to);
            return;
        }
        if up_to <= self.floor {
            return;
        }
        Counters::add(&mut self.counters.acknowledged, up_to.0 - self.floor.0);
        self.ring.release(up_to);
        self.floor = up_to;
        self.kept_is_acknowledged();
        let at_rest = self.is_at_rest();
        if self.window.acknowledged(up_to, self.ring.tail(), at_rest, now, &self.config) {
            self.repeat_kept();
        }
    }
}
