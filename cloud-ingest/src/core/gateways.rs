//! Which gateways there are, and what they say of themselves.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_protocol::{status::GatewayStatus, topic::GatewayPath};

use super::{Core, batch::GatewayRecord, epochs::Epochs, system::Certified};

#[derive(Debug, Default)]
pub(super) struct Gateway {
    pub record: GatewayRecord,
    pub dirty: bool,
    /// Present, as far as is known: shares the credit.
    pub heard: bool,
    /// Who speaks under its name.
    pub epochs: Epochs,
    /// Versions of the wire that blocks of it had and that are not read here: each was said once.
    pub other_versions: BTreeSet<u8>,
}

impl Core {
    /// What gateways said of themselves is newer than any commit, and is said only once: what the snapshot does not have
    /// is written again.
    pub(super) fn adopt_gateways(&mut self, committed: Vec<(GatewayPath, GatewayRecord)>) {
        let committed: BTreeMap<_, _> = committed.into_iter().collect();
        for (path, gateway) in &mut self.gateways {
            gateway.dirty = false;
            if committed.get(path) != Some(&gateway.record) {
                self.building.gateways.push((*path, gateway.record.clone()));
            }
        }
        for (path, record) in committed {
            self.gateways.entry(path).or_insert(Gateway { record, ..Gateway::default() });
        }
    }

    pub(super) fn status(&mut self, now_ms: u64, from: GatewayPath, status: GatewayStatus) {
        let gateway = self.gateways.entry(from).or_default();
        gateway.heard = status.online;
        if (gateway.record.online, &gateway.record.version) != (status.online, &status.version) {
            gateway.record.online = status.online;
            gateway.record.version = status.version;
            self.building.gateways.push((from, gateway.record.clone()));
            self.touch_batch(now_ms);
        }
        self.gateway_spoke(now_ms, from, status.online);
        self.forget_verdicts(now_ms, from);
        if status.online {
            let whose = Certified::Gateway(from);
            self.certificate_shown(now_ms, whose, status.certificate_expires_unix_s);
            self.announce(from);
            self.ask_gateway(now_ms, from);
            self.offer_rules(now_ms, from, true);
        }
    }
}
