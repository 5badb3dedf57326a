//! Broker, ingest and agents as processes under a supervisor that starts what ended, as an init system does, and that
//! notes every end it did not cause.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tidegate_tests::daemon::{Daemon, Listening};

use crate::{
    disk::Disk,
    plan::{Link, Program},
    switchboard::Switchboard,
};

/// How soon a program that ended is started again.
const RESTART: Duration = Duration::from_millis(250);
/// After its disk is well again a program may still end for what it met before.
const AFTERMATH: Duration = Duration::from_secs(5);
/// An end that was asked for takes at most this long.
const GOODBYE: Duration = Duration::from_secs(30);
/// The agents' stores fit their disks when those are not filled.
const AGENT_DISK_BYTES: u64 = 12 << 20;
const INGEST_DISK_BYTES: u64 = 192 << 20;
pub const SITE: &str = "plant";

impl Program {
    pub const fn file(self) -> &'static str {
        match self {
            Self::Agent(_) => "tidegate-agent",
            Self::Broker => "tidegate-broker",
            Self::Ingest => "tidegate-ingest",
        }
    }

    pub fn name(self) -> String {
        match self {
            Self::Agent(number) => format!("agent-{number}"),
            Self::Broker => "broker".to_owned(),
            Self::Ingest => "ingest".to_owned(),
        }
    }

    /// The listener by which it is known to work.
    const fn listener(self) -> &'static str {
        match self {
            Self::Agent(_) => "board_link",
            Self::Broker => "mqtt",
            Self::Ingest => "http",
        }
    }

    /// Its database within its disk.
    pub const fn database(self) -> Option<&'static str> {
        match self {
            Self::Agent(_) => Some("queue/data.mdb"),
            Self::Broker => None,
            Self::Ingest => Some("store/data.mdb"),
        }
    }
}

pub struct Supervised {
    pub program: Program,
    pub disk: Option<Disk>,
    config: PathBuf,
    log: PathBuf,
    daemon: Option<Daemon>,
    launch_at: Instant,
    /// Until when it should have ended, as it was asked to.
    goodbye_until: Option<Instant>,
    /// Its disk is, or was lately, one that a program may refuse to live on.
    disk_fault_until: Option<Instant>,
    disk_faulty: bool,
    /// Milliseconds from each start until it listened.
    start_ms: Arc<Mutex<Vec<u64>>>,
    /// How many starts had come so far when this one began.
    starts_before: usize,
    pub launches: u64,
    /// Ends that its disk explains.
    pub refusals: u64,
}

impl Supervised {
    pub fn new(run: &Path, program: Program, board: &Switchboard, mounts: bool) -> io::Result<Self> {
        let name = program.name();
        let bytes = if program == Program::Ingest { INGEST_DISK_BYTES } else { AGENT_DISK_BYTES };
        let folder = run.join(format!("{name}.data"));
        let disk = match program {
            Program::Broker => None,
            _ => Some(Disk::create(folder.clone(), bytes, mounts)?),
        };
        let config = run.join(format!("{name}.toml"));
        fs::write(&config, settings(program, board, &folder))?;
        Ok(Self {
            program,
            disk,
            config,
            log: run.join(format!("{name}.log")),
            daemon: None,
            launch_at: Instant::now(),
            goodbye_until: None,
            disk_fault_until: None,
            disk_faulty: false,
            start_ms: Arc::default(),
            starts_before: 0,
            launches: 0,
            refusals: 0,
        })
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    pub fn start_ms(&self) -> Vec<u64> {
        self.start_ms.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts it if its time has come; notes how it ended if it did. What it says is wrong.
    pub fn tend(&mut self, board: &Arc<Switchboard>) -> io::Result<Option<String>> {
        if let Some(until) = self.goodbye_until
            && Instant::now() > until
        {
            self.kill(RESTART);
            return Ok(Some(format!("{} did not end within {GOODBYE:?} of SIGTERM", self.program.name())));
        }
        let Some(daemon) = &mut self.daemon else {
            if Instant::now() >= self.launch_at {
                self.launch(board)?;
            }
            return Ok(None);
        };
        let Some(status) = daemon.ended() else { return Ok(None) };
        let last = daemon.last_lines().pop().unwrap_or_default();
        self.daemon = None;
        self.launch_at = Instant::now() + RESTART;
        let asked = self.goodbye_until.take().is_some();
        Ok(self.judge(status, asked, &last))
    }

    /// Whether it may end so.
    fn judge(&mut self, status: ExitStatus, asked: bool, last: &str) -> Option<String> {
        let name = self.program.name();
        // Before it listens nothing of its own answers the signal, and nothing is lost by that.
        let young = self.start_ms().len() == self.starts_before;
        if asked && (status.success() || young && status.signal() == Some(libc::SIGTERM)) {
            return None;
        }
        let excused = self.disk_faulty || self.disk_fault_until.is_some_and(|until| Instant::now() < until);
        if excused && status.code() == Some(1) && !last.is_empty() {
            self.refusals += 1;
            return None;
        }
        let how = status.signal().map_or_else(|| status.to_string(), |signal| format!("by signal {signal}"));
        let why = if excused { "with a faulty disk, " } else { "" };
        let asked = if asked { " after SIGTERM" } else { "" };
        Some(format!("{name} ended {why}{how}{asked}; its last line: {last}"))
    }

    fn launch(&mut self, board: &Arc<Switchboard>) -> io::Result<()> {
        let file = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let tell = board.hears(self.program);
        let (began, listener, start_ms) =
            (Instant::now(), self.program.listener(), Arc::clone(&self.start_ms));
        let announced = move |name: &str, address| {
            if name == listener {
                let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                start_ms.lock().unwrap_or_else(PoisonError::into_inner).push(took);
            }
            tell(name, address);
        };
        self.starts_before = self.start_ms().len();
        let listening = Listening { file: Some(file), announced: Some(Box::new(announced)) };
        self.daemon = Some(Daemon::start_heard(self.program.file(), &self.config, &[], listening));
        self.launches += 1;
        Ok(())
    }

    /// False where it does not run.
    pub fn kill(&mut self, pause: Duration) -> bool {
        self.goodbye_until = None;
        let Some(daemon) = self.daemon.take() else { return false };
        daemon.kill();
        self.launch_at = Instant::now() + pause;
        true
    }

    pub fn terminate(&mut self) -> bool {
        let sent = self.signal(libc::SIGTERM);
        self.goodbye_until = sent.then(|| Instant::now() + GOODBYE);
        sent
    }

    pub fn signal(&mut self, signal: libc::c_int) -> bool {
        let Some(daemon) = &mut self.daemon else { return false };
        let runs = daemon.is_running();
        if runs {
            daemon.signal(signal);
        }
        runs
    }

    /// From now on its disk explains that it ends; or soon no longer.
    pub fn disk_is_faulty(&mut self, is: bool) {
        self.disk_faulty = is;
        self.disk_fault_until = (!is).then(|| Instant::now() + AFTERMATH);
    }

    /// Ends it as it wishes; what is wrong with that.
    pub fn farewell(&mut self) -> Option<String> {
        self.signal(libc::SIGCONT);
        let daemon = self.daemon.take()?;
        let status = daemon.terminate();
        (!status.success()).then(|| format!("{} ended {status} after SIGTERM", self.program.name()))
    }
}

fn settings(program: Program, board: &Switchboard, data: &Path) -> String {
    let data = data.display();
    match program {
        Program::Broker => {
            let gateways = (0..crate::plan::AGENTS).map(|agent| {
                format!(
                    "[[users]]\nname = \"gw-{agent}\"\npassword = \"chaos\"\nrole = \"gateway\"\n\
                     site = \"{SITE}\"\ngateway = \"gw-{agent}\"\n"
                )
            });
            let gateways: String = gateways.collect();
            format!(
                "listen = \"127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n\
                 [[users]]\nname = \"ingest\"\npassword = \"chaos\"\nrole = \"ingest\"\n{gateways}"
            )
        }
        Program::Ingest => format!(
            "data_dir = \"{data}\"\nrules = \"rules.toml\"\n\
             [broker]\naddress = \"{}\"\nuser = \"ingest\"\npassword = \"chaos\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[journal]\nmap_size_bytes = {}\n\
             [lake]\nroll_interval_ms = 4000\n",
            board.link(Link::Intake).addr(),
            64 << 20,
        ),
        // One gives up its oldest at the quota, the other takes no more.
        Program::Agent(agent) => format!(
            "site = \"{SITE}\"\ngateway = \"gw-{agent}\"\ndata_dir = \"{data}\"\nrules = \"rules.toml\"\n\
             [broker]\naddress = \"{}\"\nuser = \"gw-{agent}\"\npassword = \"chaos\"\n\
             reconnect_max_ms = 1000\nkeep_alive_ms = 5000\n\
             [status]\nlisten = \"127.0.0.1:0\"\n\
             [queue]\nmap_size_bytes = {}\nquota_bytes = {}\npolicy = \"{}\"\nflush_interval_ms = 200\n\
             outage_flush_interval_ms = 500\n\
             [[source]]\ntype = \"board-tcp\"\nlisten = \"127.0.0.1:0\"\n",
            board.link(Link::Uplink(agent)).addr(),
            8 << 20,
            if agent == 0 { 2 << 20 } else { 64 << 10 },
            if agent == 0 { "refuse" } else { "drop-oldest" },
        ),
    }
}
