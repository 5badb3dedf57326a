//! A recording replayed by a virtual board comes out of the lake value by value, and the rule raises and clears where
//! a plain look at the file says.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tidegate_tests::{
    api::number,
    chain::Chain,
    eventually::eventually,
    lake::{self, double},
    measured::history,
    programs::program,
    recording::{episodes_below, published, values},
};

const LIMIT: f64 = 40.0;
const RULES: &str = r#"
[[rule]]
id = "too-cold"
select = { device = "machine", channel = "temperature" }
below = 40.0
unit = "Cel"
priority = "high"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_recording_arrives_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("generated.csv");
    let made = Command::new(program("tidegate-sim"))
        .args(["generate", "--seed", "20261122", "--rows", "20000"])
        .stdout(std::fs::File::create(&file).expect("a file in the temporary folder"))
        .status()
        .expect("tidegate-sim starts");
    assert!(made.success());
    arrives_whole(&file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_temperature_recording_arrives_whole() {
    let file = published("machine_temperature_system_failure.csv");
    assert_eq!(values(&file).len(), 22_695, "this is another recording");
    arrives_whole(&file).await;
}

async fn arrives_whole(file: &Path) {
    let expected = values(file);
    let episodes = episodes_below(LIMIT, &expected);
    assert!(episodes.len() > 1, "a recording that never crosses {LIMIT} proves nothing about alarms");
    let mut chain = Chain::new(RULES);
    chain.start();
    replay(file, &chain);

    let count = expected.len() as u64;
    let api = chain.api();
    let audit = api
        .get_when("every reading stored", "/api/v1/audit", |audit| audit["totals"]["stored"] == count)
        .await;
    assert_eq!((number(&audit, "/totals/lost"), number(&audit, "/totals/outstanding")), (0, 0), "{audit}");

    let data = chain.ingest_data();
    eventually("every reading in the lake", async || {
        let rows = lake::try_query(&data, "SELECT count(*) FROM LAKE")?;
        if rows == [[Value::from(count)]] { Ok(()) } else { Err(format!("{rows:?}")) }
    })
    .await;
    lake_holds(&data, &expected);
    assert_eq!(history(&api, "machine").await, episodes);
}

fn replay(file: &Path, chain: &Chain) {
    let replayed = Command::new(program("tidegate-sim"))
        .arg("replay")
        .arg(file)
        .args(["--connect", &chain.board_link().to_string(), "--device", "machine"])
        .args(["--speed", "max", "--channel", "temperature", "--unit", "Cel"])
        .stdin(Stdio::null())
        .output()
        .expect("tidegate-sim starts");
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
}

/// Every value by its seq and bit by bit; then count and sum as DuckDB itself computes them.
fn lake_holds(data: &Path, expected: &[f64]) {
    let rows = lake::query(data, "SELECT seq, value FROM LAKE WHERE channel = 'temperature' ORDER BY seq");
    let found: Vec<(Option<u64>, u64)> =
        rows.iter().map(|row| (row[0].as_u64(), double(&row[1]).to_bits())).collect();
    let wanted: Vec<(Option<u64>, u64)> =
        (0..).zip(expected).map(|(seq, value)| (Some(seq), value.to_bits())).collect();
    if let Some(at) = (0..wanted.len().max(found.len())).find(|at| found.get(*at) != wanted.get(*at)) {
        panic!("row {at}: {:?} in the lake, {:?} in the file", found.get(at), wanted.get(at));
    }
    let totals = lake::query(data, "SELECT count(*), sum(value) FROM LAKE");
    let sum: f64 = expected.iter().sum();
    assert_eq!(totals[0][0].as_u64(), Some(expected.len() as u64));
    // DuckDB adds in another order.
    assert!((double(&totals[0][1]) - sum).abs() <= sum.abs() * 1e-12, "{} is not {sum}", totals[0][1]);
}
