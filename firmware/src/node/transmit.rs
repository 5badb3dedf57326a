//! Ring to frames: what goes out next, and when there will be something to send.

use tidegate_protocol::{
    LossReason, Tick,
    frame::{
        BoardCounters, ChannelList, Heartbeat, Hello, Lost, MAX_FRAME, MAX_PACKED, Readings, Standing, Up,
    },
    id::Seq,
};

use super::{Node, Session};
use crate::{
    counters::Counters,
    ring::{Cursor, Stretch},
    window::after,
};

/// Version, head and checksum of a Readings frame at their longest.
pub(crate) const READINGS_HEAD: usize = 1 + 48 + 4;

impl<'a, const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>> Node<'a, CHANNELS, S> {
    /// Writes the next frame, its final zero included, and returns its length. Call until it returns None, after
    /// every sample, every receive and at [`Self::next_wakeup`]. A buffer below [`Self::transmit_len`] may be too
    /// short for a frame, which then is never sent.
    pub fn poll_transmit(&mut self, now: Tick, out: &mut [u8]) -> Option<usize> {
        let hello_is_due = matches!(self.session, Session::Greeting { hello_at, .. } if hello_at <= now);
        let len = if self.line.must_call(hello_is_due) {
            self.transmit_call(now, out)?
        } else {
            self.transmit(now, out)?
        };
        Counters::add(&mut self.counters.frames_sent, 1);
        Some(len)
    }

    fn transmit(&mut self, now: Tick, out: &mut [u8]) -> Option<usize> {
        match self.session {
            Session::Down => None,
            Session::Greeting { .. } => self.transmit_hello(now, out),
            Session::Welcomed { .. } => {
                self.check_timeout(now);
                self.transmit_answer(out)
                    .or_else(|| self.transmit_heartbeat(now, out))
                    .or_else(|| self.transmit_lost(now, out))
                    .or_else(|| self.transmit_fresh(now, out))
                    .or_else(|| self.transmit_older(now, out))
            }
        }
    }

    fn transmit_hello(&mut self, now: Tick, out: &mut [u8]) -> Option<usize> {
        let Session::Greeting { hello_at, retry_ms, .. } = self.session else { return None };
        if now < hello_at {
            return None;
        }
        let hello = self.hello(self.standing())?;
        let len = self.line.write(&Up::Hello(hello), out)?;
        self.said_next = self.ring.next();
        self.line.hello_is_said();
        self.session = Session::Greeting {
            hello_at: after(now, retry_ms),
            retry_ms: retry_ms.saturating_mul(2).min(self.config.hello_retry_max_ms),
            said_at: Some(now),
        };
        Some(len)
    }

    pub(super) fn hello(&self, standing: Standing) -> Option<Hello<'a>> {
        Some(Hello {
            device: self.identity.device,
            tag: self.identity.tag,
            firmware: self.identity.firmware,
            boot: self.boot,
            standing,
            floor: self.floor,
            next: self.ring.next(),
            channels: ChannelList::new(self.channels.declared()).ok()?,
        })
    }

    fn transmit_answer(&mut self, out: &mut [u8]) -> Option<usize> {
        let answer = self.channels.answer()?;
        let boot = self.boot?.tag();
        let len = self.line.write(&Up::SettingsResult { boot, result: answer }, out)?;
        self.channels.answered(&answer);
        Some(len)
    }

    fn transmit_heartbeat(&mut self, now: Tick, out: &mut [u8]) -> Option<usize> {
        let Session::Welcomed { heartbeat_at } = self.session else { return None };
        if now < heartbeat_at {
            return None;
        }
        let heartbeat = Heartbeat {
            boot: self.boot?.tag(),
            floor: self.floor,
            next: self.ring.next(),
            // Readings may be stamped on another scale than that of the node's own timers (a recording replayed).
            tick: now.max(self.ring.newest_tick()),
            ring_free: self.ring.free_readings(),
            clock: self.board_time,
            counters: BoardCounters {
                bad_frames: self.counters.bad_frames,
                repeated: self.counters.repeated,
                refused_acks: self.counters.refused_acks,
                links_lost: self.counters.links_lost,
            },
        };
        let len = self.line.write(&Up::Heartbeat(heartbeat), out)?;
        self.session = Session::Welcomed { heartbeat_at: after(now, self.config.heartbeat_ms) };
        Some(len)
    }

    fn declare_at(&self) -> Option<Tick> {
        let lost = self.lost();
        if lost.is_empty() { None } else { self.window.declare_at(Seq(lost.end), &self.config) }
    }

    fn transmit_lost(&mut self, now: Tick, out: &mut [u8]) -> Option<usize> {
        if self.declare_at()? > now {
            return None;
        }
        let (range, floor, next) = (self.lost(), self.floor, self.ring.next());
        let boot = self.boot?.tag();
        let lost = Lost { boot, range, reason: LossReason::RingOverflow, floor, next };
        let len = self.line.write(&Up::Lost(lost), out)?;
        self.window.announce(Seq(range.end), now);
        self.window.tell(floor, Seq(range.end), now);
        Some(len)
    }

    fn check_timeout(&mut self, now: Tick) {
        if self.window.timeout_at(self.floor).is_some_and(|at| at <= now) {
            let at_rest = self.is_at_rest();
            if self.window.timed_out(self.ring.tail(), at_rest, now, &self.config) {
                self.repeat_kept();
            }
        }
    }

    /// No older readings are under way.
    pub(super) fn is_at_rest(&self) -> bool {
        self.older().is_none() && !self.kept_waiting()
    }

    /// No reading from here on may be sent before others are acknowledged.
    fn window_end(&self) -> Seq {
        Seq(self.ring.tail().seq.0.saturating_add(u64::from(self.config.window_readings.max(1))))
    }

    /// Where older readings go on and where they end; None when there is none left to send.
    pub(super) fn older(&self) -> Option<(Cursor, Seq)> {
        let from = self.ring.held(self.window.older);
        let until = self.window.older_end.min(self.window_end());
        (from.seq < until).then_some((from, until))
    }

    fn transmit_older(&mut self, now: Tick, out: &mut [u8]) -> Option<usize> {
        // What is in flash comes before it: acknowledgements go in order.
        let (from, until) = self.older().filter(|_| !self.kept_waiting())?;
        let room = self.samples_len(out.len());
        let room = (room >> self.window.shortened()).max(MAX_PACKED).min(room);
        let (len, end) = self.transmit_readings(from, until, room, out)?;
        let again = self.window.repeated_below.min(end.seq).0.saturating_sub(from.seq.0);
        Counters::add(&mut self.counters.repeated, again);
        self.window.older = end;
        self.window.tell(self.floor, end.seq, now);
        Some(len)
    }

    /// Where new readings go on and where the window ends them; None when there is nothing to send.
    fn fresh(&self) -> Option<(Cursor, Seq)> {
        let from = self.ring.held(self.window.sent);
        let until = self.window_end().min(self.ring.next());
        (from.seq < until).then_some((from, until))
    }

    fn transmit_fresh(&mut self, now: Tick, out: &mut [u8]) -> Option<usize> {
        let (from, until) = self.fresh()?;
        if self.config.linger_ms > 0 && from.seq >= self.hurried_to {
            let since = *self.lingering_since.get_or_insert(now);
            let full = self.ring.stretch(from, until, self.samples_len(out.len())).end.seq < self.ring.next();
            if !full && now < after(since, self.config.linger_ms) {
                return None;
            }
        }
        let (len, end) = self.transmit_readings(from, until, self.samples_len(out.len()), out)?;
        self.window.sent = end;
        self.window.tell(self.floor, end.seq, now);
        self.lingering_since = None;
        Some(len)
    }

    /// With at most `room` bytes of samples.
    fn transmit_readings(
        &mut self,
        from: Cursor,
        until: Seq,
        room: usize,
        out: &mut [u8],
    ) -> Option<(usize, Cursor)> {
        let Stretch { bytes, count, base_tick, end } = self.ring.stretch(from, until, room);
        if count == 0 {
            return None;
        }
        let readings = Readings {
            boot: self.boot?.tag(),
            first_seq: from.seq,
            floor: self.floor,
            next: self.ring.next(),
            base_tick,
            count,
            samples: bytes,
        };
        let len = self.line.write(&Up::Readings(readings), out)?;
        Some((len, end))
    }

    /// When to poll again (for sending or for samples that are due), if nothing else happens before. Not later than
    /// `now` when something waits already; None when only the link can bring something new.
    pub fn next_wakeup(&self, now: Tick) -> Option<Tick> {
        earliest(&[self.transmit_at(now), self.channels.next_due()])
    }

    fn transmit_at(&self, now: Tick) -> Option<Tick> {
        match self.session {
            Session::Down => None,
            Session::Greeting { hello_at, .. } => Some(hello_at),
            Session::Welcomed { heartbeat_at }
                if self.channels.answer().is_some() || self.older().is_some() =>
            {
                Some(now.min(heartbeat_at))
            }
            Session::Welcomed { heartbeat_at } => earliest(&[
                Some(heartbeat_at),
                self.declare_at(),
                self.window.timeout_at(self.floor),
                self.fresh_at(now),
                self.fetch_at(now),
            ]),
        }
    }

    fn fresh_at(&self, now: Tick) -> Option<Tick> {
        let (from, _) = self.fresh()?;
        Some(match self.lingering_since {
            Some(since) if from.seq >= self.hurried_to => after(since, self.config.linger_ms),
            _ => now,
        })
    }

    /// How many bytes of samples a frame in a buffer of `out` bytes can carry, stuffing and terminator deducted.
    pub(super) fn samples_len(&self, out: usize) -> usize {
        let around = 2 + out / 254 + self.line.extra_bytes();
        out.saturating_sub(around).min(MAX_FRAME).saturating_sub(READINGS_HEAD)
    }
}

fn earliest(times: &[Option<Tick>]) -> Option<Tick> {
    times.iter().copied().flatten().min()
}
