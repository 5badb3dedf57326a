//! One HTTP request over a connection of its own, with TLS where the address says https.
//!
//! Connecting may take [`CONNECT_TIMEOUT`], a silence within an answer as long as the request says.

use std::{
    error::Error,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::{BodyDataStream, Full};
use hyper::{HeaderMap, Request, StatusCode, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tidegate_trust::{ClientTls, rustls::pki_types::ServerName, tokio_rustls::TlsConnector};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Sleep, sleep, timeout},
};
use url::{Host, Url};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What broke, in words.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub struct Broken {
    words: String,
    /// It said nothing for too long.
    pub is_silence: bool,
}

impl Broken {
    fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), is_silence: false }
    }

    fn silence() -> Self {
        Self { words: "no answer in time".to_owned(), is_silence: true }
    }

    fn of(error: &(dyn Error + 'static)) -> Self {
        Self::new(innermost(error))
    }
}

#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    silence: Duration,
}

/// Sends a request and waits for the head of the answer.
pub async fn send(
    url: &Url,
    tls: Option<&ClientTls>,
    request: Request<Full<Bytes>>,
    silence: Duration,
) -> Result<Response, Broken> {
    let slow = |_| Broken::silence();
    let stream = timeout(CONNECT_TIMEOUT, connect(url)).await.map_err(slow)??;
    let answered = match tls.filter(|_| url.scheme() == "https") {
        None => timeout(silence, exchange(stream, request)).await,
        Some(tls) => {
            let name = server_name(url)?;
            let shaken = TlsConnector::from(std::sync::Arc::clone(&tls.config)).connect(name, stream);
            let stream = timeout(CONNECT_TIMEOUT, shaken).await.map_err(slow)?;
            let stream = stream.map_err(|error| tls_failure(&error))?;
            timeout(silence, exchange(stream, request)).await
        }
    };
    let (head, body) = answered.map_err(slow)??.into_parts();
    Ok(Response { status: head.status, headers: head.headers, body, silence })
}

async fn connect(url: &Url) -> Result<TcpStream, Broken> {
    let port = url.port_or_known_default().unwrap_or(80);
    let connected = match url.host() {
        Some(Host::Domain(name)) => TcpStream::connect((name, port)).await,
        Some(Host::Ipv4(address)) => TcpStream::connect((address, port)).await,
        Some(Host::Ipv6(address)) => TcpStream::connect((address, port)).await,
        None => return Err(Broken::new("there is no host in it")),
    };
    let stream = connected.map_err(|error| Broken::of(&error))?;
    // Small requests are not to wait for full packets.
    stream.set_nodelay(true).map_err(|error| Broken::of(&error))?;
    Ok(stream)
}

fn server_name(url: &Url) -> Result<ServerName<'static>, Broken> {
    let name = match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        other => other.map(|host| host.to_string()).unwrap_or_default(),
    };
    ServerName::try_from(name).map_err(|_| Broken::new("a certificate cannot be for that host"))
}

/// In words where there are some.
fn tls_failure(error: &io::Error) -> Broken {
    match tidegate_trust::Failure::of(tidegate_trust::Side::Client, error) {
        Some(failure) => Broken::new(failure.to_string()),
        None => Broken::of(error),
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<hyper::Response<Incoming>, Broken> {
    let broken = |error: hyper::Error| Broken::of(&error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // What breaks it is told by the answer's body as well.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(broken)
}

impl Response {
    /// All of it.
    pub async fn bytes(self) -> Result<Vec<u8>, Broken> {
        let (mut chunks, mut all) = (self.chunks(), Vec::new());
        while let Some(chunk) = chunks.next().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all)
    }

    /// As it comes; a silence that is too long ends it.
    pub fn chunks(self) -> Chunks {
        let silence = self.silence;
        Chunks { body: BodyDataStream::new(self.body), silence, quiet: Box::pin(sleep(silence)), over: false }
    }
}

pub struct Chunks {
    body: BodyDataStream<Incoming>,
    silence: Duration,
    quiet: Pin<Box<Sleep>>,
    over: bool,
}

impl Stream for Chunks {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let next = match self.body.poll_next_unpin(context) {
            Poll::Ready(next) => next.map(|chunk| chunk.map_err(|error| Broken::of(&error))),
            Poll::Pending if self.quiet.as_mut().poll(context).is_ready() => Some(Err(Broken::silence())),
            Poll::Pending => return Poll::Pending,
        };
        let silence = self.silence;
        self.quiet.set(sleep(silence));
        self.over = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }
}

/// The cause at the end of the chain says most: "Connection refused (os error 111)".
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    // The number means nothing to most readers.
    text.split_once(" (os error").map_or_else(|| text.clone(), |(words, _)| words.to_lowercase())
}
