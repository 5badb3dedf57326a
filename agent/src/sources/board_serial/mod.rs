//! Boards on serial lines, found by name, served as long as they are there.
//!
//! - entry: what the configuration names       - scan: which lines there are now, each once
//! - line: one line, opened again when it breaks        - opening: how, and why not, in words
//! - hearing: bytes that are no frames       - uart: what the UART counts
//! - lines: what is told of them      - ports: what the machine has, for people
//!
//! Names are looked for each second. Folders such as `/dev/serial/by-id` come and go with the boards, so there is nothing to watch
//! that would always be there.

mod entry;
mod hearing;
mod line;
mod lines;
mod opening;
mod ports;
mod scan;
mod uart;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tidegate_service::Shutdown;
use tokio::{
    task::{self, JoinSet},
    time::{MissedTickBehavior, interval},
};

use self::line::Line;
pub use self::{
    entry::{Place, SerialSettings},
    lines::{LineView, SerialLines, SerialView},
    opening::{OpenError, permission},
    ports::{Port, Usb, ports},
    scan::{Doubled, Found, Scan, scan},
};
use crate::sources::board_link::BoardLinks;

const LOOK: Duration = Duration::from_secs(1);
/// Lines at once; the others wait for one to go.
const MAX_LINES: usize = 256;

/// Serves all lines of these entries until stopped.
pub(crate) async fn run(
    entries: Vec<SerialSettings>,
    boards: BoardLinks,
    lines: SerialLines,
    stop: Shutdown,
) {
    let mut served =
        Served { entries: entries.into(), boards, lines, running: BTreeMap::new(), told: BTreeSet::new() };
    // Tasks end by being dropped when the agent stops, as all links do.
    let mut tasks: JoinSet<()> = JoinSet::new();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.wait() => return tasks.shutdown().await,
            Some(ended) = tasks.join_next_with_id() => {
                served.ended(ended.map_or_else(|panicked| panicked.id(), |(task, ())| task));
                // What has its name now, or its device, need not wait.
                looks.reset_immediately();
            }
            _ = looks.tick() => {
                let entries = Arc::clone(&served.entries);
                if let Ok(seen) = task::spawn_blocking(move || scan(&entries)).await {
                    served.seen(&seen, &mut tasks);
                }
            }
        }
    }
}

struct Served {
    entries: Arc<[SerialSettings]>,
    boards: BoardLinks,
    lines: SerialLines,
    /// By device. A line that goes stays here until its link is closed.
    running: BTreeMap<PathBuf, Running>,
    /// Second names that were told of.
    told: BTreeSet<PathBuf>,
}

struct Running {
    path: PathBuf,
    entry: usize,
    gone: Shutdown,
    task: task::Id,
}

impl Running {
    /// Its name leads to it, though it may have others by now, and no other entry has a better claim.
    fn is_still_wanted(&self, device: &Path, seen: &Scan) -> bool {
        let Some(found) = seen.lines.iter().find(|found| found.device == device) else { return false };
        let second = |doubled: &Doubled| doubled.path == self.path && doubled.by.device == device;
        found.entry == self.entry && (found.path == self.path || seen.doubled.iter().any(second))
    }
}

impl Served {
    fn seen(&mut self, seen: &Scan, tasks: &mut JoinSet<()>) {
        for (device, running) in &self.running {
            if !running.is_still_wanted(device, seen) {
                running.gone.trigger();
            }
        }
        for found in &seen.lines {
            // One that is ending has its device, or its name, until it has ended.
            let busy = self
                .running
                .iter()
                .any(|(device, running)| device == &found.device || running.path == found.path);
            let Some(settings) = self.entries.get(found.entry).filter(|_| !busy) else { continue };
            if self.running.len() >= MAX_LINES {
                tracing::debug!(path = %found.path.display(), "too many serial lines; this one waits");
                continue;
            }
            let gone = Shutdown::new();
            let line = Line {
                found: found.clone(),
                settings: settings.clone(),
                boards: self.boards.clone(),
                lines: self.lines.clone(),
                gone: gone.clone(),
            };
            let task = tasks.spawn(line.run()).id();
            let running = Running { path: found.path.clone(), entry: found.entry, gone, task };
            self.running.insert(found.device.clone(), running);
        }
        self.tell(seen);
    }

    fn ended(&mut self, task: task::Id) {
        self.running.retain(|_, running| running.task != task);
    }

    /// Once each.
    fn tell(&mut self, seen: &Scan) {
        for entry in self.lines.empty(&self.entries, seen, self.boards.clock.at()) {
            tracing::warn!("{entry}: nothing is there; it is served when it comes");
        }
        self.told.retain(|path| seen.doubled.iter().any(|doubled| &doubled.path == path));
        for doubled in &seen.doubled {
            if self.told.insert(doubled.path.clone()) {
                let by = doubled.by.path.display();
                tracing::info!(path = %doubled.path.display(), "the serial line is served as {by} already");
            }
        }
    }
}
