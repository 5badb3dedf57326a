//! Where a test may kill the ingest.

/// The points, in the order in which a block and then a roll pass them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailPoint {
    /// All of a batch is written to the transaction, which is not committed.
    BeforeCommit,
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
}

impl FailPoint {
    pub const ALL: [Self; 7] = [
        Self::BeforeCommit,
        Self::AfterCommitBeforeAck,
        Self::AfterAck,
        Self::AfterIntent,
        Self::MidLakeWrite,
        Self::AfterRenameBeforeRegister,
        Self::AfterRegister,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeCommit => "ingest-before-commit",
            Self::AfterCommitBeforeAck => "ingest-after-commit-before-ack",
            Self::AfterAck => "ingest-after-ack",
            Self::AfterIntent => "ingest-after-intent",
            Self::MidLakeWrite => "ingest-mid-lake-write",
            Self::AfterRenameBeforeRegister => "ingest-after-rename-before-register",
            Self::AfterRegister => "ingest-after-register",
        }
    }

    pub(crate) fn hit(self) {
        tidegate_service::failpoint::hit(self.name());
    }
}
