//! Nothing is lost and nothing is doubled, whatever is killed or cut: the readings of the boards and of the gateway's
//! own host arrive once each, with the alarm history that they would have had without the trouble.

use std::time::Duration;

use tidegate_simulator::{BoardHandle, Proxy};
use tidegate_tests::{
    api::number,
    chain::{Chain, Part},
    eventually::eventually,
    lake,
    measured::{Measured, RULES},
};
use toml::{Table, Value};

const BOARDS: u64 = 3;
const PERIOD_MS: u32 = 10;
/// The host is sampled often, so that kills meet it.
const HOST: &str = "type = \"host\"\ndevice = \"gw-a-host\"\ninterval_ms = 100\nflush_interval_ms = 0";

/// Points are passed for the first time in a state of their own; so each is also met in the middle of the flow.
const TIMES: [u32; 2] = [1, 5];

/// A chain whose agent reaches the broker through a proxy, and the boards on it.
struct Trial {
    chain: Chain,
    proxy: Proxy,
    measured: Measured,
    boards: Vec<BoardHandle>,
}

impl Trial {
    async fn start() -> Self {
        let mut chain = Chain::new(RULES);
        let host: Table = HOST.parse().expect("TOML");
        match chain.agent.settings.get_mut("source") {
            Some(Value::Array(sources)) => sources.push(host.into()),
            _ => panic!("the agent has sources"),
        }
        chain.start_broker();
        let proxy = Proxy::start(chain.mqtt()).await.expect("a free port");
        chain.connect_agent(proxy.addr());
        chain.ingest.start();
        chain.agent.start();
        let measured = Measured::default();
        let link = chain.board_link();
        let boards = (1..=BOARDS).map(|number| measured.board(number, PERIOD_MS, link)).collect();
        let trial = Self { chain, proxy, measured, boards };
        trial.flows().await;
        trial
    }

    /// Waits until each board has readings acknowledged that it took after now: the chain works.
    async fn flows(&self) {
        for board in &self.boards {
            let before = board.measured();
            let until = board.wait_until(|status| status.acknowledged > before);
            let flowing = tokio::time::timeout(Duration::from_secs(60), until).await;
            flowing.unwrap_or_else(|_| panic!("{}: nothing flows: {:?}", board.device(), board.status()));
        }
    }

    /// Waits until the agent has put readings away, as it does without a link; or is dead.
    async fn queued(&mut self) {
        let status = self.chain.agent_status();
        let agent = &mut self.chain.agent;
        eventually_or_dead("readings in the queue", agent, async || {
            let status = status.try_get("/status").await?;
            if number(&status, "/link/backlog_blocks") > 0 { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    }

    /// Waits until the agent's queue has drained; or it is dead.
    async fn drained(&mut self) {
        let status = self.chain.agent_status();
        let agent = &mut self.chain.agent;
        eventually_or_dead("an empty queue", agent, async || {
            let status = status.try_get("/status").await?;
            let drained = status["uplink_up"] == true && number(&status, "/link/backlog_blocks") == 0;
            if drained { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    }

    /// Ends the boards when they have delivered, then the agent; then holds the cloud against what was measured.
    async fn all_is_accounted_for(mut self) {
        self.proxy.restore();
        for board in self.boards.drain(..) {
            let finished = tokio::time::timeout(Duration::from_secs(60), board.finish()).await;
            let status = finished.expect("a board delivers what it holds");
            assert_eq!((status.acknowledged, status.lost), (status.measured, 0), "{status:?}");
        }
        let api = self.chain.api();
        let measured = self.measured.count();
        let arrived = |audit: &serde_json::Value| boards_stored(audit) >= measured;
        api.get_when("the boards' readings stored", "/api/v1/audit", arrived).await;
        let ended = self.chain.agent.terminate();
        assert!(ended.success(), "the agent ends cleanly: {ended}");

        let audit = api
            .get_when("everything accounted for", "/api/v1/audit", |audit| {
                audit["totals"]["outstanding"] == 0
            })
            .await;
        for count in ["lost", "conflicts"] {
            assert_eq!(number(&audit, &format!("/totals/{count}")), 0, "{count}: {audit}");
        }
        assert_eq!(number(&audit, "/totals/stored"), number(&audit, "/totals/measured"), "{audit}");
        let data = self.chain.ingest_data();
        self.measured.is_in_lake(&data).await;
        self.measured.has_its_history(&api).await;
        host_is_whole(&data, &audit).await;
    }
}

fn boards_stored(audit: &serde_json::Value) -> u64 {
    let origins = audit["origins"].as_array().expect("a list of origins");
    origins
        .iter()
        .filter(|origin| origin["device"] != "gw-a-host")
        .map(|origin| number(origin, "/stored"))
        .sum()
}

/// The host's readings have no observer; but they are numbered, so holes and doubles show.
async fn host_is_whole(data: &std::path::Path, audit: &serde_json::Value) {
    let origins = audit["origins"].as_array().expect("a list of origins");
    let of_host = origins.iter().filter(|origin| origin["device"] == "gw-a-host");
    let stored: u64 = of_host.map(|origin| number(origin, "/stored")).sum();
    assert!(stored > 0, "the host took part");
    let select = "SELECT boot, count(*), count(DISTINCT seq), max(seq) + 1, min(seq) FROM LAKE \
                  WHERE device = 'gw-a-host' GROUP BY boot";
    let rows = eventually("the host's readings in the lake", async || {
        let rows = lake::try_query(data, select)?;
        let count: u64 = rows.iter().filter_map(|row| row[1].as_u64()).sum();
        if count >= stored { Ok(rows) } else { Err(format!("{count} of {stored}")) }
    })
    .await;
    for row in rows {
        assert!(row[1] == row[2] && row[1] == row[3] && row[4] == 0, "holes or doubles: {row:?}");
    }
}

async fn eventually_or_dead<F>(what: &str, part: &mut Part, mut ask: impl FnMut() -> F)
where
    F: Future<Output = Result<(), String>>,
{
    eventually(what, || {
        let dead = !part.daemon().is_running();
        let answer = ask();
        async move { if dead { Ok(()) } else { answer.await } }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_link_and_a_killed_broker_cost_nothing() {
    let mut trial = Trial::start().await;
    for _ in 0..2 {
        trial.proxy.cut();
        trial.queued().await;
        trial.proxy.restore();
        trial.flows().await;
        trial.chain.broker.kill();
        trial.queued().await;
        trial.chain.broker.start();
        trial.flows().await;
        trial.drained().await;
    }
    trial.all_is_accounted_for().await;
}

/// Kills the agent at `point`, wherever in an outage or in the draining after it that lies, and starts it again.
async fn agent_dies_at(trial: &mut Trial, point: &str) {
    trial.chain.agent.kill();
    trial.chain.agent.start_with(&[("TIDEGATE_FAILPOINT", point)]);
    for _ in 0..20 {
        trial.proxy.cut();
        trial.queued().await;
        trial.proxy.restore();
        trial.drained().await;
        if !trial.chain.agent.daemon().is_running() {
            trial.chain.agent.wait_for_death();
            trial.chain.agent.start();
            return trial.flows().await;
        }
    }
    panic!("the agent never came to its failure point {point}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_anywhere_in_outage_and_draining_costs_nothing() {
    let mut trial = Trial::start().await;
    for point in tidegate_agent::failpoint::FailPoint::ALL.into_iter().filter(|point| point.kills()) {
        for nth in TIMES {
            agent_dies_at(&mut trial, &format!("{}:{nth}", point.name())).await;
        }
    }
    trial.all_is_accounted_for().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_killed_anywhere_in_its_commit_costs_nothing() {
    let mut trial = Trial::start().await;
    for point in tidegate_ingest::failpoint::FailPoint::ALL.into_iter().filter(|point| point.kills()) {
        for nth in TIMES {
            let point = format!("{}:{nth}", point.name());
            trial.chain.ingest.terminate();
            trial.chain.ingest.launch(&[("TIDEGATE_FAILPOINT", &point)]);
            trial.chain.ingest.wait_for_death();
            trial.chain.ingest.start();
            trial.flows().await;
        }
    }
    trial.all_is_accounted_for().await;
}
