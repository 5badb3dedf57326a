//! Puts an agent together, and takes it apart again.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tidegate_enrolment::renewal;
use tidegate_service::{Shutdown, descriptors};
use tidegate_trust::{
    files::Fingerprint,
    settings::{INSECURE, OPEN_PAGE, is_leaking, is_loopback},
};
use tokio::{
    net::TcpListener,
    sync::mpsc::channel,
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout_at},
};

use crate::{
    clock::ShellClock,
    config::{BoardTcp, Config, Source},
    core::{Admit, Core, CoreSettings, Permits, Rates, View},
    devices::{self, DeviceList, DevicesError},
    links::Links,
    local_actions::LocalActions,
    outlook::{self, Outlook},
    queue::{Age, Queue, QueueError, QueueSettings},
    random,
    shell::{ANSWERS, Incoming, Questions, SOURCE_MESSAGES, Shell},
    sources::{
        board_link::{BoardLinks, OtherVersions, SILENCE},
        board_serial::{self, SerialLines},
        board_tcp,
        guard::DeviceKeys,
        host,
    },
    status,
    uplink::{Uplink, UplinkSettings},
};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "cannot listen on {address} ({what}): {error}; another program may use the port, or choose port 0"
    )]
    Listen { what: &'static str, address: SocketAddr, error: std::io::Error },
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Devices(#[from] DevicesError),
    #[error("not enough memory to start: {0}")]
    Memory(std::io::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum StoppedError {
    #[error("the agent's core ended unexpectedly; the log says why")]
    Core,
    #[error(
        "the queue's {0} thread ended unexpectedly; the log says why. Check the disk, and start the agent again"
    )]
    Queue(&'static str),
}

/// A running agent.
pub struct Running {
    /// Where boards connect, if they may.
    pub board_link: Option<SocketAddr>,
    pub status: SocketAddr,
    stop_sources: Shutdown,
    stop_status: Shutdown,
    sources: JoinSet<()>,
    status_task: JoinHandle<()>,
    /// Gone once its end has been told.
    shell: Option<JoinHandle<Result<(), StoppedError>>>,
    questions: Questions,
    data_dir: PathBuf,
    last_run: Option<Rates>,
}

/// What a drain left behind: everything taken in is committed, here or in the cloud.
#[derive(Clone, Debug)]
pub struct Drained {
    /// What the agent did, and what its queue keeps for the next start; none if it did not answer in time.
    pub view: Option<View>,
}

#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    #[error("not everything was committed before the deadline; boards that resend still have theirs")]
    Unsafe,
}

struct Bound {
    boards: Vec<(TcpListener, BoardTcp)>,
    status: TcpListener,
    status_address: SocketAddr,
    board_link: Option<SocketAddr>,
}

/// Starts an agent; returns once its listeners are bound and its queue is open.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let bound = bind(&config).await?;
    let devices_file = config.devices.file.clone();
    let seen = Fingerprint::of(std::slice::from_ref(&devices_file));
    let devices = DeviceList::load(&devices_file)?;
    let keys = DeviceKeys::new(devices.keys());
    let (answer, answers) = channel(ANSWERS);
    let queue_settings =
        QueueSettings { data_dir: config.data_dir.clone(), map_size_bytes: config.queue.map_size_bytes };
    let to_core = answer.clone();
    let opened = tokio::task::spawn_blocking(move || Queue::open(&queue_settings, to_core)).await;
    let (queue, recovered) = opened.map_err(|error| StartError::Memory(error.into()))??;
    tracing::info!(
        blocks = recovered.totals.blocks,
        readings = recovered.totals.readings,
        "the queue is open"
    );
    let last_run = outlook::last_run(&config.data_dir);
    let held = recovered.totals.bytes;
    let expected = Outlook::new(Rates::default(), last_run, config.queue.quota_bytes, held);
    tracing::info!(quota_bytes = config.queue.quota_bytes, held_bytes = held, "the queue {expected}");
    let reader = queue.reader();
    let clock = ShellClock::start();
    let epoch = random::bits();
    let core = Core::new(core_settings(&config, epoch, devices.permits()), recovered, clock.now())
        .map_err(StartError::Memory)?;
    if is_leaking(&config.broker.host, config.broker.tls.as_ref()) {
        tracing::warn!(broker = config.broker.host, "{INSECURE}");
    }
    let permits_to_core = answer.clone();
    if config.devices.admit == Admit::Any && bound.boards.iter().any(|(listener, _)| is_of_network(listener))
    {
        tracing::warn!("{ANYBODY}");
    }
    let uplink = Uplink::start(uplink_settings(&config, epoch, queue.age()), clock, answer);
    let (links, (events, sourced)) = (Links::default(), channel(SOURCE_MESSAGES));
    let incoming = Incoming { answers, sources: sourced };
    let local_actions = LocalActions::start(&config.local_actions, config.path, clock);
    let action_errors = local_actions.errors();
    let (shell, questions) = Shell::new(core, clock, queue, uplink, links.clone(), local_actions, incoming);
    let shell = tokio::spawn(shell.run());
    let stop_status = Shutdown::new();
    tokio::spawn(renewal::keep(config.broker.tls.clone(), stop_status.clone()));
    let lines = SerialLines::default();
    let aside = status::Aside { lines: lines.clone(), action_errors, links: links.clone() };
    let page = status::Page::new(&config, epoch, questions.clone(), reader, clock, last_run, aside);
    let status_task = tokio::spawn(status::serve(bound.status, page, stop_status.clone()));
    let stop_sources = Shutdown::new();
    let other_versions = OtherVersions::default();
    let boards = BoardLinks { links, events, clock, keys: keys.clone(), silence: SILENCE, other_versions };
    let mut sources = start_sources(&config, bound.boards, &boards, lines, &stop_sources);
    sources.spawn(devices::watch(devices_file, seen, keys, permits_to_core, stop_sources.clone()));
    Ok(Running {
        board_link: bound.board_link,
        status: bound.status_address,
        stop_sources,
        stop_status,
        sources,
        status_task,
        shell: Some(shell),
        questions,
        data_dir: config.data_dir,
        last_run,
    })
}

async fn bind(config: &Config) -> Result<Bound, StartError> {
    let mut boards = Vec::new();
    let mut board_link = None;
    for source in &config.sources {
        if let Source::BoardTcp(tcp) = source {
            let (listener, address) = listen_on("board_link", tcp.listen).await?;
            board_link.get_or_insert(address);
            boards.push((listener, *tcp));
        }
    }
    let (status, status_address) = listen_on("status", config.status_listen).await?;
    if is_of_network(&status) {
        tracing::warn!(address = %status_address, "{OPEN_PAGE}");
    }
    Ok(Bound { boards, status, status_address, board_link })
}

async fn listen_on(what: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen { what, address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    tracing::info!(listener = what, address = %bound, "listening");
    Ok((listener, bound))
}

/// What is said at the start where boards from the network are welcomed whoever they are.
const ANYBODY: &str = "INSECURE: whoever is on the network can bring readings under any name that has no key; set devices.admit to \"local\" or \
     \"none\", and allow the boards that there are";

fn is_of_network(listener: &TcpListener) -> bool {
    listener.local_addr().is_ok_and(|address| !is_loopback(address.ip()))
}

fn core_settings(config: &Config, epoch: u64, permits: Permits) -> CoreSettings {
    CoreSettings {
        epoch,
        jitter_seed: random::bits(),
        flush_interval_ms: config.queue.flush_interval_ms,
        outage_flush_interval_ms: config.queue.outage_flush_interval_ms,
        block_readings: config.limits.block_readings,
        linger_ms: config.limits.linger_ms,
        quota_bytes: config.queue.quota_bytes,
        policy: config.queue.policy,
        ram_limit_bytes: config.limits.ram_limit_bytes,
        max_in_flight_bytes: config.limits.max_in_flight_bytes,
        initial_credit_bytes: crate::core::INITIAL_CREDIT_BYTES,
        max_origins: config.limits.max_origins,
        backlog_order: config.link.backlog_order,
        caps: config.link.caps,
        site: config.path.site,
        rules: config.rules.clone(),
        admit: config.devices.admit,
        permits,
    }
}

fn uplink_settings(config: &Config, epoch: u64, queue: Age) -> UplinkSettings {
    UplinkSettings {
        host: config.broker.host.clone(),
        port: config.broker.port,
        tls: config.broker.tls.clone(),
        credentials: config.broker.credentials.clone(),
        path: config.path,
        epoch,
        queue,
        keep_alive: config.broker.keep_alive,
        longest_backoff: config.broker.longest_backoff,
    }
}

fn start_sources(
    config: &Config,
    listeners: Vec<(TcpListener, BoardTcp)>,
    boards: &BoardLinks,
    lines: SerialLines,
    stop: &Shutdown,
) -> JoinSet<()> {
    let mut sources = JoinSet::new();
    descriptors::make_room(listeners.iter().map(|(_, tcp)| tcp.max_links).sum(), "source.max_links");
    for (listener, tcp) in listeners {
        sources.spawn(board_tcp::run(listener, tcp, boards.clone(), stop.clone()));
    }
    let serial = config.serial();
    if !serial.is_empty() {
        sources.spawn(board_serial::run(serial, boards.clone(), lines, stop.clone()));
    }
    for source in &config.sources {
        match source {
            Source::BoardTcp(_) | Source::BoardSerial(_) => {}
            Source::Host(settings) => {
                sources.spawn(host::run(settings.clone(), boards.clock, boards.events.clone(), stop.clone()));
            }
        }
    }
    sources
}

impl Running {
    /// What the agent is doing; none when it ended.
    pub async fn view(&self) -> Option<View> {
        self.questions.view().await
    }

    /// Resolves when the agent cannot go on.
    pub async fn stopped(&mut self) -> Result<(), StoppedError> {
        let Some(shell) = &mut self.shell else { return Err(StoppedError::Core) };
        let ended = shell.await;
        self.shell = None;
        Err(ended.ok().and_then(Result::err).unwrap_or(StoppedError::Core))
    }

    /// Stops the sources, lets the cloud take what it will in half of the time, commits the rest, and closes. What is
    /// committed and not acknowledged stays in the queue for the next start.
    pub async fn drain(mut self, deadline: Duration) -> Result<Drained, DrainError> {
        let until = Instant::now() + deadline;
        self.stop_sources.trigger();
        let sources = async { while self.sources.join_next().await.is_some() {} };
        let _late = timeout_at(until, sources).await;
        self.sources.shutdown().await;
        let half = Instant::now() + (until - Instant::now()) / 2;
        if self.view().await.is_some_and(|view| view.uplink_up) {
            let _rest = timeout_at(half, self.questions.drained(true)).await;
        }
        let safe = timeout_at(until, self.questions.drained(false)).await.is_ok();
        let view = timeout_at(until, self.questions.view()).await.ok().flatten();
        if let Some(view) = &view {
            outlook::keep(&self.data_dir, view.rates, self.last_run);
        }
        self.stop_status.trigger();
        let _late = timeout_at(until, &mut self.status_task).await;
        self.status_task.abort();
        // The shell ends when nobody can ask it any more; what it is committing is waited for.
        drop(self.questions);
        if let Some(shell) = self.shell {
            let _ended = shell.await;
        }
        if safe { Ok(Drained { view }) } else { Err(DrainError::Unsafe) }
    }
}
