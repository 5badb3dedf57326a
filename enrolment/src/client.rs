//! Asks the authority's service, once, and gives up in time.

use std::{io, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, body::Bytes, header};
use hyper_util::rt::TokioIo;
use tidegate_trust::{
    ClientFiles, Failure, FileError, Side,
    rustls::{self, ClientConfig, pki_types::ServerName},
    tokio_rustls::TlsConnector,
};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    identity::{Key, KeyError},
    message::{Ask, ENROL, Granted, MAX_BODY_BYTES, Problem, RENEW},
    pinned,
    token::Token,
};

/// From the name's resolution to the last byte of the answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("`{0}` is no address; it is host:port, and a certificate must be able to name the host")]
    Address(String),
    #[error("{service} cannot be reached: {error}")]
    Unreachable { service: String, error: io::Error },
    #[error("{service} cannot be believed: {why}")]
    Handshake { service: String, why: String },
    #[error("{service} refuses: {why}")]
    Refused { service: String, status: u16, why: String },
    #[error("{service} answered with something else than a certificate ({why})")]
    Answer { service: String, why: String },
    #[error("{service} did not answer within {} s", PATIENCE.as_secs())]
    Timeout { service: String },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0}")]
    Tls(#[from] rustls::Error),
}

impl AskError {
    /// Asked in the same words again, the service would say the same.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused { status: 400..500, .. })
    }
}

/// Asks for the first certificate, by invitation.
pub async fn enrol(token: &Token, key: &Key) -> Result<Granted, AskError> {
    let ask = Ask { secret: Some(token.secret.reveal()), request: key.request()? };
    let config = pinned::client_config(token)?;
    post(&token.service, config.into(), ENROL, &ask).await
}

/// Asks for the next one, as who these files say.
pub async fn renew(service: &str, files: &ClientFiles, key: &Key) -> Result<Granted, AskError> {
    let ask = Ask { secret: None, request: key.request()? };
    // The broker's name is not the service's.
    let files = ClientFiles { server_name: None, ..files.clone() };
    post(service, files.load()?.config, RENEW, &ask).await
}

async fn post(service: &str, config: Arc<ClientConfig>, path: &str, ask: &Ask) -> Result<Granted, AskError> {
    let answered = timeout(PATIENCE, exchange(service, config, path, ask)).await;
    answered.unwrap_or_else(|_| Err(AskError::Timeout { service: service.to_owned() }))
}

async fn exchange(
    service: &str,
    config: Arc<ClientConfig>,
    path: &str,
    ask: &Ask,
) -> Result<Granted, AskError> {
    let about = || service.to_owned();
    let bad_address = || AskError::Address(about());
    let (host, port) = service.rsplit_once(':').ok_or_else(bad_address)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port: u16 = port.parse().map_err(|_| bad_address())?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| bad_address())?;
    let tcp = TcpStream::connect((host, port)).await;
    let tcp = tcp.map_err(|error| AskError::Unreachable { service: about(), error })?;
    let in_words = |error: &(dyn std::error::Error + 'static)| Failure::in_words(Side::Enrolment, error);
    let tls = TlsConnector::from(config).connect(name, tcp).await;
    let tls = tls.map_err(|error| AskError::Handshake { service: about(), why: in_words(&error) })?;

    let http_failed = |error: hyper::Error| {
        // With TLS 1.3 the service refuses our certificate only after our own end of the handshake.
        match Failure::of(Side::Enrolment, &error) {
            Some(failure) => AskError::Handshake { service: about(), why: failure.to_string() },
            None => AskError::Answer { service: about(), why: error.to_string() },
        }
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.map_err(http_failed)?;
    let connection = tokio::spawn(connection);
    let body = serde_json::to_vec(ask).map_err(|error| wrong(service, &error))?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, service)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| wrong(service, &error))?;
    let answered = sender.send_request(request).await;
    let answer = match answered {
        Ok(answer) => answer,
        Err(error) => {
            // The connection knows better why it ended.
            let ended = connection.await.ok().and_then(Result::err);
            return Err(http_failed(ended.unwrap_or(error)));
        }
    };
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_BODY_BYTES).collect().await;
    let body = body.map_err(|error| wrong(service, &error))?.to_bytes();
    if status != StatusCode::OK {
        let problem = serde_json::from_slice::<Problem>(&body);
        let why = match problem {
            Ok(Problem { title, detail, .. }) if detail.is_empty() => title,
            Ok(Problem { detail, .. }) => detail,
            Err(_) => format!("HTTP status {status}"),
        };
        // It comes from outside.
        let why = why.escape_debug().take(512).collect();
        return Err(AskError::Refused { service: about(), status: status.as_u16(), why });
    }
    serde_json::from_slice(&body).map_err(|error| wrong(service, &error))
}

fn wrong(service: &str, why: &dyn std::fmt::Display) -> AskError {
    AskError::Answer { service: service.to_owned(), why: why.to_string() }
}
