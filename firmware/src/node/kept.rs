//! What a node knows of its queue in flash: of the present boot, readings `floor..end`, below those in the ring; of a boot before,
//! what is left of it. It asks for one thing at a time and is told what came of it, so that it needs no flash to be understood.
//!
//! Readings go to flash oldest first, as the ring fills, and stay there until they are acknowledged: a full queue takes no more, and the
//! ring then gives up readings as it does without one. So there is never more than one hole, between flash and ring.

use tidegate_protocol::{
    BootId, ChannelDecl, LossReason, Tick,
    frame::{Hello, HelloMark, Lost, MAX_PACKED, Readings, Settings, Standing, Up, measure_packed},
    id::{Seq, SeqRange},
};

use super::Node;
use crate::{log, node::NodeConfig, window::after};

/// How many kept readings are sent again when nothing was acknowledged for a while.
const REPEAT_READINGS: u64 = 1_024;

#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Flash holds the readings of the present boot from the floor up to here.
    end: Seq,
    /// Of these, the next to be sent to this gateway, and where it ends for now.
    sent: Seq,
    until: Seq,
    former: Option<Former>,
    /// A former boot is done with, and the queue is to be asked for the next one.
    former_is_due: bool,
}

/// A boot before the present one, of which flash holds `floor..end`.
#[derive(Debug)]
struct Former {
    boot: BootId,
    floor: Seq,
    end: Seq,
    sent: Seq,
    welcomed: bool,
    /// When Hello is said again, or once it is welcomed, when all is sent again.
    again_at: Tick,
    wait_ms: u32,
}

/// What is to be fetched from flash so that it can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetch {
    /// The Hello that was kept with a former boot.
    Hello(BootId),
    /// The frame with the reading of this number, or the first one behind it.
    Readings(BootId, Seq),
}

impl<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>> Node<'_, CHANNELS, S> {
    /// Where what flash holds of the present boot ends.
    pub(super) fn kept_end(&self) -> Seq {
        self.kept.end.max(self.floor)
    }

    pub(super) fn standing(&self) -> Standing {
        let more = self.kept.former.is_some() || self.kept.former_is_due;
        if more { Standing::Keeping } else { Standing::Present }
    }

    /// The oldest readings of the ring, to be written to flash: when it has filled to three quarters, or they are older than
    /// [`NodeConfig::keep_after_ms`]. At most `max_bytes` of samples.
    pub(crate) fn to_keep(&self, now: Tick, max_bytes: usize) -> Option<Readings<'_>> {
        let boot = self.boot?;
        let from = self.ring.tail();
        // Behind a hole nothing is kept: what flash holds is one run.
        if !self.lost().is_empty() || !(self.ring.is_filling() || self.is_stale(now)) {
            return None;
        }
        let stretch = self.ring.stretch(from, self.ring.next(), max_bytes);
        (stretch.count > 0).then_some(Readings {
            boot: boot.tag(),
            first_seq: from.seq,
            floor: from.seq,
            next: stretch.end.seq,
            base_tick: stretch.base_tick,
            count: stretch.count,
            samples: stretch.bytes,
        })
    }

    fn is_stale(&self, now: Tick) -> bool {
        let age_ms = self.ring.oldest_tick().map_or(0, |oldest| now.0.saturating_sub(oldest.0));
        age_ms >= u64::from(self.config.keep_after_ms)
    }

    /// The Hello that goes to flash before the first readings of this boot.
    pub(crate) fn hello_to_keep(&self) -> Option<Hello<'_>> {
        self.hello(Standing::Former)
    }

    /// All readings below this are in flash.
    pub(crate) fn kept(&mut self, up_to: Seq) {
        let before = self.kept_end();
        // What was sent from the ring need not be sent from flash.
        let is_sent = self.kept.sent >= before && self.sent_from_ring() >= up_to;
        self.kept.end = up_to;
        self.kept.sent = if is_sent { up_to } else { self.kept.sent.max(self.floor) };
        self.ring.release(up_to);
    }

    /// Below this, everything of the ring was sent to this gateway.
    fn sent_from_ring(&self) -> Seq {
        self.older().map_or(self.window.sent.seq, |(from, _)| from.seq)
    }

    /// Readings of the present boot that wait in flash to be sent.
    pub(super) fn kept_waiting(&self) -> bool {
        self.kept.sent < self.kept_end().min(self.kept.until)
    }

    /// Everything from the floor again, up to `until`.
    pub(super) fn send_kept_again(&mut self, until: Seq) {
        self.kept.sent = self.floor;
        self.kept.until = until;
    }

    pub(super) fn repeat_kept(&mut self) {
        self.send_kept_again(Seq(self.floor.0.saturating_add(REPEAT_READINGS)));
    }

    pub(super) fn kept_is_acknowledged(&mut self) {
        self.kept.sent = self.kept.sent.max(self.floor);
    }

    /// Another boot: what flash holds is of a boot before, and so far nothing of this one.
    pub(super) fn forget_kept(&mut self) {
        self.kept.former_is_due |= self.kept.end > self.floor;
        self.kept.end = Seq(0);
        self.kept.sent = Seq(0);
    }

    /// Of this boot and below this seq, flash may forget.
    pub(crate) fn released(&self, boot: BootId) -> Option<Seq> {
        match &self.kept.former {
            Some(former) if former.boot == boot => Some(former.floor),
            _ if self.boot == Some(boot) => Some(self.floor),
            _ => None,
        }
    }

    /// The former boot that is being sent; what flash holds of those before it may be forgotten.
    pub(crate) fn former(&self) -> Option<BootId> {
        self.kept.former.as_ref().map(|former| former.boot)
    }

    /// Whether [`Self::set_former`] is to be told what flash holds.
    pub(crate) const fn wants_former(&self) -> bool {
        self.kept.former_is_due && self.kept.former.is_none()
    }

    /// At the start, before the first Hello: there may be former boots in flash.
    pub(crate) const fn expect_former(&mut self) {
        self.kept.former_is_due = true;
    }

    /// The oldest former boot in flash, and which readings of it; None when there is none.
    pub(crate) fn set_former(&mut self, now: Tick, former: Option<(BootId, SeqRange)>) {
        self.kept.former_is_due = false;
        self.kept.former = former.map(|(boot, range)| Former {
            boot,
            floor: Seq(range.start),
            end: Seq(range.end),
            sent: Seq(range.start),
            welcomed: false,
            again_at: now,
            wait_ms: self.config.hello_retry_ms,
        });
        // The gateway is to know which boots have ended.
        if self.kept.former.is_none() && self.is_welcomed() {
            self.greet(now);
        }
    }

    /// The gateway that was told of the former boot may not be there any more.
    pub(super) fn greet_for_former(&mut self, now: Tick) {
        if let Some(former) = &mut self.kept.former {
            former.welcomed = false;
            former.again_at = now;
            former.wait_ms = self.config.hello_retry_ms;
        }
    }

    /// Whether the welcome is for the former boot.
    pub(super) fn former_is_welcomed(&mut self, now: Tick, answers: Option<HelloMark>, boot: BootId) -> bool {
        let Some(former) = self.kept.former.as_mut().filter(|former| former.boot == boot) else {
            return false;
        };
        if answers == HelloMark::of(Some(boot), former.end) {
            former.welcomed = true;
            former.sent = former.floor;
            former.wait_ms = self.config.resend_after_ms;
            former.again_at = after(now, former.wait_ms);
        }
        true
    }

    /// Whether the acknowledgement is for the former boot.
    pub(super) fn former_is_acknowledged(&mut self, now: Tick, boot: BootId, up_to: Seq) -> bool {
        let Some(former) = self.kept.former.as_mut().filter(|former| former.boot == boot) else {
            return false;
        };
        if up_to > former.floor {
            former.floor = up_to.min(former.end);
            former.sent = former.sent.max(former.floor);
            former.wait_ms = self.config.resend_after_ms;
            former.again_at = after(now, former.wait_ms);
        }
        if former.floor >= former.end {
            log::info!("all that was kept of boot {} is acknowledged", boot.0);
            self.kept.former = None;
            self.kept.former_is_due = true;
        }
        true
    }

    /// What is to be fetched and given to [`Self::transmit_fetched`], once [`Self::poll_transmit`] has nothing.
    pub(crate) fn fetch(&self, now: Tick) -> Option<Fetch> {
        let boot = self.boot.filter(|_| self.is_welcomed())?;
        let of_former = self.kept.former.as_ref().and_then(|former| match former.welcomed {
            false => (former.again_at <= now).then_some(Fetch::Hello(former.boot)),
            true if former.sent < former.end => Some(Fetch::Readings(former.boot, former.sent)),
            true => (former.again_at <= now).then_some(Fetch::Readings(former.boot, former.floor)),
        });
        of_former.or_else(|| self.kept_waiting().then_some(Fetch::Readings(boot, self.kept.sent)))
    }

    /// When [`Self::fetch`] will want something that it does not want yet; at once if it wants it now.
    pub(super) fn fetch_at(&self, now: Tick) -> Option<Tick> {
        let former = self.kept.former.as_ref().map(|former| former.again_at);
        if self.fetch(now).is_some() { Some(now) } else { former }
    }

    /// Writes the frame that was to be fetched; `found` is what flash has of it.
    pub(crate) fn transmit_fetched(
        &mut self,
        now: Tick,
        fetch: Fetch,
        found: Option<&Up<'_>>,
        out: &mut [u8],
    ) -> Option<usize> {
        match fetch {
            Fetch::Hello(boot) => self.transmit_former_hello(now, boot, found, out),
            Fetch::Readings(boot, from) => self.transmit_kept(now, boot, from, found, out),
        }
    }

    fn transmit_former_hello(
        &mut self,
        now: Tick,
        boot: BootId,
        found: Option<&Up<'_>>,
        out: &mut [u8],
    ) -> Option<usize> {
        let retry_max_ms = self.config.hello_retry_max_ms;
        let former = self.kept.former.as_mut().filter(|former| former.boot == boot)?;
        let Some(Up::Hello(kept)) = found else {
            // Nobody can read its readings without it. Its end will be declared when nothing former is left.
            log::warn!("the Hello that was kept of boot {} cannot be read", boot.0);
            self.kept.former = None;
            self.kept.former_is_due = true;
            return None;
        };
        former.again_at = after(now, former.wait_ms);
        former.wait_ms = former.wait_ms.saturating_mul(2).min(retry_max_ms);
        let hello = Hello { standing: Standing::Former, floor: former.floor, next: former.end, ..*kept };
        self.line.write(&Up::Hello(hello), out)
    }

    fn transmit_kept(
        &mut self,
        now: Tick,
        boot: BootId,
        from: Seq,
        found: Option<&Up<'_>>,
        out: &mut [u8],
    ) -> Option<usize> {
        let (floor, next, end) = match &self.kept.former {
            Some(former) if former.boot == boot => (former.floor, former.end, former.end),
            _ if self.boot == Some(boot) => (self.floor, self.ring.next(), self.kept_end()),
            _ => return None,
        };
        // What was acknowledged meanwhile is not needed any more.
        let from = from.max(floor);
        if from >= end {
            return None;
        }
        let kept = match found {
            Some(Up::Readings(readings)) => Some(*readings),
            _ => None,
        };
        let readings = kept.and_then(|kept| cut(kept, from, self.samples_len(out.len())));
        let (up, sent) = match readings {
            Some(readings) if readings.first_seq == from => {
                let sent = Seq(from.0 + u64::from(readings.count));
                (Up::Readings(Readings { boot: boot.tag(), floor, next, ..readings }), sent)
            }
            // Flash does not have it any more. Said each time that it is missed, so this need not be remembered.
            readings => {
                let found_at = readings.map_or(end, |readings| readings.first_seq.min(end));
                let range = SeqRange::new(from.0, found_at.0);
                log::warn!("readings {} to {} cannot be read from flash", range.start, range.end);
                (
                    Up::Lost(Lost { boot: boot.tag(), range, reason: LossReason::Corrupt, floor, next }),
                    found_at,
                )
            }
        };
        let len = self.line.write(&up, out)?;
        self.kept_is_sent(now, boot, sent);
        Some(len)
    }

    fn kept_is_sent(&mut self, now: Tick, boot: BootId, sent: Seq) {
        let NodeConfig { resend_after_max_ms, .. } = self.config;
        match self.kept.former.as_mut().filter(|former| former.boot == boot) {
            Some(former) => {
                if former.sent >= former.end {
                    former.wait_ms = former.wait_ms.saturating_mul(2).min(resend_after_max_ms);
                }
                former.sent = sent;
                former.again_at = after(now, former.wait_ms);
            }
            None => {
                self.kept.sent = sent;
                self.window.tell(self.floor, sent, now);
            }
        }
    }
}

/// Settings in flash.
impl<'a, const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>> Node<'a, CHANNELS, S> {
    pub(crate) fn declared(&self) -> &'a [ChannelDecl<&'a str>] {
        self.channels.declared()
    }

    /// Settings that came from the gateway and are in no flash yet.
    pub(crate) fn unsaved_settings(&self) -> Option<Settings> {
        self.channels.unsaved()
    }

    pub(crate) fn settings_are_saved(&mut self, settings: &Settings) {
        self.channels.saved(settings);
    }

    /// Whether they suit their channel.
    pub(crate) fn restore_settings(&mut self, settings: &Settings) -> bool {
        self.channels.restore(settings, &self.config.periods_ms())
    }
}

/// The part of kept readings from `from`, with at most `max_bytes` of samples; behind it when they begin later.
fn cut(mut kept: Readings<'_>, from: Seq, max_bytes: usize) -> Option<Readings<'_>> {
    while kept.first_seq < from && kept.count > 0 {
        let (len, tick) = measure_packed(kept.samples, kept.base_tick)?;
        kept.samples = kept.samples.get(len..)?;
        kept.base_tick = tick;
        kept.first_seq = Seq(kept.first_seq.0 + 1);
        kept.count -= 1;
    }
    let (mut len, mut count, mut tick) = (0, 0, kept.base_tick);
    while count < kept.count {
        let (more, next) = measure_packed(kept.samples.get(len..)?, tick)?;
        if len + more > max_bytes.max(MAX_PACKED) {
            break;
        }
        (len, tick, count) = (len + more, next, count + 1);
    }
    let samples = kept.samples.get(..len)?;
    (count > 0).then_some(Readings { count, samples, ..kept })
}
