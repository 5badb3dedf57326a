//! A board on a serial line, through a pseudo-terminal: the agent opens the line, welcomes the board, takes its readings,
//! and takes the line again after it broke.

use std::{path::Path, time::Duration};

use tidegate_agent::{Config, Settings};
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

const PATIENCE: Duration = Duration::from_secs(20);

struct Board {
    line: SerialStream,
    deframer: Deframer<{ encoded_len(MAX_DOWN_FRAME) }>,
}

impl Board {
    async fn say(&mut self, frame: &Up<'_>) {
        let mut buffer = [0; encoded_len(MAX_FRAME)];
        let len = encode_up(frame, &mut buffer).expect("it encodes");
        self.line.write_all(&buffer[..len]).await.expect("the line takes it");
    }

    async fn hello(&mut self, next: u64) {
        let name = ChannelName::new("temperature").unwrap();
        let channels = [ChannelDecl { name, unit: "Cel", kind: ValueKind::Decimal, scale: 1 }];
        self.say(&Up::Hello(Hello {
            device: DeviceId::new("on-a-wire").unwrap(),
            tag: "TT-1",
            firmware: "test",
            boot: Some(BootId(42)),
            standing: Standing::Present,
            floor: Seq(0),
            next: Seq(next),
            channels: ChannelList::new(&channels).unwrap(),
        }))
        .await;
    }

    async fn readings(&mut self, seqs: std::ops::Range<u64>) {
        let mut packed = [0; 512];
        let mut packer = SamplePacker::new(&mut packed, Tick(0));
        for seq in seqs.clone() {
            let value = Value::Decimal { mantissa: 200 + seq as i64, scale: 1 };
            let (channel, tick, quality) = (ChannelIndex(0), Tick(seq * 100), Quality::Good);
            assert!(packer.push(&Reading { seq: Seq(seq), channel, tick, value, quality }));
        }
        let (count, len) = (packer.count(), packer.len());
        self.say(&Up::Readings(Readings {
            boot: BootId(42).tag(),
            first_seq: Seq(seqs.start),
            floor: Seq(0),
            next: Seq(seqs.end),
            base_tick: Tick(0),
            count,
            samples: &packed[..len],
        }))
        .await;
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

#[tokio::test]
async fn a_board_on_a_serial_line_is_welcomed_and_acknowledged() {
    let (line, far_end) = SerialStream::pair().expect("a pseudo-terminal");
    let path = far_end.name().expect("it has a path");
    drop(far_end);
    let folder = tempfile::tempdir().unwrap();
    // Nobody is at the broker's address: the agent makes readings safe by itself.
    let text = format!(
        r#"
        site = "plant"
        gateway = "gw-a"
        data_dir = "{}"
        [broker]
        address = "127.0.0.1:9"
        [status]
        listen = "127.0.0.1:0"
        [queue]
        flush_interval_ms = 20
        outage_flush_interval_ms = 20
        [[source]]
        type = "board-serial"
        path = "{path}"
        "#,
        folder.path().display()
    );
    let file = Path::new("agent.toml");
    let settings = tidegate_service::parse::<Settings>(file, &text).expect("it parses");
    let agent = tidegate_agent::start(Config::validate(file, settings).expect("it is good"))
        .await
        .expect("it starts");
    let mut board = Board { line, deframer: Deframer::new() };
    // Noise before the first frame, as of a board that resets.
    board.line.write_all(&[0x55, 0xff, 0x13, 0]).await.unwrap();
    board.hello(0).await;
    let Down::Welcome(welcome) = board.hear(|frame| matches!(frame, Down::Welcome(_))).await else {
        unreachable!("a welcome was waited for")
    };
    assert_eq!(welcome.boot, BootId(42));
    board.readings(0..20).await;
    board.hear(|frame| matches!(frame, Down::Ack { boot: BootId(42), up_to: Seq(20) })).await;
    board.readings(20..40).await;
    board.hear(|frame| matches!(frame, Down::Ack { boot: BootId(42), up_to: Seq(40) })).await;
    let drained = agent.drain(PATIENCE).await.expect("all is safe");
    let view = drained.view.expect("the agent answers");
    assert_eq!((view.queue.readings, view.counters.readings_received), (40, 40));
    assert_eq!(view.counters.bad_frames.values().sum::<u64>(), 1, "the noise is counted");
}
