//! What travels beside readings: descriptions, losses, anchors, ends. All of it merges, so that repetition and order do
//! not matter; what changes nothing is not written again.

use std::collections::BTreeSet;

use tidegate_protocol::{
    ClockAnchor, LossReason, Origin, SeqRange, SiteId,
    block::{Description, Record},
    topic::GatewayPath,
};

use super::Core;

impl Core {
    /// Takes all records of a block; says whether any was news. Losses of sealed origins, which are not taken any more, are
    /// added to `sealed`. Where `takes_new` is not, those of unknown origins are passed over.
    pub(super) fn records(
        &mut self,
        from: GatewayPath,
        unix_ms: i64,
        records: &[Record],
        takes_new: bool,
        sealed: &mut Vec<(Origin, SeqRange)>,
    ) -> bool {
        // Descriptions first: what follows may rest on them.
        let (described, others): (Vec<_>, Vec<_>) =
            records.iter().partition(|record| matches!(record, Record::Described(_)));
        let mut news = false;
        for record in described.into_iter().chain(others) {
            if self.origins.sealed(from.site, record.origin()).is_some() {
                self.counters.records_refused_sealed += 1;
                // Who cannot know what is stored here declares all of it: of this origin nothing is forgotten.
                if let Record::Loss(loss) = record
                    && !matches!(loss.reason, LossReason::RolledBack | LossReason::Unaccounted)
                {
                    sealed.push((loss.origin, loss.range));
                }
                continue;
            }
            if takes_new || self.origins.number(from.site, record.origin()).is_some() {
                news |= self.record(from, unix_ms, record);
            }
        }
        news
    }

    /// How many origins get a number with these records.
    pub(super) fn new_origins(&self, site: SiteId, records: &[Record]) -> usize {
        let is_new = |origin: &Origin| {
            self.origins.number(site, *origin).is_none() && self.origins.sealed(site, *origin).is_none()
        };
        let taken = records.iter().filter(|record| !is_refused(record));
        taken.map(Record::origin).filter(is_new).collect::<BTreeSet<_>>().len()
    }

    fn record(&mut self, from: GatewayPath, unix_ms: i64, record: &Record) -> bool {
        if is_refused(record) {
            self.counters.descriptions_refused += 1;
            return false;
        }
        let is_new = self.origins.number(from.site, record.origin()).is_none();
        let no = self.origins.number_or_new(from, record.origin());
        if is_new {
            // Even if the record says nothing: the stored numbers have no holes.
            self.mark_dirty(no);
        }
        let Some(state) = self.origins.get_mut(no) else { return false };
        let ledger = &mut state.record.ledger;
        let mut anchor_before = None;
        let news = match record {
            Record::Described(description) => {
                let news = state.describe(description, &self.book);
                if news {
                    self.building.descriptions.push((no, description.clone()));
                }
                news
            }
            Record::Loss(loss) => {
                let has_room = ledger.has_room_to_lose(loss.range, loss.reason);
                self.counters.ranges_refused += u64::from(!has_room);
                has_room && ledger.lose(loss.range, loss.reason)
            }
            Record::Closed { tail, .. } => ledger.close(*tail),
            Record::Measured { next, .. } => ledger.report(*next),
            // No reading: neither ledger nor rules have a part in it, and its block need not be in the journal.
            Record::Summary(summary) => {
                self.building.summaries.push((no, from.gateway, *summary));
                false
            }
            Record::Anchor { origin, tick, unix_ms, error_ms, quality } => {
                anchor_before = state.record.anchor;
                let news = state.anchored(ClockAnchor {
                    origin: *origin,
                    gateway: from.gateway,
                    tick: *tick,
                    unix_ms: *unix_ms,
                    error_ms: *error_ms,
                    quality: *quality,
                });
                self.building.anchors_changed |= news;
                news
            }
        };
        if news || is_new {
            state.record.heard(unix_ms);
        }
        if news {
            self.mark_dirty(no);
            if matches!(record, Record::Anchor { .. }) {
                self.anchor_changed(no, anchor_before);
            }
            self.settle_on(no);
        }
        news
    }
}

fn is_refused(record: &Record) -> bool {
    matches!(record, Record::Described(description) if !has_distinct_names(description))
}

/// A channel is known by its name. A description that uses one twice is no description: its origin stays undescribed, and
/// the others in the block have no part in it.
fn has_distinct_names(description: &Description) -> bool {
    let mut names: Vec<_> = description.channels.iter().map(|channel| channel.name).collect();
    names.sort_unstable();
    names.windows(2).all(|pair| !matches!(pair, [a, b] if a == b))
}
