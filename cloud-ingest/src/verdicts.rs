//! What gateways say is active, as the API shows it beside this ingest's own verdict.

use serde::Serialize;
use tidegate_alarms::{Revision, RuleId};
use tidegate_protocol::{ChannelName, DeviceId, GatewayId, SiteId, rules::VerdictRaise};

use crate::{
    core::verdicts::{Compared, Difference},
    events::AlarmNames,
};

#[derive(Clone, Debug, Default)]
pub struct VerdictSelection {
    pub names: AlarmNames,
    /// Only those that differ.
    pub differing: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerdictsView {
    /// In the order of site, device, channel, rule and gateway.
    pub verdicts: Vec<VerdictView>,
}

/// A gateway's verdict on an alarm, and the ingest's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerdictView {
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
    pub rule: RuleId,
    pub gateway: GatewayId,
    /// What raised it there; null: it is not active there.
    pub at_gateway: Option<RaisedView>,
    /// The revision under which it is active here; null: it is not.
    pub here: Option<Revision>,
    /// How the two differ, and have for a while; null: they do not.
    pub difference: Option<Difference>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RaisedView {
    pub revision: Revision,
    /// 16 hexadecimal digits.
    pub boot: String,
    pub seq: u64,
    /// By the gateway's clock.
    pub since_unix_ms: i64,
}

impl From<&Compared> for VerdictView {
    fn from(one: &Compared) -> Self {
        let raised = |raise: VerdictRaise| RaisedView {
            revision: Revision(raise.revision),
            boot: raise.boot.to_string(),
            seq: raise.seq.0,
            since_unix_ms: raise.since_unix_ms,
        };
        Self {
            site: one.key.site,
            device: one.key.device,
            channel: one.key.channel,
            rule: one.key.rule.clone(),
            gateway: one.gateway,
            at_gateway: one.raised.map(raised),
            here: one.cloud_revision,
            difference: one.difference,
        }
    }
}
