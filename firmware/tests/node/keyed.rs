//! A node under a key: what it says, what it believes, and what it does not.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tidegate_firmware::{Identity, Node, NodeConfig, NodeError, channel};
use tidegate_protocol::{
    BootId, ChannelDecl, DeviceId, Quality, Tick, Value, ValueKind, WIRE_VERSION,
    frame::{
        Deframer, Down, MAX_TEXT, decode_down,
        keyed::{Call, DeviceKey, Envelope, KEYED_BYTES, MAX_KEYED_DOWN_FRAME, Nonce, Session},
    },
    id::{ChannelIndex, Seq},
};

use crate::support::{Gateway, frame};

type TestNode<'a> = Node<'a, 1, Vec<u8>>;

const BOOT: BootId = BootId(0xb007);

fn key() -> DeviceKey {
    DeviceKey::new([7; 16])
}

fn channels() -> [ChannelDecl<&'static str>; 1] {
    [channel("level", "m", ValueKind::Decimal, 2).unwrap()]
}

fn node<'a>(channels: &'a [ChannelDecl<&'a str>], boot: BootId, key: DeviceKey) -> TestNode<'a> {
    let identity = Identity { device: DeviceId::new("tank-7").unwrap(), tag: "LT-7", firmware: "test 1" };
    let mut node = Node::new(identity, Some(boot), channels, vec![0; 4_096], NodeConfig::DEFAULT).unwrap();
    node.set_key(key).unwrap();
    node
}

fn measure(node: &mut TestNode<'_>, count: u64, now: u64) {
    for step in 0..count {
        let value = Value::Decimal { mantissa: 2_000 + step as i64, scale: 2 };
        node.sample(ChannelIndex(0), value, Quality::Good, Tick(now)).unwrap();
    }
}

/// A gateway's end of the key, in front of the gateway of the other tests.
struct Keyed {
    gateway: Gateway,
    deframer: Deframer<4096>,
    session: Option<Session>,
    next: Option<(Call, Session, Vec<u8>)>,
    nonces: u8,
    calls: Vec<Call>,
    /// Frames that came in clear, or opened for nobody.
    refused: usize,
}

impl Keyed {
    fn new() -> Self {
        Self {
            gateway: Gateway::default(),
            deframer: Deframer::new(),
            session: None,
            next: None,
            nonces: 0,
            calls: Vec::new(),
            refused: 0,
        }
    }

    fn receive(&mut self, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        while !bytes.is_empty() {
            let deframed = self.deframer.push(bytes);
            bytes = &bytes[deframed.used..];
            let Some(Ok(stuffed)) = deframed.frame else { continue };
            let mut stuffed = stuffed.to_vec();
            answers.extend(self.hear(&mut stuffed));
        }
        answers
    }

    fn hear(&mut self, stuffed: &mut [u8]) -> Vec<Vec<u8>> {
        match Envelope::read(stuffed) {
            Ok(Envelope::Exchange(body)) => {
                let Ok(call) = Call::decode(body) else { return Vec::new() };
                self.calls.push(call);
                if self.next.as_ref().is_none_or(|(known, ..)| *known != call) {
                    self.nonces += 1;
                    let (challenge, session) = call.challenged(&key(), Nonce([self.nonces; 16]));
                    let mut line = [0; 128];
                    let len = challenge.encode(&mut line).unwrap();
                    self.next = Some((call, session, line[..len].to_vec()));
                }
                vec![self.next.as_ref().unwrap().2.clone()]
            }
            Ok(Envelope::Keyed(body)) => {
                let mut copy = body.to_vec();
                if let Some((_, session, _)) = &mut self.next
                    && let Ok(opened) = session.open(&mut copy)
                {
                    let clear = in_clear(opened);
                    self.session = self.next.take().map(|(_, session, _)| session);
                    return self.pass(&clear);
                }
                match self.session.as_mut().map(|session| session.open(body)) {
                    Some(Ok(opened)) => {
                        let clear = in_clear(opened);
                        self.pass(&clear)
                    }
                    Some(Err(_)) => {
                        self.refused += 1;
                        Vec::new()
                    }
                    None => vec![frame(&Down::Identify)],
                }
            }
            Ok(Envelope::Clear(_)) => {
                self.refused += 1;
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    fn pass(&mut self, clear: &[u8]) -> Vec<Vec<u8>> {
        let answers = self.gateway.receive(clear);
        answers.iter().map(|answer| self.close(answer)).collect()
    }

    fn close(&mut self, clear: &[u8]) -> Vec<u8> {
        let (_zero, stuffed) = clear.split_last().unwrap();
        let down = decode_down(&mut stuffed.to_vec()).unwrap();
        let mut line = [0; MAX_KEYED_DOWN_FRAME];
        let len = self.session.as_mut().unwrap().encode_down(&down, &mut line).unwrap();
        line[..len].to_vec()
    }

    fn commit(&mut self) -> Option<Vec<u8>> {
        let ack = self.gateway.commit()?;
        // One boot, one frame.
        self.session.is_some().then(|| self.close(&ack))
    }

    /// It forgets all that is not safe, and the session.
    fn restart(&mut self) {
        self.gateway.restart();
        (self.session, self.next) = (None, None);
    }
}

fn in_clear(body: &[u8]) -> Vec<u8> {
    let mut raw = vec![WIRE_VERSION];
    raw.extend_from_slice(body);
    let crc = (!raw.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    }))
    .to_le_bytes();
    raw.extend_from_slice(&crc);
    let mut line = Vec::new();
    let mut at = 0;
    // COBS, group by group.
    loop {
        let rest = &raw[at..];
        let len = rest.iter().take(254).position(|&byte| byte == 0).unwrap_or(rest.len().min(254));
        line.push(len as u8 + 1);
        line.extend_from_slice(&rest[..len]);
        at += len;
        if at >= raw.len() {
            break;
        }
        if len < 254 {
            at += 1;
            if at == raw.len() {
                line.push(1);
                break;
            }
        }
    }
    line.push(0);
    line
}

fn says(node: &mut TestNode<'_>, now: u64) -> Vec<Vec<u8>> {
    let mut said = Vec::new();
    let mut out = [0; 256];
    while let Some(len) = node.poll_transmit(Tick(now), &mut out) {
        said.push(out[..len].to_vec());
        assert!(said.len() < 1_000);
    }
    said
}

/// Goes on until nobody has anything to say; all frames that went each way.
fn talk(node: &mut TestNode<'_>, gateway: &mut Keyed, now: u64) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut up, mut down) = (Vec::new(), Vec::new());
    loop {
        let said = says(node, now);
        if said.is_empty() {
            return (up, down);
        }
        for line in said {
            for answer in gateway.receive(&line) {
                node.receive(Tick(now), &answer);
                down.push(answer);
            }
            up.push(line);
        }
        if let Some(ack) = gateway.commit() {
            node.receive(Tick(now), &ack);
            down.push(ack);
        }
    }
}

#[test]
fn with_a_key_nothing_but_the_call_is_in_clear_and_all_arrives() {
    let channels = channels();
    let (mut node, mut gateway) = (node(&channels, BOOT, key()), Keyed::new());
    measure(&mut node, 100, 0);
    node.link_up(Tick(0));
    let (up, down) = talk(&mut node, &mut gateway, 0);
    assert!(node.is_welcomed() && node.is_drained());
    assert_eq!(gateway.gateway.readings.len(), 100);
    assert_eq!((gateway.refused, node.counters().bad_frames), (0, 0));
    let first_bytes = |lines: &[Vec<u8>]| -> Vec<u8> {
        let first = |line: &Vec<u8>| {
            Envelope::read(&mut line[..line.len() - 1].to_vec()).map(|envelope| match envelope {
                Envelope::Clear(_) => b'c',
                Envelope::Exchange(_) => b'x',
                Envelope::Keyed(_) => b'k',
            })
        };
        lines.iter().map(|line| first(line).unwrap()).collect()
    };
    for (lines, which) in [(first_bytes(&up), "up"), (first_bytes(&down), "down")] {
        assert_eq!(lines.iter().filter(|&&first| first == b'x').count(), 1, "{which}");
        assert_eq!(lines.iter().filter(|&&first| first == b'c').count(), 0, "{which}");
    }
}

#[test]
fn what_comes_in_clear_or_was_recorded_moves_nothing() {
    let channels = channels();
    let (mut node, mut gateway) = (node(&channels, BOOT, key()), Keyed::new());
    measure(&mut node, 10, 0);
    node.link_up(Tick(0));
    let (_, recorded) = talk(&mut node, &mut gateway, 0);
    measure(&mut node, 5, 10);
    let forged = Down::Ack { boot: BOOT, up_to: Seq(15) };
    // As sent, so that the node would believe it were it in clear.
    says(&mut node, 10);
    let refused = node.counters().bad_frames;
    node.receive(Tick(10), &frame(&forged));
    recorded.iter().for_each(|line| node.receive(Tick(10), line));
    assert_eq!(node.floor(), Seq(10));
    assert_eq!(u64::from(node.counters().bad_frames - refused), 1 + recorded.len() as u64);
    assert!(node.is_welcomed());
    // The whole session again, for the next link and for the next start of the board.
    node.link_down();
    node.link_up(Tick(20));
    says(&mut node, 20);
    recorded.iter().for_each(|line| node.receive(Tick(20), line));
    assert!(!node.is_welcomed());
    assert_eq!(node.floor(), Seq(10));
}

#[test]
fn who_has_another_key_learns_nothing_and_is_believed_nothing() {
    let channels = channels();
    let (mut node, mut gateway) = (node(&channels, BOOT, DeviceKey::new([8; 16])), Keyed::new());
    measure(&mut node, 10, 0);
    node.link_up(Tick(0));
    for now in (0..20_000).step_by(500) {
        talk(&mut node, &mut gateway, now);
    }
    assert!(!node.is_welcomed());
    assert_eq!((gateway.gateway.hellos, gateway.gateway.readings.len()), (0, 0));
    assert!(gateway.calls.len() > 2, "it goes on asking");
}

#[test]
fn no_nonce_is_used_for_two_sessions() {
    let channels = channels();
    let (mut node, mut gateway) = (node(&channels, BOOT, key()), Keyed::new());
    let mut nonces = BTreeSet::new();
    for round in 0..20 {
        node.link_up(Tick(round * 100));
        talk(&mut node, &mut gateway, round * 100);
        assert!(node.is_welcomed());
        assert!(nonces.insert(gateway.calls.last().unwrap().nonce.0), "round {round}");
        node.link_down();
    }
    // A new start has a new boot, and by it new nonces.
    let mut again = self::node(&channels, BootId(BOOT.0 + 1), key());
    again.link_up(Tick(0));
    talk(&mut again, &mut gateway, 0);
    assert!(nonces.insert(gateway.calls.last().unwrap().nonce.0));
}

#[test]
fn the_nonces_stay_the_boards_own_when_the_gateway_gives_a_boot() {
    let channels = channels();
    let (mut node, mut gateway) = (node(&channels, BOOT, key()), Keyed::new());
    node.link_up(Tick(0));
    talk(&mut node, &mut gateway, 0);
    let offer = tidegate_protocol::frame::Welcome {
        answers: tidegate_protocol::frame::HelloMark::of(Some(BOOT), Seq(0)),
        boot: BootId(5),
        unix_ms: 0,
        error_ms: 0,
    };
    let offer = gateway.close(&frame(&Down::Welcome(offer)));
    node.receive(Tick(1), &offer);
    assert_eq!(node.boot(), Some(BootId(5)));
    node.link_down();
    node.link_up(Tick(2));
    talk(&mut node, &mut gateway, 2);
    assert_eq!(gateway.calls.last().unwrap().nonce.0[..8], BOOT.0.to_le_bytes());
}

#[test]
fn a_gateway_that_lost_the_session_is_called_again() {
    let channels = channels();
    let (mut node, mut gateway) = (node(&channels, BOOT, key()), Keyed::new());
    node.link_up(Tick(0));
    talk(&mut node, &mut gateway, 0);
    gateway.restart();
    measure(&mut node, 20, 100);
    talk(&mut node, &mut gateway, 100);
    assert!(node.is_welcomed() && node.is_drained(), "by its Identify");
    assert_eq!(gateway.gateway.readings.len(), 20);
    // And without it: the gateway has another session of this link, and answers nothing.
    node.link_down();
    node.link_up(Tick(200));
    let call = says(&mut node, 200);
    let challenge = gateway.receive(&call[0]);
    node.receive(Tick(200), &challenge[0]);
    assert_eq!(says(&mut node, 200).len(), 1, "its Hello, which is lost");
    gateway.next = None;
    for now in (1_000..60_000).step_by(1_000) {
        talk(&mut node, &mut gateway, now);
    }
    assert!(node.is_welcomed());
}

#[test]
fn a_node_with_a_key_has_a_boot_of_its_own_and_a_longer_buffer() {
    let channels = channels();
    // A Hello that is shorter than other frames, and one that is the longest of all.
    for tag in ["", &"t".repeat(MAX_TEXT)] {
        let identity = Identity { device: DeviceId::new("tank-7").unwrap(), tag, firmware: tag };
        let node =
            |boot| TestNode::new(identity, boot, &channels, vec![0; 512], NodeConfig::DEFAULT).unwrap();
        let mut without = node(None);
        let clear = without.transmit_len();
        assert_eq!(without.set_key(key()), Err(NodeError::KeyWithoutBoot));
        assert_eq!(without.transmit_len(), clear);
        let mut with = node(Some(BOOT));
        with.set_key(key()).unwrap();
        assert!(with.transmit_len() >= clear + KEYED_BYTES, "{} {clear}", with.transmit_len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// A line that loses, damages and repeats, on which somebody plays back what was said and forges what they please:
    /// nothing true is lost, nothing else is stored.
    #[test]
    fn on_a_line_that_lies_all_that_is_true_arrives_and_nothing_else(
        seed in any::<u64>(), start_again in proptest::option::of(5u64..60)
    ) {
        let channels = channels();
        let (mut node, mut gateway) = (node(&channels, BOOT, key()), Keyed::new());
        let mut random = seed | 1;
        let mut roll = |faces: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % faces
        };
        let mut recorded: Vec<Vec<u8>> = Vec::new();
        node.link_up(Tick(0));
        let mut measured = 0;
        for round in 0..400u64 {
            let now = round * 500;
            let rough = round < 80;
            if rough && roll(3) == 0 {
                measure(&mut node, 2, now);
                measured += 2;
            }
            if start_again == Some(round) {
                gateway.restart();
            }
            // Up, down, and whatever is on the line besides.
            let mut up = says(&mut node, now);
            let mut down = Vec::new();
            if rough && !recorded.is_empty() && roll(2) == 0 {
                let line = recorded[roll(recorded.len() as u64) as usize].clone();
                if roll(2) == 0 { up.push(line) } else { down.push(line) }
            }
            if rough && roll(4) == 0 {
                down.push(frame(&Down::Ack { boot: BOOT, up_to: Seq(roll(200)) }));
            }
            for mut line in up {
                if rough {
                    recorded.push(line.clone());
                    if roll(5) == 0 { continue }
                    if roll(8) == 0 {
                        let at = roll(line.len() as u64 - 1) as usize;
                        line[at] ^= 1 << roll(8);
                    }
                }
                down.extend(gateway.receive(&line));
            }
            down.extend(gateway.commit());
            for mut line in down {
                if rough {
                    recorded.push(line.clone());
                    if roll(5) == 0 { continue }
                    if roll(8) == 0 {
                        let at = roll(line.len() as u64 - 1) as usize;
                        line[at] ^= 1 << roll(8);
                    }
                }
                node.receive(Tick(now), &line);
            }
            // What the board lets go is safe.
            prop_assert!(gateway.gateway.readings.len() as u64 >= node.floor().0, "seed {seed} round {round}");
            if !rough && node.is_drained() { break }
        }
        prop_assert!(node.is_drained(), "seed {seed}: {:?}", node.held());
        prop_assert_eq!(gateway.gateway.readings.len() as u64, measured);
        prop_assert!(gateway.gateway.violations.is_empty(), "{:?}", gateway.gateway.violations);
    }
}
