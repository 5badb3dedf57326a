//! The authority's service: gives certificates to those who bring an invitation or the certificate before, over TLS 1.3.
//!
//! Anyone on the network may knock, so each knock gets little: connections are counted, in all and by address; handshake, head, body and
//! the whole exchange have a deadline, and a body has a bound.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{Extensions, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tidegate_service::{
    Shutdown,
    http::{self, Bounds},
    places::{Place, Places},
};
use tidegate_trust::{
    FileError, ServerFiles, ServerTls,
    files::{Fingerprint as Look, OwnFiles, first_certificate},
    handshake::shake_hands,
    rustls::pki_types::CertificateDer,
    server::ClientAuthorities,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{Authority, AuthorityError, Denied, LIST_SECONDS};
use crate::{
    identity::IdentityFile,
    message::{Ask, ENROL, Granted, MAX_BODY_BYTES, Problem, RENEW, REVOKED},
};

const BOUNDS: Bounds = Bounds {
    max_connections: 256,
    max_connections_of_address: 32,
    head_limit: Duration::from_secs(10),
    body_limit: Duration::from_secs(10),
    stall_limit: Duration::from_secs(10),
};
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);
const UPKEEP_INTERVAL: Duration = Duration::from_secs(3_600);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {address}: {error}; another program may use the port")]
    Listen { address: SocketAddr, error: io::Error },
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the service's address \"{0}\" in authority.toml is not host:port")]
    Address(String),
}

/// A running service.
pub struct Serving {
    pub address: SocketAddr,
    task: JoinHandle<()>,
    shutdown: Shutdown,
}

impl Serving {
    /// Ends it; exchanges that are under way are cut off, and asked again.
    pub async fn stop(self) {
        self.shutdown.trigger();
        // It ends by itself or panicked, which its task told.
        let _ended = self.task.await;
    }
}

/// Starts serving; returns once it listens.
pub async fn start(authority: Authority, listen: SocketAddr) -> Result<Serving, ServeError> {
    let authority = Arc::new(authority);
    let front = Front::new(&authority)?;
    let listener = TcpListener::bind(listen).await;
    let listener = listener.map_err(|error| ServeError::Listen { address: listen, error })?;
    let address = listener.local_addr().map_err(|error| ServeError::Listen { address: listen, error })?;
    let shutdown = Shutdown::new();
    let task = tokio::spawn(run(listener, authority, Arc::new(front), shutdown.clone()));
    Ok(Serving { address, task, shutdown })
}

async fn run(listener: TcpListener, authority: Arc<Authority>, front: Arc<Front>, shutdown: Shutdown) {
    let routes = routes(Arc::clone(&authority));
    let places = Places::new(BOUNDS.max_connections, BOUNDS.max_connections_of_address);
    let upkeep = tokio::spawn(keep_up(authority, Arc::clone(&front)));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.wait() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                http::pause_after(&error).await;
                continue;
            }
        };
        match places.enter(peer.ip()) {
            Ok(place) => {
                let (front, routes) = (Arc::clone(&front), routes.clone());
                tokio::spawn(attend(stream, peer, front, routes, place, shutdown.clone()));
            }
            Err(full) => tracing::warn!(%peer, reason = %full, "connection refused"),
        }
    }
    upkeep.abort();
}

/// One connection, from its handshake to its end.
async fn attend(
    stream: TcpStream,
    peer: SocketAddr,
    front: Arc<Front>,
    routes: Router,
    _place: Place,
    stop: Shutdown,
) {
    let config = match front.current() {
        Ok(tls) => tls.config,
        Err(error) => return tracing::error!(%error, "the service's own files cannot be read"),
    };
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    let tls = match shake_hands(stream, config, deadline, "10 s").await {
        Ok(tls) => tls,
        Err(failure) => return tracing::info!(%peer, reason = %failure, "TLS handshake failed"),
    };
    let certificate = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let shown = Shown(certificate.map(|certificate| certificate.clone().into_owned()));
    let mark = move |extensions: &mut Extensions| {
        extensions.insert(shown.clone());
        extensions.insert(peer);
    };
    let served = http::attend(tls, peer, routes, BOUNDS, mark, stop);
    if timeout(EXCHANGE_TIMEOUT, served).await.is_err() {
        tracing::debug!(%peer, "an exchange took too long");
    }
}

/// The certificate that the handshake found to be good.
#[derive(Clone)]
struct Shown(Option<CertificateDer<'static>>);

fn routes(authority: Arc<Authority>) -> Router {
    Router::new()
        .route(ENROL, post(enrol))
        .route(RENEW, post(renew))
        .route(REVOKED, get(revoked))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(authority)
}

async fn enrol(
    State(authority): State<Arc<Authority>>,
    Extension(peer): Extension<SocketAddr>,
    Json(ask): Json<Ask>,
) -> Result<Json<Granted>, Refusal> {
    let secret = ask.secret.ok_or(Denied::Invitation)?;
    answer(peer, "enrolled", move || authority.enrol(&secret, &ask.request)).await
}

async fn renew(
    State(authority): State<Arc<Authority>>,
    Extension(peer): Extension<SocketAddr>,
    Extension(Shown(certificate)): Extension<Shown>,
    Json(ask): Json<Ask>,
) -> Result<Json<Granted>, Refusal> {
    let certificate = certificate.ok_or(Denied::NoCertificate)?;
    answer(peer, "renewed", move || authority.renew(&certificate, &ask.request)).await
}

async fn answer(
    peer: SocketAddr,
    what: &'static str,
    ask: impl FnOnce() -> Result<Granted, Denied> + Send + 'static,
) -> Result<Json<Granted>, Refusal> {
    let asked = tokio::task::spawn_blocking(ask).await;
    let answered = asked.map_err(|error| Denied::Failed(AuthorityError::Task(error.to_string())))?;
    match answered {
        Ok(granted) => {
            tracing::info!(%peer, what, "a certificate was given");
            Ok(Json(granted))
        }
        Err(denied) => {
            tracing::warn!(%peer, why = %denied, "no certificate was given");
            Err(denied.into())
        }
    }
}

async fn revoked(State(authority): State<Arc<Authority>>) -> Result<Response, Refusal> {
    let path = authority.path("revoked.pem");
    let list = tokio::fs::read(&path).await;
    let list = list.map_err(|error| Denied::Failed(AuthorityError::File { path, error }))?;
    Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], list).into_response())
}

struct Refusal(Denied);

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self(denied)
    }
}

/// A problem document (RFC 9457).
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, detail) = match &self.0 {
            Denied::Invitation | Denied::Revoked | Denied::NoCertificate => {
                (StatusCode::FORBIDDEN, self.0.to_string())
            }
            Denied::Used | Denied::RenewedByAnother => (StatusCode::CONFLICT, self.0.to_string()),
            Denied::TooSoon { .. } => (StatusCode::TOO_MANY_REQUESTS, self.0.to_string()),
            Denied::Request => (StatusCode::UNPROCESSABLE_ENTITY, self.0.to_string()),
            // Its words are for the authority's log.
            Denied::Failed(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "the authority's log says why".to_owned())
            }
        };
        let title = status.canonical_reason().unwrap_or("Refused").to_owned();
        let problem = Problem { title, status: status.as_u16(), detail };
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(problem)).into_response()
    }
}

/// The files that the service shows and judges by, as they are now.
struct Front {
    files: ServerFiles,
    names: Vec<String>,
    identity: IdentityFile,
    loaded: Mutex<Option<(Look, ServerTls)>>,
}

impl Front {
    fn new(authority: &Authority) -> Result<Self, ServeError> {
        let service = &authority.setup().service;
        let (host, _) = service.rsplit_once(':').ok_or_else(|| ServeError::Address(service.clone()))?;
        let file = authority.path("service.pem");
        let own = OwnFiles { certificate: file.clone(), key: file.clone() };
        let clients = ClientAuthorities {
            ca: authority.path("ca.pem"),
            crl: Some(authority.path("revoked.pem")),
            required: false,
        };
        let files = ServerFiles { own, clients: Some(clients), versions: Default::default() };
        let names = vec![host.trim_start_matches('[').trim_end_matches(']').to_owned()];
        let front = Self { files, names, identity: IdentityFile::new(file), loaded: Mutex::new(None) };
        front.keep_fresh(authority)?;
        authority.refresh_list()?;
        front.current()?;
        Ok(front)
    }

    fn current(&self) -> Result<ServerTls, FileError> {
        let look = Look::of(&self.files.paths());
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        match &*loaded {
            Some((then, tls)) if *then == look => Ok(tls.clone()),
            _ => {
                let tls = self.files.load()?;
                *loaded = Some((look, tls.clone()));
                Ok(tls)
            }
        }
    }

    /// Its own certificate, which it signs itself: a new one when a third of its time is left, or it is for another name.
    fn keep_fresh(&self, authority: &Authority) -> Result<(), AuthorityError> {
        let third = i64::try_from(authority.setup().server_seconds / 3).unwrap_or(i64::MAX);
        let present = first_certificate(self.identity.path());
        if present
            .is_ok_and(|certificate| certificate.seconds_left() > third && certificate.is_for(&self.names))
        {
            return Ok(());
        }
        authority.issue_server(&self.names, &self.identity)
    }
}

async fn keep_up(authority: Arc<Authority>, front: Arc<Front>) {
    let list_interval = Duration::from_secs(LIST_SECONDS / 7);
    let mut listed = Instant::now();
    loop {
        sleep(UPKEEP_INTERVAL).await;
        let (authority, front) = (Arc::clone(&authority), Arc::clone(&front));
        let is_due = listed.elapsed() >= list_interval;
        let kept = tokio::task::spawn_blocking(move || {
            front.keep_fresh(&authority)?;
            if is_due { authority.refresh_list() } else { Ok(()) }
        });
        match kept.await {
            Ok(Ok(())) if is_due => listed = Instant::now(),
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the authority's files could not be kept fresh"),
            Err(error) => tracing::error!(%error, "the authority's files could not be kept fresh"),
        }
    }
}
