//! Which readings go ahead of everything: those at which a rule of this gateway raises or clears.
//!
//! A frame in which that happens becomes a block of its own, in the alarm lane. What raises the alarm for people is the ingest's
//! verdict on it; here the rules only say what is urgent.

use std::sync::Arc;

use tidegate_alarms::{ReadingAt, Rule, RuleSet, State};
use tidegate_protocol::{BootId, Reading, SeqRange, SiteId, block::Description, topic::Lane};

use super::{Core, origin::Slot};

/// The rules of one origin's channels, and where each of them stands.
#[derive(Debug, Default)]
pub struct Watch {
    /// By channel index.
    channels: Vec<Vec<(Arc<Rule>, State)>>,
    /// The end of what was looked at: what comes late changes nothing.
    seen: u64,
}

impl Watch {
    pub fn of(site: SiteId, description: &Description, rules: &RuleSet) -> Self {
        let device = description.origin.device;
        let matching = description.channels.iter().map(|channel| {
            let matching = rules.matching(site, device, channel.name, &channel.unit, &description.tag);
            matching.rules.into_iter().map(|rule| (rule, State::default())).collect()
        });
        Self { channels: matching.collect(), seen: 0 }
    }

    /// Whether any rule raises or clears at any of these.
    pub fn crosses(&mut self, boot: BootId, readings: &[Reading]) -> bool {
        let mut crosses = false;
        for reading in readings.iter().filter(|reading| reading.seq.0 >= self.seen) {
            let rules = self.channels.get_mut(usize::from(reading.channel.0)).into_iter().flatten();
            for (rule, state) in rules {
                crosses |= rule.step(state, &ReadingAt::new(boot, reading)).is_some();
            }
        }
        let end = readings.last().map_or(0, |last| last.seq.0.saturating_add(1));
        self.seen = self.seen.max(end);
        crosses
    }
}

impl Core {
    /// These go ahead of everything, if any rule says so.
    pub(super) fn urgent(&mut self, slot: Slot, readings: &[Reading]) -> Option<SeqRange> {
        if self.settings.rules.rules().is_empty() {
            return None;
        }
        let state = self.origins.get_mut(slot)?;
        let (site, boot) = (self.settings.site, state.boot());
        let watch =
            state.watch.get_or_insert_with(|| Watch::of(site, &state.description, &self.settings.rules));
        let (first, last) = (readings.first()?, readings.last()?);
        let range = SeqRange::new(first.seq.0, last.seq.0.saturating_add(1));
        watch.crosses(boot, readings).then_some(range)
    }

    /// What waits of these leaves in a block of its own, before everything else.
    pub(super) fn promote(&mut self, slot: Slot, from: Lane, range: SeqRange) {
        let due = self.due_unstretched();
        if let Some(parcel) = self.packer.pack_alarm(&mut self.origins, slot, from, range, due) {
            self.counters.alarm_blocks += 1;
            self.add_to_outbox(parcel);
        }
    }
}
