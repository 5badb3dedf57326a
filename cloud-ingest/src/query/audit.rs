//! Where every reading is, from the committed ledger.

use tidegate_protocol::block::Tail;

use super::{QueryError, Selection, selected};
use crate::{
    core::batch::OriginRecord,
    store::Look,
    view::{AuditView, MAX_OUTSTANDING_RANGES, Measured, OriginAudit},
};

pub(super) fn audit(look: &Look<'_>, selection: &Selection) -> Result<AuditView, QueryError> {
    let mut view = AuditView { position: look.next_position()?, ..AuditView::default() };
    for (_, record) in selected(look, selection)? {
        let origin = origin(&record);
        let totals = &mut view.totals;
        totals.measured += origin.measured.count;
        totals.stored += origin.stored;
        totals.lost += origin.lost.values().sum::<u64>();
        totals.outstanding += origin.outstanding;
        totals.duplicates += record.duplicates;
        totals.conflicts += origin.conflicts;
        view.origins.push(origin);
    }
    view.origins.sort_by_key(|origin| (origin.site, origin.device, origin.boot));
    view.complete = view.totals.outstanding == 0 && view.totals.conflicts == 0;
    Ok(view)
}

fn origin(record: &OriginRecord) -> OriginAudit {
    let ledger = &record.ledger;
    let outstanding = ledger.outstanding();
    let ranges = outstanding.iter().take(MAX_OUTSTANDING_RANGES).map(|range| (range.start, range.end));
    let lost = ledger.lost().filter(|(_, ranges)| !ranges.is_empty());
    OriginAudit {
        site: record.site,
        device: record.origin.device,
        boot: record.origin.boot,
        measured: Measured { count: ledger.next(), exact: matches!(ledger.tail(), Some(Tail::Known(_))) },
        stored: ledger.stored().count(),
        lost: lost.map(|(reason, ranges)| (reason.name(), ranges.count())).collect(),
        outstanding: outstanding.count(),
        outstanding_ranges: ranges.collect(),
        closed: ledger.tail().is_some(),
        conflicts: record.conflicts.count(),
        recovered: ledger.recovered(),
        last_arrival_unix_ms: record.last_arrival_unix_ms,
    }
}
