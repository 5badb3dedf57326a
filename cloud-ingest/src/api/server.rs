//! The listener's limits, and serving until shutdown.

mod tls;

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use tidegate_service::{
    Shutdown,
    http::{Bounds, attend, pause_after},
    places::Places,
};
use tidegate_trust::{renewal::Credentials, tokio_rustls::server::TlsStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::task::TaskTracker;

use self::tls::TlsListener;
use super::operations::Peer;

/// How many connections are served at once beside those of event streams; more wait in the listener's backlog.
pub const OTHER_CONNECTIONS: usize = 1_024;
/// How many of all are of one address, where the settings do not say; more are closed.
pub const CONNECTIONS_OF_ADDRESS: usize = 1_024;
/// How long a client may take nothing of what is being written to it before its connection is closed.
pub const WRITE_STALL_LIMIT: Duration = Duration::from_secs(30);
/// How long the head of a request may take, and the pause before it.
pub const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How long the body of a request may take.
pub const BODY_LIMIT: Duration = Duration::from_secs(30);

/// Serves until `shutdown` is triggered and open requests are answered.
pub async fn serve(mut listener: HttpListener, router: Router, shutdown: Shutdown) {
    let connections = TaskTracker::new();
    loop {
        let arrived = tokio::select! {
            arrived = listener.accept() => arrived,
            () = shutdown.wait() => break,
        };
        let Arrived { stream, peer, place } = arrived;
        let of_address = match listener.of_address.enter(peer.ip()) {
            Ok(of_address) => of_address,
            Err(full) => {
                tracing::warn!(%peer, reason = %full, "HTTP connection refused");
                continue;
            }
        };
        let (router, bounds, shutdown) = (router.clone(), listener.bounds, shutdown.clone());
        connections.spawn(async move {
            let mark = |extensions: &mut axum::http::Extensions| {
                extensions.insert(ConnectInfo(Peer::new(peer)));
            };
            attend(stream, peer, router, bounds, mark, shutdown).await;
            drop((place, of_address));
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// A bound listener whose connections do not wait for full packets (events are small and urgent) and cannot be held
/// up for ever by a client that does not read, or does not say what it wants.
pub struct HttpListener {
    arrivals: Arrivals,
    places: Arc<Semaphore>,
    of_address: Places,
    bounds: Bounds,
}

enum Arrivals {
    Plain(TcpListener),
    Tls(TlsListener),
    /// Never but while it becomes another.
    None,
}

struct Arrived {
    stream: Stream,
    peer: SocketAddr,
    place: Option<OwnedSemaphorePermit>,
}

impl HttpListener {
    /// `max_connections` are served at once; more wait in the listener's backlog.
    pub fn new(listener: TcpListener, max_connections: usize) -> Self {
        let bounds = Bounds {
            max_connections,
            max_connections_of_address: CONNECTIONS_OF_ADDRESS,
            head_limit: HEAD_LIMIT,
            body_limit: BODY_LIMIT,
            stall_limit: WRITE_STALL_LIMIT,
        };
        Self::with_bounds(listener, bounds)
    }

    pub fn with_bounds(listener: TcpListener, bounds: Bounds) -> Self {
        let places = Arc::new(Semaphore::new(bounds.max_connections));
        let of_address = Places::new(usize::MAX, bounds.max_connections_of_address);
        Self { arrivals: Arrivals::Plain(listener), places, of_address, bounds }
    }

    /// With the certificate in force at each connection's beginning. Within a runtime.
    pub fn with_tls(mut self, credentials: Arc<Credentials>) -> Self {
        self.arrivals = match std::mem::replace(&mut self.arrivals, Arrivals::None) {
            Arrivals::Plain(listener) => {
                Arrivals::Tls(TlsListener::start(listener, Arc::clone(&self.places), credentials))
            }
            other => other,
        };
        self
    }

    async fn accept(&mut self) -> Arrived {
        match &mut self.arrivals {
            Arrivals::Plain(listener) => {
                let place = Arc::clone(&self.places).acquire_owned().await.ok();
                let (stream, peer) = accept(listener).await;
                Arrived { stream: Stream::Plain(stream), peer, place }
            }
            Arrivals::Tls(listener) => {
                let (stream, peer, place) = listener.accept().await;
                Arrived { stream: Stream::Tls(stream), peer, place: Some(place) }
            }
            Arrivals::None => std::future::pending().await,
        }
    }
}

/// What passes is tried again.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "TCP_NODELAY could not be set");
                }
                return (stream, peer);
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The same of either.
macro_rules! of_either {
    ($stream:expr, $call:ident $(, $argument:expr)*) => {
        match $stream {
            Stream::Plain(stream) => Pin::new(stream).$call($($argument),*),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).$call($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        of_either!(&mut *self, poll_read, context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        of_either!(&mut *self, poll_write, context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        of_either!(&mut *self, poll_write_vectored, context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(&mut *self, poll_flush, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(&mut *self, poll_shutdown, context)
    }
}
