//! Where a test may kill the agent, as a power cut would.

/// Armed by `TIDEGATE_FAILPOINT=<name>[:n]` in builds with debug assertions; nothing in release builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailPoint {
    /// A batch is written and not yet committed.
    BeforeCommit,
    /// Its write to the disk fails, as with a broken card.
    CommitError,
    /// It is committed; nobody knows yet, and no board is acknowledged.
    AfterCommit,
    /// A board's acknowledgement is about to leave.
    BeforeBoardAck,
    /// A block was handed to the MQTT client.
    AfterPublish,
    /// The cloud's acknowledgement came; nothing is deleted yet.
    AfterBlockAck,
    /// Blocks were loaded from the queue, to be sent.
    MidDrain,
    /// The doctor wrote and synced a new queue beside the old one.
    BeforeSwap,
    /// The old queue is moved away, the new one has not its name yet.
    AmidSwap,
    /// The new queue is in place, the old one is not removed.
    AfterSwap,
}

impl FailPoint {
    /// Those that the doctor passes, never a running agent.
    pub const OF_THE_DOCTOR: [Self; 3] = [Self::BeforeSwap, Self::AmidSwap, Self::AfterSwap];

    /// Those that a running agent passes.
    pub const ALL: [Self; 7] = [
        Self::BeforeCommit,
        Self::CommitError,
        Self::AfterCommit,
        Self::BeforeBoardAck,
        Self::AfterPublish,
        Self::AfterBlockAck,
        Self::MidDrain,
    ];

    /// Whether passing it kills the process; else an operation fails there.
    pub const fn kills(self) -> bool {
        !matches!(self, Self::CommitError)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeCommit => "agent-before-commit",
            Self::CommitError => "agent-commit-error",
            Self::AfterCommit => "agent-after-commit",
            Self::BeforeBoardAck => "agent-before-board-ack",
            Self::AfterPublish => "agent-after-publish",
            Self::AfterBlockAck => "agent-after-block-ack",
            Self::MidDrain => "agent-mid-drain",
            Self::BeforeSwap => "agent-before-swap",
            Self::AmidSwap => "agent-amid-swap",
            Self::AfterSwap => "agent-after-swap",
        }
    }

    /// Whether the disk is to fail here.
    pub fn fails(self) -> bool {
        tidegate_service::failpoint::fails(self.name())
    }

    pub fn hit(self) {
        tidegate_service::failpoint::hit(self.name());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::FailPoint;

    #[test]
    fn every_point_has_a_name_of_its_own() {
        let points = FailPoint::ALL.into_iter().chain(FailPoint::OF_THE_DOCTOR);
        let names: BTreeSet<&str> = points.map(FailPoint::name).collect();
        assert_eq!(names.len(), FailPoint::ALL.len() + FailPoint::OF_THE_DOCTOR.len());
        assert!(names.iter().all(|name| name.starts_with("agent-")));
    }
}
