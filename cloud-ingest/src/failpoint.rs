//! Where a test may kill the ingest.

/// The points, in the order in which a block and then a roll pass them; deliveries pass one beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailPoint {
    /// All of a batch is written to the transaction, which is not committed.
    BeforeCommit,
    /// Its write to the disk fails, as with a broken disk.
    CommitError,
    /// The batch is durable; nobody has been told.
    AfterCommitBeforeAck,
    /// Acknowledgements have been handed to the MQTT client.
    AfterAck,
    /// The roll's intent is durable; no file exists.
    AfterIntent,
    /// Some of a lake file is written.
    MidLakeWrite,
    /// The lake file has its final name; the store does not know it.
    AfterRenameBeforeRegister,
    /// The file is registered and the journal trimmed.
    AfterRegister,
    /// A receiver has answered; the outbox does not know it.
    AfterDelivery,
}

impl FailPoint {
    /// Those that a block and a roll pass.
    pub const ALL: [Self; 8] = [
        Self::BeforeCommit,
        Self::CommitError,
        Self::AfterCommitBeforeAck,
        Self::AfterAck,
        Self::AfterIntent,
        Self::MidLakeWrite,
        Self::AfterRenameBeforeRegister,
        Self::AfterRegister,
    ];

    /// Whether passing it kills the process; else an operation fails there.
    pub const fn kills(self) -> bool {
        !matches!(self, Self::CommitError)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeCommit => "ingest-before-commit",
            Self::CommitError => "ingest-commit-error",
            Self::AfterCommitBeforeAck => "ingest-after-commit-before-ack",
            Self::AfterAck => "ingest-after-ack",
            Self::AfterDelivery => "ingest-after-delivery",
            Self::AfterIntent => "ingest-after-intent",
            Self::MidLakeWrite => "ingest-mid-lake-write",
            Self::AfterRenameBeforeRegister => "ingest-after-rename-before-register",
            Self::AfterRegister => "ingest-after-register",
        }
    }

    /// Whether the disk is to fail here.
    pub(crate) fn fails(self) -> bool {
        tidegate_service::failpoint::fails(self.name())
    }

    pub(crate) fn hit(self) {
        tidegate_service::failpoint::hit(self.name());
    }
}
