//! What a node sends, decoded into something that can be compared.

use tidegate_firmware::Node;
use tidegate_protocol::{
    BootId, Seq, Tick,
    frame::{Down, Heartbeat, HelloMark, Lost, SettingsResult, Up, Welcome, decode_up},
};

#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Hello { boot: Option<BootId>, floor: u64, next: u64, channels: Vec<String> },
    Readings { first: u64, count: u16, floor: u64, next: u64 },
    Heartbeat(Heartbeat),
    Lost(Lost),
    Answer(SettingsResult),
}

impl Seen {
    pub fn readings(first: u64, count: u16, floor: u64, next: u64) -> Self {
        Self::Readings { first, count, floor, next }
    }
}

fn seen(up: Up<'_>) -> Seen {
    match up {
        Up::Hello(hello) => Seen::Hello {
            boot: hello.boot,
            floor: hello.floor.0,
            next: hello.next.0,
            channels: hello.channels.iter().map(|channel| channel.name.to_string()).collect(),
        },
        Up::Readings(readings) => {
            Seen::readings(readings.first_seq.0, readings.count, readings.floor.0, readings.next.0)
        }
        Up::Heartbeat(heartbeat) => Seen::Heartbeat(heartbeat),
        Up::Lost(lost) => Seen::Lost(lost),
        Up::SettingsResult { result, .. } => Seen::Answer(result),
    }
}

/// Everything the node wants to send at `now_ms`, in a buffer of 256 bytes.
pub fn sent<const N: usize>(node: &mut Node<'_, N, Vec<u8>>, now_ms: u64) -> Vec<Seen> {
    let (mut all, mut buffer) = (Vec::new(), [0; 256]);
    while let Some(len) = node.poll_transmit(Tick(now_ms), &mut buffer) {
        let (zero, stuffed) = buffer[..len].split_last_mut().expect("a frame is not empty");
        assert_eq!(*zero, 0);
        all.push(seen(decode_up(stuffed).expect("a node sends sound frames")));
    }
    all
}

/// The same without heartbeats.
pub fn spoken<const N: usize>(node: &mut Node<'_, N, Vec<u8>>, now_ms: u64) -> Vec<Seen> {
    let mut all = sent(node, now_ms);
    all.retain(|seen| !matches!(seen, Seen::Heartbeat(_)));
    all
}

pub fn tell<const N: usize>(node: &mut Node<'_, N, Vec<u8>>, now_ms: u64, down: &Down) {
    node.receive(Tick(now_ms), &super::frame(down));
}

pub fn ack(boot: u64, up_to: u64) -> Down {
    Down::Ack { boot: BootId(boot), up_to: Seq(up_to) }
}

/// The gateway knows this boot.
pub fn welcome(boot: u64) -> Down {
    offer(HelloMark::of(Some(BootId(boot)), Seq(0)), boot)
}

/// The gateway answers a Hello with a boot.
pub fn offer(answers: Option<HelloMark>, boot: u64) -> Down {
    Down::Welcome(Welcome { answers, boot: BootId(boot), unix_ms: 1_700_000_000_000, error_ms: 5 })
}
