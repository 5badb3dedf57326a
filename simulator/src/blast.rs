//! Pre-encoded frames, sent as fast as acknowledgements allow: measures what is behind the board link and costs
//! next to nothing itself.
//!
//! Each device is one connection that follows the protocol: Hello, Welcome, then Readings within a window of
//! unacknowledged readings. Frames are encoded once, before the clock starts; they take about 5 bytes a reading.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegate_firmware::channel;
use tidegate_protocol::{
    BootId, ChannelDecl, DeviceId, Quality, Reading, Tick, Value, ValueKind,
    frame::{
        ChannelList, Deframer, Down, FrameError, Heartbeat, Hello, MAX_DOWN_FRAME, MAX_FRAME, Readings,
        SamplePacker, Standing, Up, encode_up, encoded_len,
    },
    id::{ChannelIndex, Seq},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

use crate::signal::derive_seed;

/// What a Readings frame of [`MAX_FRAME`] can carry beside its head and checksum.
const SAMPLES_BYTES: usize = MAX_FRAME - 64;
/// Frames written at once.
const WRITE_BYTES: usize = 256 * 1024;
/// Nothing acknowledged for so long: everything unacknowledged is sent again.
const RESEND_AFTER: Duration = Duration::from_secs(10);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);
/// A reading each so often, on all of a device's channels.
const PERIOD_MS: u64 = 1_000;

const CHANNELS: [(&str, &str, ValueKind, u8); 8] = [
    ("temperature", "Cel", ValueKind::Decimal, 2),
    ("humidity", "%RH", ValueKind::Decimal, 1),
    ("pressure", "Pa", ValueKind::Decimal, 0),
    ("vibration", "m/s2", ValueKind::F32, 0),
    ("power", "W", ValueKind::Decimal, 1),
    ("voltage", "V", ValueKind::Decimal, 1),
    ("parts", "count", ValueKind::Decimal, 0),
    ("running", "", ValueKind::Bool, 0),
];

#[derive(Clone, Debug)]
pub struct BlastPlan {
    /// Devices are named `{prefix}-000`, `{prefix}-001` …; each is one connection.
    pub devices: u64,
    pub prefix: String,
    pub readings_per_device: u64,
    /// Unacknowledged readings in flight, per device.
    pub window_readings: u64,
    pub seed: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum BlastError {
    #[error("`{0}` cannot begin a device's name: use a-z, 0-9 and -, at most 26 characters")]
    Prefix(String),
    #[error("a frame could not be encoded: {0}")]
    Frame(#[from] FrameError),
    #[error("no random numbers for a boot id: {0}")]
    Entropy(getrandom::Error),
    #[error("the link to the gateway: {0}")]
    Link(#[from] io::Error),
    #[error("the gateway closed the link with {0} readings unacknowledged")]
    Closed(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlastReport {
    pub readings: u64,
    /// Bytes of the frames, once each.
    pub frame_bytes: u64,
    /// From the first frame to the last acknowledgement.
    pub elapsed: Duration,
    pub frames_resent: u64,
}

impl BlastReport {
    pub fn readings_per_s(&self) -> f64 {
        self.readings as f64 / self.elapsed.as_secs_f64()
    }
}

struct Prepared {
    device: DeviceId,
    boot: BootId,
    bytes: Vec<u8>,
    frames: Vec<Frame>,
}

/// One frame's end, in bytes and in readings.
#[derive(Clone, Copy)]
struct Frame {
    end_byte: usize,
    end_seq: u64,
}

/// Frames ready to send.
pub struct Blast {
    window: u64,
    devices: Vec<Prepared>,
}

impl Blast {
    pub fn prepare(plan: &BlastPlan) -> Result<Self, BlastError> {
        let device = |number| {
            let name = format!("{}-{number:03}", plan.prefix);
            let device = DeviceId::new(&name).map_err(|_| BlastError::Prefix(plan.prefix.clone()))?;
            let boot = BootId(getrandom::u64().map_err(BlastError::Entropy)?);
            encode(device, boot, plan, derive_seed(plan.seed, number))
        };
        let devices = (0..plan.devices).map(device).collect::<Result<_, _>>()?;
        Ok(Self { window: plan.window_readings, devices })
    }

    /// Sends everything and waits until all of it is acknowledged.
    pub async fn run(self, gateway: SocketAddr) -> Result<BlastReport, BlastError> {
        let readings =
            self.devices.iter().filter_map(|device| device.frames.last()).map(|frame| frame.end_seq).sum();
        let frame_bytes = self.devices.iter().map(|device| device.bytes.len() as u64).sum();
        let mut links = Vec::new();
        for device in self.devices {
            links.push(Sender::connect(device, self.window, gateway).await?);
        }
        let started = Instant::now();
        let mut sending = JoinSet::new();
        for link in links {
            sending.spawn(link.send());
        }
        let mut frames_resent = 0;
        while let Some(sent) = sending.join_next().await {
            frames_resent += sent.map_err(io::Error::from)??;
        }
        Ok(BlastReport { readings, frame_bytes, elapsed: started.elapsed(), frames_resent })
    }
}

fn declarations() -> Vec<ChannelDecl<&'static str>> {
    CHANNELS.iter().filter_map(|&(name, unit, kind, scale)| channel(name, unit, kind, scale).ok()).collect()
}

fn encode(device: DeviceId, boot: BootId, plan: &BlastPlan, seed: u64) -> Result<Prepared, BlastError> {
    let mut walk = Walk {
        rng: ChaCha8Rng::seed_from_u64(seed),
        levels: [2_150, 455, 101_300, 240, 32_000, 2_300, 0, 0],
    };
    let mut prepared = Prepared { device, boot, bytes: Vec::new(), frames: Vec::new() };
    let (mut seq, mut held) = (0, None);
    let mut samples = vec![0; SAMPLES_BYTES];
    while seq < plan.readings_per_device {
        let first = held.take().unwrap_or_else(|| walk.reading(seq));
        let mut packer = SamplePacker::new(&mut samples, first.tick);
        packer.push(&first);
        seq += 1;
        while seq < plan.readings_per_device {
            let reading = walk.reading(seq);
            if !packer.push(&reading) {
                held = Some(reading);
                break;
            }
            seq += 1;
        }
        let (count, len) = (packer.count(), packer.len());
        let readings = Readings {
            boot: boot.tag(),
            first_seq: first.seq,
            // What can be said before it is known: at most a window is unacknowledged when this is sent.
            floor: Seq(first.seq.0.saturating_sub(plan.window_readings)),
            next: Seq(seq),
            base_tick: first.tick,
            count,
            samples: samples.get(..len).unwrap_or_default(),
        };
        push_frame(&Up::Readings(readings), &mut prepared.bytes)?;
        prepared.frames.push(Frame { end_byte: prepared.bytes.len(), end_seq: seq });
    }
    Ok(prepared)
}

fn push_frame(frame: &Up<'_>, bytes: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = bytes.len();
    bytes.resize(start + encoded_len(MAX_FRAME), 0);
    let len = encode_up(frame, bytes.get_mut(start..).unwrap_or_default())?;
    bytes.truncate(start + len);
    Ok(())
}

/// Signals that change by a few of their resolution's steps.
struct Walk {
    rng: ChaCha8Rng,
    levels: [i64; 8],
}

impl Walk {
    fn reading(&mut self, seq: u64) -> Reading {
        let at = (seq % CHANNELS.len() as u64) as usize;
        let tick = Tick(seq / CHANNELS.len() as u64 * PERIOD_MS);
        let step: i64 = self.rng.random_range(-2..=2);
        let (kind, scale) =
            CHANNELS.get(at).map_or((ValueKind::Bool, 0), |&(_, _, kind, scale)| (kind, scale));
        let level = self.levels.get_mut(at).map_or(0, |level| {
            *level += if scale == 0 && kind == ValueKind::Decimal { step.abs() } else { step };
            *level
        });
        let value = match kind {
            ValueKind::Bool => Value::Bool(level > 0),
            ValueKind::Decimal => Value::Decimal { mantissa: level, scale },
            ValueKind::F32 => Value::F32(level as f32 / 100.0),
            ValueKind::F64 => Value::F64(level as f64 / 100.0),
        };
        Reading { seq: Seq(seq), channel: ChannelIndex(at as u8), tick, value, quality: Quality::Good }
    }
}

/// One device's link.
struct Sender {
    prepared: Prepared,
    window: u64,
    write: OwnedWriteHalf,
    acknowledged: watch::Receiver<u64>,
}

impl Sender {
    async fn connect(prepared: Prepared, window: u64, gateway: SocketAddr) -> Result<Self, BlastError> {
        let stream = TcpStream::connect(gateway).await?;
        stream.set_nodelay(true)?;
        let (mut read, mut write) = stream.into_split();
        let mut deframer = Deframer::new();
        greet(&prepared, &mut read, &mut write, &mut deframer).await?;
        let (acknowledge, acknowledged) = watch::channel(0);
        tokio::spawn(listen(read, deframer, prepared.boot, acknowledge));
        Ok(Self { prepared, window, write, acknowledged })
    }

    /// Returns how many frames were sent again.
    async fn send(mut self) -> Result<u64, BlastError> {
        let total = self.prepared.frames.last().map_or(0, |frame| frame.end_seq);
        let (mut sent, mut resent) = (0_usize, 0);
        let mut heartbeat_at = Instant::now();
        loop {
            let acknowledged = *self.acknowledged.borrow_and_update();
            if acknowledged >= total {
                return Ok(resent);
            }
            if heartbeat_at <= Instant::now() {
                self.heartbeat(acknowledged, self.seq_before(sent)).await?;
                heartbeat_at = Instant::now() + HEARTBEAT_EVERY;
            }
            let end = self.sendable(sent, acknowledged);
            if end > sent {
                let bytes = self.byte_before(sent)..self.byte_before(end);
                self.write.write_all(self.prepared.bytes.get(bytes).unwrap_or_default()).await?;
                sent = end;
                continue;
            }
            match tokio::time::timeout(RESEND_AFTER, self.acknowledged.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(BlastError::Closed(total - acknowledged)),
                Err(_) => {
                    let from = self.prepared.frames.partition_point(|frame| frame.end_seq <= acknowledged);
                    resent += (sent - from) as u64;
                    sent = from;
                }
            }
        }
    }

    /// The frame behind the last that may be sent now: within the window, and not more than one write's bytes.
    fn sendable(&self, sent: usize, acknowledged: u64) -> usize {
        let (last_seq, last_byte) = (acknowledged + self.window, self.byte_before(sent) + WRITE_BYTES);
        let frames = self.prepared.frames.get(sent..).unwrap_or_default();
        let fits = |frame: &&Frame| frame.end_seq <= last_seq && frame.end_byte <= last_byte;
        let count = frames.iter().take_while(fits).count();
        // A window smaller than a frame still lets one frame go.
        let idle = self.seq_before(sent) == acknowledged && !frames.is_empty();
        sent + count.max(usize::from(idle))
    }

    fn byte_before(&self, frame: usize) -> usize {
        frame
            .checked_sub(1)
            .and_then(|before| self.prepared.frames.get(before))
            .map_or(0, |before| before.end_byte)
    }

    fn seq_before(&self, frame: usize) -> u64 {
        frame
            .checked_sub(1)
            .and_then(|before| self.prepared.frames.get(before))
            .map_or(0, |before| before.end_seq)
    }

    async fn heartbeat(&mut self, floor: u64, next: u64) -> Result<(), BlastError> {
        let heartbeat = Heartbeat {
            boot: self.prepared.boot.tag(),
            floor: Seq(floor.min(next)),
            next: Seq(next),
            tick: Tick(next / CHANNELS.len() as u64 * PERIOD_MS),
            ring_free: u32::try_from(self.window).unwrap_or(u32::MAX),
            clock: None,
            counters: Default::default(),
        };
        let mut bytes = Vec::new();
        push_frame(&Up::Heartbeat(heartbeat), &mut bytes)?;
        Ok(self.write.write_all(&bytes).await?)
    }
}

async fn greet(
    prepared: &Prepared,
    read: &mut OwnedReadHalf,
    write: &mut OwnedWriteHalf,
    deframer: &mut Deframer<MAX_DOWN_FRAME>,
) -> Result<(), BlastError> {
    let channels = declarations();
    let hello = Hello {
        device: prepared.device,
        tag: "",
        firmware: "tidegate-sim blast",
        boot: Some(prepared.boot),
        standing: Standing::Present,
        floor: Seq(0),
        next: Seq(0),
        channels: ChannelList::new(&channels)?,
    };
    let mut bytes = Vec::new();
    push_frame(&Up::Hello(hello), &mut bytes)?;
    write.write_all(&bytes).await?;
    let (mut welcomed, mut received) = (false, [0; 1_024]);
    while !welcomed {
        let len = read.read(&mut received).await?;
        if len == 0 {
            return Err(BlastError::Closed(prepared.frames.last().map_or(0, |frame| frame.end_seq)));
        }
        deframer.down(received.get(..len).unwrap_or_default(), |down| {
            welcomed |= matches!(down, Ok(Down::Welcome(welcome)) if welcome.boot == prepared.boot);
        });
    }
    Ok(())
}

/// Ends with the link, which the sender sees by its watch being closed.
async fn listen(
    mut read: OwnedReadHalf,
    mut deframer: Deframer<MAX_DOWN_FRAME>,
    own: BootId,
    acknowledge: watch::Sender<u64>,
) {
    let mut received = [0; 4_096];
    while let Ok(len @ 1..) = read.read(&mut received).await {
        let mut highest = *acknowledge.borrow();
        deframer.down(received.get(..len).unwrap_or_default(), |down| {
            if let Ok(Down::Ack { boot, up_to }) = down
                && boot == own
            {
                highest = highest.max(up_to.0);
            }
        });
        acknowledge.send_if_modified(|acknowledged| {
            let more = highest > *acknowledged;
            *acknowledged = highest;
            more
        });
    }
}
