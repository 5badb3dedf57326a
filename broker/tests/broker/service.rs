//! The service around MQTT: metrics, health, shutdown, and a listener that is taken.

use std::time::Duration;

use rumqttc::QoS;
use tidegate_broker::{Config, Running, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::raw::Raw;
use crate::support::{Client, PATIENCE, broker, config};

pub async fn get(broker: &Running, path: &str) -> String {
    let mut stream = TcpStream::connect(broker.metrics).await.expect("the page is served");
    let request = format!("GET {path} HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer").expect("text");
    answer
}

/// Waits until the metrics page has this line.
pub async fn until_metric(broker: &Running, line: &str) {
    let watch = async {
        while !get(broker, "/metrics").await.lines().any(|found| found == line) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, watch).await.unwrap_or_else(|_| panic!("no line {line:?}"));
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let broker = broker().await;
    until_metric(&broker, "tidegate_broker_up 1.0").await;
    let mut client = Client::new(&broker, "operator", "o").await;
    client.subscribe("home/x", QoS::AtLeastOnce).await;
    client.subscribe("$share/a/b", QoS::AtLeastOnce).await;
    client.publish("home/x", "1", QoS::AtLeastOnce, true).await;
    client.message().await;
    client.publish_refused("tidegate/v1/x").await;
    let mut refused = Raw::open(&broker).await;
    refused.send(&[0xc0, 0]).await;
    assert!(refused.is_cut_off().await);
    for line in [
        "tidegate_broker_connections 0",
        "tidegate_broker_connections_accepted_total 1",
        "tidegate_broker_connections_refused_total{reason=\"protocol\"} 1",
        "tidegate_broker_connections_ended_total{reason=\"unauthorised\"} 1",
        "tidegate_broker_messages_received_total 1",
        "tidegate_broker_messages_sent_total 1",
        "tidegate_broker_messages_skipped_total 0",
        "tidegate_broker_retained_messages 1",
        "tidegate_broker_authorisation_refusals_total{action=\"publish\"} 1",
        "tidegate_broker_authorisation_refusals_total{action=\"subscribe\"} 1",
        "tidegate_broker_router_restarts_total 0",
    ] {
        until_metric(&broker, line).await;
    }
}

#[tokio::test]
async fn health_says_ok_once_the_probe_has_come_back() {
    let broker = broker().await;
    until_metric(&broker, "tidegate_broker_up 1.0").await;
    let answer = get(&broker, "/health").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"status\":\"ok\"") && answer.contains("\"router_restarts\":0"), "{answer}");
}

#[tokio::test]
async fn a_drained_broker_lets_everyone_go_and_listens_no_more() {
    let broker = broker().await;
    let address = broker.mqtt;
    let mut client = Raw::connect(&broker, "viewer", "v", 60).await;
    let mut undecided = Raw::open(&broker).await;
    broker.drain(PATIENCE).await.expect("everyone leaves in time");
    assert!(client.is_cut_off().await && undecided.is_cut_off().await);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_taken_address_is_one_clear_error() {
    let broker = broker().await;
    let error =
        tidegate_broker::start(Config { listen: broker.mqtt, ..config() }).await.expect_err("it is taken");
    assert!(matches!(error, StartError::Listen { .. }));
    let text = error.to_string();
    assert!(text.contains(&broker.mqtt.to_string()) && text.contains("set `listen`"), "{text}");
}
