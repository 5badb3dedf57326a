//! What people and programs are told of serial lines.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use super::{
    entry::SerialSettings,
    scan::{Found, Scan},
    uart::UartErrors,
};
use crate::{core::Time, sources::board_link::LinkCounts};

/// Lines that are remembered after they went. Beyond it the longest gone is forgotten.
const MAX_GONE: usize = 256;

/// All lines, those that are served and those that went.
#[derive(Clone, Default)]
pub struct SerialLines(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lines: BTreeMap<PathBuf, Line>,
    /// Entries that nothing is there for, by what they say, and since when.
    empty: BTreeMap<String, Time>,
    totals: Totals,
}

struct Line {
    entry: String,
    device: PathBuf,
    baud: u32,
    open: bool,
    problem: Option<String>,
    since: Time,
    gone: bool,
    counts: Arc<LinkCounts>,
}

/// Of all lines, since the start.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Totals {
    pub opened: u64,
    /// A board was unplugged, or its driver gave up.
    pub broken: u64,
    pub uart_errors: UartErrors,
}

#[derive(Clone, Debug, Serialize)]
pub struct SerialView {
    #[serde(flatten)]
    pub totals: Totals,
    /// By path. An entry that nothing is there for is a line, too: one that is not open.
    pub lines: Vec<LineView>,
}

#[derive(Clone, Debug, Serialize)]
pub struct LineView {
    /// What of the configuration it belongs to.
    pub entry: String,
    pub path: Option<String>,
    /// What the path led to when it was there last.
    pub device: Option<String>,
    pub baud: Option<u32>,
    pub open: bool,
    /// Why it is not open, or what is wrong though it is.
    pub problem: Option<String>,
    /// How long that has been so.
    pub since_ms: u64,
    pub bytes: u64,
    pub frames: u64,
    pub bad_frames: u64,
}

impl SerialLines {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line that is to be served; what was counted of it before it went stays.
    pub(super) fn begin(&self, found: &Found, settings: &SerialSettings, now: Time) -> Arc<LinkCounts> {
        let mut state = self.state();
        let counts = state.lines.get(&found.path).map(|line| Arc::clone(&line.counts)).unwrap_or_default();
        let line = Line {
            entry: settings.to_string(),
            device: found.device.clone(),
            baud: settings.baud,
            open: false,
            problem: None,
            since: now,
            gone: false,
            counts: Arc::clone(&counts),
        };
        state.lines.insert(found.path.clone(), line);
        counts
    }

    pub(super) fn opened(&self, path: &Path, now: Time) {
        let mut state = self.state();
        state.totals.opened += 1;
        state.change(path, true, None, now);
    }

    /// It cannot be opened.
    pub(super) fn failed(&self, path: &Path, problem: String, now: Time) {
        self.state().change(path, false, Some(problem), now);
    }

    /// It was open, and it broke.
    pub(super) fn broke(&self, path: &Path, problem: String, now: Time) {
        let mut state = self.state();
        state.totals.broken += 1;
        state.change(path, false, Some(problem), now);
    }

    /// It is open, and something is wrong with what comes, or is no more.
    pub(super) fn heard(&self, path: &Path, problem: Option<String>, now: Time) {
        self.state().change(path, true, problem, now);
    }

    pub(super) fn uart(&self, errors: &UartErrors) {
        self.state().totals.uart_errors.add(errors);
    }

    /// Nothing has its name any more.
    pub(super) fn gone(&self, path: &Path, now: Time) {
        let mut state = self.state();
        state.change(path, false, Some("it is unplugged".to_owned()), now);
        if let Some(line) = state.lines.get_mut(path) {
            line.gone = true;
        }
        let gone = || state.lines.iter().filter(|(_, line)| line.gone);
        if gone().count() > MAX_GONE
            && let Some(longest) = gone().min_by_key(|(_, line)| line.since).map(|(path, _)| path.clone())
        {
            state.lines.remove(&longest);
        }
    }

    /// The entries that have nothing now; those that are new among them.
    pub(super) fn empty(&self, entries: &[SerialSettings], scan: &Scan, now: Time) -> Vec<SerialSettings> {
        let mut state = self.state();
        let empty = || scan.empty.iter().filter_map(|&entry| entries.get(entry));
        let texts: Vec<String> = empty().map(ToString::to_string).collect();
        state.empty.retain(|entry, _| texts.contains(entry));
        let new = empty().filter(|entry| !state.empty.contains_key(&entry.to_string())).cloned().collect();
        for text in texts {
            state.empty.entry(text).or_insert(now);
        }
        new
    }

    pub fn view(&self, now: Time) -> SerialView {
        let state = self.state();
        let age_ms = |since: Time| now.0.saturating_sub(since.0) / 1_000;
        let lines = state.lines.iter().map(|(path, line)| LineView {
            entry: line.entry.clone(),
            path: Some(path.display().to_string()),
            device: Some(line.device.display().to_string()),
            baud: Some(line.baud),
            open: line.open,
            problem: line.problem.clone(),
            since_ms: age_ms(line.since),
            bytes: line.counts.bytes(),
            frames: line.counts.frames(),
            bad_frames: line.counts.bad(),
        });
        // One that went says so already.
        let known = |entry: &str| state.lines.values().any(|line| line.entry == entry);
        let empty = state.empty.iter().filter(|(entry, _)| !known(entry)).map(|(entry, &since)| LineView {
            entry: entry.clone(),
            path: None,
            device: None,
            baud: None,
            open: false,
            problem: Some("nothing is there; is the board plugged in?".to_owned()),
            since_ms: age_ms(since),
            bytes: 0,
            frames: 0,
            bad_frames: 0,
        });
        SerialView { totals: state.totals, lines: lines.chain(empty).collect() }
    }
}

impl State {
    fn change(&mut self, path: &Path, open: bool, problem: Option<String>, now: Time) {
        let Some(line) = self.lines.get_mut(path) else { return };
        if (line.open, &line.problem) != (open, &problem) {
            (line.open, line.problem, line.since) = (open, problem, now);
        }
    }
}
