//! What a process used, as the kernel tells it.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Bytes that the process caused to be written to the disk so far.
pub fn written_bytes(process: u32) -> u64 {
    field(&format!("/proc/{process}/io"), "write_bytes:")
}

/// User and system seconds so far.
pub fn cpu_seconds(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    // The name may hold spaces; the fields are counted from behind its parenthesis.
    let (_, fields) = stat.rsplit_once(')').expect("a stat line");
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// The highest anonymous memory that is seen until the watch ends.
pub struct MemoryWatch {
    end: Arc<AtomicBool>,
    watcher: std::thread::JoinHandle<u64>,
}

impl MemoryWatch {
    pub fn start(process: u32) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&end);
        let watcher = std::thread::spawn(move || {
            let mut peak = 0;
            while !until.load(Ordering::Relaxed) {
                peak = peak.max(anonymous_bytes(process));
                std::thread::sleep(LOOK_EVERY);
            }
            peak
        });
        Self { end, watcher }
    }

    pub fn peak_bytes(self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        self.watcher.join().expect("the watcher only reads")
    }
}

/// Anonymous memory now.
pub fn anonymous_bytes(process: u32) -> u64 {
    field(&format!("/proc/{process}/status"), "RssAnon:") * 1024
}

fn field(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let value =
        text.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.split_whitespace().next());
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{file} has no {name}"))
}
