//! Wall time is derived, never stored in a reading: an anchor ties an origin's tick to unix time, and the best
//! anchor known says when a reading was taken. Order comes from seq and tick alone, so a clock may jump.

use core::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::{
    id::{GatewayId, Origin},
    reading::Tick,
};

/// How far an anchor's time can be trusted; better is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockQuality {
    /// The clock was never set.
    Unsynced,
    /// The clock was set once and has run on by itself since.
    Estimated,
    /// The clock follows a time source now.
    Synced,
}

impl ClockQuality {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsynced => "unsynced",
            Self::Estimated => "estimated",
            Self::Synced => "synced",
        }
    }
}

/// How fast an origin's own ticks may part from wall time, in parts per million: an ordinary crystal over its
/// temperature range. What is derived far from an anchor is less certain by so much.
pub const DRIFT_PPM: u64 = 100;

/// At `tick` of `origin` it was `unix_ms`, as `gateway` saw it, give or take `error_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockAnchor {
    pub origin: Origin,
    pub gateway: GatewayId,
    pub tick: Tick,
    pub unix_ms: i64,
    pub error_ms: u32,
    pub quality: ClockQuality,
}

impl ClockAnchor {
    /// When `tick` was, in unix milliseconds.
    pub fn unix_ms_at(&self, tick: Tick) -> i64 {
        let since = i128::from(tick.0) - i128::from(self.tick.0);
        let at = i128::from(self.unix_ms) + since;
        at.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// How far [`Self::unix_ms_at`] may be off: the anchor's own error and the drift since.
    pub fn error_ms_at(&self, tick: Tick) -> u64 {
        let drift = u128::from(tick.0.abs_diff(self.tick.0)) * u128::from(DRIFT_PPM) / 1_000_000;
        u64::from(self.error_ms).saturating_add(drift as u64)
    }

    /// Orders anchors of one origin from worse to better: quality, then the smaller error, then the lower gateway
    /// id, then the earlier tick and time. Total, so that anchors merge to the same one in any order.
    pub fn rank(&self, other: &Self) -> Ordering {
        self.quality
            .cmp(&other.quality)
            .then_with(|| other.error_ms.cmp(&self.error_ms))
            .then_with(|| other.gateway.cmp(&self.gateway))
            .then_with(|| other.tick.cmp(&self.tick))
            .then_with(|| other.unix_ms.cmp(&self.unix_ms))
    }

    /// The better of two anchors of one origin.
    pub fn better(self, other: Self) -> Self {
        if other.rank(&self) == Ordering::Greater { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BootId, DeviceId};

    fn anchor(gateway: &str, quality: ClockQuality, error_ms: u32) -> ClockAnchor {
        let origin = Origin::new(DeviceId::new("a").unwrap(), BootId(1));
        let gateway = GatewayId::new(gateway).unwrap();
        ClockAnchor { origin, gateway, tick: Tick(1_000), unix_ms: 50_000, error_ms, quality }
    }

    #[test]
    fn anchors_merge_the_same_in_any_order() {
        use ClockQuality::*;
        let best = anchor("a", Synced, 5);
        let others = [anchor("b", Synced, 5), anchor("a", Synced, 9), anchor("a", Estimated, 0)];
        for other in others {
            assert_eq!(best.better(other), best);
            assert_eq!(other.better(best), best);
        }
    }

    #[test]
    fn time_runs_both_ways_from_the_anchor_and_never_overflows() {
        let anchor = anchor("a", ClockQuality::Synced, 0);
        assert_eq!(anchor.unix_ms_at(Tick(1_500)), 50_500);
        assert_eq!(anchor.unix_ms_at(Tick(0)), 49_000);
        assert_eq!(anchor.unix_ms_at(Tick(u64::MAX)), i64::MAX);
        assert_eq!(anchor.error_ms_at(Tick(1_000)), 0);
        assert_eq!(anchor.error_ms_at(Tick(0)) + anchor.error_ms_at(Tick(86_401_000)), 8_640, "a day");
    }
}
