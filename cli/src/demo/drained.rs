//! Has a backlog arrived? A pure look at the ledger.

use std::collections::HashMap;

use crate::commands::audit::ledger::{Audit, OriginAudit};

/// How many readings each device had measured when the link came back.
pub type Marks = HashMap<String, u64>;

/// Whether everything below the marks is stored or declared lost. Devices without a mark are not looked at.
pub fn drained(audit: &Audit, marks: &Marks) -> bool {
    marks.iter().all(|(device, mark)| {
        let mut boots = audit.origins.iter().filter(|origin| origin.device == *device);
        boots.any(|origin| arrived_below(origin, *mark))
    })
}

fn arrived_below(origin: &OriginAudit, mark: u64) -> bool {
    let first_hole = origin.outstanding_ranges.iter().map(|(start, _)| *start).min();
    origin.measured.count >= mark && first_hole.is_none_or(|start| start >= mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(count: u64, holes: &[(u64, u64)]) -> Audit {
        let mut origin =
            OriginAudit { device: "b".into(), outstanding_ranges: holes.to_vec(), ..Default::default() };
        origin.measured.count = count;
        Audit { origins: vec![origin], ..Default::default() }
    }

    #[test]
    fn a_backlog_is_drained_when_no_hole_lies_below_the_mark() {
        let marks = Marks::from([("b".to_owned(), 100)]);
        assert!(!drained(&audit(99, &[]), &marks), "not all was heard of yet");
        assert!(!drained(&audit(200, &[(99, 100)]), &marks));
        assert!(drained(&audit(200, &[(100, 150)]), &marks));
        assert!(drained(&audit(100, &[]), &marks));
        assert!(!drained(&Audit::default(), &marks), "the device is unknown");
    }
}
