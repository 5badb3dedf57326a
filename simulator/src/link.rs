//! A board's TCP link: connects with back-off, writes what is gathered, notices a dead peer.
//!
//! Every wait is cancel-safe, so that the board can measure in between. Unwritten frames are bounded by what the
//! board gathers at a time; a link that goes down drops them, and the node sends them again.

use std::{future::Future, io, net::SocketAddr, pin::Pin, time::Duration};

use tidegate_protocol::{
    Tick,
    frame::{MAX_FRAME, encoded_len},
};
use tokio::net::TcpStream;

const RETRY_MS: u64 = 100;
const RETRY_MAX_MS: u64 = 2_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that owes an answer and says nothing for so long is taken for dead.
const SILENCE_MS: u64 = 90_000;

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

enum State {
    Down { retry_at: Tick },
    Connecting(Connecting),
    Up { stream: TcpStream, heard_at: Tick },
    Broken(io::Error),
}

pub(crate) struct Link {
    gateway: SocketAddr,
    state: State,
    retry_ms: u64,
    /// Frames not yet written, from `written` on.
    outgoing: Vec<u8>,
    written: usize,
    received: Vec<u8>,
    connections: u32,
}

pub(crate) enum Heard {
    Connected,
    /// Take them with [`Link::drain_received`].
    Bytes,
    Written,
    Down(io::Error),
}

impl Link {
    pub(crate) fn new(gateway: SocketAddr) -> Self {
        Self {
            gateway,
            state: State::Down { retry_at: Tick(0) },
            retry_ms: RETRY_MS,
            outgoing: Vec::new(),
            written: 0,
            received: vec![0; 4_096],
            connections: 0,
        }
    }

    pub(crate) fn connections(&self) -> u32 {
        self.connections
    }

    fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Whether frames wait for the socket.
    pub(crate) fn is_choked(&self) -> bool {
        self.written < self.outgoing.len()
    }

    /// Fills the outgoing buffer from `next_frame`, once the last fill has been written.
    pub(crate) fn gather(&mut self, bytes: usize, mut next_frame: impl FnMut(&mut [u8]) -> Option<usize>) {
        if self.is_choked() || !self.is_up() {
            return;
        }
        self.outgoing.clear();
        self.written = 0;
        while self.outgoing.len() < bytes {
            let start = self.outgoing.len();
            self.outgoing.resize(start + encoded_len(MAX_FRAME), 0);
            let len = self.outgoing.get_mut(start..).and_then(&mut next_frame);
            self.outgoing.truncate(start + len.unwrap_or(0));
            if len.is_none() {
                break;
            }
        }
    }

    /// Until something happens on the link; time alone is for [`Self::deadline`] to tell. `owed`: the gateway has
    /// something to acknowledge, so its silence means something.
    pub(crate) async fn wait(&mut self, now: Tick, owed: bool) -> Heard {
        if let State::Up { heard_at, .. } = &mut self.state
            && !owed
        {
            *heard_at = now;
        }
        let heard = self.advance(now).await;
        if let Heard::Down(_) = heard {
            self.outgoing.clear();
            self.written = 0;
            self.state = State::Down { retry_at: Tick(now.0 + self.retry_ms) };
            self.retry_ms = (self.retry_ms * 2).min(RETRY_MAX_MS);
        }
        heard
    }

    async fn advance(&mut self, now: Tick) -> Heard {
        if let State::Down { retry_at } = self.state {
            if now < retry_at {
                std::future::pending::<()>().await;
            }
            self.state = State::Connecting(Box::pin(connect(self.gateway)));
        }
        let choked = self.is_choked();
        match &mut self.state {
            State::Down { .. } => std::future::pending().await,
            State::Broken(error) => Heard::Down(io::Error::new(error.kind(), error.to_string())),
            State::Connecting(connecting) => match connecting.await {
                Ok(stream) => {
                    self.state = State::Up { stream, heard_at: now };
                    self.connections += 1;
                    Heard::Connected
                }
                Err(error) => Heard::Down(error),
            },
            State::Up { heard_at, .. } if now.0.saturating_sub(heard_at.0) >= SILENCE_MS => {
                Heard::Down(io::Error::new(io::ErrorKind::TimedOut, "the gateway says nothing"))
            }
            State::Up { stream, heard_at } => {
                tokio::select! {
                    ready = stream.readable() => {
                        *heard_at = now;
                        ready.map_or_else(Heard::Down, |()| Heard::Bytes)
                    }
                    ready = stream.writable(), if choked => match ready {
                        Ok(()) => write(stream, &self.outgoing, &mut self.written),
                        Err(error) => Heard::Down(error),
                    },
                }
            }
        }
    }

    /// Hands over what has come. An end or an error shows with the next wait.
    pub(crate) fn drain_received(&mut self, mut each: impl FnMut(&[u8])) {
        let State::Up { stream, .. } = &mut self.state else { return };
        loop {
            match stream.try_read(&mut self.received) {
                Ok(len) if len > 0 => each(self.received.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => break,
            }
        }
        let closed = io::Error::new(io::ErrorKind::ConnectionAborted, "the gateway closed the link");
        self.state = State::Broken(closed);
    }

    /// When the link wants to be looked at though nothing came.
    pub(crate) fn deadline(&self) -> Option<Tick> {
        match self.state {
            State::Down { retry_at } => Some(retry_at),
            State::Up { heard_at, .. } => Some(Tick(heard_at.0 + SILENCE_MS)),
            State::Connecting(_) | State::Broken(_) => None,
        }
    }

    /// A gateway that has welcomed the board: the next reconnection need not be slow.
    pub(crate) fn is_good(&mut self) {
        self.retry_ms = RETRY_MS;
    }
}

async fn connect(gateway: SocketAddr) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(gateway)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn write(stream: &TcpStream, outgoing: &[u8], written: &mut usize) -> Heard {
    match stream.try_write(outgoing.get(*written..).unwrap_or_default()) {
        Ok(len) => {
            *written += len;
            Heard::Written
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Heard::Written,
        Err(error) => Heard::Down(error),
    }
}
