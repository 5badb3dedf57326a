//! An ingest is restored from a backup that is older than what it acknowledged. The agents have deleted that, so it is
//! gone; but it is said, by range and reason, and all that comes after is stored as ever.

use std::{process::Output, time::Duration};

use serde_json::Value as Json;
use tidegate_simulator::BoardHandle;
use tidegate_tests::{
    api::number,
    chain::Chain,
    eventually::eventually,
    lake,
    measured::{Measured, RULES},
};

const BOARDS: u64 = 3;
const PERIOD_MS: u32 = 10;

/// Waits until each board has readings acknowledged that it took after now.
async fn flows(boards: &[BoardHandle]) {
    for board in boards {
        let before = board.measured();
        let until = board.wait_until(|status| status.acknowledged > before);
        let flowing = tokio::time::timeout(Duration::from_secs(60), until).await;
        flowing.unwrap_or_else(|_| panic!("{}: nothing flows: {:?}", board.device(), board.status()));
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn lost_for(audit: &Json, reason: &str) -> u64 {
    let origins = audit["origins"].as_array().expect("a list of origins");
    origins.iter().map(|origin| origin["lost"][reason].as_u64().unwrap_or(0)).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restored_ingest_forgot_is_declared_and_nothing_stays_open() {
    let mut chain = Chain::new(RULES);
    chain.start();
    let measured = Measured::default();
    let link = chain.board_link();
    let boards: Vec<_> = (1..=BOARDS).map(|number| measured.board(number, PERIOD_MS, link)).collect();
    flows(&boards).await;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let backup = folder.path().join("backup");
    let backup = backup.to_str().expect("a path in UTF-8");
    let done = chain.ingest.command(&["backup", "--to", backup]);
    assert!(done.status.success(), "beside a running ingest: {}", said(&done));
    let again = chain.ingest.command(&["backup", "--to", backup]);
    assert!(!again.status.success() && said(&again).contains("not empty"), "{}", said(&again));
    let in_use = chain.ingest.command(&["restore", "--from", backup, "--replace"]);
    assert!(!in_use.status.success() && said(&in_use).contains("stop it first"), "{}", said(&in_use));

    // All of this is acknowledged, and will be forgotten.
    let backed_up = number(&chain.api().get("/api/v1/audit").await, "/totals/stored");
    let api = chain.api();
    api.get_when("readings after the backup", "/api/v1/audit", |audit| {
        number(audit, "/totals/stored") > backed_up + 300
    })
    .await;
    flows(&boards).await;
    assert!(chain.ingest.terminate().success());
    let refused = chain.ingest.command(&["restore", "--from", backup]);
    assert!(!refused.status.success() && said(&refused).contains("--replace"), "{}", said(&refused));
    let restored = chain.ingest.command(&["restore", "--from", backup, "--replace"]);
    assert!(restored.status.success(), "{}", said(&restored));
    chain.ingest.start();
    flows(&boards).await;

    for board in boards {
        let finished = tokio::time::timeout(Duration::from_secs(60), board.finish()).await;
        let status = finished.expect("a board delivers what it holds");
        assert_eq!((status.acknowledged, status.lost), (status.measured, 0), "{status:?}");
    }
    let ended = chain.agent.terminate();
    assert!(ended.success(), "the agent ends cleanly: {ended}");
    let api = chain.api();
    let count = measured.count();
    let audit = api
        .get_when("everything accounted for", "/api/v1/audit", |audit| {
            number(audit, "/totals/outstanding") == 0 && number(audit, "/totals/measured") == count
        })
        .await;
    let (stored, lost) = (number(&audit, "/totals/stored"), number(&audit, "/totals/lost"));
    assert_eq!(audit["complete"], true, "{audit}");
    assert_eq!(stored + lost, count, "{audit}");
    assert_eq!(lost_for(&audit, "rolled-back"), lost, "and for no other reason: {audit}");
    assert!(lost >= 300, "the window is counted: {audit}");

    let data = chain.ingest_data();
    let select = "SELECT count(*), count(DISTINCT (device, boot, seq)) FROM LAKE";
    let rows = eventually("all stored readings in the lake", async || {
        let rows = lake::try_query(&data, select)?;
        if rows[0][0].as_u64() >= Some(stored) { Ok(rows) } else { Err(format!("{rows:?} of {stored}")) }
    })
    .await;
    assert_eq!((rows[0][0].as_u64(), rows[0][1].as_u64()), (Some(stored), Some(stored)), "nothing twice");
}
