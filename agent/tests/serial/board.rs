//! A board at the far end of a pseudo-terminal, that keeps its readings until they are acknowledged.

use std::{ops::Range, path::PathBuf, time::Duration};

use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, DeviceId, Quality, Reading, Seq, Tick, Value, ValueKind,
    frame::{
        ChannelList, Deframer, Down, Hello, MAX_DOWN_FRAME, MAX_FRAME, Readings, SamplePacker, Standing, Up,
        encode_up, encoded_len,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_serial::{SerialPort, SerialStream};

pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Board {
    device: &'static str,
    boot: BootId,
    line: SerialStream,
    path: PathBuf,
    deframer: Deframer<{ encoded_len(MAX_DOWN_FRAME) }>,
    acknowledged: u64,
}

fn pseudo_terminal() -> (SerialStream, PathBuf) {
    let (line, far_end) = SerialStream::pair().expect("a pseudo-terminal");
    let path = far_end.name().expect("it has a path");
    (line, path.into())
}

impl Board {
    pub fn new(device: &'static str) -> Self {
        let (line, path) = pseudo_terminal();
        let boot = BootId(device.bytes().fold(42, |boot, byte| boot * 31 + u64::from(byte)));
        Self { device, boot, line, path, deframer: Deframer::new(), acknowledged: 0 }
    }

    /// What the gateway sees as the device.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Another line, as another number of /dev/ttyACM; the old one hangs up.
    pub fn replug(&mut self) {
        let (line, path) = pseudo_terminal();
        assert_ne!(path, self.path);
        (self.line, self.path, self.deframer) = (line, path, Deframer::new());
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        self.line.write_all(bytes).await.expect("the line takes it");
    }

    async fn say(&mut self, frame: &Up<'_>) {
        self.raw(&encoded(frame)).await;
    }

    /// Says who it is, and that it has measured up to `next`.
    pub async fn hello(&mut self, next: u64) {
        let name = ChannelName::new("temperature").unwrap();
        let channels = [ChannelDecl { name, unit: "Cel", kind: ValueKind::Decimal, scale: 1 }];
        self.say(&Up::Hello(Hello {
            device: DeviceId::new(self.device).unwrap(),
            tag: "TT-1",
            firmware: "test",
            boot: Some(self.boot),
            standing: Standing::Present,
            floor: Seq(self.acknowledged),
            next: Seq(next),
            channels: ChannelList::new(&channels).unwrap(),
        }))
        .await;
        let Down::Welcome(welcome) = self.hear(|frame| matches!(frame, Down::Welcome(_))).await else {
            unreachable!("a welcome was waited for")
        };
        assert_eq!(welcome.boot, self.boot);
    }

    pub fn readings(&self, seqs: Range<u64>) -> Vec<u8> {
        let mut packed = [0; 512];
        let mut packer = SamplePacker::new(&mut packed, Tick(0));
        for seq in seqs.clone() {
            let value = Value::Decimal { mantissa: 200 + seq as i64, scale: 1 };
            let (channel, tick, quality) = (ChannelIndex(0), Tick(seq * 100), Quality::Good);
            assert!(packer.push(&Reading { seq: Seq(seq), channel, tick, value, quality }));
        }
        let (count, len) = (packer.count(), packer.len());
        encoded(&Up::Readings(Readings {
            boot: self.boot.tag(),
            first_seq: Seq(seqs.start),
            floor: Seq(self.acknowledged),
            next: Seq(seqs.end),
            base_tick: Tick(0),
            count,
            samples: &packed[..len],
        }))
    }

    /// Sends what is not acknowledged up to `next`, and waits until it is.
    pub async fn deliver(&mut self, next: u64) {
        let frame = self.readings(self.acknowledged..next);
        self.raw(&frame).await;
        self.acknowledged(next).await;
    }

    pub async fn acknowledged(&mut self, up_to: u64) {
        let (boot, up_to) = (self.boot, Seq(up_to));
        self.hear(|frame| *frame == Down::Ack { boot, up_to }).await;
        self.acknowledged = up_to.0;
    }

    async fn hear(&mut self, wanted: impl Fn(&Down) -> bool) -> Down {
        let heard = async {
            loop {
                let mut buffer = [0; 256];
                // While nobody has the line open it fails; the agent is about to open it.
                let Ok(len) = self.line.read(&mut buffer).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let mut found = None;
                self.deframer.down(&buffer[..len], |frame| {
                    if let Ok(frame) = frame
                        && wanted(&frame)
                    {
                        found = Some(frame);
                    }
                });
                if let Some(frame) = found {
                    return frame;
                }
            }
        };
        timeout(PATIENCE, heard).await.expect("the agent speaks in time")
    }
}

fn encoded(frame: &Up<'_>) -> Vec<u8> {
    let mut buffer = [0; encoded_len(MAX_FRAME)];
    let len = encode_up(frame, &mut buffer).expect("it encodes");
    buffer[..len].to_vec()
}
