//! The program `powercut-child`: it records what the production code writes, and checks what it makes of a disk after a
//! cut. A check that crashes or hangs is the finding of that disk, and a new child goes on.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

/// Opening, reading and committing again takes milliseconds.
const HUNG_AFTER: Duration = Duration::from_secs(30);

/// Whose files are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    AgentQueue,
    IngestStore,
}

impl Subject {
    pub const fn name(self) -> &'static str {
        match self {
            Self::AgentQueue => "agent-queue",
            Self::IngestStore => "ingest-store",
        }
    }
}

/// Runs the workload in `folder` and records it in `log`.
///
/// # Panics
/// When the child does not start or its workload fails.
pub fn record(program: &Path, subject: Subject, folder: &Path, log: &Path) {
    let mut command = Command::new(program);
    command.args(["record", subject.name()]).args([folder, log]).stdin(Stdio::null());
    let status = command.status().expect("the recording child starts");
    assert!(status.success(), "the workload failed: {status}");
}

/// A child that checks one folder after the other.
pub struct Checker {
    program: std::path::PathBuf,
    subject: Subject,
    running: Option<Running>,
}

struct Running {
    child: Child,
    asks: ChildStdin,
    answers: Receiver<String>,
}

impl Checker {
    pub fn new(program: &Path, subject: Subject) -> Self {
        Self { program: program.to_owned(), subject, running: None }
    }

    /// What is wrong with the disk in `folder`, after work up to `acknowledged` was acknowledged and up to `begun` begun.
    pub fn check(&mut self, folder: &Path, acknowledged: u32, begun: u32) -> Result<(), String> {
        let running = match &mut self.running {
            Some(running) => running,
            none => none.insert(Running::start(&self.program, self.subject)),
        };
        let asked = writeln!(running.asks, "{acknowledged} {begun} {}", folder.display());
        let answer =
            asked.map_err(|_| ()).and_then(|()| running.answers.recv_timeout(HUNG_AFTER).map_err(|_| ()));
        match answer.as_deref() {
            Ok("ok") => Ok(()),
            Ok(finding) => Err(finding.to_owned()),
            Err(()) => Err(self.running.take().map_or_else(String::new, Running::end)),
        }
    }
}

impl Running {
    fn start(program: &Path, subject: Subject) -> Self {
        let mut command = Command::new(program);
        command.args(["check", subject.name()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        // A panic is told as an answer; the disks of a broken variant would fill the log with it.
        let mut child = command.stderr(Stdio::null()).spawn().expect("the checking child starts");
        let (asks, says) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (answer, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(says).lines().map_while(Result::ok) {
                if answer.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, asks, answers }
    }

    /// How it ended, or that it hung.
    fn end(mut self) -> String {
        if let Ok(Some(status)) = self.child.try_wait() {
            return format!("the process opening it ended: {status}");
        }
        // It has closed its answers (and is ending) or hangs; both end here.
        let hung =
            self.answers.recv_timeout(Duration::ZERO) != Err(std::sync::mpsc::RecvTimeoutError::Disconnected);
        if hung {
            let _gone = self.child.kill();
        }
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        if hung {
            "the process opening it hung".to_owned()
        } else {
            format!("the process opening it ended: {status}")
        }
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        if let Some(Running { mut child, asks, .. }) = self.running.take() {
            drop(asks);
            let _ended = child.wait();
        }
    }
}
