//! A board's line into an agent: bytes as a serial port or a socket gives them, cut anywhere.

use tidegate_agent::{
    core::BoardFrame,
    sources::{
        decoder::Decoder,
        guard::{DeviceKeys, Guard},
    },
};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelName, DeviceId, Seq, Tick, ValueKind,
    frame::{
        BoardCounters, ChannelList, Heartbeat, Hello, MAX_FRAME, Standing, Up, encode_up, encoded_len,
        keyed::{Call, DeviceKey, Nonce},
    },
};

use super::hostile::framed;

const LINE: usize = encoded_len(MAX_FRAME);

/// The first byte says how the others are cut, and whether the link is under a key.
pub fn board_link(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    for stream in [bytes.to_vec(), frames(bytes)] {
        let whole = heard(&mut decoder(), &stream, stream.len().max(1));
        assert_eq!(heard(&mut decoder(), &stream, usize::from(how % 32) + 1), whole);
        // A frame takes a few bytes at least, and tells of itself once, or twice where nobody knows the session.
        assert!(whole.len() <= 2 * (stream.len() + 1));
        recovers(&stream);
        nothing_gets_past_a_key(&stream);
    }
}

/// Pieces, each with its length before it, as frames with good checksums.
fn frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let Some((&length, rest)) = bytes.split_first() {
        let (body, rest) = rest.split_at(rest.len().min(usize::from(length)));
        stream.extend(framed(body));
        stream.push(0);
        bytes = rest;
    }
    stream
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).expect("a slug")
}

fn key() -> DeviceKey {
    DeviceKey::new([7; 16])
}

fn decoder() -> Decoder {
    Decoder::guarded(Guard::new(DeviceKeys::new([(device("board-7"), key())].into())))
}

fn heard(decoder: &mut Decoder, stream: &[u8], piece: usize) -> Vec<String> {
    let mut fresh = 0;
    let mut boot = || {
        fresh += 1;
        BootId(fresh)
    };
    let frames = stream.chunks(piece).flat_map(|piece| decoder.push(piece, &mut boot));
    // Readings may be no numbers, which are not themselves.
    frames.map(|frame| format!("{frame:?}")).collect()
}

/// Whatever came before, the next whole frames are understood.
fn recovers(stream: &[u8]) {
    let mut decoder = decoder();
    decoder.push(stream, || BootId(1));
    // The end of whatever frame was begun.
    decoder.push(&[0], || BootId(1));
    let frames = decoder.push(&[hello(), heartbeat()].concat(), || BootId(1));
    let understood = matches!(&frames[..], [BoardFrame::Hello { .. }, BoardFrame::Heartbeat(_)]);
    assert!(understood, "{frames:?}");
}

/// Under a key nothing is taken that the board did not close, and its own next frame still is.
fn nothing_gets_past_a_key(stream: &[u8]) {
    let mut decoder = decoder();
    let call = Call { device: device("board-7"), nonce: Nonce([1; 16]) };
    let mut line = [0; 2 * LINE];
    let len = call.encode(&mut line).expect("a call is short");
    decoder.push(&line[..len], || BootId(2));
    let challenge = decoder.take_challenge().expect("a call is answered");
    let mut session = call.answered(&key(), &challenge).expect("the key is the same");
    let mut closed = |frame: &Up<'_>| {
        let mut line = [0; 2 * LINE];
        let len = session.encode_up(frame, &mut line).expect("it is short");
        line[..len].to_vec()
    };
    let beat = Up::Heartbeat(beat());
    let first = decoder.push(&closed(&beat), || BootId(3));
    assert!(matches!(&first[..], [BoardFrame::Unidentified]), "no Hello came yet: {first:?}");
    for frame in decoder.push(&[stream, &[0]].concat(), || BootId(4)) {
        let is_nothing =
            matches!(frame, BoardFrame::Bad(_) | BoardFrame::Called { .. } | BoardFrame::Unidentified);
        assert!(is_nothing, "{frame:?}");
    }
    let own = decoder.push(&closed(&beat), || BootId(5));
    assert!(matches!(&own[..], [BoardFrame::Unidentified]), "the session goes on: {own:?}");
}

fn encoded(frame: &Up<'_>) -> Vec<u8> {
    let mut line = vec![0; LINE];
    let len = encode_up(frame, &mut line).expect("it fits");
    line.truncate(len);
    line
}

fn hello() -> Vec<u8> {
    let name = ChannelName::new("level").expect("a name");
    let channels = [ChannelDecl { name, unit: "m", kind: ValueKind::Decimal, scale: 2 }];
    encoded(&Up::Hello(Hello {
        device: device("tank"),
        tag: "",
        firmware: "",
        boot: Some(BootId(9)),
        standing: Standing::Present,
        floor: Seq(0),
        next: Seq(0),
        channels: ChannelList::new(&channels).expect("few channels"),
    }))
}

fn heartbeat() -> Vec<u8> {
    encoded(&Up::Heartbeat(beat()))
}

fn beat() -> Heartbeat {
    let counters = BoardCounters::default();
    let boot = BootId(9).tag();
    Heartbeat { boot, floor: Seq(0), next: Seq(0), tick: Tick(5), ring_free: 9, clock: None, counters }
}

/// Lines of golden frames, in clear and under a key; and their bodies, as pieces.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let golden: Vec<(String, Vec<u8>)> = super::golden()
        .into_iter()
        .filter(|(name, _)| name.starts_with("up-") || name.starts_with("keyed-"))
        .collect();
    let mut seeds = vec![("hello".to_owned(), [&[3][..], &hello(), &heartbeat()].concat())];
    let all: Vec<u8> = golden.iter().flat_map(|(_, line)| line.clone()).collect();
    seeds.push(("all".to_owned(), [&[6][..], &all].concat()));
    let mut pieces = vec![0];
    for (name, line) in golden {
        let body = super::body_of(&line);
        if name.starts_with("up-") && body.len() < 256 {
            pieces.push(body.len() as u8);
            pieces.extend(&body);
        }
        seeds.push((name, [&[1][..], &line].concat()));
    }
    seeds.push(("pieces".to_owned(), pieces));
    seeds
}
