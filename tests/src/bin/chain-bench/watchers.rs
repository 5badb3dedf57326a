//! Many who watch the event stream: what each takes of the ingest's memory, and how long until the last of them has an
//! event that the first one has.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tidegate_tests::chain::Chain;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, mpsc},
    time::timeout,
};

use super::{
    probe,
    process::anonymous_bytes,
    report::{Report, quantile},
    throughput::{QUIET_RULES, with_default_intervals},
};

const WATCHERS: usize = 10_000;
/// What the pipes, files and threads of this process take beside them.
const OTHER_DESCRIPTORS: u64 = 200;
const OPENING_AT_ONCE: usize = 64;
const EVENTS: u64 = 40;
const PERIOD: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(120);

/// Cursor of a committed event, and when a watcher had it.
type Had = (u64, Instant);

pub async fn measure(report: &mut Report) {
    allow_descriptors(WATCHERS as u64 + OTHER_DESCRIPTORS);
    let mut chain = Chain::new(&format!("{QUIET_RULES}{}", probe::RULE));
    with_default_intervals(&mut chain);
    let http = chain.ingest.settings.get_mut("http").and_then(toml::Value::as_table_mut);
    // All of them come from this machine.
    http.expect("a section").insert("max_connections_per_address".to_owned(), (2 * WATCHERS as i64).into());
    chain.start();
    let ingest = chain.ingest.daemon().id();
    let before = anonymous_bytes(ingest);
    let (had, mut all) = mpsc::unbounded_channel();
    let address = chain.ingest.address("http");
    open(address, &had).await;
    let each = anonymous_bytes(ingest).saturating_sub(before) as f64 / WATCHERS as f64 / 1e3;
    report.row("the ingest's anonymous memory for each of 10,000 event watchers", each, "kB");
    drop(had);

    let seen = probe::run(&chain.api(), chain.board_link(), EVENTS, PERIOD).await;
    let mut instants: std::collections::BTreeMap<u64, Vec<Instant>> = std::collections::BTreeMap::new();
    let expected = WATCHERS * usize::try_from(EVENTS).unwrap_or(usize::MAX);
    for _ in 0..expected {
        let next = timeout(PATIENCE, all.recv()).await.expect("every watcher has every event");
        let (cursor, at) = next.expect("the watchers watch");
        instants.entry(cursor).or_default().push(at);
    }
    assert_eq!(instants.len() as u64, EVENTS, "each event under one cursor");
    let span = |instants: &Vec<Instant>| {
        let (first, last) = (instants.iter().min()?, instants.iter().max()?);
        Some(last.duration_since(*first).as_secs_f64() * 1e3)
    };
    let mut spans: Vec<f64> = instants.values().filter_map(span).collect();
    report.row(
        "committed event at the first of 10,000 watchers to at the last, p50",
        quantile(&mut spans, 0.5),
        "ms",
    );
    report.row(
        "committed event at the first of 10,000 watchers to at the last, worst",
        quantile(&mut spans, 1.0),
        "ms",
    );
    // Cursors are given in the order of the crossings.
    let mut sent: Vec<Instant> = seen.iter().filter_map(|seen| seen.sent).collect();
    sent.sort();
    let whole = sent
        .iter()
        .zip(instants.values())
        .filter_map(|(sent, had)| Some(had.iter().max()?.duration_since(*sent)));
    let mut whole: Vec<f64> = whole.map(|time| time.as_secs_f64() * 1e3).collect();
    report.row(
        "frame to committed event at the last of 10,000 watchers, p50",
        quantile(&mut whole, 0.5),
        "ms",
    );
    report.row(
        "frame to committed event at the last of 10,000 watchers, worst",
        quantile(&mut whole, 1.0),
        "ms",
    );
    report.note(
        "The watchers run in the load generator's process and share the cores; each has its own connection.",
    );
}

/// Opens all the streams, and returns when every one has begun.
async fn open(address: SocketAddr, had: &mpsc::UnboundedSender<Had>) {
    let turns = Arc::new(Semaphore::new(OPENING_AT_ONCE));
    let (began, mut begun) = mpsc::channel(OPENING_AT_ONCE);
    for _ in 0..WATCHERS {
        let turn = Arc::clone(&turns).acquire_owned().await.expect("it stays open");
        let (began, had) = (began.clone(), had.clone());
        tokio::spawn(async move {
            let stream = begin(address).await;
            drop(turn);
            let _counted = began.send(()).await;
            drop(began);
            watch(stream, &had).await;
        });
        while begun.try_recv().is_ok() {}
    }
    drop(began);
    let all = async { while begun.recv().await.is_some() {} };
    timeout(PATIENCE, all).await.expect("every stream begins");
}

/// An open stream of committed events that has said where it begins.
async fn begin(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the ingest listens");
    let ask = format!("GET /api/v1/events?since=now&provisional=false HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.expect("the ingest reads");
    let mut text = String::new();
    let mut bytes = [0; 1024];
    while !text.contains("\nid: ") {
        let length = stream.read(&mut bytes).await.expect("the ingest answers");
        assert_ne!(length, 0, "the ingest refuses the stream: {text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    stream
}

/// Says when each event is there, until the stream ends.
async fn watch(mut stream: TcpStream, had: &mpsc::UnboundedSender<Had>) {
    let (mut text, mut bytes) = (String::new(), vec![0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut bytes).await {
        let now = Instant::now();
        text.push_str(&String::from_utf8_lossy(&bytes[..length]));
        // The id comes last of an event.
        while let Some(end) = text.find("\n\n") {
            let event: String = text.drain(..end + 2).collect();
            let cursor = event.lines().find_map(|line| line.strip_prefix("id: ")?.trim().parse().ok());
            if let Some(cursor) = cursor {
                let _gone = had.send((cursor, now));
            }
        }
    }
}

fn allow_descriptors(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.is_none_or(|hard| hard >= wanted);
    assert!(allowed, "{wanted} file descriptors are needed: raise the limit (ulimit -Hn)");
    if limit.current.is_some_and(|soft| soft < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).expect("within the hard limit");
    }
}
