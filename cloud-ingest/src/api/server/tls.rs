//! Handshakes beside each other: who is slow at theirs, or says nothing, holds up nobody else.
//!
//! A connection has [`HANDSHAKE_LIMIT`]; from one address [`OF_AN_ADDRESS`] at a time shake hands, and more are closed. In all there
//! are as many as there are places; more wait in the listener's backlog.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

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
    pub address: SocketAddr,
    shaken: mpsc::Receiver<Shaken>,
}

impl TlsListener {
    pub fn start(listener: TcpListener, places: Arc<Semaphore>, credentials: Arc<Credentials>) -> Self {
        let (to_serve, shaken) = mpsc::channel(SHAKEN_WAITING);
        let address = listener.local_addr().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
        tokio::spawn(accept_all(listener, places, credentials, to_serve));
        Self { address, shaken }
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
    mut listener: TcpListener,
    places: Arc<Semaphore>,
    credentials: Arc<Credentials>,
    to_serve: mpsc::Sender<Shaken>,
) {
    let addresses = Addresses::default();
    loop {
        let arrived = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, super::accept(&mut listener).await)
        };
        let (place, (stream, peer)) = tokio::select! {
            (Ok(place), arrived) = arrived => (place, arrived),
            () = to_serve.closed() => return,
            else => return,
        };
        let Some(of_the_address) = addresses.enter(peer.ip()) else {
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

/// Who shakes hands now; no address that does not.
#[derive(Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

struct Entered(Addresses, IpAddr);

impl Addresses {
    fn enter(&self, address: IpAddr) -> Option<Entered> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = known.entry(address).or_default();
        if *count >= OF_AN_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Entered(self.clone(), address))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut known = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = known.get_mut(&self.1).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            known.remove(&self.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_at_a_time_and_is_forgotten_after() {
        let (addresses, one, other) = (Addresses::default(), [10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let mut entered: Vec<_> = (0..OF_AN_ADDRESS).map(|_| addresses.enter(one).unwrap()).collect();
        assert!(addresses.enter(one).is_none());
        assert!(addresses.enter(other).is_some());
        entered.pop();
        drop(addresses.enter(one).unwrap());
        drop(entered);
        assert!(addresses.0.lock().unwrap().is_empty());
    }
}
