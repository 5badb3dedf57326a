//! Where every reading is, from the committed ledger.

use std::collections::HashMap;

use tidegate_alarms::AlarmKind;
use tidegate_protocol::{LossReason, block::Tail, topic::GatewayPath};

use super::{QueryError, Selection, quarantine, selected, selects, summaries};
use crate::{
    core::{
        batch::{OriginNo, OriginRecord},
        lifecycle::AlarmKey,
        seal::SealedRecord,
        system::GATEWAY_CLONED,
    },
    store::{Look, alarms::AlarmRecord},
    view::{
        AuditTotals, AuditView, GatewayCloned, GatewaySetBack, MAX_OUTSTANDING_RANGES, Measured, OriginAudit,
    },
};

pub(super) fn audit(look: &Look<'_>, selection: &Selection, each: bool) -> Result<AuditView, QueryError> {
    let (position, quarantine) = (look.next_position()?, quarantine::size(look)?);
    let mut view = AuditView { position, quarantine, ..AuditView::default() };
    let gone = look.expired()?.into_iter().map(|(no, ranges)| (no, ranges.count()));
    let gone: HashMap<_, _> = gone.collect();
    for (no, record) in selected(look, selection)? {
        let mut origin = OriginAudit { expired: gone.get(&no).copied().unwrap_or(0), ..origin(&record) };
        origin.summaries = summaries_of(look, no, &origin)?;
        add(&mut view.totals, &origin, record.duplicates);
        view.origins.push(origin);
    }
    for (no, record) in look.sealed()? {
        if !selects(selection, record.site, record.origin.device) {
            continue;
        }
        let mut origin = OriginAudit { expired: gone.get(&no).copied().unwrap_or(0), ..sealed(&record) };
        origin.summaries = summaries_of(look, no, &origin)?;
        add(&mut view.totals, &origin, record.duplicates);
        // What conflicts must be looked at.
        if each || origin.conflicts > 0 {
            view.origins.push(origin);
            continue;
        }
        let counted = &mut view.sealed;
        for (total, more) in [
            (&mut counted.origins, 1),
            (&mut counted.measured, origin.measured.count),
            (&mut counted.stored, origin.stored),
            (&mut counted.expired, origin.expired),
            (&mut counted.lost, lost(&origin)),
        ] {
            *total = total.saturating_add(more);
        }
    }
    view.set_back = set_back(look, selection)?;
    view.cloned = cloned(look, selection)?;
    view.origins.sort_by_key(|origin| (origin.site, origin.device, origin.boot));
    view.complete = view.totals.outstanding == 0 && view.totals.conflicts == 0;
    Ok(view)
}

/// Whatever device is asked for: nobody knows whose readings a newer queue held.
fn set_back(look: &Look<'_>, selection: &Selection) -> Result<Vec<GatewaySetBack>, QueryError> {
    let of_site = |path: &GatewayPath| selection.site.is_none_or(|site| site == path.site);
    let gateways = look.gateways()?.into_iter().filter(|(path, _)| of_site(path));
    let told = gateways.filter_map(|(GatewayPath { site, gateway }, record)| {
        record.queue.set_back.map(|last| GatewaySetBack { site, gateway, last })
    });
    Ok(told.collect())
}

/// What two processes under one name said differently conflicts; what they said alike is stored once, and only this tells of them.
fn cloned(look: &Look<'_>, selection: &Selection) -> Result<Vec<GatewayCloned>, QueryError> {
    let mut found = Vec::new();
    for (AlarmKey { site, device: gateway, rule, .. }, AlarmRecord { raised, lifecycle, .. }) in
        look.alarms()?
    {
        // A rule of somebody's own may be called the same.
        let Some(raised) = raised.filter(|raised| raised.kind == AlarmKind::System) else { continue };
        if rule.as_str() == GATEWAY_CLONED && selection.site.is_none_or(|asked| asked == site) {
            let raised_unix_ms = raised.time_unix_ms.unwrap_or_default();
            found.push(GatewayCloned { site, gateway, raised_unix_ms, goes_on: lifecycle.active });
        }
    }
    Ok(found)
}

fn summaries_of(look: &Look<'_>, no: OriginNo, origin: &OriginAudit) -> Result<u64, QueryError> {
    summaries::count(look, no, origin.lost.contains_key(LossReason::Thinned.name()))
}

fn lost(origin: &OriginAudit) -> u64 {
    origin.lost.values().fold(0, |sum, lost| sum.saturating_add(*lost))
}

/// Boards may claim any number.
fn add(totals: &mut AuditTotals, origin: &OriginAudit, duplicates: u64) {
    for (total, more) in [
        (&mut totals.measured, origin.measured.count),
        (&mut totals.stored, origin.stored),
        (&mut totals.expired, origin.expired),
        (&mut totals.lost, lost(origin)),
        (&mut totals.outstanding, origin.outstanding),
        (&mut totals.duplicates, duplicates),
        (&mut totals.conflicts, origin.conflicts),
        (&mut totals.refused, origin.refused),
    ] {
        *total = total.saturating_add(more);
    }
}

fn sealed(record: &SealedRecord) -> OriginAudit {
    OriginAudit {
        site: record.site,
        device: record.origin.device,
        boot: record.origin.boot,
        measured: Measured { count: record.next, exact: record.exact },
        stored: record.stored,
        expired: 0,
        lost: record.lost.iter().map(|(reason, count)| (reason.name(), *count)).collect(),
        summaries: 0,
        // Nothing is sealed before.
        outstanding: 0,
        outstanding_ranges: Vec::new(),
        closed: true,
        conflicts: record.conflicts,
        conflict_ranges: Vec::new(),
        recovered: record.recovered,
        sealed: true,
        refused: record.refused,
        digest: Some(record.digest.iter().map(|byte| format!("{byte:02x}")).collect()),
        last_arrival_unix_ms: record.last_arrival_unix_ms,
    }
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
        expired: 0,
        lost: lost.map(|(reason, ranges)| (reason.name(), ranges.count())).collect(),
        summaries: 0,
        outstanding: outstanding.count(),
        outstanding_ranges: ranges.collect(),
        closed: ledger.tail().is_some(),
        conflicts: record.conflicts.count(),
        conflict_ranges: record
            .conflicts
            .iter()
            .take(MAX_OUTSTANDING_RANGES)
            .map(|range| (range.start, range.end))
            .collect(),
        recovered: ledger.recovered(),
        sealed: false,
        refused: 0,
        digest: None,
        last_arrival_unix_ms: record.last_arrival_unix_ms,
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{BootId, DeviceId, Origin, SiteId};

    use super::*;
    use crate::{
        core::batch::Batch,
        store::{LmdbStore, Store},
    };

    #[test]
    fn boards_that_claim_everything_do_not_overflow_the_totals() {
        let record = |boot| {
            let device = DeviceId::new("board").expect("a slug");
            let site = SiteId::new("plant").expect("a slug");
            let mut record = OriginRecord::new(site, Origin::new(device, BootId(boot)));
            record.ledger.report(u64::MAX);
            record
        };
        let origins = vec![(OriginNo(0), record(1)), (OriginNo(1), record(2))];
        let folder = tempfile::tempdir().expect("a folder");
        let store = LmdbStore::open(folder.path(), 1 << 24).expect("a store");
        store.commit(&Batch { number: 1, origins, ..Batch::default() }).expect("it commits");
        let look = store.look().expect("a look");
        let totals = audit(&look, &Selection::default(), false).expect("an audit").totals;
        assert_eq!((totals.measured, totals.outstanding), (u64::MAX, u64::MAX));
    }
}
