//! What happens now and then, at a random moment.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    KillAgent,
    KillIngest,
    BrownOut,
    UnplugBoard,
    MoveBoard,
    DeafenLine,
    CutUplink,
    PartitionUplink,
    HalfOpenUplink,
    ThrottleUplink,
    RestartBroker,
    FillDisk,
    ReadOnlyDisk,
    SlowDisk,
    PoisonDisk,
    FlipByte,
    JumpClock,
    SetClock,
    TakeImage,
    RestoreImage,
    StartTwin,
    KickTwin,
    SlowIngest,
    FillIngest,
    FreeIngest,
    BackUpIngest,
    RestoreIngest,
    /// The retention of ended origins is over.
    SealEnded,
    /// An operator writes a device off, though it may well go on.
    RetireDevice,
    /// The ingest's disk spoils a byte of a journal entry.
    FlipJournal,
}

impl Incident {
    /// All but what [`super::plan`] draws by itself.
    pub const ALL: &'static [Self] = &[
        Self::KillAgent,
        Self::KillIngest,
        Self::BrownOut,
        Self::UnplugBoard,
        Self::MoveBoard,
        Self::DeafenLine,
        Self::CutUplink,
        Self::PartitionUplink,
        Self::HalfOpenUplink,
        Self::ThrottleUplink,
        Self::RestartBroker,
        Self::FillDisk,
        Self::ReadOnlyDisk,
        Self::SlowDisk,
        Self::PoisonDisk,
        Self::FlipByte,
        Self::JumpClock,
        Self::SetClock,
        Self::TakeImage,
        Self::RestoreImage,
        Self::StartTwin,
        Self::KickTwin,
        Self::SlowIngest,
        Self::FillIngest,
        Self::FreeIngest,
        Self::BackUpIngest,
        Self::RestoreIngest,
    ];

    /// The chance that a schedule has it.
    pub const fn likely(self) -> f64 {
        match self {
            Self::KillAgent | Self::KillIngest | Self::BrownOut | Self::CutUplink => 0.35,
            Self::TakeImage | Self::RestoreImage | Self::RestoreIngest => 0.2,
            Self::BackUpIngest => 0.5,
            Self::StartTwin => 0.12,
            Self::PoisonDisk | Self::FlipByte => 0.15,
            Self::FreeIngest | Self::SetClock | Self::KickTwin => 0.8,
            _ => 0.22,
        }
    }
}
