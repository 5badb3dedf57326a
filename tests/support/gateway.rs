//! A gateway made of a bare MQTT client: it publishes what it is told and hands on what it hears.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tidegate_protocol::{
    ack::{BlockAck, Outcome},
    block::{Block, Encoder, Stamp, stamp},
    topic::{Down, GatewayPath, Lane},
};
use tokio::{sync::mpsc, time::timeout};

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Gateway {
    client: AsyncClient,
    path: GatewayPath,
    pub acks: mpsc::UnboundedReceiver<BlockAck>,
    answered: HashMap<u64, Outcome>,
    next_number: u64,
}

impl Gateway {
    pub async fn connect(broker: SocketAddr, path: GatewayPath, password: &str) -> Self {
        let id = format!("{}.{}", path.site, path.gateway);
        let mut options = MqttOptions::new(id, broker.ip().to_string(), broker.port());
        options.set_credentials(path.gateway.as_str(), password).set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut eventloop) = AsyncClient::new(options, 16);
        client.subscribe(path.down_filter(), QoS::AtLeastOnce).await.expect("it takes requests");
        let (sender, acks) = mpsc::unbounded_channel();
        let (subscribed, mut is_subscribed) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(event) = eventloop.poll().await {
                match event {
                    Event::Incoming(Packet::SubAck(_)) => subscribed.send(()).expect("somebody waits"),
                    Event::Incoming(Packet::Publish(publish)) if publish.topic == path.down(Down::Ack) => {
                        let ack = BlockAck::decode(&publish.payload).expect("an acknowledgement");
                        if sender.send(ack).is_err() {
                            return;
                        }
                    }
                    _ => {}
                }
            }
        });
        timeout(PATIENCE, is_subscribed.recv()).await.expect("in time").expect("subscribed");
        Self { client, path, acks, answered: HashMap::new(), next_number: 0 }
    }

    pub async fn send(&mut self, block: &Block) -> u64 {
        let bytes = Encoder::new().expect("an encoder").encode(block).expect("it encodes");
        self.send_bytes(bytes).await
    }

    /// What looks like a block, or does not.
    pub async fn send_bytes(&mut self, mut bytes: Vec<u8>) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        stamp(&mut bytes, Stamp { lane: Lane::Live, epoch: 1, number }).expect("a block's length");
        let topic = self.path.up(Lane::Live);
        self.client.publish(topic, QoS::AtLeastOnce, false, bytes).await.expect("it takes requests");
        number
    }

    /// What became of a block. One acknowledgement answers several.
    pub async fn outcome(&mut self, number: u64) -> Outcome {
        loop {
            if let Some(outcome) = self.answered.remove(&number) {
                return outcome;
            }
            let ack =
                timeout(PATIENCE, self.acks.recv()).await.expect("answered in time").expect("connected");
            assert!(ack.credit.window_bytes > 0);
            self.answered.extend(ack.outcomes.into_iter().map(|answer| (answer.number, answer.outcome)));
        }
    }
}
