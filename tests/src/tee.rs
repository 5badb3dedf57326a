//! A board's line that several gateways share, as on a bus: each hears the board, each is heard by it, and we listen in. A
//! gateway that is away is tried again; what is said meanwhile it misses. The line can be noisy.

use std::{io, net::SocketAddr, time::Duration};

use tidegate_protocol::frame::{Deframer, MAX_FRAME, Up, encoded_len};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{broadcast, mpsc, watch},
    task::JoinHandle,
};

const CHUNK_BYTES: usize = 1024;
/// Chunks that a gateway may lag behind; beyond, it misses some.
const CHUNKS: usize = 256;
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// What the board has said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    pub hellos: u64,
    /// Of the last heartbeat: the oldest seq that it still holds, and the next one.
    pub floor: u64,
    pub next: u64,
    /// Of what it declared lost, the end.
    pub lost: u64,
    /// Frames that it could not read.
    pub bad_frames: u32,
}

/// A running tee; dropped, it closes everything.
pub struct Tee {
    addr: SocketAddr,
    heard: watch::Receiver<Heard>,
    tasks: Vec<JoinHandle<()>>,
}

/// Flips a bit of every so many bytes, none for 0.
#[derive(Clone, Copy)]
struct Noise {
    every: usize,
    passed: usize,
}

impl Tee {
    /// Joins one board, and those that come after it, to all these gateways.
    pub async fn start(gateways: &[SocketAddr], flip_every_bytes: usize) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let (up, _) = broadcast::channel(CHUNKS);
        let (down, to_board) = mpsc::channel(CHUNKS);
        let (told, heard) = watch::channel(Heard::default());
        let noise = Noise { every: flip_every_bytes, passed: 0 };
        let gateway = |&gateway| tokio::spawn(join_gateway(gateway, up.subscribe(), down.clone(), noise));
        let mut tasks: Vec<_> = gateways.iter().map(gateway).collect();
        tasks.push(tokio::spawn(join_board(listener, up, to_board, told, noise)));
        Ok(Self { addr, heard, tasks })
    }

    /// Where the board connects.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits until the board has said enough.
    ///
    /// # Panics
    /// After the patience of [`crate::eventually`].
    pub async fn hear_until(&mut self, what: &str, is_enough: impl Fn(&Heard) -> bool) -> Heard {
        let heard = tokio::time::timeout(crate::eventually::PATIENCE, self.heard.wait_for(is_enough)).await;
        let heard = heard.unwrap_or_else(|_| panic!("waited for {what}"));
        *heard.expect("the tee runs")
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Noise {
    fn disturb(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.passed += 1;
            if self.every > 0 && self.passed.is_multiple_of(self.every) {
                *byte ^= 1 << (self.passed / self.every % 8);
            }
        }
    }
}

async fn join_board(
    listener: TcpListener,
    up: broadcast::Sender<Vec<u8>>,
    mut down: mpsc::Receiver<Vec<u8>>,
    told: watch::Sender<Heard>,
    mut noise: Noise,
) {
    while let Ok((mut board, _)) = listener.accept().await {
        let mut deframer = Deframer::<{ encoded_len(MAX_FRAME) }>::new();
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            tokio::select! {
                read = board.read(&mut chunk) => {
                    let Ok(len @ 1..) = read else { break };
                    let bytes = &mut chunk[..len];
                    deframer.up(bytes, |frame| {
                        frame.into_iter().for_each(|frame| told.send_modify(|heard| heard.note(&frame)));
                    });
                    noise.disturb(bytes);
                    // Without a gateway nobody hears it.
                    let _heard_by = up.send(bytes.to_vec());
                }
                Some(frame) = down.recv() => {
                    if board.write_all(&frame).await.is_err() {
                        break;
                    }
                }
            }
        }
    }
}

impl Heard {
    fn note(&mut self, frame: &Up<'_>) {
        match frame {
            Up::Hello(_) => self.hellos += 1,
            Up::Heartbeat(heartbeat) => {
                (self.floor, self.next) = (heartbeat.floor.0, heartbeat.next.0);
                self.bad_frames = heartbeat.counters.bad_frames;
            }
            Up::Lost(lost) => self.lost = self.lost.max(lost.range.end),
            _ => {}
        }
    }
}

async fn join_gateway(
    gateway: SocketAddr,
    mut up: broadcast::Receiver<Vec<u8>>,
    down: mpsc::Sender<Vec<u8>>,
    mut noise: Noise,
) {
    loop {
        let Ok(mut line) = TcpStream::connect(gateway).await else {
            tokio::time::sleep(TRY_AGAIN).await;
            continue;
        };
        // What was said before is gone.
        up = up.resubscribe();
        let (mut chunk, mut frame) = ([0; CHUNK_BYTES], Vec::new());
        loop {
            tokio::select! {
                said = up.recv() => match said {
                    Ok(bytes) => if line.write_all(&bytes).await.is_err() { break },
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                read = line.read(&mut chunk) => {
                    let Ok(len @ 1..) = read else { break };
                    noise.disturb(&mut chunk[..len]);
                    // Whole frames: two gateways must not speak into each other's.
                    for byte in &chunk[..len] {
                        frame.push(*byte);
                        if *byte == 0 && down.send(std::mem::take(&mut frame)).await.is_err() {
                            return;
                        }
                    }
                }
            }
        }
    }
}
