//! What must be true once all is at rest.

use tidegate_alarms::{AlarmEvent, ReadingAt, State, TransitionKind};
use tidegate_ingest::core::{
    batch::{Occurrence, OriginNo, OriginRecord},
    system::GATEWAY_SET_BACK,
};
use tidegate_protocol::{Origin, RangeSet, Reading, SeqRange};

use super::{coverage::Fault, world::World};

impl World {
    pub fn check_the_end(&mut self) {
        (0..self.gateways.len()).for_each(|at| self.count_unknown_answers(at));
        for (no, record) in self.cloud.store.origins.clone() {
            self.coverage.add(Fault::LostThenStored, record.ledger.recovered());
            self.check_ledger(&record);
            self.check_history(no, &record);
        }
        self.check_boards();
        self.check_lake();
        self.check_queues();
    }

    /// Who was set back is known by the age of its queue, nobody else is taken for one, and there is an alarm.
    fn check_queues(&mut self) {
        for (path, record) in self.cloud.store.gateways.clone() {
            let Some(set_back) = record.queue.set_back else { continue };
            self.coverage.add(Fault::SetBackTold, u64::from(set_back.times));
            if !self.gateways.iter().any(|gateway| gateway.path == path && gateway.was_set_back) {
                self.violate("set-back-is-true", format!("{path:?} was never set back: {set_back:?}"));
            }
            let is_its = |event: &&AlarmEvent| {
                (event.site, event.device.as_str()) == (path.site, path.gateway.as_str())
                    && event.rule.as_str() == GATEWAY_SET_BACK
            };
            if !self.cloud.store.events.iter().any(|event| is_its(&event)) {
                self.violate("set-back-is-told", format!("{path:?} was set back, and there is no alarm"));
            }
        }
    }

    fn check_ledger(&mut self, record: &OriginRecord) {
        let (origin, ledger) = (record.origin, &record.ledger);
        let Some(truth) = self.truth.get(origin) else {
            // A boot that a gateway gave out and its board never took: nothing may be said of its readings.
            if ledger.next() > 0 {
                self.violate("nothing-invented", format!("{origin} has readings and never was"));
            }
            return;
        };
        if ledger.next() > truth.next() {
            let words =
                format!("{origin} measured up to {}, the ledger says {}", truth.next(), ledger.next());
            return self.violate("nothing-invented", words);
        }
        let kept = self.in_quarantine(origin);
        let unfounded = ledger.lost().find_map(|(reason, lost)| {
            let range = lost.iter().find(|range| !truth.may_be_lost(*range, reason, &kept))?;
            Some(format!("{origin} {range} is declared lost ({}), which cannot be", reason.name()))
        });
        if let Some(words) = unfounded {
            return self.violate("losses-are-exact", words);
        }
        let outstanding = self.wrongly_outstanding(origin, ledger.outstanding());
        if !outstanding.is_empty() {
            let words = format!(
                "{origin} {:?} is neither stored nor declared lost; measured {}, stored {:?}, tail {:?}",
                outstanding.ranges(),
                truth.next(),
                ledger.stored().ranges(),
                ledger.tail()
            );
            self.violate("all-accounted-for", words);
        }
    }

    /// What of the outstanding has no right to be. It has where an operator threw a disk away; where the data is
    /// in a quarantine, of a gateway or of the cloud (rule e); and where a board died with it and the only gateway that knew was killed too: there is nobody left to say so, and an operator can
    /// write it off (rule h). The same goes for what a restore took and only a killed agent knew of.
    fn wrongly_outstanding(&self, origin: Origin, mut outstanding: RangeSet) -> RangeSet {
        let Some(truth) = self.truth.get(origin) else { return outstanding };
        truth.forfeited.iter().for_each(|range| outstanding.remove(range));
        // What an agent has seen through to its end it has forgotten, and cannot declare when the cloud forgets it too.
        if truth.forgotten || truth.ended {
            truth.rolled_back.iter().for_each(|range| outstanding.remove(range));
        }
        if truth.forgotten {
            truth.died.iter().for_each(|range| outstanding.remove(range));
        }
        self.in_quarantine(origin).iter().for_each(|range| outstanding.remove(range));
        // What a second gateway says of an origin that was sealed without it is counted and dropped, word of damage too.
        if self.cloud.store.is_sealed(origin) {
            truth.flipped.iter().for_each(|range| outstanding.remove(range));
        }
        outstanding
    }

    fn in_quarantine(&self, origin: Origin) -> RangeSet {
        let kept = self.gateways.iter().flat_map(|gateway| &gateway.disk.quarantine);
        let kept = kept.filter(|kept| !kept.is_damaged).map(|kept| &kept.contents);
        kept.chain(&self.cloud.store.quarantine).flat_map(|contents| contents.ranges_of(origin)).collect()
    }

    /// Invariant 2: everything a board was told to forget, and everything it has, has arrived.
    fn check_boards(&mut self) {
        let present: Vec<(Origin, u64)> =
            self.boards.iter().filter_map(|board| Some((board.origin()?, board.node.next_seq().0))).collect();
        let acknowledged = self.checker.acknowledged();
        for (origin, next) in present.into_iter().chain(acknowledged) {
            let mut missing: RangeSet = [SeqRange::new(0, next)].into_iter().collect();
            self.cloud.store.cover(origin, &mut missing);
            let missing = self.wrongly_outstanding(origin, missing);
            if !missing.is_empty() {
                let words = format!("{origin} {:?} was acknowledged and is not there", missing.ranges());
                return self.violate("all-accounted-for", words);
            }
        }
    }

    /// Invariant 7: alarm history is that of the stored readings in the order of their seqs, up to the first hole.
    fn check_history(&mut self, no: OriginNo, record: &OriginRecord) {
        let settled = record.ledger.settled_end(0);
        if self.truth.get(record.origin).is_some_and(|truth| truth.was_damaged_at_cloud) {
            return;
        }
        let readings = self.cloud.store.written(no, SeqRange::new(0, settled));
        let mut expected = self.in_order(no, record, &readings);
        let mut kept: Vec<Told> = self.cloud.store.history_of(no).into_iter().map(told).collect();
        let order = |a: &Told, b: &Told| (&a.0, &a.1, a.3).cmp(&(&b.0, &b.1, b.3));
        kept.sort_by(order);
        expected.sort_by(order);
        if kept != expected {
            let words = format!("{}: kept {kept:?}, in order {expected:?}", record.origin);
            self.violate("history-is-that-of-order", words);
        }
    }

    fn in_order(&self, no: OriginNo, record: &OriginRecord, readings: &[Reading]) -> Vec<Told> {
        let Some(description) = self.cloud.store.description(no) else { return Vec::new() };
        let mut history = Vec::new();
        for (index, channel) in description.channels.iter().enumerate() {
            let (site, device) = (record.site, record.origin.device);
            let tag = &description.tag;
            for rule in self.cloud.rules.matching(site, device, channel.name, &channel.unit, tag).rules {
                let mut state = State::default();
                let mut tell = |raised: &tidegate_alarms::step::Raised, cleared: Option<u64>| {
                    let (channel, rule) = (channel.name.to_string(), rule.id().to_string());
                    history.push((
                        channel,
                        rule,
                        raised.onset.seq.0,
                        raised.at.seq.0,
                        cleared,
                        raised.peak.value,
                    ));
                };
                for reading in readings.iter().filter(|reading| usize::from(reading.channel.0) == index) {
                    let step = rule.step(&mut state, &ReadingAt::new(record.origin.boot, reading));
                    if let Some(step) = step.filter(|step| step.kind == TransitionKind::Clear) {
                        tell(&step.raised, Some(step.trigger.seq.0));
                    }
                }
                if let Some(raised) = state.raised() {
                    tell(raised, None);
                }
            }
        }
        history
    }
}

/// Channel, rule, onset, raised, cleared, peak.
type Told = (String, String, u64, u64, Option<u64>, f64);

fn told(occurrence: &Occurrence) -> Told {
    (
        occurrence.channel.to_string(),
        occurrence.rule.to_string(),
        occurrence.onset.seq.0,
        occurrence.raised.seq.0,
        occurrence.cleared.map(|point| point.seq.0),
        occurrence.peak.value,
    )
}
