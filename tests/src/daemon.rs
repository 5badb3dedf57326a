//! One program running as a process of its own.
//!
//! Its log (JSON lines on standard error) is read as it comes: listeners' addresses are taken from it, so that every
//! port can be 0, and the last [`KEPT_LINES`] lines are shown when a test fails.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{eventually::PATIENCE, programs::program};

pub const KEPT_LINES: usize = 200;
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Dropping it kills it.
pub struct Daemon {
    name: &'static str,
    child: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

/// Told of every listener that the log names, on the log's own thread: it must be quick.
pub type Announced = Box<dyn Fn(&str, SocketAddr) + Send>;

/// Who else hears what a program writes to its log.
#[derive(Default)]
pub struct Listening {
    /// Every line is appended here.
    pub file: Option<File>,
    pub announced: Option<Announced>,
}

#[derive(Default)]
struct Log {
    heard: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Default)]
struct Heard {
    addresses: HashMap<String, SocketAddr>,
    lines: VecDeque<String>,
    ended: bool,
}

impl Daemon {
    /// Runs `name run --config config`. `environment` may arm a failure point.
    pub fn start(name: &'static str, config: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start_heard(name, config, environment, Listening::default())
    }

    /// As [`Self::start`], with somebody to hear its log.
    pub fn start_heard(
        name: &'static str,
        config: &Path,
        environment: &[(&str, &str)],
        mut listening: Listening,
    ) -> Self {
        let mut command = Command::new(program(name));
        command.arg("run").arg("--config").arg(config).args(["--log-format", "json"]);
        // `info` lines carry the addresses, whatever the caller's own environment asks for.
        command.env("RUST_LOG", "info,rumqttd=warn").envs(environment.iter().copied());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().expect("piped above");
        let reader = std::thread::spawn({
            let log = Arc::clone(&log);
            move || log.read(stderr, &mut listening)
        });
        Self { name, child, log, reader: Some(reader) }
    }

    /// Where the listener that the log calls `key` is bound.
    pub fn address(&self, key: &str) -> SocketAddr {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = self.log.heard();
        loop {
            if let Some(address) = heard.addresses.get(key) {
                return *address;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!heard.ended && !left.is_zero(), "{} never said where `{key}` listens", self.name);
            heard = self.log.changed.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let ended = self.child.try_wait().expect("a child of ours can be waited for");
        if ended.is_some() {
            self.join_reader();
        }
        ended
    }

    /// The last lines of its log, oldest first.
    pub fn last_lines(&self) -> Vec<String> {
        self.log.heard().lines.iter().cloned().collect()
    }

    /// Sends it a signal. Its id is its own for as long as it was not waited for, and only `self` does that.
    pub fn signal(&mut self, signal: libc::c_int) {
        let id = libc::pid_t::try_from(self.child.id()).expect("a process id");
        // SAFETY: see above.
        #[allow(unsafe_code)]
        let sent = unsafe { libc::kill(id, signal) };
        assert_eq!(sent, 0, "{} cannot be signalled", self.name);
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().expect("a child of ours can be killed");
        self.reap();
    }

    /// Asks it to end (SIGTERM) and waits until it did.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.wait("its end after SIGTERM")
    }

    /// Waits until it dies by itself, as at an armed failure point.
    pub fn wait_for_death(mut self) -> ExitStatus {
        self.wait("its death")
    }

    fn wait(&mut self, what: &str) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().expect("a child of ours can be waited for") {
                Some(status) => {
                    self.join_reader();
                    return status;
                }
                None if Instant::now() > deadline => panic!("waited {PATIENCE:?} for {}: {what}", self.name),
                None => std::thread::sleep(LOOK_AGAIN),
            }
        }
    }

    fn reap(&mut self) {
        let _ = self.child.wait();
        self.join_reader();
    }

    fn join_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        self.reap();
        if std::thread::panicking() {
            eprintln!("---- the last lines of {} (process {}):", self.name, self.child.id());
            for line in &self.log.heard().lines {
                eprintln!("{line}");
            }
        }
    }
}

impl Log {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, stderr: impl Read, listening: &mut Listening) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let addresses = addresses_in(&line);
            if let Some(announced) = &listening.announced {
                addresses.iter().for_each(|(name, address)| announced(name, *address));
            }
            if let Some(file) = &mut listening.file {
                writeln!(file, "{line}").expect("the log's file can be written");
            }
            let mut heard = self.heard();
            heard.addresses.extend(addresses);
            heard.lines.push_back(line);
            if heard.lines.len() > KEPT_LINES {
                heard.lines.pop_front();
            }
            self.changed.notify_all();
        }
        self.heard().ended = true;
        self.changed.notify_all();
    }
}

/// Every field of a log line whose value is a socket address, by its key. What is called `address` counts
/// under the name of its listener: the line's field `listener`, or the X of `listening for X`.
fn addresses_in(line: &str) -> Vec<(String, SocketAddr)> {
    let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else { return Vec::new() };
    let Some(fields) = line.get("fields").and_then(|fields| fields.as_object()) else { return Vec::new() };
    let message = fields.get("message").and_then(|message| message.as_str()).unwrap_or_default();
    let listener = fields.get("listener").and_then(|name| name.as_str());
    let listener = listener.or(message.strip_prefix("listening for ")).map(str::to_lowercase);
    let found = fields.iter().filter_map(|(key, value)| Some((key, value.as_str()?.parse().ok()?)));
    let name = |key: &String| listener.clone().filter(|_| key == "address").unwrap_or_else(|| key.clone());
    found.map(|(key, address)| (name(key), address)).collect()
}
