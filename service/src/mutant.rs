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
    ($($(#[doc = $what:literal])+ $variant:ident = $name:literal;)+) => {
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
        }
    };
}

mutants! {
    /// A board is acknowledged what was received, not what is safe.
    AckBeforeCommit = "ack-before-commit";
    /// A board's resend counts as safe although its original is still in memory.
    ResendAckedEarly = "resend-acked-early";
    /// A frame is taken for the boot that its link last said Hello with, whichever it names.
    BootTagIgnored = "boot-tag-ignored";
    /// A board is acknowledged up to the highest safe seq, holes included.
    AckAcrossHole = "ack-across-hole";
    /// The broker's PUBACK is taken for custody.
    DeleteOnPuback = "delete-on-puback";
    /// Block numbers start again at zero with each connection.
    BlockNumbersReused = "block-numbers-reused";
    /// An acknowledgement for another process's numbers is believed.
    ForeignEpochBelieved = "foreign-epoch-believed";
    /// A failed commit is taken for a good one.
    FailedCommitTrusted = "failed-commit-trusted";
    /// What is evicted is deleted without a loss record.
    LossRecordDropped = "loss-record-dropped";
    /// Losses and descriptions inside an evicted block go with it.
    RecordsEvicted = "records-evicted";
    /// At the quota alarms are evicted before anything else.
    AlarmsEvictedFirst = "alarms-evicted-first";
    /// A damaged block is put aside and its readings are not declared.
    DamageUndeclared = "damage-undeclared";
    /// Backlog is sent before live data.
    LiveBehindBacklog = "live-behind-backlog";
    /// A boot whose numbers went back may go on numbering.
    BootReused = "boot-reused";
    /// A new boot closes the old one without declaring its tail.
    TailForgotten = "tail-forgotten";
    /// The end of a boot leaves before it is written.
    EndUnwritten = "end-unwritten";
    /// What was not answered is never sent again.
    NeverResent = "never-resent";
    /// A block is acknowledged before its commit.
    BlockAckedEarly = "block-acked-early";
    /// A duplicate is acknowledged before the commit of its original.
    DuplicateAckedEarly = "duplicate-acked-early";
    /// The ledger is written one transaction after the journal.
    DedupOutsideTransaction = "dedup-outside-transaction";
    /// After a failed commit the ledger in memory stays as it is.
    OverlayKept = "overlay-kept";
    /// A loss record makes a stored reading lost.
    LostBeatsStored = "lost-beats-stored";
    /// The ledger notes one reading too many in each range.
    LedgerOffByOne = "ledger-off-by-one";
    /// A seq that comes again with another content is acknowledged as a duplicate.
    ConflictAcked = "conflict-acked";
    /// History is settled across holes that may still fill.
    HistoryAcrossHoles = "history-across-holes";
    /// Late data raises and clears the live state.
    LateDataLive = "late-data-live";
    /// An ended origin is sealed although it has holes.
    HolesSealed = "holes-sealed";
    /// An operator is told that a device is closed before the commit.
    RetiredEarly = "retired-early";
    /// The journal is trimmed in another transaction than the one that registers the lake's file.
    LakeOutsideTransaction = "lake-outside-transaction";
    /// A lake file is registered although an entry was taken out since it was read.
    LakeEntriesUncounted = "lake-entries-uncounted";
    /// A lake file that an earlier try left is not removed when all its entries were damaged since.
    LakeFileLeft = "lake-file-left";
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
