//! Golden vectors: the wire is frozen, and these bytes pin it. What was committed decodes for ever, and to the same; what is
//! written today is what was written then. `cargo xtask golden` adds vectors of what is new, and never touches one that is there.
//!
//! Of a block that holds for header, directory and unpacked body; the compressed bytes may be another zstd's.

#[path = "support/pinned.rs"]
mod pinned;
#[path = "support/samples.rs"]
mod samples;

use std::fmt::{Debug, Write as _};

use pinned::{Pinned, Vector};
use tidegate_protocol::{
    ack::BlockAck,
    block::{self, Block, Decoder, Encoder, Header, Stamp},
    frame::{
        Down, MAX_FRAME, Up, decode_down, decode_up, encode_down, encode_up, encoded_len,
        keyed::{Call, Challenge, Envelope, Session, decode_down_body, decode_up_body},
    },
    rules::{RulesDown, RulesUp, Verdicts},
    settings::{DesiredSettings, ReportedSettings},
    status::{GatewayStatus, QueueAge},
    topic::Lane,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1");
const STAMP: Stamp = Stamp { lane: Lane::Backlog, epoch: 0x5555_6666_7777_8888, number: 17 };

#[test]
fn what_is_written_is_what_was_pinned() {
    pinned().each(|vector, committed| {
        if !vector.name.starts_with("block-") {
            return assert_eq!(committed, vector.bytes, "{}", vector.name);
        }
        let (ours, theirs) = (Header::parse(&vector.bytes).unwrap(), Header::parse(&committed).unwrap());
        assert_eq!((ours.stamp, theirs.stamp), (STAMP, STAMP), "{}", vector.name);
        assert_eq!(ours.readings, theirs.readings, "{}", vector.name);
        assert_eq!(ours.directory, theirs.directory, "{}", vector.name);
        assert_eq!(unpacked(&ours), unpacked(&theirs), "{}", vector.name);
    });
}

#[test]
fn what_was_pinned_decodes_for_ever() {
    pinned().each(|vector, committed| (vector.still_says_it)(&committed));
}

#[test]
fn no_vector_was_changed_or_taken_away() {
    pinned().assert_nothing_was_touched();
}

fn pinned() -> Pinned {
    let mut all = frames();
    all.extend(frames_under_a_key());
    for (name, description, ack) in samples::acks() {
        all.push(sealed(name, description, ack, BlockAck::encode, BlockAck::decode));
    }
    for (name, description, desired) in samples::desired() {
        all.push(sealed(name, description, desired, DesiredSettings::encode, DesiredSettings::decode));
    }
    for (name, description, reported) in samples::reported() {
        all.push(sealed(name, description, reported, ReportedSettings::encode, ReportedSettings::decode));
    }
    for (name, description, down) in samples::rules_down() {
        all.push(sealed(name, description, down, RulesDown::encode, RulesDown::decode));
    }
    for (name, description, up) in samples::rules_up() {
        all.push(sealed(name, description, up, RulesUp::encode, RulesUp::decode));
    }
    for (name, description, verdicts) in samples::verdicts() {
        all.push(sealed(name, description, verdicts, Verdicts::encode, Verdicts::decode));
    }
    for (name, description, status) in statuses() {
        all.push(sealed(name, description, status, serde_json::to_vec, |bytes| {
            serde_json::from_slice::<GatewayStatus>(bytes)
        }));
    }
    all.extend(
        samples::blocks()
            .into_iter()
            .map(|(name, description, block)| block_vector(name, description, block)),
    );
    Pinned::new(FOLDER, all)
}

/// What gateways say of themselves, with names and what it is.
fn statuses() -> Vec<(&'static str, &'static str, GatewayStatus)> {
    let born = GatewayStatus {
        online: true,
        version: "1.0.0".to_owned(),
        epoch: "5555666677778888".to_owned(),
        since_unix_ms: 1_790_000_000_000,
        certificate_expires_unix_s: Some(1_800_000_000),
        queue: None,
    };
    let queue = Some(QueueAge { opened: 41, commits: 300 });
    let aged = GatewayStatus { queue, ..born.clone() };
    let will = GatewayStatus { online: false, certificate_expires_unix_s: None, ..born.clone() };
    vec![
        ("status-birth", "a gateway connected", born),
        ("status-will", "and vanished", will),
        ("status-queue", "a gateway says how old its queue is", aged),
    ]
}

fn vector(
    name: &str,
    description: &str,
    value: String,
    bytes: Vec<u8>,
    still_says_it: impl Fn(&[u8]) + 'static,
) -> Vector {
    let (name, description) = (name.to_owned(), description.to_owned());
    Vector { name, description, value, bytes, still_says_it: Box::new(still_says_it) }
}

/// The frame of a line, its zero taken off.
fn stuffed(line: &[u8]) -> Vec<u8> {
    let Some((0, stuffed)) = line.split_last() else { panic!("a line ends with a zero") };
    stuffed.to_vec()
}

fn frames() -> Vec<Vector> {
    let mut all = Vec::new();
    samples::each_up(|name, description, up| {
        let mut line = vec![0; encoded_len(MAX_FRAME)];
        let len = encode_up(up, &mut line).unwrap();
        let said = format!("{up:?}");
        all.push(vector(name, description, said.clone(), line[..len].to_vec(), move |committed| {
            assert_eq!(told(&decode_up(&mut stuffed(committed)).unwrap()), said);
        }));
    });
    for (name, description, down) in samples::downs() {
        let mut line = [0; 64];
        let len = encode_down(&down, &mut line).unwrap();
        all.push(vector(name, description, format!("{down:?}"), line[..len].to_vec(), move |committed| {
            assert_eq!(decode_down(&mut stuffed(committed)), Ok(down));
        }));
    }
    all
}

/// A Hello's channels print as they are held, declared or packed, so they are packed anew.
fn told(up: &Up<'_>) -> String {
    let mut declared = String::new();
    samples::each_up(|_, _, sample| match (up, sample) {
        (Up::Hello(hello), Up::Hello(of)) if hello == of => declared = format!("{sample:?}"),
        _ => {}
    });
    if declared.is_empty() { format!("{up:?}") } else { declared }
}

/// A session from its Call on; the same key and nonces give the same bytes. Each frame is opened by a session of its own: which
/// numbers it has is of the frame, and the one before it need not have come.
fn frames_under_a_key() -> Vec<Vector> {
    let value = format!("{:?} under 000102030405060708090a0b0c0d0e0f", samples::call());
    let mut said = Vec::from([String::new(), String::new()]);
    samples::each_up(|_, _, up| said.push(format!("{up:?}")));
    said.extend(samples::downs().iter().map(|(_, _, down)| format!("{down:?}")));
    let named = samples::keyed().into_iter().zip(said);
    let all = named.map(|((name, description, line), said)| {
        let of = name.clone();
        vector(&name, &description, value.clone(), line, move |committed| {
            assert_eq!(opened(&of, &mut stuffed(committed)), said, "{of}");
        })
    });
    all.collect()
}

fn opened(name: &str, frame: &mut [u8]) -> String {
    let (challenge, mut board, mut gateway): (Challenge, Session, Session) = samples::session();
    match (name, Envelope::read(frame).unwrap()) {
        ("keyed-call", Envelope::Exchange(body)) => {
            assert_eq!(Call::decode(body), Ok(samples::call()));
            String::new()
        }
        ("keyed-challenge", Envelope::Exchange(body)) => {
            assert_eq!(Challenge::decode(body), Ok(challenge));
            String::new()
        }
        (_, Envelope::Keyed(closed)) if name.starts_with("keyed-up") => {
            told(&decode_up_body(gateway.open(closed).unwrap()).unwrap())
        }
        (_, Envelope::Keyed(closed)) => {
            let down: Down = decode_down_body(board.open(closed).unwrap()).unwrap();
            format!("{down:?}")
        }
        (_, other) => panic!("{other:?}"),
    }
}

fn sealed<T: Debug + PartialEq + 'static, E: Debug + 'static>(
    name: &str,
    description: &str,
    message: T,
    encode: fn(&T) -> Result<Vec<u8>, E>,
    decode: fn(&[u8]) -> Result<T, E>,
) -> Vector {
    let bytes = encode(&message).unwrap();
    vector(name, description, format!("{message:?}"), bytes, move |committed| {
        assert_eq!(decode(committed).unwrap(), message);
    })
}

fn block_vector(name: &str, description: &str, block: Block) -> Vector {
    let mut bytes = Encoder::new().unwrap().encode(&block).unwrap();
    block::stamp(&mut bytes, STAMP).unwrap();
    vector(name, description, outline(&block), bytes, move |committed| {
        assert_eq!(Decoder::new().unwrap().decode(committed).as_ref(), Ok(&block));
        assert_eq!(block::read_stamp(committed), Ok(STAMP));
    })
}

fn unpacked(header: &Header<'_>) -> Vec<u8> {
    let len = header.unpacked_bytes as usize;
    if header.body.len() == len {
        header.body.to_vec()
    } else {
        zstd::bulk::decompress(header.body, len).unwrap()
    }
}

/// Records and the first readings of each origin, for people.
fn outline(block: &Block) -> String {
    let mut text = String::new();
    for record in &block.records {
        writeln!(text, "{record:?}").unwrap();
    }
    for origin in &block.origins {
        writeln!(text, "{}: {} readings", origin.origin, origin.readings.len()).unwrap();
        for reading in origin.readings.iter().take(20) {
            writeln!(text, "  {reading:?}").unwrap();
        }
    }
    text
}
