//! The rows of one lake file, gathered and sorted by site, device, channel, boot, seq.

use std::collections::HashMap;

use tidegate_protocol::{
    BootId, ChannelIndex, ChannelName, ClockAnchor, DeviceId, GatewayId, Origin, Reading, SiteId,
    block::Description,
};

use crate::{core::batch::OriginNo, store::look::Owner};

/// One channel of one origin: what its rows have in common.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
    pub boot: BootId,
    pub unit: String,
    pub anchor: Option<ClockAnchor>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub group: u32,
    pub gateway: u32,
    pub reading: Reading,
}

#[derive(Debug, Default)]
pub struct Rows {
    pub(super) groups: Vec<Group>,
    pub(super) gateways: Vec<GatewayId>,
    pub(super) rows: Vec<Row>,
    /// By origin, the group of each channel index; an origin without one is not known yet.
    by_origin: HashMap<OriginNo, Vec<u32>>,
    latest: HashMap<(OriginNo, ChannelIndex), Reading>,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All readings and whose they are.
    pub fn readings(&self) -> impl Iterator<Item = (Origin, &Reading)> {
        self.rows.iter().filter_map(|row| {
            let group = self.groups.get(row.group as usize)?;
            Some((Origin::new(group.device, group.boot), &row.reading))
        })
    }

    pub(super) fn knows(&self, no: OriginNo) -> bool {
        self.by_origin.contains_key(&no)
    }

    pub(super) fn origin(&mut self, no: OriginNo, owner: &Owner, description: &Description) {
        let mut numbers = Vec::with_capacity(description.channels.len());
        for channel in &description.channels {
            numbers.push(self.groups.len() as u32);
            self.groups.push(Group {
                site: owner.site,
                device: owner.origin.device,
                channel: channel.name,
                boot: owner.origin.boot,
                unit: channel.unit.clone(),
                anchor: owner.anchor,
            });
        }
        self.by_origin.insert(no, numbers);
    }

    /// Whether all channels of these readings are described.
    pub(super) fn describes(&self, no: OriginNo, readings: &[Reading]) -> bool {
        let channels = self.by_origin.get(&no).map_or(0, Vec::len);
        readings.iter().all(|reading| usize::from(reading.channel.0) < channels)
    }

    /// Adds a run of an origin that was made known, and that is described.
    pub(super) fn push(&mut self, no: OriginNo, gateway: GatewayId, readings: &[Reading]) {
        let Some(groups) = self.by_origin.get(&no) else { return };
        let known = self.gateways.iter().position(|known| *known == gateway);
        let gateway = known.unwrap_or_else(|| {
            self.gateways.push(gateway);
            self.gateways.len() - 1
        }) as u32;
        for reading in readings {
            let Some(group) = groups.get(usize::from(reading.channel.0)) else { continue };
            self.rows.push(Row { group: *group, gateway, reading: *reading });
            let latest = self.latest.entry((no, reading.channel)).or_insert(*reading);
            if latest.seq < reading.seq {
                *latest = *reading;
            }
        }
    }

    /// Sorts the rows; groups keep their numbers.
    pub(super) fn sort(&mut self) {
        let mut order: Vec<u32> = (0..self.groups.len() as u32).collect();
        let groups = &self.groups;
        order.sort_unstable_by_key(|at| {
            groups.get(*at as usize).map(|group| (group.site, group.device, group.channel, group.boot))
        });
        let mut ranks = vec![0_u32; order.len()];
        for (rank, at) in order.iter().enumerate() {
            if let Some(place) = ranks.get_mut(*at as usize) {
                *place = rank as u32;
            }
        }
        self.rows.sort_unstable_by_key(|row| (ranks.get(row.group as usize).copied(), row.reading.seq));
    }

    /// The newest reading of each channel.
    pub(super) fn latest(&self) -> HashMap<OriginNo, Vec<Reading>> {
        let mut latest: HashMap<OriginNo, Vec<Reading>> = HashMap::new();
        for ((no, _), reading) in &self.latest {
            latest.entry(*no).or_default().push(*reading);
        }
        latest
    }
}
