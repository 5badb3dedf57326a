//! Golden vectors: the wire is law, and these bytes pin it. A change of the wire shows here as a failing test; it is
//! made on purpose with `cargo xtask golden`, which runs this test with `TIDEGATE_REGENERATE_GOLDEN=1`.
//!
//! Frames and acknowledgements must encode to the very bytes. Of a block that holds for header, directory and
//! unpacked body; the compressed bytes may be another zstd's.

#[path = "support/samples.rs"]
mod samples;

use std::{
    env,
    fmt::{Debug, Write as _},
    fs,
    path::PathBuf,
};

use tidegate_protocol::{
    ack::BlockAck,
    block::{self, Block, Decoder, Encoder, Header, Stamp},
    frame::{MAX_FRAME, Up, decode_down, decode_up, encode_down, encode_up, encoded_len},
    rules::{RulesDown, RulesUp, Verdicts},
    sealed::SealError,
    settings::{DesiredSettings, ReportedSettings},
    topic::Lane,
};

const STAMP: Stamp = Stamp { lane: Lane::Backlog, epoch: 0x5555_6666_7777_8888, number: 17 };

/// The committed bytes of a vector; first writes `bytes` there when told to.
fn golden(name: &str, description: &str, value: &str, bytes: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.hex"));
    if env::var_os("TIDEGATE_REGENERATE_GOLDEN").is_some_and(|set| set == "1") {
        let mut text = format!("# {name}: {description}\n");
        value.lines().for_each(|line| writeln!(text, "# {line}").unwrap());
        for line in bytes.chunks(16) {
            let digits: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(text, "{}", digits.join(" ")).unwrap();
        }
        fs::write(&path, text).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[test]
fn up_frames() {
    samples::each_up(|name, description, up| {
        let mut line = vec![0; encoded_len(MAX_FRAME)];
        let len = encode_up(up, &mut line).unwrap();
        let mut committed = golden(name, description, &format!("{up:?}"), &line[..len]);
        assert_eq!(committed, line[..len], "{name}");
        assert_eq!(committed.pop(), Some(0), "{name}");
        // A Hello's channels print as they are held, so two Hellos are compared as such.
        match (decode_up(&mut committed).unwrap(), up) {
            (Up::Hello(decoded), Up::Hello(hello)) => assert_eq!(decoded, *hello, "{name}"),
            (decoded, _) => assert_eq!(format!("{decoded:?}"), format!("{up:?}"), "{name}"),
        }
    });
}

#[test]
fn down_frames() {
    for (name, description, down) in samples::downs() {
        let mut line = [0; 64];
        let len = encode_down(&down, &mut line).unwrap();
        let mut committed = golden(name, description, &format!("{down:?}"), &line[..len]);
        assert_eq!(committed, line[..len], "{name}");
        committed.pop();
        assert_eq!(decode_down(&mut committed), Ok(down), "{name}");
    }
}

/// A session from its Call on; the same key and nonces give the same bytes.
#[test]
fn frames_under_a_key() {
    let value = format!("{:?} under 000102030405060708090a0b0c0d0e0f", samples::call());
    for (name, description, line) in samples::keyed() {
        assert_eq!(golden(&name, &description, &value, &line), line, "{name}");
    }
}

#[test]
fn acknowledgements() {
    for (name, description, ack) in samples::acks() {
        let bytes = ack.encode().unwrap();
        let committed = golden(name, description, &format!("{ack:?}"), &bytes);
        assert_eq!(committed, bytes, "{name}");
        assert_eq!(BlockAck::decode(&committed), Ok(ack), "{name}");
    }
}

/// Messages that are closed alike: each encodes to the committed bytes, and those decode to it.
fn pinned<T: Debug + PartialEq>(
    samples: Vec<(&'static str, &'static str, T)>,
    encode: fn(&T) -> Result<Vec<u8>, SealError>,
    decode: fn(&[u8]) -> Result<T, SealError>,
) {
    for (name, description, message) in samples {
        let bytes = encode(&message).unwrap();
        let committed = golden(name, description, &format!("{message:?}"), &bytes);
        assert_eq!(committed, bytes, "{name}");
        assert_eq!(decode(&committed), Ok(message), "{name}");
    }
}

#[test]
fn settings() {
    pinned(samples::desired(), DesiredSettings::encode, DesiredSettings::decode);
    pinned(samples::reported(), ReportedSettings::encode, ReportedSettings::decode);
}

#[test]
fn rules() {
    pinned(samples::rules_down(), RulesDown::encode, RulesDown::decode);
    pinned(samples::rules_up(), RulesUp::encode, RulesUp::decode);
    pinned(samples::verdicts(), Verdicts::encode, Verdicts::decode);
}

#[test]
fn blocks() {
    for (name, description, block) in samples::blocks() {
        let mut bytes = Encoder::new().unwrap().encode(&block).unwrap();
        block::stamp(&mut bytes, STAMP).unwrap();
        let committed = golden(name, description, &outline(&block), &bytes);
        assert_eq!(Decoder::new().unwrap().decode(&committed).as_ref(), Ok(&block), "{name}");
        let (ours, theirs) = (Header::parse(&bytes).unwrap(), Header::parse(&committed).unwrap());
        assert_eq!((ours.stamp, theirs.stamp), (STAMP, STAMP), "{name}");
        assert_eq!(ours.readings, theirs.readings, "{name}");
        assert_eq!(ours.directory, theirs.directory, "{name}");
        assert_eq!(unpacked(&ours), unpacked(&theirs), "{name}");
    }
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
