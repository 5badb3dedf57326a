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
    /// is written again. Says who was set back and is not known for it there: their alarms are told again as well.
    pub(super) fn adopt_gateways(
        &mut self,
        committed: Vec<(GatewayPath, GatewayRecord)>,
    ) -> Vec<GatewayPath> {
        let committed: BTreeMap<_, _> = committed.into_iter().collect();
        let mut untold = Vec::new();
        for (path, gateway) in &mut self.gateways {
            gateway.dirty = false;
            let known = committed.get(path);
            if gateway.record.queue.has_news_since(known.map(|record| &record.queue)) {
                untold.push(*path);
            }
            if known != Some(&gateway.record) {
                self.building.gateways.push((*path, gateway.record.clone()));
            }
        }
        for (path, record) in committed {
            self.gateways.entry(path).or_insert(Gateway { record, ..Gateway::default() });
        }
        untold
    }

    pub(super) fn status(&mut self, now_ms: u64, from: GatewayPath, status: GatewayStatus, unix_ms: i64) {
        self.gateways.entry(from).or_default().heard = status.online;
        let mut is_news = self.queue_told(now_ms, from, &status, unix_ms);
        let Some(gateway) = self.gateways.get_mut(&from) else { return };
        if (gateway.record.online, &gateway.record.version) != (status.online, &status.version) {
            gateway.record.online = status.online;
            gateway.record.version = status.version;
            is_news = true;
        }
        if is_news {
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
