//! The newest readings, and pages of a device's readings from journal and lake.

use tidegate_protocol::{SeqRange, Tick};

use super::{
    MAX_READINGS_PAGE, QueryError, ReadingsRequest, Selection, current_boots, selected_owners, shapes,
};
use crate::{
    core::batch::OriginNo,
    lake::Lake,
    readings::Source,
    shown::Shown,
    store::{Look, look::Owner},
    view::{LatestView, ReadingsView},
};

pub(super) fn latest(
    look: &Look<'_>,
    shown: &Shown,
    selection: &Selection,
) -> Result<LatestView, QueryError> {
    let mut view = LatestView::default();
    for (no, record) in current_boots(look, selection)? {
        let Some(description) = look.description(no)? else { continue };
        let owner = Owner::from(&record);
        let newest = shown.latest().get(&no).cloned().unwrap_or_default();
        let readings = newest.iter().filter_map(|reading| shapes::reading(&owner, &description, reading));
        view.readings.extend(
            readings.filter(|reading| selection.channel.is_none_or(|wanted| wanted == reading.channel)),
        );
    }
    Ok(view)
}

pub(super) fn page(
    look: &Look<'_>,
    lake: &Lake,
    request: &ReadingsRequest,
) -> Result<ReadingsView, QueryError> {
    let limit = request.limit.clamp(1, MAX_READINGS_PAGE);
    let from = request.cursor.as_deref().map(read_cursor).transpose()?;
    let (from_origin, from_seq) = from.unwrap_or((OriginNo(0), 0));
    let selection = Selection { site: request.site, device: Some(request.device), channel: request.channel };
    let mut source = Source::new(look, lake)?;
    let mut view = ReadingsView::default();
    let owners: Vec<_> = selected_owners(look, &selection)?
        .filter(|(_, owner)| request.boot.is_none_or(|boot| boot == owner.origin.boot))
        .collect();
    for (no, _) in &owners {
        view.expired = view.expired.saturating_add(look.expired_of(*no)?.count());
    }
    for (no, owner) in owners {
        if no < from_origin {
            continue;
        }
        let Some(ticks) = ticks(&owner, request.since, request.until) else { continue };
        let Some(description) = look.description(no)? else { continue };
        let start = if no == from_origin { from_seq } else { 0 };
        let mut more_at = None;
        source.read(no, SeqRange::new(start, u64::MAX), ticks, |reading| {
            let Some(shape) = shapes::reading(&owner, &description, reading) else { return true };
            let wanted = (ticks.0..=ticks.1).contains(&reading.tick.0)
                && request.channel.is_none_or(|channel| channel == shape.channel);
            if wanted && view.readings.len() == limit {
                more_at = Some(reading.seq.0);
                return false;
            }
            if wanted {
                view.readings.push(shape);
            }
            true
        })?;
        if let Some(seq) = more_at {
            view.next_cursor = Some(format!("{}-{seq}", no.0));
            break;
        }
    }
    Ok(view)
}

fn read_cursor(text: &str) -> Result<(OriginNo, u64), QueryError> {
    let parts = text.split_once('-').and_then(|(no, seq)| Some((no.parse().ok()?, seq.parse().ok()?)));
    parts.map(|(no, seq)| (OriginNo(no), seq)).ok_or(QueryError::Cursor)
}

/// The ticks of an origin that lie in a span of wall time, ends included; `None` where none can.
fn ticks(owner: &Owner, since: Option<i64>, until: Option<i64>) -> Option<(u64, u64)> {
    if since.is_none() && until.is_none() {
        return Some((0, u64::MAX));
    }
    let start = i128::from(owner.anchor?.unix_ms_at(Tick(0)));
    let tick = |unix_ms: i64| i128::from(unix_ms) - start;
    let low = since.map_or(0, tick).max(0);
    let high = until.map_or(i128::from(u64::MAX), |until| tick(until) - 1);
    (low <= high).then_some(())?;
    Some((u64::try_from(low).ok()?, u64::try_from(high).ok()?))
}
