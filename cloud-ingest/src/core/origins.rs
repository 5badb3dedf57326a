//! Every origin that was ever heard of, in memory: committed state with what is in flight laid over it. Both together
//! are what deduplication looks at (rule a); after a failed commit all of it is thrown away and read anew. Of a sealed
//! origin there are its number and its boot, 24 bytes.

use std::collections::HashMap;

use tidegate_alarms::RuleBook;
use tidegate_protocol::{
    BootId, ChannelName, ClockAnchor, ClockQuality, DeviceId, GatewayId, Origin, RangeSet, Reading, SiteId,
    Tick, block::Description, topic::GatewayPath,
};

use super::{
    alarming::Watch,
    batch::{OriginNo, OriginRecord, Retelling},
    presence::Presence,
};

/// So many numbers are given in the life of a store, sealed origins included.
const MAX_NUMBERS: usize = 1 << 30;

#[derive(Debug)]
pub struct OriginState {
    pub record: OriginRecord,
    /// Whose room it takes: who spoke of it first, where that was noted.
    counts_for: Option<GatewayId>,
    pub description: Option<Description>,
    pub watch: Watch,
    /// Who brought its last block.
    pub brought_by: Option<GatewayId>,
    pub presence: Presence,
    /// The newest reading of each channel, by index.
    pub latest: Vec<Option<Reading>>,
    /// To be written with the next batch.
    pub dirty: bool,
    pub latest_changed: bool,
    /// Stored once, and gone with the lake's oldest files: history passes over them.
    pub expired: RangeSet,
    /// A part of history is being told again.
    pub retelling: Option<Retelling>,
    /// The batch with the latest of what was told again.
    pub retold_in: Option<u64>,
}

impl OriginState {
    pub fn new(record: OriginRecord) -> Self {
        Self {
            counts_for: record.gateways.first().copied(),
            record,
            description: None,
            watch: Watch::default(),
            brought_by: None,
            presence: Presence::default(),
            latest: Vec::new(),
            dirty: false,
            latest_changed: false,
            expired: RangeSet::default(),
            retelling: None,
            retold_in: None,
        }
    }

    /// Takes a description; the first word on a channel stands, later ones may only add channels. Says whether
    /// anything was new.
    pub fn describe(&mut self, description: &Description, book: &RuleBook) -> bool {
        if let Some(known) = &self.description {
            let extends = description.channels.len() > known.channels.len()
                && known.channels.iter().zip(&description.channels).all(|(a, b)| a == b);
            if !extends {
                return false;
            }
        }
        self.latest.resize(description.channels.len(), None);
        self.watch.describe(self.record.site, self.record.origin, description, book);
        self.description = Some(description.clone());
        true
    }

    pub fn channels(&self) -> impl Iterator<Item = ChannelName> {
        self.description.iter().flat_map(|description| &description.channels).map(|channel| channel.name)
    }

    /// Whether every channel that these readings name is described.
    pub fn describes(&self, readings: &[Reading]) -> bool {
        let channels = self.description.as_ref().map_or(0, |description| description.channels.len());
        readings.iter().all(|reading| usize::from(reading.channel.0) < channels)
    }

    pub fn anchored(&mut self, anchor: ClockAnchor) -> bool {
        let better = self.record.anchor.map_or(anchor, |known| known.better(anchor));
        let changed = self.record.anchor != Some(better);
        if let Some(known) = self.record.anchor.replace(better)
            && is_correction(&known, &better)
        {
            self.record.corrected = self.record.ledger.stored().clone();
        }
        changed
    }

    /// When tick 0 was, if a synchronised clock says so.
    pub fn started_by_synced_clock(&self) -> Option<i64> {
        let anchor = self.record.anchor.filter(|anchor| anchor.quality == ClockQuality::Synced)?;
        Some(anchor.unix_ms_at(Tick(0)))
    }
}

/// Whether the times that the one anchor gave were wrong by the word of the other: by more than was admitted.
fn is_correction(known: &ClockAnchor, better: &ClockAnchor) -> bool {
    let off_by = known.unix_ms_at(better.tick).abs_diff(better.unix_ms);
    better.quality > known.quality || off_by > known.error_ms_at(better.tick)
}

/// Origins by number, and their numbers by name. A sealed one leaves its number behind, and its boot.
#[derive(Debug, Default)]
pub struct Origins {
    /// Nothing where the origin is sealed.
    list: Vec<Option<Box<OriginState>>>,
    open: usize,
    /// Of those that are open, by whose room they take.
    open_of: HashMap<GatewayPath, usize>,
    numbers: HashMap<(SiteId, Origin), OriginNo>,
    /// The boot of each device whose readings are live.
    current: HashMap<(SiteId, DeviceId), OriginNo>,
    sealed: HashMap<(SiteId, DeviceId), SealedBoots>,
}

/// A device's sealed boots, ascending: all that is kept in memory of them.
#[derive(Debug, Default)]
struct SealedBoots {
    boots: Vec<(BootId, OriginNo)>,
}

impl Origins {
    /// How many are not sealed.
    pub fn open(&self) -> usize {
        self.open
    }

    /// How many of those take this gateway's room.
    pub fn open_of(&self, gateway: GatewayPath) -> usize {
        self.open_of.get(&gateway).copied().unwrap_or_default()
    }

    /// How many may still come in the life of the store.
    pub fn numbers_left(&self) -> usize {
        MAX_NUMBERS.saturating_sub(self.list.len())
    }

    pub fn get(&self, no: OriginNo) -> Option<&OriginState> {
        self.list.get(no.0 as usize)?.as_deref()
    }

    pub fn get_mut(&mut self, no: OriginNo) -> Option<&mut OriginState> {
        self.list.get_mut(no.0 as usize)?.as_deref_mut()
    }

    /// Those that are not sealed.
    pub fn iter(&self) -> impl Iterator<Item = (OriginNo, &OriginState)> {
        let numbered = (0..).map(OriginNo).zip(&self.list);
        numbered.filter_map(|(no, state)| Some((no, state.as_deref()?)))
    }

    pub fn number(&self, site: SiteId, origin: Origin) -> Option<OriginNo> {
        self.numbers.get(&(site, origin)).copied()
    }

    /// The origin's number, given now where it has none. Ask [`Origins::sealed`] first, and whether there is room for it.
    pub fn number_or_new(&mut self, from: GatewayPath, origin: Origin) -> OriginNo {
        if let Some(no) = self.number(from.site, origin) {
            return no;
        }
        // `MAX_NUMBERS` is below 2^32.
        let no = OriginNo(self.list.len() as u32);
        let record = OriginRecord { gateways: vec![from.gateway], ..OriginRecord::new(from.site, origin) };
        self.put(no, OriginState::new(record));
        no
    }

    /// Puts what is stored under a number.
    pub fn put(&mut self, no: OriginNo, state: OriginState) {
        self.reserve(no);
        self.numbers.insert((state.record.site, state.record.origin), no);
        let Some(place) = self.list.get_mut(no.0 as usize) else { return };
        let site = state.record.site;
        let room = state.counts_for.map(|gateway| GatewayPath::new(site, gateway));
        if place.replace(Box::new(state)).is_none() {
            self.open += 1;
            room.into_iter().for_each(|gateway| *self.open_of.entry(gateway).or_default() += 1);
        }
    }

    fn reserve(&mut self, no: OriginNo) {
        let len = self.list.len().max(no.0 as usize + 1);
        self.list.resize_with(len, || None);
    }

    /// Lets go of all but the number and the boot.
    pub fn seal(&mut self, no: OriginNo) -> Option<Box<OriginState>> {
        let state = self.list.get_mut(no.0 as usize)?.take()?;
        self.open -= 1;
        let (site, origin) = (state.record.site, state.record.origin);
        let room =
            state.counts_for.and_then(|gateway| self.open_of.get_mut(&GatewayPath::new(site, gateway)));
        room.into_iter().for_each(|open| *open = open.saturating_sub(1));
        self.numbers.remove(&(site, origin));
        self.put_sealed(no, site, origin);
        Some(state)
    }

    pub fn put_sealed(&mut self, no: OriginNo, site: SiteId, origin: Origin) {
        self.reserve(no);
        let boots = &mut self.sealed.entry((site, origin.device)).or_default().boots;
        let at = boots.partition_point(|(boot, _)| *boot < origin.boot);
        boots.insert(at, (origin.boot, no));
    }

    /// The number of an origin that is sealed.
    pub fn sealed(&self, site: SiteId, origin: Origin) -> Option<OriginNo> {
        let boots = &self.sealed.get(&(site, origin.device))?.boots;
        let at = boots.binary_search_by_key(&origin.boot, |(boot, _)| *boot).ok()?;
        boots.get(at).map(|(_, no)| *no)
    }

    /// The number of the device's sealed boot that was heard of last.
    pub fn newest_sealed(&self, site: SiteId, device: DeviceId) -> Option<OriginNo> {
        self.sealed.get(&(site, device))?.boots.iter().map(|(_, no)| *no).max()
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
        a.as_deref_mut().zip(b.as_deref_mut())
    }
}
