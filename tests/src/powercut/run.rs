//! A recording through all of its power cuts.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, sync_channel},
    },
};

use super::{
    child::{self, Checker, Subject},
    cuts::{Counts, Crash, Thoroughness, enumerate},
    disk::{Disk, Tree},
    trace::{self, Step},
};

/// Checked at one time, each by a child of its own.
const CHECKERS: usize = 2;
/// Disks that wait for a checker; each is a copy of the files.
const WAITING: usize = 4;
/// Findings told in full; all are counted.
const TOLD: usize = 5;

/// What a process did, and the folder in which it left its files.
pub struct Recording {
    pub subject: Subject,
    pub steps: Vec<Step>,
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Recording {
    /// # Panics
    /// When the workload fails, or when what was recorded does not explain what is in the files: then the recorder has
    /// missed something, and its cuts would prove nothing.
    pub fn make(program: &Path, subject: Subject) -> Self {
        let folder = in_memory();
        let (files, log) = (folder.path().join("files"), folder.path().join("log"));
        fs::create_dir(&files).expect("a folder for the files");
        child::record(program, subject, &files, &log);
        let recording = Self { subject, steps: trace::read(&log), program: program.to_owned(), folder };
        let mut disk = Disk::new(super::SECTOR_BYTES);
        recording.steps.iter().for_each(|step| disk.apply(step));
        let (found, seen) = (read_tree(&files, ""), disk.seen());
        let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&seen), "the recorder missed files");
        for (path, bytes) in &found {
            assert!(bytes == &seen[path], "the recorder missed writes to {path}");
        }
        recording
    }

    /// Tries every disk that `how` names, after `distorted` changed the recording.
    pub fn try_cuts(
        &self,
        how: Thoroughness,
        distorted: impl Fn(Vec<Step>) -> Vec<Step>,
        stop_after: u64,
    ) -> Outcome {
        let steps = distorted(self.steps.clone());
        let (crashes, waiting) = sync_channel::<Crash>(WAITING);
        let waiting = Mutex::new(waiting);
        let findings = Findings { stop_after, ..Findings::default() };
        // Of its own: the same recording may be tried by several tests at one time.
        let disks = tempfile::tempdir_in(self.folder.path()).expect("a folder for the disks");
        let counts = std::thread::scope(|scope| {
            for worker in 0..CHECKERS {
                let (waiting, findings, disks) = (&waiting, &findings, disks.path().join(worker.to_string()));
                scope.spawn(move || self.check_all(&disks, waiting, findings));
            }
            // Moved in here, so that it ends with the closure, and the checkers with it.
            let crashes = crashes;
            enumerate(&steps, how, |crash| {
                !findings.enough.load(Ordering::Relaxed) && crashes.send(crash).is_ok()
            })
        });
        let (violations, told) = findings.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        Outcome { subject: self.subject, counts, violations, told }
    }

    fn check_all(&self, disks: &Path, waiting: &Mutex<Receiver<Crash>>, findings: &Findings) {
        let mut checker = Checker::new(&self.program, self.subject);
        fs::create_dir(disks).expect("a folder for a checker");
        for turn in 0_u64.. {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(crash) = next else { return };
            let folder = disks.join(turn.to_string());
            write_tree(&folder, &crash.tree);
            if let Err(finding) = checker.check(&folder, crash.acknowledged, crash.begun) {
                findings.tell(&crash, &finding);
            }
            fs::remove_dir_all(&folder).expect("a tried disk can be removed");
        }
    }
}

#[derive(Default)]
struct Findings {
    found: Mutex<(u64, Vec<String>)>,
    stop_after: u64,
    enough: AtomicBool,
}

impl Findings {
    fn tell(&self, crash: &Crash, finding: &str) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.0 += 1;
        self.enough.store(found.0 >= self.stop_after, Ordering::Relaxed);
        if found.1.len() < TOLD {
            let Crash { acknowledged, begun, story, .. } = crash;
            found.1.push(format!("{finding}\n    acknowledged {acknowledged}, begun {begun}; {story}"));
        }
    }
}

/// What came of a recording.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub subject: Subject,
    pub counts: Counts,
    pub violations: u64,
    pub told: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { writes, written_bytes, through, syncs, folder_syncs, names, .. } = self.counts;
        let Counts { acknowledged, cuts, disks, distinct, .. } = self.counts;
        write!(
            f,
            "power cuts, {}: {acknowledged} acknowledged; {writes} writes ({written_bytes} bytes; {through} synced by \
             themselves), {syncs} syncs, {names} names, {folder_syncs} folder syncs; {cuts} cuts, {disks} disks tried, \
             {distinct} distinct, {} violations",
            self.subject.name(),
            self.violations
        )?;
        self.told.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

/// A folder in memory where the machine has such a place: thousands of disks are written and thrown away.
pub fn in_memory() -> tempfile::TempDir {
    let shared = Path::new("/dev/shm");
    let made = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
    made.expect("a folder for the disks")
}

fn write_tree(folder: &Path, tree: &Tree) {
    fs::create_dir(folder).expect("a folder for a disk");
    for (path, bytes) in tree {
        let place = folder.join(path);
        let written = if path.ends_with('/') { fs::create_dir(&place) } else { fs::write(&place, bytes) };
        written.unwrap_or_else(|error| panic!("{}: {error}", place.display()));
    }
}

/// All but the files that are not kept: locks.
fn read_tree(folder: &Path, within: &str) -> Tree {
    let mut tree = Tree::new();
    for entry in fs::read_dir(folder).expect("the recorded folder") {
        let entry = entry.expect("its entries");
        let path = format!("{within}{}", entry.file_name().to_string_lossy());
        if trace::is_a_lock(&path) {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            tree.extend(read_tree(&entry.path(), &format!("{path}/")));
            tree.insert(format!("{path}/"), Vec::new());
        } else {
            tree.insert(path, fs::read(entry.path()).expect("a recorded file"));
        }
    }
    tree
}
