//! How fast blocks pass through the broker: one gateway publishes 2.5 KB blocks at QoS 1 as fast as its window lets it,
//! one ingest takes and acknowledges them. Then the latency of single blocks on an idle broker.
//!
//!     cargo bench -p tidegate-broker

use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};
use tidegate_broker::access::GatewayAccess;
use tidegate_broker::{Config, Role, Running, User};
use tidegate_protocol::topic::{ALL_BLOCKS, GatewayPath, Lane};
use tidegate_protocol::{GatewayId, SiteId};

const BLOCK_BYTES: usize = 2500;
/// What such a block holds, by the project's own format.
const READINGS: usize = 1000;
const BLOCKS: usize = 50_000;
const SINGLES: usize = 2000;

fn client(broker: &Running, name: &str, id: &str) -> (AsyncClient, rumqttc::EventLoop) {
    let mut options = MqttOptions::new(id, broker.mqtt.ip().to_string(), broker.mqtt.port());
    options.set_credentials(name, name).set_max_packet_size(1 << 20, 1 << 20).set_inflight(100);
    let (client, mut events) = AsyncClient::new(options, 100);
    let mut network = events.network_options();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    (client, events)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let path =
        GatewayPath::new(SiteId::new("plant").expect("a site"), GatewayId::new("gw1").expect("a gateway"));
    let users = vec![
        User::new("gw1", "gw1", Role::Gateway(GatewayAccess::new(path))),
        User::new("ingest", "ingest", Role::Ingest),
    ];
    let broker =
        tidegate_broker::start(Config::demo(([127, 0, 0, 1], 0).into(), users)).await.expect("it starts");
    let (ingest, mut ingest_events) = client(&broker, "ingest", "ingest");
    let (gateway, mut gateway_events) = client(&broker, "gw1", "plant.gw1");
    ingest.subscribe(ALL_BLOCKS, QoS::AtLeastOnce).await.expect("queued");
    while !matches!(ingest_events.poll().await.expect("it lives"), Event::Incoming(Incoming::SubAck(_))) {}
    tokio::spawn(async move { while gateway_events.poll().await.is_ok() {} });

    let topic = path.up(Lane::Live);
    let block = vec![7_u8; BLOCK_BYTES];
    let (sender, sent_topic, sent_block) = (gateway.clone(), topic.clone(), block.clone());
    let started = Instant::now();
    tokio::spawn(async move {
        for _ in 0..BLOCKS {
            sender.publish(&sent_topic, QoS::AtLeastOnce, false, sent_block.clone()).await.expect("queued");
        }
    });
    for _ in 0..BLOCKS {
        next_block(&mut ingest_events).await;
    }
    let blocks_per_s = BLOCKS as f64 / started.elapsed().as_secs_f64();
    println!(
        "{blocks_per_s:.0} blocks/s of {BLOCK_BYTES} bytes, {:.2} M readings/s",
        blocks_per_s * READINGS as f64 / 1e6
    );

    let mut latencies = Vec::with_capacity(SINGLES);
    for _ in 0..SINGLES {
        let started = Instant::now();
        gateway.publish(&topic, QoS::AtLeastOnce, false, block.clone()).await.expect("queued");
        next_block(&mut ingest_events).await;
        latencies.push(started.elapsed());
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    latencies.sort();
    println!("single blocks: p50 {:?}, p99 {:?}", latencies[SINGLES / 2], latencies[SINGLES * 99 / 100]);
}

async fn next_block(events: &mut rumqttc::EventLoop) {
    while !matches!(events.poll().await.expect("it lives"), Event::Incoming(Incoming::Publish(_))) {}
}
