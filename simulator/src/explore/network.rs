//! Between gateways and ingest: connections that break, half of them that die unnoticed, a broker that says it took a
//! message and forgets it, messages that come twice, late, or slowly.

use bytes::Bytes;
use tidegate_agent::core::Event;
use tidegate_protocol::{
    ack::BlockAck,
    topic::{GatewayPath, Lane},
};

use super::{
    cloud::Parcel,
    coverage::Fault,
    world::{Happening, World},
};

/// Between broker and ingest, one way.
const INGEST_LINK_US: u64 = 1_000;

impl World {
    pub fn connect_later(&mut self, at: usize, after_us: u64) {
        let Some(gateway) = self.gateways.get_mut(at) else { return };
        gateway.uplink.connection += 1;
        let (life, connection) = (gateway.life, gateway.uplink.connection);
        self.plan_in(after_us, Happening::UplinkConnects { gateway: at, life, connection });
    }

    pub fn uplink_connects(&mut self, at: usize, life: u64, connection: u64) {
        let now_us = self.now_us;
        let Some(gateway) = self.gateways.get_mut(at).filter(|gateway| gateway.life == life) else { return };
        if gateway.uplink.connection != connection || !gateway.is_running() || gateway.uplink.up {
            return;
        }
        let dead = gateway.uplink.up_dead_until_us.max(gateway.uplink.down_dead_until_us);
        if dead > now_us {
            return self.plan_at(dead, Happening::UplinkConnects { gateway: at, life, connection });
        }
        gateway.uplink.up = true;
        (gateway.uplink.up_free_us, gateway.uplink.down_free_us) = (now_us, now_us);
        self.note(20, connection, || format!("gateway {at} reaches the broker"));
        self.tell_status(at, true);
        self.agent_event(at, Event::UplinkUp);
    }

    fn tell_status(&mut self, at: usize, online: bool) {
        if self.cloud.connected {
            let connection = self.cloud.connection;
            self.plan_in(INGEST_LINK_US, Happening::StatusUp { connection, gateway: at, online });
        }
    }

    pub fn uplink_breaks(&mut self, at: usize, life: u64, connection: u64) {
        let Some(gateway) = self.gateways.get_mut(at).filter(|gateway| gateway.life == life) else { return };
        if gateway.uplink.connection != connection || !gateway.uplink.up {
            return;
        }
        self.uplink_ends(at);
        self.agent_event(at, Event::UplinkDown);
        let after = if self.calm { 200_000 } else { self.dice.between(100_000, 1_500_000) };
        self.connect_later(at, after);
    }

    /// The connection is gone; the broker speaks the gateway's last will.
    pub fn uplink_ends(&mut self, at: usize) {
        let Some(gateway) = self.gateways.get_mut(at) else { return };
        let was_up = std::mem::replace(&mut gateway.uplink.up, false);
        let connection = gateway.uplink.connection;
        gateway.uplink.connection += 1;
        if was_up {
            self.note(21, connection, || format!("gateway {at} loses the broker"));
            self.tell_status(at, false);
        }
    }

    pub fn publish_up(&mut self, at: usize, lane: Lane, number: u64, block: Vec<u8>) {
        let now_us = self.now_us;
        let usual = self.plan.uplink_us;
        let jitter = self.dice.between(0, usual / 2);
        let Some(gateway) = self.gateways.get_mut(at) else { return };
        let (life, uplink) = (gateway.life, &mut gateway.uplink);
        if !uplink.up {
            return;
        }
        if uplink.up_dead_until_us > now_us {
            return;
        }
        let mut leaves = uplink.up_free_us.max(now_us);
        if uplink.throttled_until_us > now_us {
            self.coverage.count(Fault::UplinkThrottled);
            leaves += block.len() as u64 * 1_000_000 / uplink.bytes_per_s.max(1);
            uplink.up_free_us = leaves;
        }
        let connection = uplink.connection;
        let parcel = Parcel { gateway: at, lane, number, bytes: Bytes::from(block) };
        self.plan_at(leaves + usual + jitter, Happening::BlockAtBroker { life, connection, parcel });
    }

    pub fn block_at_broker(&mut self, life: u64, connection: u64, parcel: Parcel) {
        let (now_us, weather, at) = (self.now_us, self.plan.weather, parcel.gateway);
        let Some(gateway) = self.gateways.get(at).filter(|gateway| gateway.life == life) else { return };
        if gateway.uplink.connection != connection || !gateway.uplink.up {
            return;
        }
        if gateway.uplink.down_dead_until_us <= now_us {
            let number = parcel.number;
            let way = self.plan.uplink_us;
            self.plan_in(way, Happening::PubAck { gateway: at, life, connection, number });
        }
        if self.broker_forgets_until > 0 || self.chance(weather.forget) {
            if self.broker_forgets_until == 0 {
                self.broker_forgets_until = self.dice.between(1, weather.forget_run) as u32;
            }
            self.broker_forgets_until -= 1;
            self.coverage.count(Fault::CursorJumped);
            let number = parcel.number;
            return self.note(22, number, || format!("broker forgets block {number} of gateway {at}"));
        }
        if !self.cloud.connected {
            return;
        }
        let (life, connection) = (self.cloud.life, self.cloud.connection);
        if self.chance(weather.block_twice) {
            self.coverage.count(Fault::BlockDuplicated);
            let after = self.dice.magnitude(INGEST_LINK_US, 3_000_000);
            self.plan_in(after, Happening::BlockUp { life, connection, parcel: parcel.clone() });
        }
        let mut after = INGEST_LINK_US;
        if self.chance(weather.block_late) {
            self.coverage.count(Fault::BlockReordered);
            after += self.dice.magnitude(10_000, 2_000_000);
        }
        self.plan_in(after, Happening::BlockUp { life, connection, parcel });
    }

    pub fn puback(&mut self, at: usize, life: u64, connection: u64, number: u64) {
        let Some(gateway) = self.gateways.get(at).filter(|gateway| gateway.life == life) else { return };
        if gateway.uplink.up && gateway.uplink.connection == connection {
            self.agent_event(at, Event::PubAcked { number });
            self.take_all_waiting(at);
        }
    }

    /// The ingest answers: to every process that listens under this path.
    pub fn answer_down(&mut self, to: GatewayPath, ack: &BlockAck) {
        let Ok(bytes) = ack.encode() else {
            return self.violate("acks-encode", "an acknowledgement does not encode".to_owned());
        };
        if !self.cloud.connected {
            return;
        }
        let (bytes, weather) = (Bytes::from(bytes), self.plan.weather);
        for at in 0..self.gateways.len() {
            let now_us = self.now_us;
            let Some(gateway) = self.gateways.get(at).filter(|gateway| gateway.path == to) else { continue };
            if !gateway.uplink.up || gateway.uplink.down_dead_until_us > now_us {
                continue;
            }
            let (life, connection) = (gateway.life, gateway.uplink.connection);
            if self.chance(weather.ack_loss) {
                self.coverage.count(Fault::AckLost);
                continue;
            }
            let usual = INGEST_LINK_US + self.plan.uplink_us;
            if self.chance(weather.ack_twice) {
                self.coverage.count(Fault::AckDuplicated);
                let after = usual + self.dice.magnitude(1_000, 3_000_000);
                let bytes = bytes.clone();
                self.plan_in(after, Happening::AckDown { gateway: at, life, connection, bytes });
            }
            let mut after = usual;
            if self.chance(weather.ack_late) {
                self.coverage.count(Fault::AckReordered);
                after += self.dice.magnitude(10_000, 2_000_000);
            }
            let bytes = bytes.clone();
            self.plan_in(after, Happening::AckDown { gateway: at, life, connection, bytes });
        }
    }

    pub fn ack_down(&mut self, at: usize, life: u64, connection: u64, bytes: &[u8]) {
        let Some(gateway) = self.gateways.get(at).filter(|gateway| gateway.life == life) else { return };
        if !gateway.uplink.up || gateway.uplink.connection != connection {
            return;
        }
        match BlockAck::decode(bytes) {
            Ok(ack) => {
                let (count, window) = (ack.outcomes.len(), ack.credit.window_bytes);
                self.note(23, count as u64, || {
                    format!("gateway {at} hears {count} outcomes, credit {window} bytes")
                });
                if let Some(process) = self.gateways.get_mut(at).and_then(|gateway| gateway.process.as_mut())
                {
                    process.credit_bytes = window;
                }
                self.agent_event(at, Event::Acked(ack));
                self.take_all_waiting(at);
            }
            Err(error) => self.violate("acks-decode", error.to_string()),
        }
    }
}
