//! What is done here while alarms are active, whatever the link is like: a state file, and outputs.
//!
//! A thread of its own does it, since disks and lines may take their time: the core's task tells it what changed and never
//! waits. Memory is bounded by the alarms that the core keeps. Outputs are set at once; the file is written at most every
//! `FILE_INTERVAL_MS`, and where only values and peaks moved, every `VALUES_INTERVAL_MS`. What fails is logged once, counted,
//! and tried again. At the end of the agent lines are left in their fail-safe states.

mod gpio;
mod output;
mod state_file;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use tidegate_protocol::topic::GatewayPath;

pub use gpio::{GpioLine, Line};
pub use output::{Output, OutputRule};

use crate::{
    clock::ShellClock,
    core::{AlarmKey, LocalAlarm, Time},
};
use output::{Driven, RETRY_MS};
use state_file::StateFile;

/// Between two writes of the state file when alarms came or went.
const FILE_INTERVAL_MS: u64 = 100;
/// The same when only their values moved.
const VALUES_INTERVAL_MS: u64 = 1_000;

pub type Alarms = BTreeMap<AlarmKey, LocalAlarm>;

#[derive(Clone, Debug, Default)]
pub struct ActionSettings {
    pub state_file: Option<PathBuf>,
    pub outputs: Vec<OutputRule>,
}

impl ActionSettings {
    /// What would not work on this machine as it is now; it may by the time the agent runs.
    pub fn warnings(&self) -> Vec<String> {
        let folder =
            self.state_file.as_ref().and_then(|file| file.parent()).filter(|folder| !folder.is_dir());
        let folder = folder.map(|folder| {
            let folder = folder.display();
            format!("local_alarms.state_file: {folder} is not there; the agent makes it if it may")
        });
        let lines = self.outputs.iter().enumerate().filter_map(|(at, output)| {
            Some(format!("local_alarms.output[{at}]: {}", output.line.trouble()?))
        });
        folder.into_iter().chain(lines).collect()
    }
}

/// How often something could not be done.
#[derive(Clone, Debug, Default)]
pub struct ActionErrors(Arc<(AtomicU64, AtomicU64)>);

impl ActionErrors {
    pub fn of_outputs(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    pub fn of_file(&self) -> u64 {
        self.0.1.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct Told {
    alarms: Alarms,
    /// Something came or went that was not seen yet.
    is_changed: bool,
    /// Only a value or a peak moved.
    is_moved: bool,
    is_ending: bool,
}

#[derive(Default)]
struct Shared {
    told: Mutex<Told>,
    news: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the thread what changed; its end is the thread's.
pub struct LocalActions {
    shared: Arc<Shared>,
    errors: ActionErrors,
    thread: Option<JoinHandle<()>>,
}

impl LocalActions {
    pub fn start(settings: &ActionSettings, path: GatewayPath, clock: ShellClock) -> Self {
        let lines = settings.outputs.iter().map(|rule| -> (OutputRule, Box<dyn Output>) {
            (rule.clone(), Box::new(GpioLine::new(rule.line.clone())))
        });
        Self::with_outputs(settings.state_file.clone(), lines.collect(), path, clock)
    }

    fn with_outputs(
        state_file: Option<PathBuf>,
        outputs: Vec<(OutputRule, Box<dyn Output>)>,
        path: GatewayPath,
        clock: ShellClock,
    ) -> Self {
        let (shared, errors) = (Arc::new(Shared::default()), ActionErrors::default());
        // That nothing is active is news too.
        shared.lock().is_changed = true;
        let mut actions = Self { shared: shared.clone(), errors: errors.clone(), thread: None };
        if state_file.is_none() && outputs.is_empty() {
            return actions;
        }
        let actor = Actor {
            shared,
            errors,
            clock,
            file: state_file.map(|place| StateFile::new(&place, path, clock.now().unix_ms)),
            outputs: outputs.into_iter().map(|(rule, output)| Driven::new(rule, output)).collect(),
            written_at: None,
            write_at: Some(clock.at()),
            is_file_failing: false,
        };
        match std::thread::Builder::new().name("local-actions".into()).spawn(|| actor.run()) {
            Ok(thread) => actions.thread = Some(thread),
            Err(error) => {
                tracing::error!(%error, "nothing is done here about alarms: no thread can be started");
            }
        }
        actions
    }

    pub fn errors(&self) -> ActionErrors {
        self.errors.clone()
    }

    pub fn changed(&self, key: AlarmKey, alarm: Option<LocalAlarm>) {
        if self.thread.is_none() {
            return;
        }
        let mut told = self.shared.lock();
        let was_there = match alarm {
            Some(alarm) => {
                let is = told.alarms.get(&key).map(|was| was.since_unix_ms) == Some(alarm.since_unix_ms);
                told.alarms.insert(key, alarm);
                is
            }
            None => told.alarms.remove(&key).is_none(),
        };
        told.is_changed |= !was_there;
        told.is_moved |= was_there;
        self.shared.news.notify_one();
    }

    /// Leaves all as it is to be without the agent.
    pub fn stop(mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }

    fn end(&self) {
        self.shared.lock().is_ending = true;
        self.shared.news.notify_one();
    }
}

impl Drop for LocalActions {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end();
        }
    }
}

struct Actor {
    shared: Arc<Shared>,
    errors: ActionErrors,
    clock: ShellClock,
    file: Option<StateFile>,
    outputs: Vec<Driven>,
    written_at: Option<Time>,
    write_at: Option<Time>,
    is_file_failing: bool,
}

impl Actor {
    fn run(mut self) {
        loop {
            let (alarms, is_ending) = self.next();
            if is_ending {
                self.end(&alarms);
                return;
            }
            let now = self.clock.at();
            for driven in &mut self.outputs {
                let wanted = driven.rule.wants(&alarms);
                if !driven.drive(wanted, now) {
                    self.errors.0.0.fetch_add(1, Ordering::Relaxed);
                }
            }
            if self.write_at.is_some_and(|at| at <= now) {
                self.write(&alarms, true, now);
            }
        }
    }

    /// Waits until something is to be done.
    fn next(&mut self) -> (Alarms, bool) {
        let shared = self.shared.clone();
        let mut told = shared.lock();
        loop {
            let (is_changed, is_moved) =
                (std::mem::take(&mut told.is_changed), std::mem::take(&mut told.is_moved));
            if is_changed || is_moved {
                let interval_ms = if is_changed { FILE_INTERVAL_MS } else { VALUES_INTERVAL_MS };
                let now = self.clock.at();
                let due = self.written_at.map_or(now, |at| at.plus_ms(interval_ms).max(now));
                self.write_at = Some(self.write_at.map_or(due, |at| at.min(due)));
            }
            let retries = self.outputs.iter().filter_map(Driven::retry_at);
            let write_at = self.write_at.filter(|_| self.file.is_some());
            let wake_at = retries.chain(write_at).min();
            let wait_us = wake_at.map(|at| at.us_since(self.clock.at()));
            if told.is_ending || is_changed || wait_us == Some(0) {
                return (told.alarms.clone(), told.is_ending);
            }
            told = match wait_us {
                Some(us) => {
                    let waited = shared.news.wait_timeout(told, Duration::from_micros(us));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => shared.news.wait(told).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn write(&mut self, alarms: &Alarms, running: bool, now: Time) {
        self.write_at = None;
        let Some(file) = &self.file else { return };
        match file.write(alarms, running, self.clock.now().unix_ms) {
            Ok(()) => {
                if std::mem::take(&mut self.is_file_failing) {
                    tracing::info!("the state file of alarms is written again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_file_failing, true) {
                    tracing::error!(%error, "the state file of alarms cannot be written; it is tried again");
                }
                self.errors.0.1.fetch_add(1, Ordering::Relaxed);
                self.write_at = Some(now.plus_ms(RETRY_MS));
            }
        }
        self.written_at = Some(now);
    }

    fn end(&mut self, alarms: &Alarms) {
        for driven in &mut self.outputs {
            if !driven.make_safe() {
                self.errors.0.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.write(alarms, false, self.clock.at());
    }
}
