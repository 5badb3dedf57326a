//! One POST over a connection of its own.
//!
//! Bounds: connecting (names, TCP and TLS) and the whole each have their time, see [`Limits`]; of an answer the head may have
//! [`MAX_HEAD_BYTES`] and [`MAX_BODY_BYTES`] of the body are read. Nothing is followed, no proxy is asked.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use tidegate_trust::settings::is_this_machine;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::rustls::pki_types::ServerName;

use super::{address::is_internal, tls::Trust};

pub const MAX_HEAD_BYTES: usize = 16 * 1024;
pub const MAX_BODY_BYTES: usize = 16 * 1024;
/// What of a body is shown to people.
const SHOWN_CHARS: usize = 200;
const USER_AGENT: &str = concat!("tidegate-ingest/", env!("CARGO_PKG_VERSION"));

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connect: Duration,
    pub whole: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), whole: Duration::from_secs(20) }
    }
}

/// Where something is posted.
#[derive(Clone, Debug)]
pub struct Place {
    /// With a scheme of http or https, and a host.
    pub url: Uri,
    pub allow_internal: bool,
    pub trust: Arc<Trust>,
}

impl Place {
    /// Whoever is on the network can read along.
    pub fn is_in_clear(&self) -> bool {
        self.url.scheme_str() == Some("http") && !self.url.host().is_some_and(is_this_machine)
    }
}

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<String>,
    /// The beginning of its body on one line.
    pub shown: String,
}

/// Why there was none.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("the address has no host")]
    NoHost,
    #[error("{host} cannot be resolved ({error})")]
    Name { host: String, error: io::Error },
    #[error(
        "{host} is {address}, an address of this machine, its networks or nobody's; set allow_internal where that is meant"
    )]
    Internal { host: String, address: SocketAddr },
    #[error("no connection to {host} ({error})")]
    Connect { host: String, error: io::Error },
    #[error("{host} did not let us connect within {} s", .limit.as_secs_f32())]
    ConnectTime { host: String, limit: Duration },
    #[error("no complete answer within {} s", .0.as_secs_f32())]
    WholeTime(Duration),
    #[error("the connection ended before the answer did ({0})")]
    Cut(hyper::Error),
    #[error("the request cannot be written: {0}")]
    Request(hyper::http::Error),
}

impl Place {
    /// Scheme and host: the rest of a webhook's address is often as good as a password.
    pub fn shown(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or_default();
        format!("{scheme}://{}", self.url.authority().map_or("", |authority| authority.as_str()))
    }

    pub async fn post(
        &self,
        headers: &[(&'static str, String)],
        body: &[u8],
        limits: Limits,
    ) -> Result<Answer, HttpError> {
        let whole = self.exchange(headers, body, limits.connect);
        timeout(limits.whole, whole).await.unwrap_or(Err(HttpError::WholeTime(limits.whole)))
    }

    async fn exchange(
        &self,
        headers: &[(&'static str, String)],
        body: &[u8],
        connect_limit: Duration,
    ) -> Result<Answer, HttpError> {
        let request = self.request(headers, body)?;
        // Its end ends the connection, whenever we leave.
        let mut connection = JoinSet::new();
        let host = self.host()?;
        let connected = timeout(connect_limit, self.connect(&mut connection)).await;
        let mut sender = connected
            .map_err(|_| HttpError::ConnectTime { host: host.to_owned(), limit: connect_limit })??;
        let response = sender.send_request(request).await.map_err(HttpError::Cut)?;
        answer(response).await
    }

    fn request(
        &self,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Result<Request<Full<Bytes>>, HttpError> {
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.url.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::post(path)
            .header(header::HOST, authority)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.body(Full::new(Bytes::copy_from_slice(body))).map_err(HttpError::Request)
    }

    fn host(&self) -> Result<&str, HttpError> {
        let host = self.url.host().ok_or(HttpError::NoHost)?;
        Ok(host.trim_start_matches('[').trim_end_matches(']'))
    }

    async fn connect(&self, connection: &mut JoinSet<()>) -> Result<SendRequest<Full<Bytes>>, HttpError> {
        let host = self.host()?;
        let is_tls = self.url.scheme_str() != Some("http");
        let port = self.url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = self.connect_tcp(host, port).await?;
        let refused = |error| HttpError::Connect { host: host.to_owned(), error };
        if !is_tls {
            return begin(stream, connection).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| refused(io::Error::other(error)))?;
        let stream = self.trust.connector().connect(name, stream).await.map_err(refused)?;
        begin(stream, connection).await
    }

    /// Each address is checked right before it is connected to: what a name meant at another time does not count.
    async fn connect_tcp(&self, host: &str, port: u16) -> Result<TcpStream, HttpError> {
        let found = lookup_host((host, port)).await;
        let found = found.map_err(|error| HttpError::Name { host: host.to_owned(), error })?;
        let mut last = HttpError::Name { host: host.to_owned(), error: io::ErrorKind::NotFound.into() };
        for address in found {
            if !self.allow_internal && is_internal(address.ip()) {
                last = HttpError::Internal { host: host.to_owned(), address };
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = HttpError::Connect { host: host.to_owned(), error },
            }
        }
        Err(last)
    }
}

async fn begin<S>(stream: S, connection: &mut JoinSet<()>) -> Result<SendRequest<Full<Bytes>>, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(TokioIo::new(stream));
    let (sender, driver) = handshake.await.map_err(HttpError::Cut)?;
    connection.spawn(ended(driver));
    Ok(sender)
}

/// Its error is told to whoever waits for the answer.
async fn ended(driver: impl Future<Output = Result<(), hyper::Error>>) {
    let _told = driver.await;
}

/// An answer counts when all of it came, or more than anybody wants to read.
async fn answer(response: Response<Incoming>) -> Result<Answer, HttpError> {
    let (head, mut body) = response.into_parts();
    let mut read = Vec::new();
    while read.len() < MAX_BODY_BYTES
        && let Some(frame) = body.frame().await
    {
        if let Some(data) = frame.map_err(HttpError::Cut)?.data_ref() {
            let room = MAX_BODY_BYTES.saturating_sub(read.len());
            read.extend(data.iter().take(room));
        }
    }
    let retry_after = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let text = String::from_utf8_lossy(&read);
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN_CHARS);
    Ok(Answer {
        status: head.status,
        retry_after: retry_after.map(str::to_owned),
        shown: shown.collect::<String>().trim().to_owned(),
    })
}
