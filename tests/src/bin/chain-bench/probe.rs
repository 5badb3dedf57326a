//! One board whose every second reading crosses a rule's limit, and one watcher of the event stream, in one process:
//! the same clock sees the frame leave and the event arrive.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, DeviceId, Quality, Reading, Seq, Tick, Value, ValueKind,
    frame::{
        ChannelList, Deframer, Down, Hello, MAX_DOWN_FRAME, MAX_FRAME, Readings, SamplePacker, Standing, Up,
        encode_up, encoded_len,
    },
};
use tidegate_tests::api::Api;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub const DEVICE: &str = "probe";
/// The rule that the probe's readings cross.
pub const RULE: &str = r#"
[[rule]]
id = "probe"
select = { device = "probe" }
above = 50.0
priority = "critical"
"#;

#[derive(Clone, Copy, Default)]
pub struct Seen {
    pub sent: Option<Instant>,
    pub provisional: Option<Instant>,
    pub committed: Option<Instant>,
}

impl Seen {
    pub fn is_sent_after(&self, from: Instant) -> bool {
        self.sent.is_some_and(|sent| sent >= from)
    }

    /// Milliseconds from frame to event.
    pub fn latency_ms(&self, event: Option<Instant>) -> Option<f64> {
        Some(event?.duration_since(self.sent?).as_secs_f64() * 1e3)
    }
}

type Log = Arc<Mutex<HashMap<u64, Seen>>>;

/// Sends `crossings` crossings, one each `period`, and waits for their events.
pub async fn run(api: &Api, link: SocketAddr, crossings: u64, period: Duration) -> Vec<Seen> {
    let log = Log::default();
    let stream = api.events("?since=now").await;
    let watcher = tokio::spawn(watch(stream, Arc::clone(&log), crossings));
    send(link, crossings, period, &log).await;
    let watched = tokio::time::timeout(Duration::from_secs(60), watcher).await;
    watched.expect("every event arrives").expect("the watcher goes to its end");
    log.lock().expect("nobody panics").values().copied().collect()
}

async fn send(link: SocketAddr, crossings: u64, period: Duration, log: &Log) {
    let mut stream = TcpStream::connect(link).await.expect("the agent listens");
    stream.set_nodelay(true).expect("a TCP socket");
    let boot = BootId(getrandom::u64().expect("the system has random numbers"));
    let name = ChannelName::new("value").expect("a name");
    let channels = [ChannelDecl { name, unit: "", kind: ValueKind::F64, scale: 0 }];
    let hello = Hello {
        device: DeviceId::new(DEVICE).expect("a slug"),
        tag: "",
        firmware: "probe",
        boot: Some(boot),
        standing: Standing::Present,
        floor: Seq(0),
        next: Seq(0),
        channels: ChannelList::new(&channels).expect("one channel"),
    };
    stream.write_all(&frame(&Up::Hello(hello))).await.expect("the agent reads");
    wait_for_welcome(&mut stream).await;
    let mut ticker = tokio::time::interval(period);
    for seq in 0..crossings {
        ticker.tick().await;
        let value = Value::F64(if seq % 2 == 0 { 60.0 } else { 40.0 });
        let bytes = reading_frame(boot, seq, value);
        log.lock().expect("nobody panics").entry(seq).or_default().sent = Some(Instant::now());
        stream.write_all(&bytes).await.expect("the agent reads");
    }
    // The link stays open until everything was seen: closing it is not what is measured.
    tokio::spawn(async move {
        let mut rest = [0; 1024];
        while let Ok(1..) = stream.read(&mut rest).await {}
    });
}

fn reading_frame(boot: BootId, seq: u64, value: Value) -> Vec<u8> {
    let mut samples = [0; 32];
    let tick = Tick(seq);
    let mut packer = SamplePacker::new(&mut samples, tick);
    let reading = Reading { seq: Seq(seq), channel: ChannelIndex(0), tick, value, quality: Quality::Good };
    assert!(packer.push(&reading), "one reading fits");
    let len = packer.len();
    let readings = Readings {
        boot: boot.tag(),
        first_seq: Seq(seq),
        floor: Seq(0),
        next: Seq(seq + 1),
        base_tick: tick,
        count: 1,
        samples: &samples[..len],
    };
    frame(&Up::Readings(readings))
}

fn frame(up: &Up<'_>) -> Vec<u8> {
    let mut bytes = vec![0; encoded_len(MAX_FRAME)];
    let len = encode_up(up, &mut bytes).expect("a small frame");
    bytes.truncate(len);
    bytes
}

async fn wait_for_welcome(stream: &mut TcpStream) {
    let mut deframer = Deframer::<MAX_DOWN_FRAME>::new();
    let (mut welcomed, mut bytes) = (false, [0; 1024]);
    while !welcomed {
        let len = stream.read(&mut bytes).await.expect("the agent answers");
        assert_ne!(len, 0, "the agent closed the link");
        deframer.down(&bytes[..len], |down| welcomed |= matches!(down, Ok(Down::Welcome(_))));
    }
}

/// Reads server-sent events until every crossing was seen twice.
async fn watch(mut stream: reqwest::Response, log: Log, crossings: u64) {
    let mut text = String::new();
    let mut left = crossings * 2;
    while left > 0 {
        let chunk = stream.chunk().await.expect("the stream goes on").expect("the stream does not end");
        let now = Instant::now();
        text.push_str(&String::from_utf8_lossy(&chunk));
        while let Some(end) = text.find('\n') {
            let line: String = text.drain(..=end).collect();
            let Some(data) = line.strip_prefix("data:") else { continue };
            let Ok(event) = serde_json::from_str::<serde_json::Value>(data) else { continue };
            if event["device"] != DEVICE {
                continue;
            }
            let Some(seq) = event["seq"].as_u64() else { continue };
            let mut log = log.lock().expect("nobody panics");
            let seen = log.entry(seq).or_default();
            let slot = if event["provisional"] == true { &mut seen.provisional } else { &mut seen.committed };
            left -= u64::from(slot.is_none());
            slot.get_or_insert(now);
        }
    }
}
