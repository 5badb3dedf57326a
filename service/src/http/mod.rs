//! HTTP/1.1 for whoever may come: each connection gets little, and none of it for ever. There is no HTTP/2, and so none of its games.
//!
//! | | bound | then |
//! |---|---|---|
//! | connections, in all and from one address | [`Bounds`] | closed at once |
//! | a request's head, and the pause before it | [`Bounds::head_limit`], [`MAX_HEAD_BYTES`], 100 fields | closed, or 431 |
//! | a request's body | [`Bounds::body_limit`]; its size is its route's to bound | the route's refusal, then closed |
//! | an answer that is not taken | [`Bounds::stall_limit`] | closed |
//! | a stop | [`FAREWELL`] for what is under way | closed |

mod stall;
mod timely;

use std::{io, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, http::Extensions};
use hyper::{Request, body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

pub use stall::Unstalled;

use crate::{Shutdown, places::Places};
use timely::Timely;

/// Of a request's head, and of what is read of a body at once.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;
/// How long exchanges may go on after a stop.
pub const FAREWELL: Duration = Duration::from_secs(5);
/// After an error of the listener itself, as when there are no more file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// What a door gives to those who come.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub max_connections: usize,
    pub max_connections_of_address: usize,
    pub head_limit: Duration,
    pub body_limit: Duration,
    pub stall_limit: Duration,
}

impl Bounds {
    /// For pages that a scraper and a few people look at.
    pub const PAGES: Self = Self {
        max_connections: 128,
        max_connections_of_address: 32,
        head_limit: Duration::from_secs(30),
        body_limit: Duration::from_secs(10),
        stall_limit: Duration::from_secs(10),
    };
}

/// Serves pages in clear until `stop`.
pub async fn serve(listener: TcpListener, pages: Router, bounds: Bounds, stop: Shutdown) {
    let places = Places::new(bounds.max_connections, bounds.max_connections_of_address);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.wait() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        match places.enter(peer.ip()) {
            Ok(place) => {
                let (pages, stop) = (pages.clone(), stop.clone());
                connections.spawn(async move {
                    attend(stream, peer, pages, bounds, |_| (), stop).await;
                    drop(place);
                });
            }
            Err(full) => tracing::debug!(%peer, reason = %full, "a connection to a page was refused"),
        }
    }
    connections.close();
    connections.wait().await;
}

/// To be awaited when a listener fails: it passes, and must not be tried without a pause meanwhile.
pub async fn pause_after(error: &io::Error) {
    // A client that was gone before it was taken is nobody's trouble.
    let gone = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
    if !gone.contains(&error.kind()) {
        tracing::warn!(%error, "a connection could not be taken");
        sleep(PAUSE).await;
    }
}

/// One connection, from its first request to its end. `mark` tells the routes who is at its other end.
pub async fn attend(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    peer: SocketAddr,
    routes: Router,
    bounds: Bounds,
    mark: impl Fn(&mut Extensions),
    stop: Shutdown,
) {
    let routes = TowerToHyperService::new(routes);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(|body| Body::new(Timely::new(body, bounds.body_limit)));
        mark(request.extensions_mut());
        routes.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head_limit).max_buf_size(MAX_HEAD_BYTES);
    let stream = TokioIo::new(Unstalled::new(stream, bounds.stall_limit));
    let mut connection = std::pin::pin!(http.serve_connection(stream, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Ok(ended),
        () = stop.wait() => {
            connection.as_mut().graceful_shutdown();
            timeout(FAREWELL, connection).await
        }
    };
    if let Ok(Err(error)) = ended {
        tracing::debug!(%peer, %error, "an HTTP connection ended early");
    }
}
