//! The recording while it is made: one lock around each call and the line about it, so that their order is the true one.

use std::{
    ffi::CStr,
    fs::File,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tidegate_tests::powercut::trace::{Step, is_a_lock};

pub struct Recorder {
    folder: PathBuf,
    log: Vec<Step>,
    to: PathBuf,
}

static RECORDER: Mutex<Option<Recorder>> = Mutex::new(None);

/// Calls on files below `folder`, which has no links in its path, are recorded from now on. Kept in memory until the end: writing it would be a call.
pub fn start(folder: &Path, log: &Path) {
    *lock() = Some(Recorder { folder: folder.to_owned(), log: Vec::new(), to: log.to_owned() });
}

pub fn stop() {
    let Some(recorder) = lock().take() else { return };
    let mut file = std::io::BufWriter::new(File::create(recorder.to).expect("the log can be written"));
    recorder.log.iter().for_each(|step| step.write(&mut file).expect("the log can be written"));
    std::io::Write::flush(&mut file).expect("the log can be written");
}

/// A mark of the workload's own between its calls.
pub fn mark(step: Step) {
    if let Some(recorder) = &mut *lock() {
        recorder.log.push(step);
    }
}

/// Held around a call. Nothing that is done meanwhile may itself be a recorded call.
pub fn lock() -> MutexGuard<'static, Option<Recorder>> {
    RECORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    pub fn push(&mut self, step: Step) {
        self.log.push(step);
    }

    /// Relative to the recorded folder; none outside of it, and for lock files.
    pub fn relative(&self, path: &Path) -> Option<String> {
        let relative = path.strip_prefix(&self.folder).ok()?.to_str()?.to_owned();
        (!is_a_lock(&relative)).then_some(relative)
    }

    pub fn of_name(&self, name: &CStr) -> Option<String> {
        self.relative(Path::new(name.to_str().ok()?))
    }
}
