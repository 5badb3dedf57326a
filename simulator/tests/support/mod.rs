//! A small gateway on a TCP socket: keeps what comes, makes it safe at once, acknowledges by the floor rule.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use tidegate_protocol::{
    BootId, DeviceId, Reading, Seq,
    frame::{BoardTime, Deframer, Down, HelloMark, Up, Welcome, encode_down},
    id::{Origin, SeqRange},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[derive(Debug, Default)]
pub struct Kept {
    pub readings: BTreeMap<u64, Reading>,
    pub losses: Vec<SeqRange>,
    pub scales: Vec<u8>,
    pub clock: Option<BoardTime>,
    /// Heartbeats with a clock came before the first reading.
    pub clock_first: bool,
    pub conflicts: u64,
}

impl Kept {
    fn has(&self, seq: u64) -> bool {
        self.readings.contains_key(&seq) || self.losses.iter().any(|range| range.contains(seq))
    }
}

#[derive(Clone, Debug, Default)]
pub struct Gateway {
    origins: Arc<Mutex<BTreeMap<Origin, Kept>>>,
}

impl Gateway {
    pub async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let gateway = Self::default();
        let accepting = gateway.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        (gateway, addr)
    }

    pub fn origins(&self) -> MutexGuard<'_, BTreeMap<Origin, Kept>> {
        self.origins.lock().unwrap()
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut deframer = Deframer::<4096>::new();
        let (mut origin, mut bytes) = (None, vec![0; 16 * 1024]);
        while let Ok(len @ 1..) = stream.read(&mut bytes).await {
            let mut answers = Vec::new();
            deframer.up(&bytes[..len], |frame| {
                if let Ok(frame) = frame {
                    self.handle(&frame, &mut origin, &mut answers);
                }
            });
            if stream.write_all(&answers).await.is_err() {
                return;
            }
        }
    }

    fn handle(&self, up: &Up<'_>, session: &mut Option<Origin>, answers: &mut Vec<u8>) {
        let mut origins = self.origins();
        if let Up::Hello(hello) = up {
            let boot = hello.boot.unwrap_or(BootId(origins.len() as u64 + 1));
            *session = hello.boot.map(|boot| Origin::new(hello.device, boot));
            if let Some(origin) = *session {
                let kept = origins.entry(origin).or_default();
                kept.scales = hello.channels.iter().map(|channel| channel.scale).collect();
            }
            let hello = HelloMark::of(hello.boot, hello.next);
            let welcome = Welcome { answers: hello, boot, unix_ms: 1_000, error_ms: 1 };
            return answer(answers, &Down::Welcome(welcome));
        }
        let tag = up.boot();
        let named = session.filter(|origin| tag.is_none_or(|tag| tag == origin.boot.tag()));
        let Some(origin) = named else { return answer(answers, &Down::Identify) };
        let kept = origins.get_mut(&origin).unwrap();
        let floor = match up {
            Up::Readings(readings) => {
                let mut samples = readings.samples();
                while let Some(reading) = samples.next(&kept.scales) {
                    let reading = reading.unwrap();
                    let earlier = kept.readings.insert(reading.seq.0, reading);
                    kept.conflicts += u64::from(earlier.is_some_and(|earlier| earlier != reading));
                }
                readings.floor
            }
            Up::Heartbeat(heartbeat) => {
                kept.clock_first |= heartbeat.clock.is_some() && kept.readings.is_empty();
                kept.clock = heartbeat.clock.or(kept.clock);
                heartbeat.floor
            }
            Up::Lost(lost) => {
                kept.losses.push(lost.range);
                lost.floor
            }
            Up::Hello(_) | Up::SettingsResult { .. } => return,
        };
        let mut up_to = floor.0;
        while kept.has(up_to) {
            up_to += 1;
        }
        answer(answers, &Down::Ack { boot: origin.boot, up_to: Seq(up_to) });
    }
}

fn answer(answers: &mut Vec<u8>, down: &Down) {
    let mut frame = [0; 64];
    let len = encode_down(down, &mut frame).unwrap();
    answers.extend_from_slice(&frame[..len]);
}

pub fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}
