//! Deliberate faults in the cores, so that it can be shown that the checks would find them.
//!
//! Each mutant breaks one rule of custody at the place where that rule is kept. At most one is on, for the thread that
//! called [`Mutant::enable`] (a simulation), or for the whole process by `TIDEGATE_MUTANT=<name>` (a real one). Only builds with
//! debug assertions have them: in a release build [`Mutant::is_on`] is `false` and the broken branch is not compiled.

use std::{cell::Cell, sync::OnceLock};

/// The environment variable that turns one on for a process.
pub const VARIABLE: &str = "TIDEGATE_MUTANT";

thread_local! {
    static ENABLED: Cell<Option<Mutant>> = const { Cell::new(None) };
}

macro_rules! mutants {
    ($($(#[doc = $what:literal])+ $variant:ident = $name:literal, $room:ident;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Mutant {
            $($(#[doc = $what])+ $variant,)+
        }

        impl Mutant {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// What is broken, in words.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$variant => concat!($($what),+).trim_ascii()),+ }
            }

            /// Whose rule it breaks.
            pub const fn room(self) -> Room {
                match self { $(Self::$variant => Room::$room),+ }
            }
        }
    };
}

/// The program whose core a mutant is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Room {
    Agent,
    Ingest,
    /// In the ingest's store: only real processes and real files show it.
    Store,
}

mutants! {
    /// A board is acknowledged what was received, not what is safe.
    AckBeforeCommit = "ack-before-commit", Agent;
    /// A board's resend counts as safe although its original is still in memory.
    ResendAckedEarly = "resend-acked-early", Agent;
    /// A frame is taken for the boot that its link last said Hello with, whichever it names.
    BootTagIgnored = "boot-tag-ignored", Agent;
    /// A board is acknowledged up to the highest safe seq, holes included.
    AckAcrossHole = "ack-across-hole", Agent;
    /// The broker's PUBACK is taken for custody.
    DeleteOnPuback = "delete-on-puback", Agent;
    /// Block numbers start again at zero with each connection.
    BlockNumbersReused = "block-numbers-reused", Agent;
    /// An acknowledgement for another process's numbers is believed.
    ForeignEpochBelieved = "foreign-epoch-believed", Agent;
    /// A failed commit is taken for a good one.
    FailedCommitTrusted = "failed-commit-trusted", Agent;
    /// What is evicted is deleted without a loss record.
    LossRecordDropped = "loss-record-dropped", Agent;
    /// Losses and descriptions inside an evicted block go with it.
    RecordsEvicted = "records-evicted", Agent;
    /// At the quota alarms are evicted before anything else.
    AlarmsEvictedFirst = "alarms-evicted-first", Agent;
    /// A damaged block is put aside and its readings are not declared.
    DamageUndeclared = "damage-undeclared", Agent;
    /// Backlog is sent before live data.
    LiveBehindBacklog = "live-behind-backlog", Agent;
    /// A boot whose numbers went back may go on numbering.
    BootReused = "boot-reused", Agent;
    /// A new boot closes the old one without declaring its tail.
    TailForgotten = "tail-forgotten", Agent;
    /// The end of a boot leaves before it is written.
    EndUnwritten = "end-unwritten", Agent;
    /// What was not answered is never sent again.
    NeverResent = "never-resent", Agent;
    /// A block is acknowledged before its commit.
    BlockAckedEarly = "block-acked-early", Ingest;
    /// A duplicate is acknowledged before the commit of its original.
    DuplicateAckedEarly = "duplicate-acked-early", Ingest;
    /// The ledger is written one transaction after the journal.
    DedupOutsideTransaction = "dedup-outside-transaction", Ingest;
    /// After a failed commit the ledger in memory stays as it is.
    OverlayKept = "overlay-kept", Ingest;
    /// A loss record makes a stored reading lost.
    LostBeatsStored = "lost-beats-stored", Ingest;
    /// The ledger notes one reading too many in each range.
    LedgerOffByOne = "ledger-off-by-one", Ingest;
    /// A seq that comes again with another content is acknowledged as a duplicate.
    ConflictAcked = "conflict-acked", Ingest;
    /// History is settled across holes that may still fill.
    HistoryAcrossHoles = "history-across-holes", Ingest;
    /// Late data raises and clears the live state.
    LateDataLive = "late-data-live", Ingest;
    /// An ended origin is sealed although it has holes.
    HolesSealed = "holes-sealed", Ingest;
    /// An operator is told that a device is closed before the commit.
    RetiredEarly = "retired-early", Ingest;
    /// The journal is trimmed in another transaction than the one that registers the lake's file.
    LakeOutsideTransaction = "lake-outside-transaction", Store;
}

impl Mutant {
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mutant| mutant.name() == name)
    }

    /// Turns one on, or all off, for the calling thread; false in a build that has none.
    pub fn enable(mutant: Option<Self>) -> bool {
        ENABLED.set(mutant);
        cfg!(debug_assertions)
    }

    #[inline]
    pub fn is_on(self) -> bool {
        if !cfg!(debug_assertions) {
            return false;
        }
        static OF_PROCESS: OnceLock<Option<Mutant>> = OnceLock::new();
        let of_process = || std::env::var(VARIABLE).ok().and_then(|name| Self::by_name(&name));
        ENABLED.get().or(*OF_PROCESS.get_or_init(of_process)) == Some(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn one_is_on_for_one_thread() {
        assert!(Mutant::enable(Some(Mutant::AckAcrossHole)));
        assert!(Mutant::AckAcrossHole.is_on());
        assert!(!Mutant::AckBeforeCommit.is_on());
        let elsewhere = std::thread::spawn(|| Mutant::AckAcrossHole.is_on()).join();
        assert_eq!(elsewhere.ok(), Some(false));
        Mutant::enable(None);
        assert!(!Mutant::AckAcrossHole.is_on());
    }

    #[test]
    fn every_one_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        assert_eq!(names.len(), Mutant::ALL.len());
        assert!(Mutant::ALL.iter().all(|mutant| Mutant::by_name(mutant.name()) == Some(*mutant)));
        assert_eq!(Mutant::by_name("no-such"), None);
    }
}
