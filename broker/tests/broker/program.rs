//! The program itself: arguments, exit codes, signals, kill points.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use tidegate_broker::failpoint::FailPoint;

use crate::raw::{connect, publish, subscribe};

const SIGKILL: i32 = 9;
const CONFIG: &str = "listen = '127.0.0.1:0'\nmetrics.listen = '127.0.0.1:0'\n\
    [[users]]\nname = 'o'\npassword = 'o'\nrole = 'operator'\n";

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate-broker"));
    command.env_remove("RUST_LOG").env_remove("TIDEGATE_FAILPOINT");
    command
}

fn with_arguments(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("it runs")
}

fn written(folder: &Path, text: &str) -> String {
    let file = folder.join("broker.toml");
    std::fs::write(&file, text).expect("written");
    file.display().to_string()
}

/// A running broker. Killed when the test ends early.
struct Program {
    process: Child,
    mqtt: SocketAddr,
    /// Kept open: a broker whose log nobody reads any more would fail to write it.
    _log: BufReader<ChildStderr>,
    _folder: tempfile::TempDir,
}

impl Program {
    fn start(failpoint: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = written(folder.path(), CONFIG);
        let mut command = program();
        command.args(["run", "--config", &file, "--log-format", "json"]).stderr(Stdio::piped());
        if let Some(failpoint) = failpoint {
            command.env("TIDEGATE_FAILPOINT", failpoint);
        }
        let mut process = command.spawn().expect("it runs");
        let mut log = BufReader::new(process.stderr.take().expect("it is piped"));
        let mqtt = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).expect("text") > 0, "it ended before it was up");
            let entry: serde_json::Value = serde_json::from_str(&line).expect("one JSON object a line");
            if entry["fields"]["message"] == "broker up" {
                break entry["fields"]["mqtt"]
                    .as_str()
                    .and_then(|text| text.parse().ok())
                    .expect("an address");
            }
        };
        Self { process, mqtt, _log: log, _folder: folder }
    }

    /// Connects, subscribes, publishes to itself; gives how many of the expected bytes came back before the end.
    fn talk(&self) -> usize {
        let mut stream = TcpStream::connect(self.mqtt).expect("it listens");
        let packets =
            [connect("o", "o", 0), subscribe(1, &[("home/x", 0)]), publish(0x32, "home/x", 1, b"1")];
        let mut received = [0; WHOLE_TALK_BYTES];
        let mut count = 0;
        if stream.write_all(&packets.concat()).is_ok() {
            // A read into nothing would wait for more.
            while let Some(rest @ [_, ..]) = received.get_mut(count..)
                && let Ok(more @ 1..) = stream.read(rest)
            {
                count += more;
            }
        }
        count
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _already_ended = self.process.kill();
        let _already_reaped = self.process.wait();
    }
}

/// CONNACK, SUBACK, PUBACK and the message.
const WHOLE_TALK_BYTES: usize = 4 + 5 + 4 + 11;

#[test]
fn it_runs_until_sigterm_and_ends_cleanly() {
    let mut program = Program::start(None);
    assert_eq!(program.talk(), WHOLE_TALK_BYTES);
    let pid = rustix::process::Pid::from_child(&program.process);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    assert_eq!(program.process.wait().expect("it ends").code(), Some(0));
}

#[test]
fn every_kill_point_kills() {
    for point in FailPoint::ALL {
        let mut program = Program::start(Some(point.name()));
        program.talk();
        assert_eq!(program.process.wait().expect("it ends").signal(), Some(SIGKILL), "{point:?}");
    }
}

#[test]
fn check_explains_and_exit_codes_are_as_documented() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let good = with_arguments(&["check", "--config", &written(folder.path(), CONFIG)]);
    assert_eq!(good.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&good.stdout).contains("good. MQTT on 127.0.0.1:0"));

    for command in ["check", "run"] {
        let bad = with_arguments(&[command, "--config", &written(folder.path(), "lisen = 'x'\n")]);
        assert_eq!(bad.status.code(), Some(2));
        let said = String::from_utf8_lossy(&bad.stderr);
        assert!(
            said.ends_with("broker.toml: lisen (line 1): unknown key; did you mean \"listen\"?\n"),
            "{said}"
        );
    }

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let busy = CONFIG.replacen("127.0.0.1:0", &address, 1);
    let busy = with_arguments(&["run", "--config", &written(folder.path(), &busy)]);
    assert_eq!(busy.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&busy.stderr).contains(&format!("cannot listen for MQTT on {address}")));

    assert_eq!(with_arguments(&["--no-such-option"]).status.code(), Some(2));
    let help = with_arguments(&["--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("Exit codes:"));
    let version = String::from_utf8_lossy(&with_arguments(&["--version"]).stdout).into_owned();
    assert_eq!(version, format!("tidegate-broker {}\n", env!("CARGO_PKG_VERSION")));
}
