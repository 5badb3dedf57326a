//! How many origins there may be that are not sealed. Each takes memory and a row, and whoever may send blocks can make them up:
//! so there is a bound for each gateway, far above what boards need, and one for all together, far above that.
//!
//! An origin takes the room of the gateway that spoke of it first, whoever brings its readings, until it is sealed. A block with more new
//! ones than there is room for gets no answer: it stays with its gateway, which sends it again. What it brings of known origins is taken
//! all the same, or a gateway's other boards would wait for the one that is too many. What holds no new one goes its way at
//! either bound, and so do all other gateways at the bound of one.

use tidegate_protocol::{BootId, DeviceId, SiteId, block::Record, topic::GatewayPath};

use super::{
    Core,
    system::{CLOUD, INGEST, TOO_MANY_ORIGINS},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginBounds {
    /// Of those that one gateway was the first to speak of.
    pub of_gateway: usize,
    /// All of them: the ledger lives in memory.
    pub in_all: usize,
}

impl Default for OriginBounds {
    fn default() -> Self {
        // A thousand boards that start anew every day take 31,000, where ledgers are kept for 30 days.
        Self { of_gateway: 50_000, in_all: 4_000_000 }
    }
}

impl Core {
    pub fn with_bounds(mut self, bounds: OriginBounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Whether what is new in these records finds its place; where not, it is told.
    pub(super) fn has_room_for(
        &mut self,
        now_ms: u64,
        from: GatewayPath,
        unix_ms: i64,
        records: &[Record],
    ) -> bool {
        let new = self.new_origins(from.site, records);
        let OriginBounds { of_gateway, in_all } = self.bounds;
        let (open, open_of) = (self.origins.open(), self.origins.open_of(from));
        let left = in_all.saturating_sub(open).min(self.origins.numbers_left());
        let GatewayPath { site, gateway } = from;
        let (place, message) = if new > of_gateway.saturating_sub(open_of) {
            let message = format!(
                "gateway {gateway} was the first to speak of {open_of} boots that are not sealed, and {new} more are more than one gateway \
                 may (journal.max_origins_per_gateway): they stay with it. Where it has not that many boards, somebody makes them up: \
                 revoke its certificate"
            );
            ((site.as_str(), gateway.as_str()), message)
        } else if new > left {
            let message = format!(
                "{open} boots are not sealed, and there is no room for {new} more of gateway {gateway} of {site}: new ones stay with \
                 their gateways. Retire what is no more (tidegate device retire), or keep ledgers for fewer days"
            );
            ((CLOUD, INGEST), message)
        } else {
            return true;
        };
        self.counters.blocks_refused_origins += 1;
        let (Ok(of_site), Ok(device)) = (SiteId::new(place.0), DeviceId::new(place.1)) else { return false };
        let log = message.clone();
        if self.raise_trouble(now_ms, TOO_MANY_ORIGINS, of_site, device, BootId(0), unix_ms, message) {
            tracing::error!(%site, %gateway, "{log}");
        }
        false
    }
}
