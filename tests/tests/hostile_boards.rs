//! The agent's door for boards under hostile hands: floods, garbage, made-up names, links that are only held open. Honest boards
//! lose nothing meanwhile, and the agent's memory stays within its bound.

use std::{net::Ipv4Addr, time::Duration};

use tidegate_protocol::{
    ChannelDecl, ChannelName, DeviceId, Seq, ValueKind,
    frame::{ChannelList, Hello, MAX_FRAME, Standing, Up, encode_up, encoded_len},
};
use tidegate_simulator::BoardHandle;
use tidegate_tests::{
    api::number,
    chain::{Chain, Part},
    hostile::{MIB, THERE, assert_grew_by_at_most, dial, metric, metric_when, resident},
    measured::{Measured, RULES},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);
const PERIOD_MS: u32 = 10;
/// What every bound has on top: the allocator's own.
const SLACK: u64 = 16 * MIB;

struct Yard {
    chain: Chain,
    measured: Measured,
    board: BoardHandle,
    before: u64,
}

impl Yard {
    /// `devices` is the agent's section.
    async fn open(devices: toml::Table) -> Self {
        let mut chain = Chain::new(RULES);
        chain.agent.settings.insert("devices".to_owned(), devices.into());
        chain.start();
        allow(&chain.agent, "board-1");
        let measured = Measured::default();
        let board = measured.board(1, PERIOD_MS, chain.board_link());
        timeout(PATIENCE, board.wait_until(|status| status.acknowledged > 0)).await.expect("it flows");
        let before = resident(chain.agent.daemon().id());
        Self { chain, measured, board, before }
    }

    async fn goes_on(&self) {
        let before = self.board.measured();
        let flows = self.board.wait_until(|status| status.acknowledged > before);
        timeout(PATIENCE, flows).await.expect("honest readings flow");
    }

    async fn ends_whole(mut self, bound: u64) {
        self.goes_on().await;
        assert_grew_by_at_most(self.chain.agent.daemon().id(), self.before, bound + SLACK);
        let status = timeout(PATIENCE, self.board.finish()).await.expect("it delivers what it holds");
        assert_eq!((status.acknowledged, status.lost), (status.measured, 0), "{status:?}");
        let all = self.measured.count();
        let stored = |audit: &serde_json::Value| number(audit, "/totals/stored") >= all;
        self.chain.api().get_when("its readings stored", "/api/v1/audit", stored).await;
        assert!(self.chain.agent.daemon().is_running());
        let lines = self.chain.agent.daemon().last_lines();
        assert!(!lines.iter().any(|line| line.contains("panicked")), "{lines:?}");
    }
}

fn allow(agent: &Part, device: &str) {
    assert!(agent.command(&["devices", "allow", device]).status.success());
}

fn hello(device: &str) -> Vec<u8> {
    let name = ChannelName::new("level").expect("a name");
    let channels = [ChannelDecl { name, unit: "m", kind: ValueKind::F64, scale: 0 }];
    let mut buffer = vec![0; encoded_len(MAX_FRAME)];
    let hello = Hello {
        device: DeviceId::new(device).expect("a slug"),
        tag: "",
        firmware: "",
        boot: None,
        standing: Standing::Present,
        floor: Seq(0),
        next: Seq(0),
        channels: ChannelList::new(&channels).expect("few"),
    };
    let len = encode_up(&Up::Hello(hello), &mut buffer).expect("it fits");
    buffer[..len].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_links_is_closed_and_counted_and_boards_from_elsewhere_find_a_place() {
    const FLOOD: usize = 150;
    let mut chain = Chain::new(RULES);
    if let Some(toml::Value::Array(sources)) = chain.agent.settings.get_mut("source") {
        let source = sources[0].as_table_mut().expect("a section");
        source.insert("max_links".to_owned(), 100.into());
        source.insert("max_links_per_address".to_owned(), 40.into());
    }
    chain.start();
    let measured = Measured::default();
    let link = chain.board_link();
    let first = measured.board(1, PERIOD_MS, link);
    timeout(PATIENCE, first.wait_until(|status| status.acknowledged > 0)).await.expect("it flows");
    let before = resident(chain.agent.daemon().id());
    let mut flood = Vec::new();
    for _ in 0..FLOOD {
        flood.push(dial(link, THERE).await);
    }
    let page = chain.agent.address("status");
    let refused = "tidegate_agent_board_links_refused_total{why=\"max-links-per-address\"}";
    metric_when(page, refused, |refused| refused == FLOOD as u64 - 40).await;
    // One that comes only now, and one that comes back.
    let second = measured.board(2, PERIOD_MS, link);
    timeout(PATIENCE, second.wait_until(|status| status.acknowledged > 0)).await.expect("it flows");
    // From more addresses all places are gone, and what is connected stays.
    for host in 3..6 {
        for _ in 0..40 {
            flood.push(dial(link, Ipv4Addr::new(127, 0, 0, host)).await);
        }
    }
    let refused = "tidegate_agent_board_links_refused_total{why=\"max-links\"}";
    metric_when(page, refused, |refused| refused > 0).await;
    // They vanish without a goodbye, and their places are good for others.
    for stream in &flood {
        stream.set_zero_linger().expect("an option of TCP");
    }
    drop(flood);
    let third = measured.board(3, PERIOD_MS, link);
    for board in [first, second, third] {
        let from = board.acknowledged();
        timeout(PATIENCE, board.wait_until(|status| status.acknowledged > from)).await.expect("it flows");
        let status = timeout(PATIENCE, board.finish()).await.expect("it delivers what it holds");
        assert_eq!((status.acknowledged, status.lost), (status.measured, 0), "{status:?}");
    }
    assert_grew_by_at_most(chain.agent.daemon().id(), before, 100 * 64 * 1024 + SLACK);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_without_an_end_is_counted_and_kept_by_nobody() {
    const LINKS: usize = 20;
    const EACH: usize = 4 << 20;
    let yard = Yard::open(toml::toml! { admit = "local" }).await;
    let link = yard.chain.board_link();
    let mut garbage = Vec::new();
    for number in 0..LINKS {
        garbage.push(tokio::spawn(async move {
            let mut stream = dial(link, THERE).await;
            // Half of it never ends a frame, the other ends one all the time.
            let byte = if number % 2 == 0 { 7 } else { 0 };
            let mut bytes = vec![byte; 64 * 1024];
            bytes[0] = 7;
            for _ in 0..EACH / bytes.len() {
                stream.write_all(&bytes).await.expect("it is read");
            }
            stream
        }));
    }
    yard.goes_on().await;
    let mut open = Vec::new();
    for sent in garbage {
        open.push(timeout(PATIENCE, sent).await.expect("all of it is read").expect("it does not panic"));
    }
    // The end of what never ended is one frame that cannot be read.
    for stream in &mut open {
        stream.write_all(&[0]).await.expect("it is open");
    }
    let page = yard.chain.agent.address("status");
    let bad = "tidegate_agent_bad_frames_total{kind=\"too-long\"}";
    metric_when(page, bad, |bad| bad >= LINKS as u64 / 2).await;
    drop(open);
    yard.ends_whole(LINKS as u64 * 64 * 1024).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_made_up_without_end_fill_a_bounded_list_and_push_out_their_own() {
    const NAMES: usize = 5_000;
    let yard = Yard::open(toml::toml! { admit = "none" }).await;
    let link = yard.chain.board_link();
    // Somebody who waits to be allowed, from another address.
    let waiting = yard.measured.board(2, PERIOD_MS, link);
    let status = yard.chain.agent_status();
    let is_listed = |status: &serde_json::Value| {
        status["pending"].as_array().is_some_and(|all| all.iter().any(|one| one["device"] == "board-2"))
    };
    status.get_when("board-2 is listed", "/status", is_listed).await;
    let mut stream = dial(link, THERE).await;
    for number in 0..NAMES {
        stream.write_all(&hello(&format!("made-up-{number}"))).await.expect("it is read");
    }
    let page = yard.chain.agent.address("status");
    let held = "tidegate_agent_hellos_held_total{why=\"unknown\"}";
    metric_when(page, held, |held| held > NAMES as u64).await;
    let shown = status.get_when("board-2 is listed still", "/status", is_listed).await;
    let pending = shown["pending"].as_array().expect("a list").len();
    assert!((2..=64).contains(&pending), "{pending}");
    // Allowed, it brings all that it kept.
    allow(&yard.chain.agent, "board-2");
    timeout(PATIENCE, waiting.wait_until(|status| status.acknowledged > 0)).await.expect("it flows");
    let end = timeout(PATIENCE, waiting.finish()).await.expect("it delivers what it holds");
    assert_eq!((end.acknowledged, end.lost), (end.measured, 0));
    yard.ends_whole(MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_never_read_are_owed_no_more_than_a_few_frames() {
    const LINKS: usize = 50;
    const HELLOS: usize = 2_000;
    let yard = Yard::open(toml::toml! { admit = "local" }).await;
    let link = yard.chain.board_link();
    let mut stuck = Vec::new();
    for number in 0..LINKS {
        let mut stream = dial(link, THERE).await;
        let greeting = hello(&format!("stuck-{number}"));
        stuck.push(tokio::spawn(async move {
            for _ in 0..HELLOS {
                stream.write_all(&greeting).await.expect("it is read");
            }
            // Each was answered until nobody took the answers.
            stream
        }));
    }
    yard.goes_on().await;
    let mut open = Vec::new();
    for sent in stuck {
        open.push(timeout(PATIENCE, sent).await.expect("all of it is read").expect("it does not panic"));
    }
    let mut welcome = [0; 4];
    timeout(PATIENCE, open[0].read_exact(&mut welcome)).await.expect("an answer").expect("whole");
    let page = yard.chain.agent.address("status");
    assert_eq!(metric(page, "tidegate_agent_origins_refused_total").await.unwrap_or(0), 0, "offers are free");
    yard.ends_whole(LINKS as u64 * 64 * 1024).await;
}
