//! The operator log, and what an order would do.

use super::{QueryError, Selection, selected, selected_owners};
use crate::{
    core::retire::{Operation, RetiredBoot, write_off},
    operations::{OperationView, OperationsView, RetireRequest, RetireView, RetiredBootView},
    store::Look,
};

pub(super) fn log(look: &Look<'_>) -> Result<OperationsView, QueryError> {
    let log = look.operations()?.into_iter().rev().map(|(number, known)| OperationView {
        number,
        operation: "retire",
        unix_ms: known.unix_ms,
        written_off: written_off(&known.boots),
        boots: known.boots.iter().map(boot).collect(),
        operator: known.operator,
        reason: known.reason,
        site: known.site,
        device: known.device,
    });
    Ok(OperationsView { operations: log.collect() })
}

/// What an order would do now.
pub(super) fn plan(look: &Look<'_>, request: &RetireRequest) -> Result<RetireView, QueryError> {
    let selection = Selection { site: Some(request.site), device: Some(request.device), channel: None };
    let wanted = |boot| request.boot.is_none_or(|asked| asked == boot);
    if !selected_owners(look, &selection)?.any(|(_, owner)| wanted(owner.origin.boot)) {
        let RetireRequest { site, device, boot, .. } = *request;
        return Err(QueryError::NothingToRetire { site, device, boot });
    }
    let (mut boots, mut heard) = (Vec::new(), None);
    for (_, mut record) in selected(look, &selection)? {
        heard = heard.max(Some(record.last_heard_unix_ms));
        if wanted(record.origin.boot) {
            boots.extend(write_off(&mut record));
        }
    }
    Ok(RetireView {
        site: request.site,
        device: request.device,
        dry_run: true,
        written_off: written_off(&boots),
        boots: boots.iter().map(boot).collect(),
        last_heard_unix_ms: heard,
    })
}

pub(super) fn retired(done: &Operation) -> RetireView {
    RetireView {
        site: done.site,
        device: done.device,
        dry_run: false,
        written_off: written_off(&done.boots),
        boots: done.boots.iter().map(boot).collect(),
        last_heard_unix_ms: None,
    }
}

fn written_off(boots: &[RetiredBoot]) -> u64 {
    boots.iter().fold(0, |sum, boot| sum.saturating_add(boot.written_off))
}

fn boot(retired: &RetiredBoot) -> RetiredBootView {
    RetiredBootView {
        boot: retired.boot,
        closed: retired.closed,
        written_off: retired.written_off,
        ranges: retired.ranges.iter().map(|range| (range.start, range.end)).collect(),
    }
}
