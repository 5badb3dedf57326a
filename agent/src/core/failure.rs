//! When the disk does not take a batch.
//!
//! Nothing of it happened: what it held is where it was before. *Full* is a bound to live with (see `ceiling`) and
//! *failed* is tried again. After an error on write or sync nobody can say what is on the disk: the queue is
//! *poisoned* and takes no batch until the process starts anew and reads what is really there. Until then live blocks
//! flow through memory, and only the cloud's answers make anything safe.

use super::{Core, custody::Outstanding, event::CommitFailure, parcel::Custody};

/// A disk that refuses is asked again after this, doubled at each failure up to thirty seconds.
const RETRY_MS: u64 = 1_000;
const MAX_RETRY_DOUBLINGS: u32 = 5;

impl Core {
    pub(super) fn commit_failed(&mut self, failure: CommitFailure) {
        let Some(failed) = self.custodian.take_outstanding() else { return };
        self.account.batch_failed();
        self.take_back(failed);
        let now = self.now.at;
        self.custodian.failures += 1;
        self.counters.commits_failed += 1;
        let doublings = (self.custodian.failures - 1).min(MAX_RETRY_DOUBLINGS);
        self.custodian.retry_at = Some(now.plus_ms(RETRY_MS << doublings));
        match failure {
            CommitFailure::Failed => {}
            CommitFailure::Full => {
                let held = self.custodian.totals.bytes;
                self.custodian.ceiling.hit(now, held);
                tracing::warn!(held_bytes = held, "no room for the queue below its quota; tried again later");
            }
            CommitFailure::Poisoned => self.poison(),
        }
    }

    /// What the batch held is where it was before.
    fn take_back(&mut self, failed: Outstanding) {
        for (id, due) in failed.parcels {
            self.outbox.set_custody(id, Custody::Ram(due));
            self.custodian.may_be_due(due);
        }
        for slot in failed.recorded {
            if let Some(state) = self.origins.get_mut(slot) {
                state.unrecorded = true;
            }
        }
        self.outbox.meters.not_saved();
        self.desired.not_saved(self.now.at);
        self.rules.not_saved(self.now.at);
        self.custodian.restore(self.now.at, failed.deletes, failed.condemned, failed.forgotten);
        // More may have been evicted while the commit was under way.
        if let Some(evicted) = failed.evicted {
            self.custodian.evicted.get_or_insert_default().merge(evicted);
        }
    }

    fn poison(&mut self) {
        self.custodian.poisoned = true;
        self.outbox.hold_no_ends();
        tracing::error!(
            "the queue's disk failed in a write: nothing is committed until the agent is started again; \
             check the disk, then restart it. Live readings still flow while the cloud answers"
        );
        // What was to be evicted stays in the queue, and can be sent from there.
        for stored in self.custodian.evicted.take().into_iter().flat_map(|evicted| evicted.stored) {
            self.backlog.insert(stored.key);
        }
    }
}
