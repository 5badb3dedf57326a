//! A TCP proxy that does what networks do: cut, stall, slow down. One listening address that outlives its faults.
//!
//! Bound: each direction of a connection holds at most 16 KB; behind that, TCP itself pushes back.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

const CHUNK_BYTES: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Forward,
    /// Connections are closed, and new ones as soon as they are accepted.
    Cut,
    /// Connections stay, and nothing moves on them.
    Stall,
}

/// What one connection after the other has carried, in bytes.
#[derive(Debug, Default)]
struct Carried {
    to_upstream: AtomicU64,
    from_upstream: AtomicU64,
    connections: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Weather {
    mode: Mode,
    /// 0 for no limit. Each direction of each connection has it to itself.
    bytes_per_s: u64,
    upstream: SocketAddr,
}

/// A running proxy; dropped, it closes everything.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    weather: watch::Sender<Weather>,
    carried: Arc<Carried>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of the loopback.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), upstream).await
    }

    pub async fn listen(on: SocketAddr, upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(on).await?;
        let addr = listener.local_addr()?;
        let weather = watch::Sender::new(Weather { mode: Mode::Forward, bytes_per_s: 0, upstream });
        let carried = Arc::new(Carried::default());
        let task = tokio::spawn(accept(listener, weather.subscribe(), Arc::clone(&carried)));
        Ok(Self { addr, weather, carried, task })
    }

    /// Where to connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes all connections and refuses new ones.
    pub fn cut(&self) {
        self.set(|weather| weather.mode = Mode::Cut);
    }

    /// Accepts, and lets nothing through.
    pub fn stall(&self) {
        self.set(|weather| weather.mode = Mode::Stall);
    }

    /// Ends a cut or a stall.
    pub fn restore(&self) {
        self.set(|weather| weather.mode = Mode::Forward);
    }

    /// Caps each direction of each connection; 0 lifts the cap.
    pub fn limit(&self, bytes_per_s: u64) {
        self.set(|weather| weather.bytes_per_s = bytes_per_s);
    }

    /// Where new connections go from now on: a server that was restarted may have another port.
    pub fn retarget(&self, upstream: SocketAddr) {
        self.set(|weather| weather.upstream = upstream);
    }

    fn set(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// Bytes forwarded to the upstream so far.
    pub fn bytes_to_upstream(&self) -> u64 {
        self.carried.to_upstream.load(Ordering::Relaxed)
    }

    /// Bytes forwarded from the upstream so far.
    pub fn bytes_from_upstream(&self) -> u64 {
        self.carried.from_upstream.load(Ordering::Relaxed)
    }

    /// Connections that reached the upstream so far.
    pub fn connections(&self) -> u64 {
        self.carried.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Connections hold a receiver of the weather and end when its sender goes.
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, weather: watch::Receiver<Weather>, carried: Arc<Carried>) {
    /// A listener that fails (too many open files) must not spin.
    const PAUSE: Duration = Duration::from_millis(50);
    loop {
        match listener.accept().await {
            Ok((client, _)) if weather.borrow().mode != Mode::Cut => {
                tokio::spawn(carry(client, weather.clone(), Arc::clone(&carried)));
            }
            Ok((client, _)) => drop(client),
            Err(error) => {
                tracing::warn!(%error, "the proxy cannot accept");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn carry(client: TcpStream, mut weather: watch::Receiver<Weather>, carried: Arc<Carried>) {
    // A stalled network gives no connection either; the client's own waits in the accept queue, as it would.
    if weather.wait_for(|weather| weather.mode != Mode::Stall).await.is_err() {
        return;
    }
    let upstream = weather.borrow().upstream;
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    carried.connections.fetch_add(1, Ordering::Relaxed);
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let mut cut = weather.clone();
    tokio::select! {
        // Either direction's end closes both: half-closed connections are not what is simulated here.
        () = pump(client_read, server_write, weather.clone(), &carried.to_upstream) => {}
        () = pump(server_read, client_write, weather, &carried.from_upstream) => {}
        _ = cut.wait_for(|weather| weather.mode == Mode::Cut) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
    count: &AtomicU64,
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let Ok(now) = weather.wait_for(|weather| weather.mode != Mode::Stall).await.map(|weather| *weather)
        else {
            return;
        };
        // A slow line is read in pieces of a tenth of a second, so that the cap is smooth.
        let at_once = match now.bytes_per_s {
            0 => CHUNK_BYTES,
            limit => usize::try_from(limit / 10).unwrap_or(CHUNK_BYTES).clamp(1, CHUNK_BYTES),
        };
        let Some(room) = chunk.get_mut(..at_once) else { return };
        let len = match from.read(room).await {
            Ok(len) if len > 0 => len,
            _ => return,
        };
        // It may have begun to stall while the read waited.
        if weather.wait_for(|weather| weather.mode != Mode::Stall).await.is_err() {
            return;
        }
        if to.write_all(chunk.get(..len).unwrap_or_default()).await.is_err() {
            return;
        }
        count.fetch_add(len as u64, Ordering::Relaxed);
        if now.bytes_per_s > 0 {
            tokio::time::sleep(Duration::from_secs_f64(len as f64 / now.bytes_per_s as f64)).await;
        }
    }
}
