//! How often each fault really happened, and how often it bit.

macro_rules! faults {
    ($($name:ident = $words:literal,)*) => {
        /// Everything that can go wrong in a schedule, and what proves that it did.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($name,)* }

        impl Fault {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

faults! {
    FrameLost = "board frame lost",
    FrameDuplicated = "board frame delivered twice",
    FrameDelayed = "board frame held up",
    FrameCorrupted = "board frame corrupted",
    FrameTruncated = "board frame truncated",
    BoardLinkHalfOpen = "board link open in one direction only",
    BoardUnplugged = "board link cut",
    BoardMoved = "board went to another gateway",
    HeardByTwo = "frame heard by two gateways",
    BrownOut = "board brown-out",
    BrownOutWithReadings = "board brown-out with unacknowledged readings",
    BootAssigned = "boot id assigned by a gateway",
    BootRepeated = "board came back under a boot id it had used",
    BootReassigned = "board told to number under another boot",
    BootConflict = "other content under a stored seq, quarantined",
    RingOverflow = "board ring overflow",
    BoardHeldBack = "board held back by a full agent",
    AgentKilled = "agent killed",
    AgentKilledCommitted = "agent killed between commit and acknowledgement",
    AgentKilledUncommitted = "agent killed in a commit that is not on the disk",
    OldImage = "gateway replaced by an old disk image",
    SetBackTold = "gateway found to be set back, or run twice, by the age of its queue",
    Twin = "one disk image run by two processes",
    TwinKicked = "second process took over the first one's connection",
    GatewayClockForward = "gateway clock jumped forward",
    GatewayClockBack = "gateway clock jumped back",
    GatewayWithoutClock = "gateway started in 1970",
    DiskFull = "agent disk full",
    DiskReadOnly = "agent disk read-only",
    DiskSlow = "agent disk slow",
    DiskPoisoned = "error on sync: agent store poisoned",
    DiskUnreadable = "agent disk could not be read",
    BlockFlipped = "byte flipped in a stored block",
    BlockDamaged = "damaged block quarantined by the agent",
    Evicted = "oldest blocks given up at the quota",
    Thinned = "oldest readings thinned at the quota",
    AlarmAhead = "alarm block sent ahead of all others",
    QuotaReached = "queue at its quota refused readings",
    UplinkCut = "uplink cut",
    UplinkPartitioned = "uplink swallowed everything",
    UplinkHalfOpen = "uplink open in one direction only",
    UplinkThrottled = "uplink throttled",
    BrokerForgot = "broker restarted and forgot everything",
    CursorJumped = "broker jumped over messages it had acknowledged",
    BlockDuplicated = "block delivered twice",
    BlockReordered = "block overtaken by later ones",
    AckLost = "block acknowledgement lost",
    AckDuplicated = "block acknowledgement delivered twice",
    AckReordered = "block acknowledgement overtaken by later ones",
    AckUnknown = "acknowledgement of a number nobody knows any more",
    IngestKilled = "ingest killed",
    IngestKilledCommitted = "ingest killed between commit and acknowledgement",
    IngestKilledUncommitted = "ingest killed in a commit that is not on the disk",
    IngestCommitFailed = "ingest commit failed",
    IngestCommitFailedWritten = "ingest commit failed and is on the disk all the same",
    IngestSlow = "ingest disk slow",
    IngestUnreadable = "ingest store could not be read",
    IngestFull = "ingest full: no credit",
    JournalRolled = "journal rolled to the lake",
    RollDoneAgain = "roll taken up again",
    RollCommitFailed = "commit of a roll failed",
    LakeFileFailed = "lake file cut off",
    IngestKilledInRoll = "ingest killed in a roll",
    JournalFlipped = "byte flipped in a journal entry",
    JournalDamaged = "damaged journal entry quarantined by the ingest",
    EntryGoneInRoll = "entry taken out between being read and registered",
    DamageToldLate = "word of damage came when its readings were stored elsewhere",
    WrittenOff = "reading written off by an operator",
    OriginSealed = "ended origin sealed",
    SealedRefused = "block refused that speaks of a sealed origin",
    IngestRestored = "ingest restored from a backup",
    RolledBack = "stored reading gone with a restore",
    CreditStarved = "agent with less credit than it has to send",
    LostThenStored = "lost reading arrived after all",
    HoleFilled = "alarm history settled behind a filled hole",
    AlarmRaised = "alarm raised",
}

#[derive(Clone, Debug)]
pub struct Coverage {
    counts: Vec<u64>,
    pub schedules: u64,
    pub virtual_us: u64,
    pub readings: u64,
    pub events: u64,
}

impl Default for Coverage {
    fn default() -> Self {
        Self { counts: vec![0; Fault::ALL.len()], schedules: 0, virtual_us: 0, readings: 0, events: 0 }
    }
}

impl Coverage {
    /// Of one schedule that begins.
    pub fn of_one() -> Self {
        Self { schedules: 1, ..Self::default() }
    }

    pub fn count(&mut self, fault: Fault) {
        self.add(fault, 1);
    }

    pub fn add(&mut self, fault: Fault, times: u64) {
        if let Some(count) = self.counts.get_mut(fault as usize) {
            *count += times;
        }
    }

    pub fn of(&self, fault: Fault) -> u64 {
        self.counts.get(fault as usize).copied().unwrap_or_default()
    }

    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.schedules += other.schedules;
        self.virtual_us += other.virtual_us;
        self.readings += other.readings;
        self.events += other.events;
    }

    pub fn never_happened(&self) -> Vec<Fault> {
        Fault::ALL.iter().copied().filter(|fault| self.of(*fault) == 0).collect()
    }
}
