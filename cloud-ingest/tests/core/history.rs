//! History goes on without traffic.

use std::collections::BTreeSet;

use tidegate_alarms::RuleBook;
use tidegate_ingest::core::{
    Event, Loaded, MAX_LOADS, Snapshot,
    batch::{LiveRecord, OriginNo, OriginRecord},
};
use tidegate_protocol::{SeqRange, SiteId, ValueKind};

use crate::support::{Bench, channel, description, origin, rules};

const ORIGINS: u32 = MAX_LOADS as u32 + 2;

/// More origins to settle than there are looks at a time.
fn unsettled() -> Bench {
    let known = |number| {
        let origin = origin(&format!("board-{number}"), 1);
        let mut record = OriginRecord::new(SiteId::new("plant").unwrap(), origin);
        record.ledger.store(SeqRange::new(0, 4));
        (OriginNo(number), record, Some(description(origin, vec![channel("x", ValueKind::F64, 0)])))
    };
    let origins: Vec<_> = (0..ORIGINS).map(known).collect();
    let live = origins.iter().map(|(no, record, _)| {
        ((record.site, record.origin.device), LiveRecord { current: *no, channels: Vec::new() })
    });
    let live = live.collect();
    let rules = RuleBook::from(rules()).rules().map(|rule| (**rule).clone()).collect();
    let mut bench = Bench::new(Snapshot { origins, live, rules, ..Snapshot::default() });
    bench.carry_out();
    bench
}

fn asked(bench: &mut Bench) -> BTreeSet<OriginNo> {
    std::mem::take(&mut bench.loads).into_iter().map(|(no, _)| no).collect()
}

#[test]
fn what_could_not_be_read_or_brought_nothing_is_looked_at_again() {
    let all: BTreeSet<_> = (0..ORIGINS).map(OriginNo).collect();
    for loaded in [None, Some(Loaded::default())] {
        let mut bench = unsettled();
        let mut seen = BTreeSet::new();
        for _ in 0..ORIGINS {
            for no in asked(&mut bench) {
                assert!(seen.insert(no), "no look is repeated at once");
                bench.handle(Event::Loaded { origin: no, loaded: loaded.clone() });
            }
        }
        assert_eq!(seen, all, "each has its turn");
        bench.now_ms = bench.core.next_wakeup().expect("it comes back by itself");
        bench.handle(Event::Wakeup);
        assert_eq!(asked(&mut bench).len(), MAX_LOADS);
    }
}
