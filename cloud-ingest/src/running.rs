//! The ingest as a whole: started, running, drained.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering, mpsc as sync},
    thread,
    time::Duration,
};

use tidegate_alarms::RuleBook;
use tidegate_enrolment::renewal;
use tidegate_protocol::block::Decoder;
use tidegate_service::{Shutdown, descriptors, http::Bounds};
use tidegate_trust::{
    FileError,
    renewal::Credentials,
    settings::{INSECURE, is_leaking},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    api,
    clock::Clock,
    config::Config,
    core::{self, Core, Event, room::OriginBounds},
    data_folder::{self, FolderError, FolderLock},
    delivery::{self, deliverer},
    door::{Door, DoorError, certificate},
    engine::{Engine, new_incarnation},
    events,
    expiry_watch::Watched,
    inbox::{Inbox, inbox},
    intake::{Intake, MqttIntake, OUTGOING_WAITING},
    lake::{Anchors, Expirer, Lake, LakeError, Roller},
    looker::LookThread,
    orders::Orders,
    query::Query,
    retained::Retained,
    retention::RetentionThread,
    rules::warnings,
    rules_file::RulesFile,
    shown::Shown,
    store::{LmdbStore, Store, StoreError},
    writer::CommitThread,
};

/// Answers that wait for the core.
const DONE_WAITING: usize = 1_024;
/// Looks into the store that wait: all that the core asks for at a time, and some that it asked for before a failed commit.
const JOBS_WAITING: usize = core::MAX_VERIFYING + core::MAX_LOADS + 64;
/// How often the lake looks whether a roll is due, at least.
const LAKE_TURN: Duration = Duration::from_millis(500);
/// And how long it waits after a failure.
const LAKE_BACK_OFF: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {error}; stop what uses it, or set http.listen")]
    Listen { address: SocketAddr, error: io::Error },
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("data_dir: {0}")]
    Store(#[from] StoreError),
    #[error("the lake: {0}")]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Door(#[from] DoorError),
    #[error("http.tls: {0}")]
    Certificate(#[from] FileError),
    #[error("a thread cannot be started: {0}")]
    Thread(io::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    #[error("a part of the ingest ended unexpectedly")]
    Ended,
    #[error("it did not drain in time; agents will send again what was not acknowledged")]
    NotDrained,
}

/// A running ingest.
pub struct Running {
    /// Where the API and the page are.
    pub http: SocketAddr,
    query: Query,
    orders: Arc<Orders>,
    rules_file: Option<RulesFile>,
    http_certificate: Option<Arc<Credentials>>,
    draining: Shutdown,
    stopping: Shutdown,
    /// Gone once its end has been told.
    engine: Option<JoinHandle<Result<(), StoreError>>>,
    intake: JoinHandle<()>,
    http_server: JoinHandle<()>,
    /// Those that deliver.
    tasks: Vec<JoinHandle<()>>,
    /// Closed to end the lake's thread.
    lake_running: sync::Sender<()>,
    /// And that of the retention.
    retention_running: sync::Sender<()>,
    threads: Vec<Ended>,
    /// Nobody else writes to the data folder meanwhile.
    _lock: FolderLock,
}

/// Opens the store, binds the listener, and starts all threads.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let listener = TcpListener::bind(config.http.listen).await;
    let refused = |error| StartError::Listen { address: config.http.listen, error };
    let listener = listener.map_err(refused)?;
    let http = listener.local_addr().map_err(refused)?;
    let lock = data_folder::lock_whole(&config.data_dir)?;
    let door = Arc::new(Door::open(&config.data_dir, config.http.policy)?);
    let clock = Clock::start();
    let shown = Arc::new(Shown::default());
    let store = Arc::new(LmdbStore::open(&config.data_dir.join("store"), config.journal.map_size_bytes)?);
    let lake = Lake::open(&config.lake_folder)?;
    let events = events::channel();
    let (outgoing, to_broker) = mpsc::channel(OUTGOING_WAITING);
    let (postbox, intake) = inbox();
    let (done, done_events) = mpsc::channel(DONE_WAITING);
    let (batches, committing) = sync::sync_channel(1);
    let (jobs, looking) = sync::sync_channel(JOBS_WAITING);
    let (lake_running, until) = sync::channel();
    let (retention_running, retention_until) = sync::channel();

    let core = new_core(&config, clock, &store, &shown)?;
    let (draining, stopping) = (Shutdown::new(), Shutdown::new());
    let committed = deliverer::Committed::default();
    delivery::warn_of_clear(&config.receivers, config.heartbeat.place.as_ref());
    // Before anything is committed: what is committed is queued for them.
    let delivery = deliverer::start(config.receivers, &store, &committed, &stopping)?;
    let retained = Arc::new(Retained::new(outgoing.clone()));
    let (writes, looks) = (Arc::clone(&store), Arc::clone(&store));
    let (fatal, failed) = oneshot::channel();
    let committer = CommitThread {
        store: writes,
        shown: Arc::clone(&shown),
        events: events.clone(),
        retained: Arc::clone(&retained),
        committed: committed.clone(),
        clock,
        done: done.clone(),
        fatal,
    };
    let mut threads = vec![spawn("commit", move || committer.run(committing))?];
    let looker = LookThread { store: looks, lake: lake.clone(), retained, done: done.clone() };
    threads.push(spawn("look", move || looker.run(looking))?);
    if let Some(settings) = config.lake {
        let roller = Roller::new(Arc::clone(&store), lake.clone(), settings);
        let anchors = Anchors::new(Arc::clone(&store), lake.clone(), settings.interval_ms);
        let turns =
            LakeThread { roller, anchors, clock, shown: Arc::clone(&shown), until, done: done.clone() };
        threads.push(spawn("lake", move || turns.run())?);
    }
    let mut tasks = delivery.tasks;
    let mut http_certificate = None;
    let watched = Watched::new(&config.broker, config.http.tls.as_ref().map(|tls| &tls.files.own));
    tasks.push(tokio::spawn(watched.run(done.clone(), stopping.clone())));
    tasks.push(tokio::spawn(config.heartbeat.run(done.clone(), Arc::clone(&shown), clock, stopping.clone())));
    let orders = Arc::new(Orders::new(done.clone(), clock));
    let retention = RetentionThread {
        store: Arc::clone(&store),
        expirer: Expirer::new(Arc::clone(&store), lake.clone()),
        retention: config.retention,
        clock,
        shown: Arc::clone(&shown),
        until: retention_until,
        done,
    };
    threads.push(spawn("retention", move || retention.run())?);
    let engine = Engine {
        core,
        store: Arc::clone(&store),
        clock,
        shown: Arc::clone(&shown),
        events: events.clone(),
        batches,
        failed,
        jobs,
        outgoing,
        orders: Arc::clone(&orders),
        draining: draining.clone(),
    };
    let engine = spawn_engine(engine, intake, done_events)?;
    if is_leaking(&config.broker.host, config.broker.tls.as_ref()) {
        tracing::warn!(broker = config.broker.host, "{INSECURE}");
    }
    let broker_tls = config.broker.tls.clone();
    tasks.push(tokio::spawn(renewal::keep(broker_tls.clone(), stopping.clone())));
    let mqtt = MqttIntake { broker: config.broker, clock, shown: Arc::clone(&shown) };
    let intake = tokio::spawn(mqtt.run(postbox, to_broker));
    let query = Query::new(store, lake, shown, events, Arc::clone(&orders)).with_key(config.certificate_key);
    let query = query.with_desk(delivery.desk);
    let query = query.with_broker_tls(broker_tls);
    let query = query.with_rules_file(config.rules_file.as_ref().map(RulesFile::path));
    let router = api::router(Arc::new(query.clone()), door, config.max_event_streams, stopping.clone());
    let wanted = config.max_event_streams + api::OTHER_CONNECTIONS;
    let bounds = Bounds {
        max_connections: descriptors::make_room(wanted, "http.max_event_streams"),
        max_connections_of_address: config.http.max_connections_per_address,
        head_limit: api::HEAD_LIMIT,
        body_limit: api::BODY_LIMIT,
        stall_limit: api::WRITE_STALL_LIMIT,
    };
    let mut listener = api::HttpListener::with_bounds(listener, bounds);
    if let Some(tls) = &config.http.tls {
        let credentials = Arc::new(certificate::load(tls)?);
        tasks.push(tokio::spawn(certificate::keep_up(Arc::clone(&credentials), stopping.clone())));
        listener = listener.with_tls(Arc::clone(&credentials));
        http_certificate = Some(credentials);
    }
    let http_server = tokio::spawn(api::serve(listener, router, stopping.clone()));
    if let Some(warning) = config.http.policy.warning() {
        tracing::warn!(address = %http, "{warning}");
    }
    tracing::info!(address = %http, tls = config.http.policy.is_tls, "listening for HTTP");
    Ok(Running {
        http,
        query,
        orders,
        rules_file: config.rules_file,
        http_certificate,
        draining,
        stopping,
        engine: Some(engine),
        intake,
        http_server,
        tasks,
        lake_running,
        retention_running,
        threads,
        _lock: lock,
    })
}

fn new_core(config: &Config, clock: Clock, store: &LmdbStore, shown: &Shown) -> Result<Core, StartError> {
    let settings = core::Settings {
        credit_total_bytes: config.journal.credit_bytes,
        linger_ms: config.journal.commit_interval_ms,
        quota_bytes: config.journal.quota_bytes,
    };
    let decoder = Decoder::new().map_err(StoreError::from)?;
    let snapshot = store.snapshot()?;
    shown.show_latest(snapshot.latest.iter().cloned());
    shown.quota_bytes.store(config.journal.quota_bytes, Ordering::Relaxed);
    shown.used_bytes.store(snapshot.used_bytes, Ordering::Relaxed);
    let mut book = RuleBook::restore(snapshot.rules.iter().cloned());
    if config.rules_file.is_some() {
        for warning in warnings(&config.rules) {
            tracing::warn!("{warning}");
        }
        book.merge(&config.rules, clock.unix_ms());
    }
    let of_gateway = config.journal.max_origins_per_gateway;
    Ok(Core::new(settings, book, decoder, snapshot, new_incarnation()?)
        .with_bounds(OriginBounds { of_gateway, ..OriginBounds::default() })
        .with_silence(config.silence)
        .with_system(config.system))
}

/// The core has a thread to itself: its work is computing, not waiting.
fn spawn_engine(
    engine: Engine<LmdbStore>,
    intake: Inbox,
    done: mpsc::Receiver<Event>,
) -> Result<JoinHandle<Result<(), StoreError>>, StartError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(StartError::Thread)?;
    let (ended, end) = oneshot::channel();
    spawn("core", move || {
        let _nobody_waits = ended.send(runtime.block_on(engine.run(intake, done)));
    })?;
    let gone = || StoreError::Lmdb("the core's thread has ended".to_owned());
    Ok(tokio::spawn(async move { end.await.unwrap_or_else(|_| Err(gone())) }))
}

/// Resolves (with an error, which says nothing) when the thread has ended and let go of all it held.
type Ended = oneshot::Receiver<()>;

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<Ended, StartError> {
    let (ending, ended) = oneshot::channel::<()>();
    let body = move || {
        run();
        drop(ending);
    };
    thread::Builder::new().name(format!("ingest-{name}")).spawn(body).map_err(StartError::Thread)?;
    Ok(ended)
}

impl Running {
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// Reads the rules file and the HTTP certificate again; what came of it is logged.
    pub async fn reload(&self) {
        if let Some(credentials) = &self.http_certificate {
            certificate::told(credentials.reload().await);
        }
        let Some(file) = self.rules_file.clone() else {
            tracing::info!("there is nothing to read again: the settings name no rules file");
            return;
        };
        let orders = Arc::clone(&self.orders);
        if let Err(error) = tokio::task::spawn_blocking(move || file.reload(&orders)).await {
            tracing::error!(%error, "the rules file was not read to its end");
        }
    }

    /// Resolves when the ingest cannot go on.
    pub async fn stopped(&mut self) -> Result<(), RunError> {
        let Some(engine) = &mut self.engine else { return Err(RunError::Ended) };
        let ended = engine.await;
        self.engine = None;
        Ok(ended.map_err(|_| RunError::Ended)??)
    }

    /// Commits and acknowledges what was taken, and ends.
    pub async fn drain(mut self, deadline: Duration) -> Result<(), RunError> {
        self.draining.trigger();
        let drained = timeout(deadline, async {
            if let Some(engine) = self.engine.take() {
                engine.await.map_err(|_| RunError::Ended)??;
            }
            self.stopping.trigger();
            // Every sender to the broker is gone by now; the last messages leave.
            (&mut self.intake).await.map_err(|_| RunError::Ended)?;
            (&mut self.http_server).await.map_err(|_| RunError::Ended)?;
            for task in &mut self.tasks {
                task.await.map_err(|_| RunError::Ended)?;
            }
            drop(self.lake_running);
            drop(self.retention_running);
            // Then the store is closed, and may be opened again at once.
            for thread in self.threads {
                let _ended = thread.await;
            }
            Ok(())
        });
        let ended = drained.await.unwrap_or(Err(RunError::NotDrained));
        self.stopping.trigger();
        self.intake.abort();
        self.http_server.abort();
        self.tasks.iter().for_each(JoinHandle::abort);
        ended
    }
}

/// The thread that rolls the journal to the lake.
struct LakeThread {
    roller: Roller,
    anchors: Anchors,
    clock: Clock,
    shown: Arc<Shown>,
    until: sync::Receiver<()>,
    done: mpsc::Sender<Event>,
}

impl LakeThread {
    fn run(mut self) {
        let (mut pause, mut reported) = (Duration::ZERO, std::collections::BTreeSet::new());
        while let Err(sync::RecvTimeoutError::Timeout) = self.until.recv_timeout(pause) {
            pause = LAKE_TURN;
            let revision = self.shown.anchors_revision.load(Ordering::Acquire);
            if let Err(error) = self.anchors.write_if_changed(self.clock.unix_ms(), revision) {
                tracing::error!(%error, "the lake's anchors could not be written; it keeps those of before");
                self.shown.set_problem(Some(format!("the lake: {error}")));
            }
            match self.roller.roll_if_due(self.clock.unix_ms()) {
                Ok(Some(rolled)) => {
                    if let Some(file) = &rolled.file {
                        self.shown.lake_files.fetch_add(1, Ordering::Relaxed);
                        self.shown.lake_rows.fetch_add(file.rows, Ordering::Relaxed);
                        tracing::info!(
                            path = file.path,
                            rows = file.rows,
                            bytes = file.bytes,
                            "rolled to the lake"
                        );
                    }
                    let waits = !rolled.damaged.is_empty();
                    for damaged in rolled.damaged {
                        if reported.insert(damaged.position) {
                            self.shown.entries_damaged.fetch_add(1, Ordering::Relaxed);
                            tracing::error!(
                                position = damaged.position,
                                "a journal entry cannot be read; it goes to quarantine and its readings are lost \
                                 (corrupt) unless another copy comes. Look after the disk"
                            );
                        }
                        if self.done.blocking_send(Event::Damaged(damaged)).is_err() {
                            return;
                        }
                    }
                    self.shown.used_bytes.store(rolled.used_bytes, Ordering::Relaxed);
                    if self.done.blocking_send(Event::Trimmed { used_bytes: rolled.used_bytes }).is_err() {
                        return;
                    }
                    // More may be due; or else the core takes the damaged entries out first.
                    pause = if waits { LAKE_TURN } else { Duration::ZERO };
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "the journal could not be rolled to the lake; it keeps what it has");
                    self.shown.set_problem(Some(format!("the lake: {error}")));
                    pause = LAKE_BACK_OFF;
                }
            }
        }
    }
}
