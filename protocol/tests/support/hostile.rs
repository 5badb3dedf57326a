//! What must hold for any bytes whatever, in one place for the fuzzer and for the seeded test: no panic, and what is
//! accepted can be sent again and is then the same. Each body takes the bytes as they are, and once more with the
//! checksums put right, since hardly any mutation would get past those.

#[path = "repair.rs"]
mod repair;

use std::fmt::Debug;

use repair::block;
pub use repair::repair;
use tidegate_protocol::{
    DeviceId,
    ack::BlockAck,
    block::{Block, Decoder, Directory, Encoder, Header, ranges_of},
    frame::{
        Deframer, MAX_FRAME, Up,
        crc::crc32c,
        decode_down, decode_up, encode_down, encode_up, encoded_len,
        keyed::{Call, Challenge, DeviceKey, Envelope, MAX_KEYED_FRAME, Nonce, Session},
    },
    rules::{RulesDown, RulesUp, Verdicts},
    sealed::SealError,
    settings::{DesiredSettings, ReportedSettings},
};

/// The longest frame on the line.
const LINE: usize = encoded_len(MAX_FRAME);
/// Scales of the channels that a frame's readings may name.
const SCALES: [u8; 64] = [3; 64];

/// An agent's side of the line.
pub fn frame_up(bytes: &[u8]) {
    let mut deframer = Box::new(Deframer::<LINE>::new());
    deframer.up(bytes, |frame| {
        if let Ok(frame) = frame {
            check_up(&frame);
        }
    });
    if let Ok(frame) = decode_up(&mut framed(bytes)) {
        check_up(&frame);
    }
}

fn check_up(frame: &Up<'_>) {
    let mut line = vec![0; LINE];
    let len = encode_up(frame, &mut line).expect("what came in one frame goes into one");
    let again = decode_up(&mut line[..len - 1]).expect("what was encoded decodes");
    assert_eq!(format!("{again:?}"), format!("{frame:?}"));
    match frame {
        Up::Hello(hello) => assert_eq!(hello.channels.iter().count(), hello.channels.len()),
        Up::Readings(readings) => {
            let mut at_once = Vec::new();
            let unpacked = readings.unpack_into(&SCALES, &mut at_once);
            assert!(at_once.len() <= usize::from(readings.count));
            let mut samples = readings.samples();
            let one_by_one: Result<Vec<_>, _> = std::iter::from_fn(|| samples.next(&SCALES)).collect();
            assert_eq!(unpacked.map(|()| at_once), one_by_one);
        }
        Up::Heartbeat(_) | Up::Lost(_) | Up::SettingsResult { .. } => {}
    }
}

/// A board's side of the line.
pub fn frame_down(bytes: &[u8]) {
    let mut deframer = Deframer::<64>::new();
    let check = |frame| {
        let mut line = [0; 64];
        let len = encode_down(&frame, &mut line).expect("every down frame is short");
        let again = decode_down(&mut line[..len - 1]).expect("what was encoded decodes");
        assert_eq!(format!("{again:?}"), format!("{frame:?}"));
    };
    deframer.down(bytes, |frame| {
        if let Ok(frame) = frame {
            check(frame);
        }
    });
    if let Ok(frame) = decode_down(&mut framed(bytes)) {
        check(frame);
    }
}

/// Both sides of a line under a key: what is no frame of the session opens at neither end and moves nothing, and what reads as part of
/// an exchange is said again as the same.
pub fn frame_keyed(bytes: &[u8]) {
    // The frames that these bytes may be made from are of a session of other nonces.
    let key = DeviceKey::new([7; 16]);
    let call = Call { device: DeviceId::new("board-7").expect("a slug"), nonce: Nonce([1; 16]) };
    let (challenge, mut gateway) = call.challenged(&key, Nonce([2; 16]));
    let mut board = call.answered(&key, &challenge).expect("the key is the same");
    let (board, gateway) = (&mut board, &mut gateway);
    let mut deframer = Box::new(Deframer::<{ encoded_len(MAX_KEYED_FRAME) }>::new());
    let mut rest = bytes;
    while !rest.is_empty() {
        let deframed = deframer.push(rest);
        rest = &rest[deframed.used..];
        if let Some(Ok(stuffed)) = deframed.frame {
            check_keyed(stuffed, board, gateway);
        }
    }
    for first in [0x40, 0x80] {
        check_keyed(&mut framed_as(first, bytes), board, gateway);
    }
}

fn check_keyed(stuffed: &mut [u8], board: &mut Session, gateway: &mut Session) {
    let mut line = [0; 128];
    match Envelope::read(stuffed) {
        Ok(Envelope::Exchange(body)) => {
            if let Ok(call) = Call::decode(body) {
                let len = call.encode(&mut line).expect("every call is short");
                assert!(matches!(again(&mut line[..len - 1], Call::decode), Some(said) if said == call));
            }
            if let Ok(challenge) = Challenge::decode(body) {
                let len = challenge.encode(&mut line).expect("every challenge is short");
                assert!(
                    matches!(again(&mut line[..len - 1], Challenge::decode), Some(said) if said == challenge)
                );
            }
        }
        Ok(Envelope::Keyed(body)) => {
            let state = format!("{board:?} {gateway:?}");
            let mut copy = body.to_vec();
            assert!(
                board.open(body).is_err() && gateway.open(&mut copy).is_err(),
                "nobody can make up a tag"
            );
            assert_eq!(format!("{board:?} {gateway:?}"), state);
        }
        Ok(Envelope::Clear(_)) | Err(_) => {}
    }
}

fn again<T>(
    stuffed: &mut [u8],
    decode: fn(&[u8]) -> Result<T, tidegate_protocol::frame::FrameError>,
) -> Option<T> {
    match Envelope::read(stuffed) {
        Ok(Envelope::Exchange(body)) => decode(body).ok(),
        _ => None,
    }
}

/// Bytes as the body of a frame that is otherwise right, without its final zero.
pub fn framed(body: &[u8]) -> Vec<u8> {
    framed_as(tidegate_protocol::WIRE_VERSION, body)
}

pub fn framed_as(first: u8, body: &[u8]) -> Vec<u8> {
    let mut raw = vec![first];
    raw.extend_from_slice(body);
    let crc = crc32(&raw);
    raw.extend_from_slice(&crc.to_le_bytes());
    let mut stuffed = vec![0; encoded_len(raw.len())];
    let len = cobs::encode(&raw, &mut stuffed);
    stuffed.truncate(len);
    stuffed
}

/// CRC-32, bit by bit: nothing here may come from the code under test.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// Encoder and decoder, used again and again as a program does.
pub struct Blocks {
    encoder: Encoder,
    decoder: Decoder,
}

impl Blocks {
    pub fn new() -> Self {
        Self { encoder: Encoder::new().expect("memory"), decoder: Decoder::new().expect("memory") }
    }

    /// An ingest's side of the uplink.
    pub fn check(&mut self, bytes: &[u8]) {
        self.check_one(bytes);
        let mut repaired = bytes.to_vec();
        if repair(&mut repaired) {
            self.check_one(&repaired);
        }
        self.check_one(&assembled(bytes));
    }

    fn check_one(&mut self, bytes: &[u8]) {
        let directory = Decoder::directory(bytes);
        let salvaged = Header::salvage_directory(bytes);
        if let Ok(directory) = &directory {
            assert_eq!(salvaged.as_ref(), Ok(directory));
        }
        let Ok(block) = self.decoder.decode(bytes) else { return };
        check_directory(&directory.expect("a block that decodes has a directory"), &block);
        let again = self.encoder.encode(&block).expect("what was received can be sent");
        assert_eq!(self.decoder.decode(&again).as_ref(), Ok(&block));
    }
}

fn check_directory(directory: &Directory, block: &Block) {
    assert_eq!(directory.len(), block.origins.len());
    for (entry, origin) in directory.iter().zip(&block.origins) {
        assert_eq!((entry.origin, &entry.ranges), (origin.origin, &ranges_of(&origin.readings)));
    }
}

/// A block whose header is right, and whose parts are these bytes: readings (2), directory length (1), the
/// directory, and the body as it is.
pub fn assembled(bytes: &[u8]) -> Vec<u8> {
    let (head, rest) = bytes.split_at(bytes.len().min(3));
    let [low, high, len] = [0, 1, 2].map(|at| head.get(at).copied().unwrap_or_default());
    let (directory, body) = rest.split_at(rest.len().min(usize::from(len)));
    block(u32::from(low) | u32::from(high) << 8, directory, body, body.len())
}

/// An agent's side of the acknowledgements.
pub fn ack(bytes: &[u8]) {
    let mut signed = bytes.to_vec();
    signed.extend_from_slice(&crc32c(bytes).to_le_bytes());
    for bytes in [bytes, &signed] {
        if let Ok(ack) = BlockAck::decode(bytes) {
            let again = ack.encode().expect("what was received can be sent");
            assert_eq!(BlockAck::decode(&again), Ok(ack));
        }
    }
}

/// An agent's and an ingest's side of rules on their way.
pub fn rules_on_their_way(bytes: &[u8]) {
    for bytes in [bytes, &signed(bytes)] {
        sent_again(bytes, RulesDown::encode, RulesDown::decode);
        sent_again(bytes, RulesUp::encode, RulesUp::decode);
        sent_again(bytes, Verdicts::encode, Verdicts::decode);
    }
}

/// An agent's and an ingest's side of settings.
pub fn settings(bytes: &[u8]) {
    for bytes in [bytes, &signed(bytes)] {
        sent_again(bytes, DesiredSettings::encode, DesiredSettings::decode);
        sent_again(bytes, ReportedSettings::encode, ReportedSettings::decode);
    }
}

fn signed(bytes: &[u8]) -> Vec<u8> {
    [bytes, &crc32c(bytes).to_le_bytes()].concat()
}

/// What is received can be sent, and is received as the same.
fn sent_again<T: Debug + PartialEq>(
    bytes: &[u8],
    encode: fn(&T) -> Result<Vec<u8>, SealError>,
    decode: fn(&[u8]) -> Result<T, SealError>,
) {
    if let Ok(message) = decode(bytes) {
        let again = encode(&message).expect("what was received can be sent");
        assert_eq!(decode(&again), Ok(message));
    }
}
