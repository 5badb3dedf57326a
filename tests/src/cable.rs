//! A serial line to a virtual board: what it says over TCP goes through a pseudo-terminal, which is plugged in under a name,
//! pulled out, and plugged in again as another device. As on a wire, what nobody takes is gone.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tokio_serial::{SerialPort, SerialStream};

/// How many bytes an overrun costs.
const OVERRUN: usize = 3;

pub struct Cable {
    board: SocketAddr,
    name: PathBuf,
    orders: UnboundedSender<Order>,
}

enum Order {
    Plug(Ends),
    Unplug,
    /// Of so many chunks from the board some bytes are lost.
    Overrun(usize),
    Noise(Vec<u8>),
}

/// The board's end, and the gateway's: while the agent has not opened that, nothing fails.
type Ends = (SerialStream, SerialStream);

impl Cable {
    /// Not plugged in yet. `name` is what the agent will see.
    pub async fn new(name: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let board = listener.local_addr().expect("it is bound");
        let (orders, given) = unbounded_channel();
        tokio::spawn(carry(listener, given));
        Self { board, name, orders }
    }

    /// Where the board connects.
    pub fn board(&self) -> SocketAddr {
        self.board
    }

    /// Plugs it in; returns the device that its name leads to, which is another than `before`.
    pub fn plug(&self, before: Option<&Path>) -> PathBuf {
        let (ends, device) = match pseudo_terminal() {
            // Its number is free again; nobody gets it while it is held.
            held if Some(held.1.as_path()) == before => pseudo_terminal(),
            other => other,
        };
        fs::create_dir_all(self.name.parent().unwrap_or(Path::new("/"))).expect("a folder of names");
        symlink(&device, &self.name).expect("its name is free");
        self.order(Order::Plug(ends));
        device
    }

    pub fn unplug(&self) {
        self.order(Order::Unplug);
        fs::remove_file(&self.name).expect("it was plugged in");
    }

    pub fn overrun(&self, chunks: usize) {
        self.order(Order::Overrun(chunks));
    }

    pub fn noise(&self, bytes: &[u8]) {
        self.order(Order::Noise(bytes.to_vec()));
    }

    fn order(&self, order: Order) {
        assert!(self.orders.send(order).is_ok(), "the cable is there");
    }
}

fn pseudo_terminal() -> (Ends, PathBuf) {
    let ends = SerialStream::pair().expect("a pseudo-terminal");
    let device = ends.1.name().expect("it has a path");
    (ends, device.into())
}

/// Until the cable is dropped.
async fn carry(listener: TcpListener, mut orders: UnboundedReceiver<Order>) {
    let mut board: Option<TcpStream> = None;
    let (mut line, mut _far_end): (Option<SerialStream>, Option<SerialStream>) = (None, None);
    let (mut up, mut down) = ([0; 4_096], [0; 4_096]);
    let mut overruns = 0_usize;
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Plug((near, far))) => (line, _far_end) = (Some(near), Some(far)),
                Some(Order::Unplug) => (line, _far_end) = (None, None),
                Some(Order::Overrun(chunks)) => overruns = chunks,
                Some(Order::Noise(bytes)) => put(&mut line, &bytes),
                None => return,
            },
            accepted = listener.accept() => board = accepted.ok().map(|(stream, _)| stream),
            len = take(&mut board, &mut up) => match len {
                0 => board = None,
                len => {
                    let (before, after) = up[..len].split_at(len / 2);
                    let lost = if overruns > 0 { OVERRUN.min(after.len()) } else { 0 };
                    overruns = overruns.saturating_sub(1);
                    put(&mut line, before);
                    put(&mut line, &after[lost..]);
                }
            },
            len = take(&mut line, &mut down) => {
                if let Some(stream) = &mut board
                    && stream.write_all(&down[..len]).await.is_err()
                {
                    board = None;
                }
            }
        }
    }
}

/// How many bytes came; none at the end. Waits for ever where there is nothing to come from.
async fn take(from: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> usize {
    match from {
        Some(from) => from.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

/// What there is no room for is lost.
fn put(line: &mut Option<SerialStream>, bytes: &[u8]) {
    if let Some(line) = line {
        let _lost = line.try_write(bytes);
    }
}
