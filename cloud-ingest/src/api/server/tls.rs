//! Handshakes beside each other: who is slow at theirs, or says nothing, holds up nobody else.
//!
//! A connection has [`HANDSHAKE_LIMIT`]; from one address [`OF_AN_ADDRESS`] at a time shake hands, and more are closed. In all there
//! are as many as there are places; more wait in the listener's backlog.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tidegate_service::places::Places;
use tidegate_trust::{handshake::shake_hands, renewal::Credentials, tokio_rustls::server::TlsStream};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const OF_AN_ADDRESS: usize = 64;
/// Shaken hands that wait to be served.
const SHAKEN_WAITING: usize = 64;

type Shaken = (Box<TlsStream<TcpStream>>, SocketAddr, OwnedSemaphorePermit);

pub struct TlsListener {
    shaken: mpsc::Receiver<Shaken>,
}

impl TlsListener {
    pub fn start(listener: TcpListener, places: Arc<Semaphore>, credentials: Arc<Credentials>) -> Self {
        let (to_serve, shaken) = mpsc::channel(SHAKEN_WAITING);
        tokio::spawn(accept_all(listener, places, credentials, to_serve));
        Self { shaken }
    }

    pub async fn accept(&mut self) -> Shaken {
        match self.shaken.recv().await {
            Some(shaken) => shaken,
            // Whoever accepts never ends before this.
            None => std::future::pending().await,
        }
    }
}

/// Ends, and closes the listener, when nobody serves any more.
async fn accept_all(
    listener: TcpListener,
    places: Arc<Semaphore>,
    credentials: Arc<Credentials>,
    to_serve: mpsc::Sender<Shaken>,
) {
    let addresses = Places::new(usize::MAX, OF_AN_ADDRESS);
    loop {
        let arrived = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, super::accept(&listener).await)
        };
        let (place, (stream, peer)) = tokio::select! {
            (Ok(place), arrived) = arrived => (place, arrived),
            () = to_serve.closed() => return,
            else => return,
        };
        let Ok(of_the_address) = addresses.enter(peer.ip()) else {
            tracing::warn!(%peer, "too many TLS handshakes from one address; connection refused");
            continue;
        };
        let (config, to_serve) = (Arc::clone(&credentials.now().config), to_serve.clone());
        tokio::spawn(async move {
            let deadline = Instant::now() + HANDSHAKE_LIMIT;
            let shaken = shake_hands(stream, config, deadline, "10 s").await;
            drop(of_the_address);
            match shaken {
                // Nobody serves any more where it is not taken.
                Ok(stream) => drop(to_serve.send((Box::new(stream), peer, place)).await),
                Err(failure) => tracing::info!(%peer, reason = %failure, "TLS handshake failed"),
            }
        });
    }
}
