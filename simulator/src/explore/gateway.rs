//! A gateway: the agent's own core, its disk, its way to the broker.

use std::collections::BTreeMap;

use tidegate_agent::core::{Batch, Core, CoreSettings, Event, Key, LinkId, Now, Time};
use tidegate_protocol::{ClockQuality, Origin, status::QueueAge, topic::GatewayPath};

use super::disk::Disk;

/// How the disk is, for a while.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskHealth {
    pub full_until_us: u64,
    pub read_only_until_us: u64,
    pub slow_until_us: u64,
}

#[derive(Debug, Default)]
pub struct Uplink {
    /// Numbers connections: what was meant for an earlier one is void.
    pub connection: u64,
    pub up: bool,
    /// Until then nothing gets through in this direction, and nobody notices yet.
    pub up_dead_until_us: u64,
    pub down_dead_until_us: u64,
    pub bytes_per_s: u64,
    pub throttled_until_us: u64,
    /// Messages keep their order but for those that are late on purpose.
    pub up_free_us: u64,
    pub down_free_us: u64,
}

/// The agent's process: what a kill takes away.
pub struct Process {
    pub core: Core,
    pub epoch: u64,
    /// The commit by which it opened its queue.
    opened: u64,
    pub committing: Option<Batch>,
    pub loading: Option<Vec<Key>>,
    pub wakes_at_us: Option<u64>,
    pub last_number: Option<u64>,
    started_us: u64,
    /// An error on sync: nothing is written any more, and what was being written may be there or not.
    pub poisoned: bool,
    pub maybe_written: Option<Batch>,
    /// As the ingest last said.
    pub credit_bytes: u32,
    /// What boards said in their last Hello on each link: origin and next, and what the agent knew to have acknowledged.
    pub hellos: BTreeMap<LinkId, (Origin, u64, u64)>,
}

pub struct Gateway {
    pub path: GatewayPath,
    pub settings: CoreSettings,
    pub disk: Disk,
    pub health: DiskHealth,
    /// An image of the disk as it was once.
    pub image: Option<Disk>,
    /// It went on with an older disk, or is one of two on one.
    pub was_set_back: bool,
    pub process: Option<Process>,
    /// Which process since the schedule began.
    pub life: u64,
    pub links: u64,
    pub uplink: Uplink,
    /// The wall clock less the simulator's own.
    pub clock_offset_ms: i64,
    pub synced: bool,
}

/// When every schedule begins.
const BEGINS_UNIX_MS: i64 = 1_800_000_000_000;

impl Gateway {
    pub fn new(path: GatewayPath, settings: CoreSettings) -> Self {
        Self {
            path,
            settings,
            disk: Disk::default(),
            health: DiskHealth::default(),
            image: None,
            was_set_back: false,
            process: None,
            life: 0,
            links: 0,
            uplink: Uplink::default(),
            clock_offset_ms: 0,
            synced: true,
        }
    }

    /// How old its queue is, as who runs on it says.
    pub fn queue_age(&self) -> Option<QueueAge> {
        let process = self.process.as_ref()?;
        Some(QueueAge { opened: process.opened, commits: self.disk.commits })
    }

    /// It comes up before it knows the time.
    pub fn starts_in_1970(&mut self) {
        self.clock_offset_ms = -BEGINS_UNIX_MS;
        self.synced = false;
    }

    pub fn start(&mut self, now_us: u64, epoch: u64, jitter_seed: u64) -> std::io::Result<()> {
        let settings = CoreSettings { epoch, jitter_seed, ..self.settings.clone() };
        self.life += 1;
        self.disk.commits += 1;
        let mut process = Process {
            core: Core::new(settings, self.disk.recovered(), Now { at: Time(0), unix_ms: 0 })?,
            epoch,
            opened: self.disk.commits,
            committing: None,
            loading: None,
            wakes_at_us: None,
            last_number: None,
            started_us: now_us,
            poisoned: false,
            maybe_written: None,
            credit_bytes: self.settings.initial_credit_bytes,
            hellos: BTreeMap::new(),
        };
        let now = Now { at: Time(0), unix_ms: self.unix_ms(now_us) };
        process.core.handle(now, self.clock());
        self.process = Some(process);
        Ok(())
    }

    fn unix_ms(&self, now_us: u64) -> i64 {
        BEGINS_UNIX_MS + (now_us / 1_000) as i64 + self.clock_offset_ms
    }

    /// What the shell says of the wall clock whenever it wakes the core.
    pub fn clock(&self) -> Event {
        let (error_ms, quality) =
            if self.synced { (50, ClockQuality::Synced) } else { (u32::MAX, ClockQuality::Unsynced) };
        Event::Clock { error_ms, quality }
    }

    pub fn now(&self, now_us: u64) -> Now {
        let started = self.process.as_ref().map_or(0, |process| process.started_us);
        Now { at: Time(now_us.saturating_sub(started)), unix_ms: self.unix_ms(now_us) }
    }

    /// The simulator's time at which the core's clock says this.
    pub fn time_of(&self, at: Time) -> u64 {
        at.0.saturating_add(self.process.as_ref().map_or(0, |process| process.started_us))
    }

    pub fn open_link(&mut self) -> LinkId {
        self.links += 1;
        LinkId(self.links)
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }
}
