//! The listener's limits, and serving until shutdown.

mod tls;

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, serve::Listener};
use tidegate_service::Shutdown;
use tidegate_trust::{renewal::Credentials, tokio_rustls::server::TlsStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};

use self::tls::TlsListener;
use super::operations::Peer;

/// How many connections are served at once beside those of event streams; more wait in the listener's backlog.
pub const OTHER_CONNECTIONS: usize = 1_024;
/// How long a client may take nothing of what is being written to it before its connection is closed.
pub const WRITE_STALL_LIMIT: Duration = Duration::from_secs(30);

/// Serves until `shutdown` is triggered and open requests are answered.
pub async fn serve(listener: HttpListener, router: Router, shutdown: Shutdown) -> io::Result<()> {
    axum::serve(listener, router.into_make_service_with_connect_info::<Peer>())
        .with_graceful_shutdown(async move { shutdown.wait().await })
        .await
}

/// A bound listener whose connections do not wait for full packets (events are small and urgent) and cannot be held
/// up for ever by a client that does not read.
pub struct HttpListener {
    arrivals: Arrivals,
    places: Arc<Semaphore>,
    write_stall_limit: Duration,
}

enum Arrivals {
    Plain(TcpListener),
    Tls(TlsListener),
    /// Never but while it becomes another.
    None,
}

impl HttpListener {
    pub fn new(listener: TcpListener, max_connections: usize) -> Self {
        Self::with_limits(listener, max_connections, WRITE_STALL_LIMIT)
    }

    pub fn with_limits(listener: TcpListener, max_connections: usize, write_stall_limit: Duration) -> Self {
        let places = Arc::new(Semaphore::new(max_connections));
        Self { arrivals: Arrivals::Plain(listener), places, write_stall_limit }
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
}

impl Listener for HttpListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, peer, place) = match &mut self.arrivals {
            Arrivals::Plain(listener) => {
                let place = Arc::clone(&self.places).acquire_owned().await.ok();
                let (stream, peer) = accept(listener).await;
                (Stream::Plain(stream), peer, place)
            }
            Arrivals::Tls(listener) => {
                let (stream, peer, place) = listener.accept().await;
                (Stream::Tls(stream), peer, Some(place))
            }
            Arrivals::None => std::future::pending().await,
        };
        let write_stall_limit = self.write_stall_limit;
        (Connection { stream, write_stall_limit, stalled: None, _place: place }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.arrivals {
            Arrivals::Plain(listener) => listener.local_addr(),
            Arrivals::Tls(listener) => Ok(listener.address),
            Arrivals::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// What passes is tried again, as axum does it.
async fn accept(listener: &mut TcpListener) -> (TcpStream, SocketAddr) {
    let (stream, peer) = Listener::accept(listener).await;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "TCP_NODELAY could not be set");
    }
    (stream, peer)
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

pub struct Connection {
    stream: Stream,
    write_stall_limit: Duration,
    /// Runs while a write waits for the client.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn unless_stalled<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.write_stall_limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        of_either!(&mut self.stream, poll_read, context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = of_either!(&mut self.stream, poll_write, context, bytes);
        self.unless_stalled(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = of_either!(&mut self.stream, poll_write_vectored, context, slices);
        self.unless_stalled(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What TLS took is written here.
        let flushed = of_either!(&mut self.stream, poll_flush, context);
        self.unless_stalled(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = of_either!(&mut self.stream, poll_shutdown, context);
        self.unless_stalled(context, shut)
    }
}
