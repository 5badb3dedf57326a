//! Somebody who writes off what nobody will deliver (rule h), now and then of a device that goes on.

use tidegate_ingest::core::{
    Event,
    retire::{Operation, RetireOrder},
};
use tidegate_protocol::{Origin, SeqRange};

use super::{coverage::Fault, world::World};

impl World {
    pub fn retire_device(&mut self, board: usize) {
        let Some(device) = self.boards.get(board).map(|board| board.device) else { return };
        let order = RetireOrder {
            site: self.plan.agent.site,
            device,
            boot: None,
            operator: "explorer".to_owned(),
            reason: "to see what follows".to_owned(),
            unix_ms: self.ingest_unix_ms(),
        };
        self.ingest_event(Event::Retire { ticket: 0, order: Box::new(order) });
    }

    /// The operator log is what allows a loss of this reason.
    pub fn logged(&mut self, operations: &[Operation]) {
        for operation in operations {
            for boot in &operation.boots {
                let truth = self.truth.entry(Origin::new(operation.device, boot.boot));
                let listed: u64 = boot.ranges.iter().map(SeqRange::len).sum();
                // The log counts all ranges and lists the first.
                let unlisted = SeqRange::new(0, if listed < boot.written_off { u64::MAX } else { 0 });
                boot.ranges.iter().chain([&unlisted]).for_each(|range| truth.written_off.insert(*range));
                self.coverage.add(Fault::WrittenOff, boot.written_off);
            }
        }
    }

    /// What the operator is told was done is in the store.
    pub fn check_retired(&mut self, done: Option<Operation>) {
        let Some(done) = done else { return };
        for boot in &done.boots {
            let origin = Origin::new(done.device, boot.boot);
            let is_closed =
                self.cloud.store.record(origin).is_some_and(|(_, record)| record.ledger.tail().is_some());
            let mut open = boot.ranges.iter().copied().collect();
            self.cloud.store.cover(origin, &mut open);
            if !is_closed || !open.is_empty() {
                let words = format!("{origin} was said to be closed, and {:?} of it is open", open.ranges());
                return self.violate("retired-after-commit", words);
            }
        }
    }
}
