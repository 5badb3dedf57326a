//! Seeded packets, as `codec.js` shows them, and ways to spoil them.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::hex;

/// U+FEFF must be kept (MQTT-1.5.3-3); U+FFFF and a control character are allowed, if unwise.
const CHARACTERS: [char; 12] =
    ['a', 'Z', '0', '/', '/', ' ', '$', 'é', '日', '\u{feff}', '\u{ffff}', '\u{1}'];

fn text(random: &mut ChaCha8Rng, characters: std::ops::Range<usize>) -> String {
    let count = random.random_range(characters);
    (0..count).map(|_| CHARACTERS[random.random_range(0..CHARACTERS.len())]).collect()
}

pub fn topic(random: &mut ChaCha8Rng) -> String {
    text(random, 1..20)
}

fn filter(random: &mut ChaCha8Rng) -> String {
    match random.random_range(0..4) {
        0 => "#".to_owned(),
        1 => format!("+/{}", text(random, 0..8)),
        2 => format!("{}/#", text(random, 0..8)),
        _ => topic(random),
    }
}

/// Mostly short ones.
pub fn payload(random: &mut ChaCha8Rng, max_bytes: usize) -> Vec<u8> {
    let max_bytes = if random.random_bool(0.1) { max_bytes } else { 20 };
    (0..random.random_range(0..=max_bytes)).map(|_| random.random()).collect()
}

/// A valid packet of any type that a client may send, below the limit of the tests.
pub fn from_a_client(random: &mut ChaCha8Rng) -> Value {
    let id = random.random_range(1..=u16::MAX);
    let with_id = |kind| json!({ "type": kind, "id": id });
    match random.random_range(0..12) {
        0 | 1 => connect(random),
        2 | 3 => {
            let qos = random.random_range(0..3);
            let id = (qos > 0).then_some(id);
            json!({
                "type": "publish", "topic": topic(random), "payload": hex(&payload(random, 200)), "qos": qos,
                "retain": random.random::<bool>(), "dup": qos > 0 && random.random(), "id": id,
            })
        }
        4 => with_id("puback"),
        5 => with_id("pubrec"),
        6 => with_id("pubrel"),
        7 => with_id("pubcomp"),
        8 => {
            let filters: Vec<_> = (0..random.random_range(1..5))
                .map(|_| json!([filter(random), random.random_range(0..3)]))
                .collect();
            json!({ "type": "subscribe", "id": id, "filters": filters })
        }
        9 => {
            let filters: Vec<_> = (0..random.random_range(1..5)).map(|_| filter(random)).collect();
            json!({ "type": "unsubscribe", "id": id, "filters": filters })
        }
        10 => json!({ "type": "pingreq" }),
        _ => json!({ "type": "disconnect" }),
    }
}

fn connect(random: &mut ChaCha8Rng) -> Value {
    let clean = random.random::<bool>();
    let will = random.random_bool(0.5).then(|| {
        json!({
            "topic": topic(random), "payload": hex(&payload(random, 50)),
            "qos": random.random_range(0..3), "retain": random.random::<bool>(),
        })
    });
    let username = random.random_bool(0.6).then(|| text(random, 1..8));
    let password = (username.is_some() && random.random_bool(0.7)).then(|| hex(&payload(random, 20)));
    json!({
        "type": "connect", "protocolId": "MQTT", "protocolVersion": 4, "bridge": false, "clean": clean,
        "keepalive": random.random::<u16>(), "clientId": text(random, if clean { 0..24 } else { 1..24 }),
        "will": will, "username": username, "password": password,
    })
}

/// Something near a packet, and seldom something far from any; never more than one by its own length.
pub fn spoilt(whole: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..random.random_range(1..3) {
        spoil(&mut bytes, random);
    }
    up_to_one_packet(bytes)
}

fn spoil(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    const TELLING: [u8; 12] = [0, 0, 1, 2, 3, b'+', b'#', 0x7f, 0x80, 0xc0, 0xed, 0xff];
    if bytes.len() < 2 {
        bytes.extend(random.random::<[u8; 2]>());
    }
    let anywhere = random.random_range(0..bytes.len());
    match random.random_range(0..11) {
        0 => bytes[0] = random.random(),
        1 => bytes[0] ^= 1 << random.random_range(0..8),
        2 => bytes[anywhere] = random.random(),
        3 => bytes[anywhere] ^= 1 << random.random_range(0..8),
        4 => bytes[anywhere] = TELLING[random.random_range(0..TELLING.len())],
        5 => bytes.truncate(anywhere),
        // An id of 0, where most packets have theirs.
        6 => bytes.iter_mut().skip(2).take(2).for_each(|byte| *byte = 0),
        7 => {
            resized(bytes, random.random_range(0..bytes.len()));
        }
        8 => {
            let more = random.random_range(1..4);
            bytes.extend((0..more).map(|_| random.random::<u8>()));
            resized(bytes, bytes.len().saturating_sub(2));
        }
        // A CONNECT's level and flags.
        9 if bytes[0] == 0x10 && bytes.len() > 9 => {
            bytes[9] ^= 1 << random.random_range(0..8);
            if random.random_bool(0.3) {
                bytes[8] = [3, 4, 5, 0x84][random.random_range(0..4)];
            }
        }
        _ => *bytes = (0..random.random_range(1..40)).map(|_| random.random()).collect(),
    }
}

/// Makes the body so long, and says so in the header; a packet whose length takes more than a byte is merely cut.
fn resized(bytes: &mut Vec<u8>, body_bytes: usize) {
    bytes.truncate(2 + body_bytes);
    if let (Some(length), true) = (bytes.get_mut(1), body_bytes < 0x80) {
        *length = body_bytes as u8;
    }
}

fn up_to_one_packet(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut length = 0;
    for (position, &byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            bytes.truncate(position + 2 + length);
            break;
        }
    }
    bytes
}
