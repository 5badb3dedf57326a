//! Broker, ingest and agent under mutual TLS, as three processes: readings arrive, a gateway that is revoked is shut out and
//! loses nothing, and what does not fit is said in words.

use serde_json::Value;
use tidegate_simulator::BoardHandle;
use tidegate_tests::{
    api::number,
    chain::Part,
    eventually::eventually,
    measured::{Measured, RULES},
    secured::Secured,
};
use tidegate_trust::authority::{Authority, When, replace};

const PERIOD_MS: u32 = 10;
/// How many readings a gateway collects that is shut out.
const COLLECTED: u64 = 200;

/// Waits for a line of a program's log.
async fn logs(part: &mut Part, said: &str) {
    eventually(&format!("a line of the log that says {said:?}"), || {
        let lines = part.daemon().last_lines();
        let found = lines.iter().any(|line| line.contains(said));
        async move { if found { Ok(()) } else { Err(format!("none of the last {}", lines.len())) } }
    })
    .await;
}

/// Exit code, and all that it said.
fn check(part: &Part, arguments: &[&str]) -> (Option<i32>, String) {
    let output = part.command(arguments);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("UTF-8"))
}

async fn acknowledged(board: &BoardHandle, more: u64) {
    let from = board.status().acknowledged;
    let until = board.wait_until(|status| status.acknowledged >= from + more);
    let flowing = tokio::time::timeout(tidegate_tests::eventually::PATIENCE, until).await;
    flowing.unwrap_or_else(|_| panic!("nothing flows: {:?}", board.status()));
}

fn stored(audit: &Value) -> u64 {
    number(audit, "/totals/stored")
}

async fn metric(address: std::net::SocketAddr, line: &str) {
    let url = format!("http://{address}/metrics");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client without TLS");
    eventually(&format!("the line {line:?} of {url}"), async || {
        let answer = client.get(&url).send().await.map_err(|error| error.to_string())?;
        let text = answer.text().await.map_err(|error| error.to_string())?;
        if text.lines().any(|found| found == line) { Ok(()) } else { Err(text) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_gateway_is_shut_out_and_what_it_keeps_arrives_when_it_is_let_in_again() {
    let mut secured = Secured::new(RULES);
    secured.chain.start();
    let measured = Measured::default();
    let board = measured.board(1, PERIOD_MS, secured.chain.board_link());
    acknowledged(&board, 50).await;
    let (api, status) = (secured.chain.api(), secured.chain.agent_status());
    api.get_when("readings stored", "/api/v1/audit", |audit| stored(audit) >= 50).await;
    for (part, listener, name) in [
        (&secured.chain.broker, "metrics", "broker"),
        (&secured.chain.agent, "status", "agent"),
        (&secured.chain.ingest, "http", "ingest"),
    ] {
        let line = format!("tidegate_{name}_certificate_expiry_timestamp_seconds 4733510400");
        metric(part.address(listener), &line).await;
    }
    let (code, said) = check(&secured.chain.agent, &["check", "--connect"]);
    assert_eq!(code, Some(0), "{said}");
    for line in
        ["as tidegate://plant/gw-a, until 2120-01-01T00:00:00Z", "lets this gateway in", "what comes down"]
    {
        assert!(said.contains(line), "{said}");
    }

    secured.revoke_gateway();
    status.get_when("the link is down", "/status", |status| status["uplink_up"] == false).await;
    logs(&mut secured.chain.agent, "says that our certificate is revoked").await;
    logs(&mut secured.chain.broker, "certificate is revoked").await;
    let (code, said) = check(&secured.chain.agent, &["check", "--connect"]);
    assert!(code == Some(1) && said.contains("says that our certificate is revoked"), "{said}");
    let enough = |status: &Value| number(status, "/queue/readings") >= COLLECTED;
    status.get_when("readings in the queue", "/status", enough).await;
    let before = stored(&api.get("/api/v1/audit").await);
    acknowledged(&board, COLLECTED / 2).await;
    assert_eq!(stored(&api.get("/api/v1/audit").await), before, "nothing gets past");

    secured.renew_gateway();
    status.get_when("the link is up", "/status", |status| status["uplink_up"] == true).await;
    let last = board.finish().await;
    assert_eq!((last.acknowledged, last.lost), (last.measured, 0), "{last:?}");
    let all = |audit: &Value| stored(audit) >= measured.count() && audit["totals"]["outstanding"] == 0;
    let audit = api.get_when("every reading stored", "/api/v1/audit", all).await;
    assert_eq!(stored(&audit), measured.count(), "{audit}");
    for count in ["lost", "conflicts"] {
        assert_eq!(number(&audit, &format!("/totals/{count}")), 0, "{audit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_under_a_running_chain_and_every_part_comes_back_with_the_new_ones() {
    let mut secured = Secured::new(RULES);
    // It hears of nothing but by SIGHUP.
    secured.chain.broker.settings["tls"]["reload_interval_ms"] = 3_600_000.into();
    secured.chain.start();
    let measured = Measured::default();
    let board = measured.board(1, PERIOD_MS, secured.chain.board_link());
    acknowledged(&board, 20).await;

    // A broken file: nothing changes, and it is said.
    replace(&secured.path("broker.pem"), "broken\n", 0o644);
    secured.chain.broker.daemon().signal(libc::SIGHUP);
    logs(&mut secured.chain.broker, "those of before stay in force").await;
    acknowledged(&board, 20).await;

    // The broker comes back as somebody else, whom nobody trusts; then the others learn to.
    let new = Authority::new("new");
    new.server(&["127.0.0.1"], When::Now).write(secured.chain.folder(), "broker");
    secured.chain.broker.kill();
    secured.chain.broker.start();
    logs(&mut secured.chain.agent, "the broker's certificate is signed by no authority in `ca`").await;
    logs(&mut secured.chain.ingest, "the broker's certificate is signed by no authority in `ca`").await;
    let both = std::fs::read_to_string(secured.path("ca.pem")).expect("it is there") + &new.pem();
    replace(&secured.path("ca.pem"), &both, 0o644);
    let last = board.finish().await;
    assert_eq!((last.acknowledged, last.lost), (last.measured, 0), "{last:?}");
    let all = |audit: &Value| stored(audit) == measured.count() && audit["totals"]["outstanding"] == 0;
    secured.chain.api().get_when("every reading stored", "/api/v1/audit", all).await;
}

/// Of the gateway by its word, of the broker by asking it, though the ingest's connection stands.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_end_soon_raise_alarms_whoever_shows_them() {
    let mut secured = Secured::new(RULES);
    let soon = unix_s() + 20 * 86_400;
    secured.all_end(When::Until(soon));
    secured.chain.start();
    let api = secured.chain.api();
    let all = ["cloud/broker", "cloud/ingest", "plant/gw-a"];
    let warned = |alarms: &Value| {
        let alarms = alarms["alarms"].as_array().expect("alarms");
        let place = |alarm: &Value| {
            format!("{}/{}", alarm["site"].as_str().unwrap_or("?"), alarm["device"].as_str().unwrap_or("?"))
        };
        let mut places: Vec<_> = alarms.iter().map(place).collect();
        places.sort();
        places == all
    };
    api.get_when("three alarms", "/api/v1/alarms?rule=certificate-expiry-warning", warned).await;
}

fn unix_s() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().expect("it is later than 1970").as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn check_connect_says_what_is_wrong() {
    let mut secured = Secured::new("");
    secured.chain.start_broker();
    let cases = [
        ("tidegate://plant/gw-a", When::Past, "by the broker's clock our certificate has expired"),
        (
            "tidegate://plant/gw-b",
            When::Now,
            "the certificate is for tidegate://plant/gw-b, and this is tidegate://plant/gw-a",
        ),
        ("https://example.org/", When::Now, "does not authorise this gateway"),
    ];
    // `check` writes no file; one that starts has written it.
    secured.chain.agent.start();
    for (uri, when, expected) in cases {
        secured.gateway_is(uri, when);
        let (code, said) = check(&secured.chain.agent, &["check", "--connect"]);
        assert!(code == Some(1) && said.contains(expected), "{uri}: {said}");
    }
    secured.renew_gateway();
    secured.broker_is("elsewhere.example");
    let named = |part: &Part| check(part, &["check", "--connect"]);
    let (code, said) = eventually("the broker shows its other certificate", async || {
        let (code, said) = named(&secured.chain.agent);
        if code == Some(0) { Err(said) } else { Ok((code, said)) }
    })
    .await;
    assert!(code == Some(1) && said.contains("elsewhere.example"), "{said}");
    replace(&secured.path("ca.pem"), &Authority::new("plant").pem(), 0o644);
    let (code, said) = check(&secured.chain.agent, &["check", "--connect"]);
    assert!(code == Some(1) && said.contains("signed by no authority in `ca`"), "{said}");
    replace(&secured.path("agent.key"), "no key\n", 0o600);
    let (code, said) = check(&secured.chain.agent, &["check"]);
    assert!(code == Some(2) && said.contains("broker.tls.key (line"), "{said}");
}
