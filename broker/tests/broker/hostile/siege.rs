//! A broker as a process of its own, one honest gateway and one honest ingest on it whose messages must go on arriving, and
//! what the kernel says of its memory. Hostile clients come from other addresses of loop-back.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::raw::{HERE, Raw, dial, publish, subscribe};
use crate::support::{PATIENCE, gateway_path};
use crate::trusted::{self, Trusted};

const USERS: &str = r#"
[[users]]
name = "gw1"
password = "gw1"
role = "gateway"
site = "plant"
gateway = "gw1"
[[users]]
name = "gw2"
password = "gw2"
role = "gateway"
site = "plant"
gateway = "gw2"
[[users]]
name = "ingest"
password = "ingest"
role = "ingest"
[[users]]
name = "viewer"
password = "viewer"
role = "observer"
[[users]]
name = "operator"
password = "operator"
role = "operator"
"#;

/// Where hostile clients come from.
pub const THERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
pub const MIB: u64 = 1 << 20;
/// What every bound has on top: the allocator's own, and threads that come as they are needed.
const SLACK: u64 = 16 * MIB;

/// Of its log, shown when a test fails.
const LAST_LINES: usize = 30;

/// The process; killed at the end.
pub struct Besieged {
    process: Child,
    pub mqtt: SocketAddr,
    pub metrics: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    _folder: tempfile::TempDir,
}

impl Besieged {
    /// `settings` is TOML for before the users: keys of the whole file first, then sections.
    pub fn start(settings: &str) -> Self {
        Self::start_with(settings, &[])
    }

    pub fn start_with(settings: &str, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("broker.toml");
        let head = "listen = '127.0.0.1:0'\nmetrics.listen = '127.0.0.1:0'\n";
        std::fs::write(&file, format!("{head}{settings}{USERS}")).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate-broker"));
        command.env_remove("RUST_LOG").env_remove("TIDEGATE_FAILPOINT").envs(environment.iter().copied());
        command.args(["run", "--log-format", "json", "--config"]).arg(&file).stderr(Stdio::piped());
        let mut process = command.spawn().expect("it runs");
        let mut stderr = BufReader::new(process.stderr.take().expect("it is piped"));
        let (mqtt, metrics) = addresses(&mut stderr);
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        // Read to the end: a broker that cannot write its log would wait.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                kept.lock().expect("nobody panics with it").push(line);
            }
        });
        Self { process, mqtt, metrics, log, _folder: folder }
    }

    /// Every client has a certificate.
    pub fn start_trusted(trusted: &Trusted, settings: &str) -> Self {
        let file = |key: &str, name: &str| format!("tls.{key} = '{}'\n", trusted.path(name).display());
        let files = [
            ("certificate", "broker.pem"),
            ("key", "broker.key"),
            ("client_ca", "ca.pem"),
            ("crl", "crl.pem"),
        ];
        let files: String = files.map(|(key, name)| file(key, name)).concat();
        Self::start(&[settings, &files].concat())
    }

    pub async fn enter(&self, from: Ipv4Addr, user: &str, id: &str) -> Raw {
        Raw::enter(self.mqtt, from, user, id, 0).await
    }

    pub fn logged(&self, words: &str) -> usize {
        self.log.lock().expect("nobody panics with it").iter().filter(|line| line.contains(words)).count()
    }

    pub async fn metrics_page(&self) -> String {
        let mut stream = TcpStream::connect(self.metrics).await.expect("the page is served");
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n")
            .await
            .expect("sent");
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer").expect("text");
        answer
    }

    /// The value of a metric, 0 where it is not there yet.
    pub async fn metric(&self, name: &str) -> u64 {
        let page = self.metrics_page().await;
        let of = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok();
        page.lines().find_map(of).unwrap_or(0.0) as u64
    }

    /// Waits until it is so.
    pub async fn until(&self, metric: &str, is_so: impl Fn(u64) -> bool) {
        let mut last = 0;
        let watch = async {
            loop {
                last = self.metric(metric).await;
                if is_so(last) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let seen = timeout(PATIENCE, watch).await;
        assert!(seen.is_ok(), "{metric} stays {last}");
    }

    /// Bytes, from /proc: `VmRSS` now, `VmHWM` at the most.
    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.expect("a number of kB") * 1024
    }

    pub fn resident(&self) -> u64 {
        self.memory("VmRSS")
    }

    /// Holds the most that it ever had since `before` against a bound.
    pub fn assert_grew_by_at_most(&self, before: u64, bound: u64) {
        let grown = self.memory("VmHWM").saturating_sub(before);
        println!("grown by {} MiB of {} MiB", grown / MIB, (bound + SLACK) / MIB);
        assert!(grown <= bound + SLACK, "grown by {grown} bytes, {bound} and {SLACK} are the bound");
    }

    /// The end of a siege: honest blocks go on arriving and none is missing, memory is within its bound, nothing broke.
    pub async fn assert_withstood(&mut self, mut flow: Flow, before: u64, bound: u64) {
        flow.goes_on().await;
        self.assert_grew_by_at_most(before, bound);
        self.assert_unharmed().await;
        flow.ends_whole().await;
    }

    /// Not one panic, and the first router still.
    pub async fn assert_unharmed(&mut self) {
        assert!(matches!(self.process.try_wait(), Ok(None)), "it runs");
        assert_eq!(self.logged("panicked"), 0);
        assert_eq!(self.metric("tidegate_broker_router_restarts_total").await, 0);
    }
}

impl Drop for Besieged {
    fn drop(&mut self) {
        let _already_ended = self.process.kill();
        let _already_reaped = self.process.wait();
        if std::thread::panicking() {
            let log = self.log.lock().expect("nobody panics with it");
            log.iter().rev().take(LAST_LINES).rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

fn addresses(log: &mut BufReader<ChildStderr>) -> (SocketAddr, SocketAddr) {
    loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).expect("text") > 0, "it ended before it was up");
        let entry: serde_json::Value = serde_json::from_str(&line).expect("one JSON object a line");
        if entry["fields"]["message"] == "broker up" {
            let address = |name: &str| entry["fields"][name].as_str()?.parse().ok();
            break (address("mqtt").expect("an address"), address("metrics").expect("an address"));
        }
    }
}

/// One gateway's blocks on their way to one ingest: each is acknowledged both ways before the next leaves, and all arrive, once
/// and in order, or the test fails.
pub struct Flow {
    arrived: watch::Receiver<u64>,
    end: watch::Sender<bool>,
    task: JoinHandle<u64>,
}

impl Flow {
    pub async fn start(broker: &Besieged) -> Self {
        Self::start_of(broker, "gw1").await
    }

    pub async fn start_of(broker: &Besieged, gateway: &'static str) -> Self {
        let ingest = broker.enter(HERE, "ingest", &format!("ingest-{gateway}")).await;
        let source = broker.enter(HERE, gateway, &format!("plant.{gateway}")).await;
        Self::between(ingest, source, gateway).await
    }

    /// Both with certificates.
    pub async fn start_trusted(broker: &Besieged, trusted: &Trusted) -> Self {
        let enter = async |uri: &str, id: &str| {
            let connector = trusted.connector(Some(&trusted.client(uri)));
            trusted::enter(&connector, dial(broker.mqtt, HERE).await, id).await
        };
        let ingest = enter("tidegate:role/ingest", "tidegate-ingest").await;
        let source = enter(trusted::GW1, "plant.gw1").await;
        Self::between(ingest, source, "gw1").await
    }

    async fn between(mut ingest: Raw, mut source: Raw, gateway: &'static str) -> Self {
        let topic = format!("{}/up/live", gateway_path(gateway).root());
        ingest.send(&subscribe(1, &[("tidegate/v1/+/+/+/up/+", 1)])).await;
        assert_eq!(ingest.packet().await.expect("SUBACK"), [0x90, 3, 0, 1, 1]);
        let down = format!("{}/down/#", gateway_path(gateway).root());
        source.send(&subscribe(1, &[(&down, 1)])).await;
        assert_eq!(source.packet().await.expect("SUBACK"), [0x90, 3, 0, 1, 1]);
        let (arrived_to, arrived) = watch::channel(0);
        let (end, ended) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut count = 0_u64;
            while !*ended.borrow() {
                count += 1;
                let payload = format!("{gateway}:{count}");
                source.send(&publish(0x32, &topic, 1, payload.as_bytes())).await;
                assert_eq!(source.packet().await.expect("PUBACK"), [0x40, 2, 0, 1]);
                let id = next_of(&mut ingest, &topic, &payload).await;
                ingest.send(&[0x40, 2, id[0], id[1]]).await;
                arrived_to.send_replace(count);
            }
            count
        });
        let mut flow = Self { arrived, end, task };
        flow.goes_on().await;
        flow
    }

    /// Waits until blocks that left after now have arrived.
    pub async fn goes_on(&mut self) {
        const MORE: u64 = 20;
        let wanted = *self.arrived.borrow() + MORE;
        let moved = timeout(PATIENCE, self.arrived.wait_for(|arrived| *arrived >= wanted)).await;
        moved.expect("honest blocks go on arriving").expect("the flow goes on");
    }

    pub async fn ends_whole(self) {
        self.end.send_replace(true);
        let arrived = *self.arrived.borrow();
        let sent = timeout(PATIENCE, self.task).await.expect("an end").expect("nothing was missing");
        assert!(sent >= arrived);
    }
}

/// The next block of this gateway at the ingest, which must be this one; its packet id. Other gateways' are acknowledged.
async fn next_of(ingest: &mut Raw, topic: &str, payload: &str) -> [u8; 2] {
    loop {
        let packet = ingest.packet().await.expect("the ingest is connected");
        // Behind the remaining length, of which each byte but the last says that there is more.
        let header = 2 + packet[1..].iter().take_while(|byte| **byte > 0x7f).count();
        let (name, rest) = packet[header..].split_at(2);
        let (name, rest) = rest.split_at(usize::from(u16::from_be_bytes([name[0], name[1]])));
        let (id, found) = ([rest[0], rest[1]], &rest[2..]);
        if name != topic.as_bytes() {
            ingest.send(&[0x40, 2, id[0], id[1]]).await;
            continue;
        }
        assert_eq!(packet[0], 0x32, "QoS 1, no duplicate");
        assert_eq!(String::from_utf8_lossy(found), payload, "in order, none missing");
        return id;
    }
}
