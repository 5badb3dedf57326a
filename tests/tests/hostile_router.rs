//! The broker's router dies, or hangs, again and again while data flows: the broker says so, puts another in its place, and in the
//! end everything that was measured is stored.

use std::time::Duration;

use tidegate_tests::{
    api::number,
    chain::Chain,
    hostile::metric_when,
    measured::{Measured, RULES},
};

const BOARDS: u64 = 3;
const PERIOD_MS: u32 = 10;
const RESTARTS: &str = "tidegate_broker_router_restarts_total";

async fn all_arrives_though_the_router(fault: &str, times: u64) {
    let mut chain = Chain::new(RULES);
    let probe = toml::toml! { interval_ms = 50 timeout_ms = 500 };
    chain.broker.settings.insert("probe".to_owned(), probe.into());
    chain.broker.start_with(&[("TIDEGATE_FAILPOINT", fault)]);
    let broker = chain.mqtt();
    chain.connect_ingest(broker);
    chain.connect_agent(broker);
    chain.ingest.start();
    chain.agent.start();
    let measured = Measured::default();
    let link = chain.board_link();
    let boards: Vec<_> = (1..=BOARDS).map(|number| measured.board(number, PERIOD_MS, link)).collect();

    let page = chain.broker.address("metrics");
    let restarts = metric_when(page, RESTARTS, |restarts| restarts >= times).await;
    // It goes on after the last of them.
    for board in &boards {
        let before = board.measured();
        let until = board.wait_until(|status| status.acknowledged > before);
        tokio::time::timeout(Duration::from_secs(60), until).await.expect("readings flow");
    }
    assert!(chain.broker.daemon().is_running());
    let said = chain.broker.daemon().last_lines();
    let said = said.iter().filter(|line| line.contains("THE ROUTER FAILED")).count();
    assert!(said > 0 && said as u64 <= restarts + 1, "{said} lines for {restarts} restarts");

    for board in boards {
        let finished = tokio::time::timeout(Duration::from_secs(60), board.finish()).await;
        let status = finished.expect("a board delivers what it holds");
        assert_eq!((status.acknowledged, status.lost), (status.measured, 0), "{status:?}");
    }
    let all = measured.count();
    let audit = chain
        .api()
        .get_when("everything accounted for", "/api/v1/audit", |audit| {
            audit["totals"]["outstanding"] == 0 && number(audit, "/totals/stored") >= all
        })
        .await;
    let totals = ["stored", "lost", "conflicts"].map(|count| number(&audit, &format!("/totals/{count}")));
    assert_eq!(totals, [all, 0, 0], "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_dies_again_and_again_loses_nothing() {
    all_arrives_though_the_router("broker-router-dies:*60", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_hangs_again_and_again_loses_nothing() {
    all_arrives_though_the_router("broker-router-hangs:*60", 3).await;
}
