//! The ingest as a whole: its heartbeat, and its receivers by HTTP.

use serde_json::{Value as Json, json};
use tidegate_ingest::{Config, Running, Settings, start};

use crate::{
    PATIENCE,
    hook::{Hook, status},
    in_time, webhook,
};

async fn ingest(folder: &std::path::Path, more: Json) -> Running {
    let mut settings = json!({
        "data_dir": "data", "broker": { "address": "127.0.0.1:1" }, "http": { "listen": "127.0.0.1:0" },
        "journal": { "map_size_bytes": 1 << 27 },
    });
    for (key, value) in more.as_object().expect("an object") {
        settings[key] = value.clone();
    }
    let settings: Settings = serde_json::from_value(settings).expect("settings");
    let config = Config::from_settings(&folder.join("ingest.toml"), settings).expect("good settings");
    start(config).await.expect("it starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_is_called_while_it_is_well_and_ends_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hook = Hook::start(|_, _| status("200 OK")).await;
    let heartbeat = json!({ "url": hook.url(), "interval": "1s", "allow_internal": true });
    let running = ingest(folder.path(), json!({ "heartbeat": heartbeat })).await;
    assert_eq!(hook.next().await.json(), json!({ "type": "heartbeat" }));
    hook.next().await;
    let metrics = reqwest::get(format!("http://{}/metrics", running.http)).await.expect("it answers");
    let metrics = metrics.text().await.expect("text");
    let line = metrics.lines().find(|line| line.starts_with("tidegate_ingest_heartbeat_timestamp_seconds "));
    let seconds: f64 =
        line.and_then(|line| line.split(' ').nth(1)).expect(&metrics).parse().expect("a number");
    let now = jiff::Timestamp::now().as_second() as f64;
    assert!((now - 120.0..now + 1.0).contains(&seconds), "{seconds} at {now}");
    running.drain(PATIENCE).await.expect("it drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_are_shown_and_tested_by_http() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hook = Hook::start(|_, _| status("200 OK")).await;
    let running = ingest(folder.path(), json!({ "receiver": [webhook("ops", &hook.url())] })).await;
    let base = format!("http://{}/api/v1", running.http);
    let client = reqwest::Client::new();
    let shown: Json =
        client.get(format!("{base}/receivers")).send().await.expect("it answers").json().await.unwrap();
    assert_eq!(
        (&shown["receivers"][0]["id"], &shown["receivers"][0]["state"]),
        (&json!("ops"), &json!("ok"))
    );
    assert!(!shown.to_string().contains("key=1"), "the address may be a secret: {shown}");
    let order = client.post(format!("{base}/receivers/ops/test")).json(&json!({ "operator": "eva" })).send();
    let answer: Json = in_time("an answer", order).await.expect("it answers").json().await.unwrap();
    assert_eq!(answer, json!({ "receiver": "ops", "delivered": true, "error": null }));
    assert_eq!(hook.next().await.json()["type"], "test");
    running.drain(PATIENCE).await.expect("it drains");
}
