//! Every origin that was ever heard of, in memory: committed state with what is in flight laid over it. Both together
//! are what deduplication looks at (rule a); after a failed commit all of it is thrown away and read anew.

use std::collections::HashMap;

use tidegate_alarms::RuleSet;
use tidegate_protocol::{
    ClockAnchor, ClockQuality, DeviceId, Origin, Reading, SiteId, Tick, block::Description,
};

use super::{
    alarming::Watch,
    batch::{OriginNo, OriginRecord},
};

/// At this many origins, readings of further ones are not taken (their blocks get no acknowledgement) until
/// somebody looks after it: the ledger lives in memory.
pub const MAX_ORIGINS_KEPT: usize = 4_000_000;

#[derive(Debug)]
pub struct OriginState {
    pub record: OriginRecord,
    pub description: Option<Description>,
    pub watch: Watch,
    /// The newest reading of each channel, by index.
    pub latest: Vec<Option<Reading>>,
    /// To be written with the next batch.
    pub dirty: bool,
    pub latest_changed: bool,
}

impl OriginState {
    pub fn new(record: OriginRecord) -> Self {
        Self {
            record,
            description: None,
            watch: Watch::default(),
            latest: Vec::new(),
            dirty: false,
            latest_changed: false,
        }
    }

    /// Takes a description; the first word on a channel stands, later ones may only add channels. Says whether
    /// anything was new.
    pub fn describe(&mut self, description: &Description, rules: &RuleSet) -> bool {
        if let Some(known) = &self.description {
            let extends = description.channels.len() > known.channels.len()
                && known.channels.iter().zip(&description.channels).all(|(a, b)| a == b);
            if !extends {
                return false;
            }
        }
        self.latest.resize(description.channels.len(), None);
        self.watch.describe(self.record.site, self.record.origin, description, rules);
        self.description = Some(description.clone());
        true
    }

    /// Whether every channel that these readings name is described.
    pub fn describes(&self, readings: &[Reading]) -> bool {
        let channels = self.description.as_ref().map_or(0, |description| description.channels.len());
        readings.iter().all(|reading| usize::from(reading.channel.0) < channels)
    }

    pub fn anchored(&mut self, anchor: ClockAnchor) -> bool {
        let better = self.record.anchor.map_or(anchor, |known| known.better(anchor));
        let changed = self.record.anchor != Some(better);
        self.record.anchor = Some(better);
        changed
    }

    /// When tick 0 was, if a synchronised clock says so.
    pub fn started_by_synced_clock(&self) -> Option<i64> {
        let anchor = self.record.anchor.filter(|anchor| anchor.quality == ClockQuality::Synced)?;
        Some(anchor.unix_ms_at(Tick(0)))
    }
}

/// Origins by number, and their numbers by name.
#[derive(Debug, Default)]
pub struct Origins {
    list: Vec<OriginState>,
    numbers: HashMap<(SiteId, Origin), OriginNo>,
    /// The boot of each device whose readings are live.
    current: HashMap<(SiteId, DeviceId), OriginNo>,
}

impl Origins {
    pub fn count(&self) -> usize {
        self.list.len()
    }

    pub fn get(&self, no: OriginNo) -> Option<&OriginState> {
        self.list.get(no.0 as usize)
    }

    pub fn get_mut(&mut self, no: OriginNo) -> Option<&mut OriginState> {
        self.list.get_mut(no.0 as usize)
    }

    pub fn iter(&self) -> impl Iterator<Item = (OriginNo, &OriginState)> {
        self.list.iter().enumerate().map(|(no, state)| (OriginNo(no as u32), state))
    }

    pub fn number(&self, site: SiteId, origin: Origin) -> Option<OriginNo> {
        self.numbers.get(&(site, origin)).copied()
    }

    /// The origin's number, given now where it has none.
    pub fn number_or_new(&mut self, site: SiteId, origin: Origin) -> OriginNo {
        if let Some(no) = self.number(site, origin) {
            return no;
        }
        self.push(OriginState::new(OriginRecord::new(site, origin)))
    }

    pub fn push(&mut self, state: OriginState) -> OriginNo {
        // `MAX_ORIGINS_KEPT` is far below 2^32.
        let no = OriginNo(self.list.len() as u32);
        self.numbers.insert((state.record.site, state.record.origin), no);
        self.list.push(state);
        no
    }

    pub fn current(&self, site: SiteId, device: DeviceId) -> Option<OriginNo> {
        self.current.get(&(site, device)).copied()
    }

    pub fn set_current(&mut self, site: SiteId, device: DeviceId, no: OriginNo) {
        self.current.insert((site, device), no);
    }

    /// Two different origins at once.
    pub fn pair_mut(&mut self, a: OriginNo, b: OriginNo) -> Option<(&mut OriginState, &mut OriginState)> {
        let [a, b] = self.list.get_disjoint_mut([a.0 as usize, b.0 as usize]).ok()?;
        Some((a, b))
    }
}
