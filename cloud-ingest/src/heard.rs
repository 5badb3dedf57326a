//! What a message of the broker's says. What cannot be read is logged and passed over: whoever sent it is asked, or sends it again.

use bytes::Bytes;
use tidegate_protocol::{
    rules::{RulesUp, Verdicts},
    sealed::SealError,
    settings::ReportedSettings,
    status::{GatewayStatus, MAX_STATUS_BYTES},
    topic::{GatewayPath, UpTopic},
};

use crate::core::Event;

pub fn event(topic: &str, payload: Bytes, unix_ms: i64) -> Option<Event> {
    let (from, what) = match GatewayPath::parse_up(topic) {
        Ok(known) => known,
        Err(error) => {
            tracing::warn!(topic, %error, "a message on no topic of ours was passed over");
            return None;
        }
    };
    match what {
        UpTopic::Block(lane) => Some(Event::Block { from, lane, bytes: payload, arrival_unix_ms: unix_ms }),
        UpTopic::Settings => {
            let reported = ReportedSettings::decode(&payload);
            let reported = readable(from, "what became of settings", reported)?;
            Some(Event::SettingsReported { from, reported, unix_ms })
        }
        UpTopic::Rules => {
            let up = readable(from, "what became of rules", RulesUp::decode(&payload))?;
            Some(Event::RulesAnswered { from, up, unix_ms })
        }
        UpTopic::Verdicts => {
            let verdicts = readable(from, "a gateway's verdicts", Verdicts::decode(&payload))?;
            Some(Event::Verdicts { from, verdicts })
        }
        UpTopic::Status => {
            let status = status(&payload);
            if status.is_none() {
                tracing::warn!(site = %from.site, gateway = %from.gateway, "a status message does not decode");
            }
            Some(Event::Status { from, status: status?, unix_ms })
        }
    }
}

fn status(payload: &[u8]) -> Option<GatewayStatus> {
    if payload.len() > MAX_STATUS_BYTES {
        return None;
    }
    serde_json::from_slice(payload).ok()
}

/// What cannot be read is asked for again.
fn readable<T>(from: GatewayPath, what: &str, decoded: Result<T, SealError>) -> Option<T> {
    let (site, gateway) = (from.site, from.gateway);
    decoded
        .inspect_err(
            |error| tracing::warn!(%site, %gateway, %error, "{what} cannot be read; it is asked again"),
        )
        .ok()
}
