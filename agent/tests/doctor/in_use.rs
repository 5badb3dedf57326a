//! Beside a running agent: looking works, changing is refused with the name of who has it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::made::{doctor, text};

const PATIENCE: Duration = Duration::from_secs(30);

struct Agent {
    process: Child,
    status: String,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// An agent without a broker that measures its machine every 100 ms and commits each sample.
fn start(data_dir: &Path) -> Agent {
    let config = data_dir.join("agent.toml");
    let text = format!(
        "site = \"plant\"\ngateway = \"gw-a\"\ndata_dir = \"{}\"\n[broker]\naddress = \"127.0.0.1:9\"\n[status]\n\
         listen = \"127.0.0.1:0\"\n[[source]]\ntype = \"host\"\ndevice = \"gw-a-host\"\ninterval_ms = 100\n\
         flush_interval_ms = 0\n",
        data_dir.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate-agent"));
    command.args(["run", "--config"]).arg(&config).env("RUST_LOG", "info").stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let log = BufReader::new(process.stderr.take().unwrap());
    let mut lines = log.lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("listening")).expect("it says where it listens");
    let mut status = line.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
    let status = status.rfind(|word| word.starts_with("127.0.0.1:")).expect("an address").to_owned();
    std::thread::spawn(move || lines.for_each(drop));
    Agent { process, status }
}

impl Agent {
    fn commits(&self) -> u64 {
        let mut stream = TcpStream::connect(&self.status).unwrap();
        stream.write_all(b"GET /status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let status: serde_json::Value = serde_json::from_str(body).unwrap();
        status["queue"]["blocks"].as_u64().unwrap()
    }
}

#[test]
fn looking_works_while_the_agent_commits_and_changing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let agent = start(folder.path());
    let deadline = Instant::now() + PATIENCE;
    while agent.commits() < 2 {
        assert!(Instant::now() < deadline, "nothing is committed");
    }
    let (first, mut looks) = (agent.commits(), 0);
    while agent.commits() < first + 8 {
        assert!(Instant::now() < deadline, "the agent stands still");
        for arguments in
            [&["inspect", "--json"][..], &["verify"], &["export"], &["quarantine"], &["inspect", "--blocks"]]
        {
            let output = doctor(folder.path(), arguments);
            assert!(output.status.success(), "{arguments:?}: {}", text(&output));
            looks += 1;
        }
    }
    assert!(looks >= 5);
    let process = format!("process {}", agent.process.id());
    for arguments in [&["repair"][..], &["repair", "--yes"], &["compact"], &["replay", "--yes"]] {
        let refused = doctor(folder.path(), arguments);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {}", text(&refused));
        assert!(
            text(&refused).contains(&process) && text(&refused).contains("stop it first"),
            "{}",
            text(&refused)
        );
    }
    drop(agent);
    // SIGKILL left the queue as a power cut would.
    for arguments in [&["verify"][..], &["compact"], &["verify"]] {
        let output = doctor(folder.path(), arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    }
}
