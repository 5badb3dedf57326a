//! What a broker brings an ingest: a topic, and what was said on it.

use bytes::Bytes;
use tidegate_ingest::{core::Event, heard};
use tidegate_protocol::{
    frame::crc::crc32c,
    status::{GatewayStatus, MAX_STATUS_BYTES, QueueAge},
    topic::{GatewayPath, UpTopic},
};

const ROOT: &str = "tidegate/v1/4b/plant/gw-a";
const UNIX_MS: i64 = 1_790_000_000_000;

/// The topic up to the end of the first line, of which the gateway's root may be a `~`; the others are the message, once more under
/// a good checksum.
pub fn gateway_messages(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (topic, message) = bytes.split_at(at);
    let Ok(topic) = std::str::from_utf8(topic) else { return };
    let topic = topic.replacen('~', ROOT, 1);
    let message = message.get(1..).unwrap_or_default();
    let signed = [message, &crc32c(message).to_le_bytes()].concat();
    for message in [message, &signed] {
        let said = heard::event(&topic, Bytes::copy_from_slice(message), UNIX_MS);
        let Some(event) = said else { continue };
        let (path, what) = GatewayPath::parse_up(&topic).expect("only what is on a topic of ours is heard");
        match (event, what) {
            (Event::Block { from, lane, bytes, .. }, UpTopic::Block(said)) => {
                assert_eq!(
                    (from, lane, &bytes[..]),
                    (path, said, message),
                    "who speaks is said by the topic alone"
                );
            }
            (Event::Status { from, status: read, .. }, UpTopic::Status) => {
                assert!(message.len() <= MAX_STATUS_BYTES && from == path);
                status(&read);
            }
            (Event::SettingsReported { from, .. }, UpTopic::Settings)
            | (Event::RulesAnswered { from, .. }, UpTopic::Rules)
            | (Event::Verdicts { from, .. }, UpTopic::Verdicts) => assert_eq!(from, path),
            (event, what) => panic!("{event:?} on {what:?}"),
        }
    }
}

fn status(status: &GatewayStatus) {
    let json = serde_json::to_vec(status).expect("what was read is written");
    assert_eq!(serde_json::from_slice::<GatewayStatus>(&json).ok().as_ref(), Some(status));
}

pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let birth = GatewayStatus {
        online: true,
        version: "0.1.0".to_owned(),
        epoch: "0123456789abcdef".to_owned(),
        since_unix_ms: UNIX_MS,
        certificate_expires_unix_s: Some(1_800_000_000),
        queue: Some(QueueAge { opened: 41, commits: 300 }),
    };
    let will = GatewayStatus { online: false, certificate_expires_unix_s: None, ..birth.clone() };
    let too_long = GatewayStatus { version: "0".repeat(MAX_STATUS_BYTES), ..birth.clone() };
    let json = |status: &GatewayStatus| serde_json::to_vec(status).expect("it is written");
    let mut said = vec![
        ("birth".to_owned(), "~/status", json(&birth)),
        ("will".to_owned(), "~/status", json(&will)),
        ("too-long".to_owned(), "~/status", json(&too_long)),
        ("elsewhere".to_owned(), "tidegate/v1/00/plant/gw-a/up/live", b"x".to_vec()),
    ];
    for (name, message) in super::golden() {
        let topic = match &*name {
            "settings-reported" => "~/up/settings",
            "rules-wanting" | "rules-in-force" => "~/up/rules",
            "verdicts" => "~/up/verdicts",
            "block-board" => "~/up/live",
            _ => continue,
        };
        said.push((name, topic, message));
    }
    let one = |(name, topic, message): (String, &str, Vec<u8>)| {
        (name, [topic.as_bytes(), b"\n", &message].concat())
    };
    said.into_iter().map(one).collect()
}
