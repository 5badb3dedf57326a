//! A device whose boots are alive at two gateways. A board may move, and starts anew then; but when a boot that another one took the place of
//! goes on at its own gateway, two boards have one name, or a gateway says what is not so. Nobody here can tell which: what began
//! later is the live one, and people are told.
//!
//! That a boot goes on is not seen by when its readings come, since gateways bring what they kept, but by when they were measured: so long
//! after its beginning as their ticks say, which is where the quickest of its live readings had it. No gateway's word moves what was seen of
//! another. It is in memory only: of boots that were passed over before a start nothing is told.

use tidegate_protocol::{GatewayId, Reading, SeqRange};

use super::{
    Core,
    batch::{MAX_GATEWAYS_PER_ORIGIN, OriginNo},
    system::DEVICE_AT_TWO_GATEWAYS,
};

/// So long a boot must have gone on after another took its place: more than the quickest readings are late.
const LEAST_OVERLAP_MS: i64 = 60_000;

/// When a boot was alive.
#[derive(Debug, Default)]
pub struct Presence {
    /// When tick 0 was, by the ingest's own clock and each gateway that brought live readings.
    began_ms: Vec<(GatewayId, i64)>,
    passed_over_at_ms: Option<u64>,
}

impl Presence {
    pub(super) fn passed_over(&mut self, now_ms: u64) {
        self.passed_over_at_ms = Some(now_ms);
    }

    pub(super) fn is_present(&mut self) {
        self.passed_over_at_ms = None;
    }

    /// A live reading with this tick came. Says whether it was measured well after another boot had taken the place of this one.
    fn measured(&mut self, now_ms: u64, from: GatewayId, tick: u64) -> bool {
        let (now_ms, tick) = (clamped(now_ms), clamped(tick));
        let began_ms = now_ms.saturating_sub(tick);
        let has_room = self.began_ms.len() < MAX_GATEWAYS_PER_ORIGIN;
        let known = self.began_ms.iter_mut().find(|(gateway, _)| *gateway == from);
        match (known, self.passed_over_at_ms) {
            (Some((_, known)), Some(at)) => {
                known.saturating_add(tick) > clamped(at).saturating_add(LEAST_OVERLAP_MS)
            }
            (Some((_, known)), None) => {
                *known = began_ms.min(*known);
                false
            }
            (None, None) if has_room => {
                self.began_ms.push((from, began_ms));
                false
            }
            (None, _) => false,
        }
    }
}

fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Core {
    /// These live readings of a boot came.
    pub(super) fn watch_where_it_is(
        &mut self,
        now_ms: u64,
        no: OriginNo,
        unix_ms: i64,
        runs: &[(SeqRange, &[Reading])],
    ) {
        let Some(state) = self.origins.get_mut(no) else { return };
        let newest = runs.iter().filter_map(|(_, run)| run.last()).map(|reading| reading.tick.0).max();
        let (Some(from), Some(tick)) = (state.brought_by, newest) else { return };
        if !state.presence.measured(now_ms, from, tick) {
            return;
        }
        let (site, of) = (state.record.site, state.record.origin);
        let present = self.origins.current(site, of.device).and_then(|present| self.origins.get(present));
        let Some((present, at)) = present.and_then(|state| Some((state.record.origin, state.brought_by?)))
        else {
            return;
        };
        if at == from {
            return;
        }
        let message = format!(
            "{} is at two gateways: gateway {at} brings boot {}, which counts as the present one, and gateway {from} goes on with boot {}. \
             Two boards have one name, or one of the gateways says what is not so; its live alarms are those of the first",
            of.device, present.boot, of.boot
        );
        let (rule, boot) = (DEVICE_AT_TWO_GATEWAYS, present.boot);
        if self.raise_trouble(now_ms, rule, site, of.device, boot, unix_ms, message.clone()) {
            tracing::error!(%site, "{message}");
        }
    }
}
