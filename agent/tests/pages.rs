//! The agent by itself, no broker anywhere: its pages answer, its host source is committed, and a restart goes on.

use std::{net::SocketAddr, path::Path, time::Duration};

use tidegate_agent::{Config, Running, Settings, queue};
use tidegate_trust::authority::{Authority, When};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const PATIENCE: Duration = Duration::from_secs(20);

async fn agent(data: &Path) -> Running {
    start(Path::new("agent.toml"), &settings(data)).await
}

async fn start(file: &Path, text: &str) -> Running {
    let settings = tidegate_service::parse::<Settings>(file, text).expect("it parses");
    tidegate_agent::start(Config::validate(file, settings).expect("it is good")).await.expect("it starts")
}

fn settings(data: &Path) -> String {
    format!(
        r#"
        site = "plant"
        gateway = "gw-a"
        data_dir = "{}"
        [broker]
        address = "127.0.0.1:9"
        [status]
        listen = "127.0.0.1:0"
        [[source]]
        type = "host"
        device = "gw-a-host"
        interval_ms = 100
        [[source]]
        type = "board-tcp"
        listen = "127.0.0.1:0"
        "#,
        data.display()
    )
}

async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("the page is served");
    let request = format!("GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

async fn status(address: SocketAddr) -> serde_json::Value {
    let (line, body) = get(address, "/status").await;
    assert!(line.contains("200"), "{line}");
    serde_json::from_str(&body).expect("JSON")
}

/// Waits until the queue holds at least this many readings.
async fn queued(address: SocketAddr, readings: u64) -> serde_json::Value {
    let enough = async {
        loop {
            let status = status(address).await;
            if status["queue"]["readings"].as_u64() >= Some(readings) {
                return status;
            }
        }
    };
    tokio::time::timeout(PATIENCE, enough).await.expect("the host is measured")
}

#[tokio::test]
async fn the_pages_tell_what_the_queue_keeps_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = agent(folder.path()).await;
    let told = queued(first.status, 20).await;
    assert_eq!((&told["site"], &told["gateway"]), (&"plant".into(), &"gw-a".into()));
    assert_eq!((&told["uplink_up"], &told["outage"]), (&false.into(), &true.into()));
    assert!(told["oldest_queued_ms"].is_u64(), "{told}");
    assert_eq!(told["devices"][0]["device"], "gw-a-host");
    let (line, metrics) = get(first.status, "/metrics").await;
    assert!(line.contains("200") && metrics.contains("tidegate_agent_queue_readings "), "{metrics}");
    assert!(!metrics.contains("gw-a-host"), "no metric carries a device's name");
    let (line, health) = get(first.status, "/health").await;
    assert!(line.contains("200") && health.contains("\"uplink\":\"down\""), "{health}");
    let kept = first.drain(PATIENCE).await.expect("all is safe").view.expect("it answers").queue.readings;
    let stats = queue::read_stats(folder.path()).expect("the queue is there");
    assert_eq!((stats.totals.readings, stats.entries), (kept, stats.totals.blocks));
    assert!(stats.origins[0].closed, "a clean stop closes the host's boot");
    let second = agent(folder.path()).await;
    let told = queued(second.status, kept + 1).await;
    assert!(told["queue"]["readings"].as_u64() > Some(kept));
    second.drain(PATIENCE).await.expect("all is safe");
}

/// A gateway whose certificates are wrong has no link; that is no reason to measure nothing.
#[tokio::test]
async fn without_good_certificates_it_measures_on_and_tells_their_end_once_they_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let tls = "[broker.tls]\nca = \"ca.pem\"\ncertificate = \"gw-a.pem\"\nkey = \"gw-a.key\"\n[status]";
    let text = settings(folder.path()).replacen("[status]", tls, 1);
    let running = start(&folder.path().join("agent.toml"), &text).await;
    queued(running.status, 5).await;
    let (_, before) = get(running.status, "/metrics").await;
    assert!(!before.contains("certificate_expiry"), "{before}");
    Authority::new("plant").client(&["tidegate://plant/gw-a"], When::Now).write(folder.path(), "gw-a");
    let (_, after) = get(running.status, "/metrics").await;
    assert!(after.contains("\ntidegate_agent_certificate_expiry_timestamp_seconds 4733510400\n"), "{after}");
    running.drain(PATIENCE).await.expect("all is safe");
}

#[tokio::test]
async fn a_second_agent_in_one_folder_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let first = agent(folder.path()).await;
    let text = format!(
        "site = \"plant\"\ngateway = \"gw-b\"\ndata_dir = \"{}\"\n[broker]\naddress = \"127.0.0.1:9\"\n[status]\n\
         listen = \"127.0.0.1:0\"\n[[source]]\ntype = \"host\"\ndevice = \"h\"\n",
        folder.path().display()
    );
    let settings = tidegate_service::parse::<Settings>(Path::new("b.toml"), &text).expect("it parses");
    let refused =
        tidegate_agent::start(Config::validate(Path::new("b.toml"), settings).expect("it is good")).await;
    let message = refused.err().expect("the folder is in use").to_string();
    assert!(message.contains("another agent uses") && message.contains("data_dir"), "{message}");
    first.drain(PATIENCE).await.expect("all is safe");
}
