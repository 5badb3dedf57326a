//! Broker, ingest and agent as three processes, with their configuration files and data in one temporary folder.
//!
//! Every listener binds port 0 at first; what it got is written into the file, so that a restarted program is found
//! where its neighbours look for it.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
};

use tempfile::TempDir;
use toml::{Table, Value};

use crate::{
    api::Api,
    daemon::{Daemon, Listening},
    programs::{self, workspace},
};

pub const SITE: &str = "plant";
pub const GATEWAY: &str = "gw-a";
/// A second one, where a test starts it.
pub const OTHER_GATEWAY: &str = "gw-b";
/// The broker's user that may read everything.
pub const OBSERVER: &str = "viewer";
pub const PASSWORD: &str = "for this test only";
const ANY_PORT: &str = "127.0.0.1:0";
/// Stands for the broker until it runs.
const NOT_YET: &str = "127.0.0.1:1";

/// Name of a listener in the log, and the key that holds its address.
type Listeners = &'static [(&'static str, &'static [&'static str])];

const AGENT_LISTENERS: Listeners =
    &[("board_link", &["source", "listen"]), ("status", &["status", "listen"])];

/// One program of the chain: its file, and its process while it runs.
pub struct Part {
    program: &'static str,
    file: PathBuf,
    pub settings: Table,
    listeners: Listeners,
    daemon: Option<Daemon>,
    /// Where all that it logs is kept, beside what the daemon remembers.
    pub log: Option<PathBuf>,
}

impl Part {
    /// `settings` is TOML; its listeners get any free port.
    fn new(program: &'static str, file: PathBuf, settings: &str, listeners: Listeners) -> Self {
        let mut settings: Table = settings.parse().unwrap_or_else(|error| panic!("{program}: {error}"));
        for (_, key) in listeners {
            set(&mut settings, key, ANY_PORT.into());
        }
        Self { program, file, settings, listeners, daemon: None, log: None }
    }

    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Starts it and waits until its listeners are bound.
    pub fn start_with(&mut self, environment: &[(&str, &str)]) {
        self.launch(environment);
        let daemon = self.daemon.as_ref().expect("launched");
        for (name, key) in self.listeners {
            let address = daemon.address(name).to_string();
            set(&mut self.settings, key, address.into());
        }
    }

    /// Starts it without waiting: it may die on its way.
    pub fn launch(&mut self, environment: &[(&str, &str)]) {
        assert!(self.daemon.is_none(), "{} runs already", self.program);
        let text = toml::to_string(&self.settings).expect("a table is TOML");
        std::fs::write(&self.file, text).expect("the temporary folder can be written");
        let file = self.log.as_ref().map(|path| {
            File::options().create(true).append(true).open(path).expect("the temporary folder can be written")
        });
        let listening = Listening { file, ..Listening::default() };
        self.daemon = Some(Daemon::start_heard(self.program, &self.file, environment, listening));
    }

    /// Where the listener is that the log calls `name`.
    pub fn address(&self, name: &str) -> SocketAddr {
        self.daemon.as_ref().expect("it runs").address(name)
    }

    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("it runs")
    }

    /// Runs another command of the program with the same configuration, to its end.
    pub fn command(&self, arguments: &[&str]) -> Output {
        self.command_with(&[], arguments)
    }

    pub fn command_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = Command::new(programs::program(self.program));
        command.envs(environment.iter().copied());
        command.args(arguments).arg("--config").arg(&self.file).stdin(Stdio::null());
        command.output().unwrap_or_else(|error| panic!("{} does not start: {error}", self.program))
    }

    /// The same, and this line on its standard input.
    pub fn command_with_line(&self, arguments: &[&str], line: &str) -> Output {
        let mut command = Command::new(programs::program(self.program));
        command.args(arguments).arg("--config").arg(&self.file);
        crate::tidegate::output_with_line(&mut command, line)
    }

    pub fn kill(&mut self) {
        self.daemon.take().expect("it runs").kill();
    }

    pub fn terminate(&mut self) -> ExitStatus {
        self.daemon.take().expect("it runs").terminate()
    }

    /// Waits until it dies by itself, as at a failure point.
    pub fn wait_for_death(&mut self) -> ExitStatus {
        self.daemon.take().expect("it runs").wait_for_death()
    }
}

fn set(table: &mut Table, key: &[&str], value: Value) {
    let Some((last, sections)) = key.split_last() else { return };
    let mut at = table;
    for section in sections {
        let slot = match at.entry(*section).or_insert_with(|| Table::new().into()) {
            // `source.0`: the first of an array of tables
            Value::Array(items) => items.first_mut().expect("the array has an element"),
            one => one,
        };
        at = slot.as_table_mut().expect("a section is a table");
    }
    at.insert((*last).to_owned(), value);
}

/// The three of them. Dropping it kills what runs and removes the folder.
pub struct Chain {
    pub broker: Part,
    pub ingest: Part,
    pub agent: Part,
    folder: TempDir,
}

impl Chain {
    /// With settings that hurry; writes nothing but the rules and starts nothing yet.
    pub fn new(rules: &str) -> Self {
        Self::from_settings(rules, &broker_settings(), &ingest_settings(), &agent_settings(GATEWAY))
    }

    /// With the example configurations in deploy/, as they are but for ports and folders.
    pub fn from_examples() -> Self {
        let read = |name: &str| {
            let file = workspace().join("deploy").join(name);
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        };
        let parts = ["broker.toml", "ingest.toml", "agent.toml"];
        let [broker, ingest, agent] = parts.map(read);
        Self::from_settings(&read("rules.toml"), &broker, &ingest, &agent)
    }

    fn from_settings(rules: &str, broker: &str, ingest: &str, agent: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("rules.toml"), rules).expect("the temporary folder can be written");
        let listeners: Listeners = &[("mqtt", &["listen"]), ("metrics", &["metrics", "listen"])];
        let broker = Part::new("tidegate-broker", at("broker.toml"), broker, listeners);
        let listeners: Listeners = &[("http", &["http", "listen"])];
        let mut ingest = Part::new("tidegate-ingest", at("ingest.toml"), ingest, listeners);
        let mut agent = Part::new("tidegate-agent", at("agent.toml"), agent, AGENT_LISTENERS);
        ingest.settings.insert("data_dir".to_owned(), at("ingest").display().to_string().into());
        agent.settings.insert("data_dir".to_owned(), at("agent").display().to_string().into());
        Self { broker, ingest, agent, folder }
    }

    /// Another agent beside the first, as [`OTHER_GATEWAY`], once the broker runs.
    pub fn start_other_agent(&self) -> Part {
        self.start_agent(OTHER_GATEWAY, "other-agent")
    }

    /// One under the name of the first, on a copy of the folder that it has now; it must not run.
    pub fn start_clone_of_agent(&self) -> Part {
        let (from, to) = (self.agent_data(), self.folder.path().join("clone"));
        copy_all(&from, &to).expect("the temporary folder can be written");
        self.start_agent(GATEWAY, "clone")
    }

    fn start_agent(&self, gateway: &str, folder: &str) -> Part {
        let at = |name: &str| self.folder.path().join(name);
        let settings = agent_settings(gateway);
        let file = at(&format!("{folder}.toml"));
        let mut agent = Part::new("tidegate-agent", file, &settings, AGENT_LISTENERS);
        agent.settings.insert("data_dir".to_owned(), at(folder).display().to_string().into());
        set(&mut agent.settings, &["broker", "address"], self.mqtt().to_string().into());
        agent.start();
        agent
    }

    /// Starts the broker and points ingest and agent at it.
    pub fn start_broker(&mut self) {
        self.broker.start();
        let address = self.mqtt();
        self.connect_ingest(address);
        self.connect_agent(address);
    }

    /// Broker, ingest, agent.
    pub fn start(&mut self) {
        self.start_broker();
        self.ingest.start();
        self.agent.start();
    }

    pub fn connect_ingest(&mut self, broker: SocketAddr) {
        set(&mut self.ingest.settings, &["broker", "address"], broker.to_string().into());
    }

    pub fn connect_agent(&mut self, broker: SocketAddr) {
        set(&mut self.agent.settings, &["broker", "address"], broker.to_string().into());
    }

    pub fn mqtt(&self) -> SocketAddr {
        self.broker.address("mqtt")
    }

    /// Where boards connect.
    pub fn board_link(&self) -> SocketAddr {
        self.agent.address("board_link")
    }

    pub fn api(&self) -> Api {
        Api::new(self.ingest.address("http"))
    }

    pub fn agent_status(&self) -> Api {
        Api::new(self.agent.address("status"))
    }

    /// Where configuration files and data are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The ingest's.
    pub fn rules_file(&self) -> PathBuf {
        self.folder.path().join("rules.toml")
    }

    pub fn ingest_data(&self) -> PathBuf {
        self.folder.path().join("ingest")
    }

    pub fn agent_data(&self) -> PathBuf {
        self.folder.path().join("agent")
    }
}

/// A folder as it is, with what is in it.
pub fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &place)?;
        } else {
            std::fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}

fn broker_settings() -> String {
    format!(
        r#"
        [[users]]
        name = "ingest"
        password = "{PASSWORD}"
        role = "ingest"
        [[users]]
        name = "{GATEWAY}"
        password = "{PASSWORD}"
        role = "gateway"
        site = "{SITE}"
        gateway = "{GATEWAY}"
        [[users]]
        name = "{OTHER_GATEWAY}"
        password = "{PASSWORD}"
        role = "gateway"
        site = "{SITE}"
        gateway = "{OTHER_GATEWAY}"
        [[users]]
        name = "{OBSERVER}"
        password = "{PASSWORD}"
        role = "observer"
        "#
    )
}

fn ingest_settings() -> String {
    format!(
        r#"
        rules = "rules.toml"
        [broker]
        address = "{NOT_YET}"
        user = "ingest"
        password = "{PASSWORD}"
        [lake]
        enabled = true
        roll_interval_ms = 200
        "#
    )
}

fn agent_settings(gateway: &str) -> String {
    format!(
        r#"
        site = "{SITE}"
        gateway = "{gateway}"
        [broker]
        address = "{NOT_YET}"
        user = "{gateway}"
        password = "{PASSWORD}"
        [queue]
        flush_interval_ms = 200
        outage_flush_interval_ms = 500
        [[source]]
        type = "board-tcp"
        "#
    )
}
