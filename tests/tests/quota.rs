//! A gateway whose queue is full does what its policy says, within its bounds, and the account says what became of
//! every reading.

use std::{fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use tidegate_protocol::{DeviceId, ValueKind};
use tidegate_service::Shutdown;
use tidegate_simulator::{
    BoardHandle, BoardPlan, ChannelPlan, Proxy, Script, Shape, VirtualBoard, plan::channel,
};
use tidegate_tests::{
    api::{Api, number},
    chain::Chain,
    programs::program,
};
use toml::{Table, Value};

const QUOTA_BYTES: i64 = 128 << 10;
const MAP_BYTES: i64 = 8 << 20;
/// What the agent takes into memory before it stops to read its boards.
const RAM_BYTES: i64 = 1 << 20;
/// What the process may hold in memory of its own: generous, and far below what an unbounded one would take.
const MAX_ANONYMOUS_KIB: u64 = 64 << 10;
/// Channels of noise: nothing in them to compress, so that the quota is soon reached.
const CHANNELS: usize = 8;
/// What must at least have been given up before a test is content.
const MANY: u64 = 20_000;

/// A chain, the connection that is cut, and a board on it.
struct Trial {
    chain: Chain,
    proxy: Proxy,
    board: BoardHandle,
}

impl Trial {
    /// A chain with a small queue, whose link is cut at once, and a board that fills it.
    async fn start(policy: &str, ring_bytes: usize) -> Self {
        let mut chain = Chain::new("");
        let queue =
            format!("quota_bytes = {QUOTA_BYTES}\nmap_size_bytes = {MAP_BYTES}\npolicy = \"{policy}\"");
        let queue: Table = queue.parse().expect("TOML");
        match chain.agent.settings.get_mut("queue") {
            Some(Value::Table(settings)) => settings.extend(queue),
            _ => panic!("the agent has a queue"),
        }
        let limits: Table = format!("ram_limit_bytes = {RAM_BYTES}").parse().expect("TOML");
        chain.agent.settings.insert("limits".to_owned(), limits.into());
        chain.start_broker();
        let proxy = Proxy::start(chain.mqtt()).await.expect("a free port");
        chain.connect_agent(proxy.addr());
        chain.ingest.start();
        chain.agent.start();
        proxy.cut();
        let board = noisy_board(ring_bytes, chain.board_link());
        Self { chain, proxy, board }
    }

    fn is_within_its_bounds(&self, status: &serde_json::Value, agent: u32) {
        assert!(number(status, "/queue/bytes") <= QUOTA_BYTES as u64, "{status}");
        let file = file_bytes(&self.chain.agent_data());
        assert!(file <= MAP_BYTES as u64 + (64 << 10), "the queue's files have {file} bytes");
        let anonymous = anonymous_kib(agent);
        assert!(anonymous <= MAX_ANONYMOUS_KIB, "the agent holds {anonymous} KiB");
    }

    /// Brings the link back, lets all arrive, and returns the audit.
    async fn settle(self) -> (Chain, serde_json::Value) {
        let Self { chain, proxy, board } = self;
        proxy.restore();
        let finished = tokio::time::timeout(Duration::from_secs(60), board.finish()).await;
        let status = finished.expect("a board delivers or declares what it holds");
        let total = |audit: &serde_json::Value, count| number(audit, &format!("/totals/{count}"));
        let audit = chain
            .api()
            .get_when("everything accounted for", "/api/v1/audit", |audit| {
                total(audit, "measured") == status.measured && total(audit, "outstanding") == 0
            })
            .await;
        assert_eq!(total(&audit, "stored") + total(&audit, "lost"), status.measured, "{audit}");
        (chain, audit)
    }
}

fn noise() -> Vec<ChannelPlan> {
    let shape = Shape::Wave { mean: 0.0, swing: 1.0, period_s: 10.0, wander: 0.0, noise: 1.0 };
    let plan = |index| {
        let name = format!("noise-{index}");
        let plan = channel(&name, "", ValueKind::F64, 0, shape).expect("a channel name");
        ChannelPlan { period_ms: 1, ..plan }
    };
    (0..CHANNELS).map(plan).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn drop_oldest_gives_up_the_oldest_and_says_so() {
    let mut trial = Trial::start("drop-oldest", 4 << 20).await;
    let agent = trial.chain.agent.daemon().id();
    let status =
        trial.chain.agent_status().get_when("evictions", "/status", |status| evicted(status) > MANY).await;
    trial.is_within_its_bounds(&status, agent);

    let (chain, audit) = trial.settle().await;
    let origin = &audit["origins"][0];
    let lost = number(origin, "/lost/evicted");
    assert!(lost > MANY && number(&audit, "/totals/lost") == lost, "{audit}");
    let (code, said) = tidegate_audit(&chain.api());
    assert!(code == Some(0) && said.contains(&format!("{lost} evicted")), "{said}");
}

fn evicted(status: &serde_json::Value) -> u64 {
    status.pointer("/counters/losses/evicted").and_then(serde_json::Value::as_u64).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn refuse_leaves_readings_to_boards_with_room() {
    let mut trial = Trial::start("refuse", 16 << 20).await;
    let agent = trial.chain.agent.daemon().id();
    let status = refusing(&trial.chain.agent_status()).await;
    // Much more than the queue holds is measured meanwhile; the board keeps it.
    let held = trial.board.measured();
    trial.board.wait_until(|status| status.measured > held + MANY).await;
    trial.is_within_its_bounds(&status, agent);
    let (_, audit) = trial.settle().await;
    assert_eq!(number(&audit, "/totals/lost"), 0, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_is_cut_off_declares_what_its_ring_could_not_keep() {
    let mut chain = Chain::new("");
    chain.start();
    let cable = Proxy::start(chain.board_link()).await.expect("a free port");
    let board = noisy_board(32 << 10, cable.addr());
    board.wait_until(|status| status.acknowledged > 0).await;
    cable.cut();
    board.wait_until(|status| status.lost > MANY).await;
    let trial = Trial { chain, proxy: cable, board };

    let (chain, audit) = trial.settle().await;
    let lost = number(&audit["origins"][0], "/lost/ring-overflow");
    // Less than the board gave up: some of that had arrived, and only its acknowledgement had not.
    assert!(lost > MANY / 2 && number(&audit, "/totals/lost") == lost, "{audit}");
    let (code, said) = tidegate_audit(&chain.api());
    assert!(code == Some(0) && said.contains(&format!("{lost} ring-overflow")), "{said}");
}

fn noisy_board(ring_bytes: usize, link: SocketAddr) -> BoardHandle {
    let device = DeviceId::new("board-1").expect("a slug");
    let mut plan = BoardPlan::new(device, Script::Signals { channels: noise(), seed: 1 });
    plan.ring_bytes = ring_bytes;
    VirtualBoard::spawn(plan, link, Shutdown::new()).expect("a good plan")
}

async fn refusing(agent: &Api) -> serde_json::Value {
    agent.get_when("a full queue", "/status", |status| status["queue"]["refusing"] == true).await
}

fn tidegate_audit(api: &Api) -> (Option<i32>, String) {
    let output = Command::new(program("tidegate")).args(["--url", &api.url(), "audit"]).output();
    let output = output.expect("tidegate starts");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn file_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("the agent's data").map(|entry| entry.expect("an entry"));
    let size = |entry: fs::DirEntry| {
        let kind = entry.metadata().expect("a file that is there");
        if kind.is_dir() { file_bytes(&entry.path()) } else { kind.len() }
    };
    entries.map(size).sum()
}

/// Memory that belongs to no file, from the kernel's account.
fn anonymous_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux says RssAnon");
    line.trim().trim_end_matches(" kB").parse().expect("kilobytes")
}
