//! An agent whose disk is full, and one whose disk fails: a small tmpfs in a mount namespace of the test's own, and a
//! write error that a debug build makes at a named point.

#![cfg(target_os = "linux")]

#[path = "../../tests/support/own_mounts.rs"]
mod own_mounts;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use own_mounts::{mount_small_disk, outside};

const PATIENCE: Duration = Duration::from_secs(120);

/// A running agent, with nobody to send to; killed at the end.
struct Agent {
    child: Child,
    status: SocketAddr,
}

impl Agent {
    fn start(data: &Path, failpoint: &str) -> Self {
        let file = data.with_extension("toml");
        let text = format!(
            "site = \"plant\"\ngateway = \"gw-a\"\ndata_dir = \"{}\"\n[broker]\naddress = \"127.0.0.1:9\"\n\
             [status]\nlisten = \"127.0.0.1:0\"\n[[source]]\ntype = \"host\"\ndevice = \"gw-a-host\"\ninterval_ms = 100\n",
            data.display()
        );
        fs::write(&file, text).expect("a configuration");
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate-agent"))
            .args(["run", "--log-format", "json", "--config"])
            .arg(&file)
            .env("TIDEGATE_FAILPOINT", failpoint)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the agent starts");
        let mut log = BufReader::new(child.stderr.take().expect("its log")).lines();
        let status = loop {
            let line = log.next().expect("it says where it listens").expect("its log is text");
            let said: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
            if said["fields"]["listener"] == "status" {
                break said["fields"]["address"].as_str().and_then(|at| at.parse().ok()).expect("an address");
            }
        };
        std::thread::spawn(move || log.for_each(drop));
        Self { child, status }
    }

    fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.status).expect("the page is served");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }

    fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/status").1).expect("JSON")
    }

    /// Asks until the status is as wanted.
    fn until(&self, what: &str, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let since = Instant::now();
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(since.elapsed() < PATIENCE, "{what}: {status}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn number(status: &serde_json::Value, at: &str) -> u64 {
    status.pointer(at).and_then(serde_json::Value::as_u64).unwrap_or_default()
}

#[test]
fn a_full_disk_is_survived_and_used_again_when_there_is_room() {
    if outside("a_full_disk_is_survived_and_used_again_when_there_is_room") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).expect("a place for the disk");
    mount_small_disk(&disk, 4 << 20);
    let agent = Agent::start(&disk.join("data"), "");
    agent.until("it commits", |status| number(status, "/queue/readings") > 20);
    // Somebody else fills the disk to the last page.
    let ballast = disk.join("ballast");
    let mut file = fs::File::create(&ballast).expect("ballast");
    while file.write_all(&[0; 4_096]).is_ok() {}
    agent.until("the disk refuses", |status| number(status, "/queue/commit_failures_in_a_row") > 1);
    let full = agent.status();
    assert_eq!(full["queue"]["poisoned"], false, "{full}");
    assert!(agent.get("/health").0.contains("503"));
    let (safe, next) = (number(&full, "/devices/0/safe"), number(&full, "/devices/0/next"));
    assert!(safe < next, "what is not committed is not safe: {full}");
    drop(file);
    fs::remove_file(&ballast).expect("room");
    let later = agent.until("it recovers", |status| number(status, "/devices/0/safe") > next);
    assert!(number(&later, "/queue/readings") > next, "all of it is in the queue: {later}");
    assert!(later["counters"]["losses"].as_object().is_some_and(serde_json::Map::is_empty), "{later}");
}

#[test]
fn after_a_write_error_the_agent_says_so_until_it_is_started_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut agent = Agent::start(&data, "agent-commit-error:3");
    let poisoned = agent.until("the disk fails", |status| status["queue"]["poisoned"] == true);
    let committed = number(&poisoned, "/counters/commits");
    let (line, health) = agent.get("/health");
    assert!(line.contains("503") && health.contains("start the agent again"), "{line} {health}");
    assert!(agent.get("/metrics").1.contains("tidegate_agent_queue_poisoned 1"));
    let later = agent.until("it goes on measuring", |status| {
        number(status, "/devices/0/next") > number(&poisoned, "/devices/0/next")
    });
    assert_eq!(number(&later, "/counters/commits"), committed, "the queue is left alone");
    assert_eq!(number(&later, "/devices/0/safe"), number(&poisoned, "/devices/0/safe"));
    // It cannot end well either: what it holds is nowhere else.
    let id = agent.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
    assert_eq!(agent.child.wait().expect("it ends").code(), Some(1));
    let safe = number(&later, "/devices/0/safe");
    let again = Agent::start(&data, "");
    let status = again.until("the queue is read anew", |status| number(status, "/queue/readings") > safe);
    assert_eq!(status["queue"]["poisoned"], false);
}
