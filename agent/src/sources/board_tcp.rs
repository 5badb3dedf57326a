//! Boards over TCP.

use std::{future::pending, sync::Arc, time::Duration};

use tidegate_service::Shutdown;
use tidegate_trust::settings::is_loopback;
use tokio::{net::TcpListener, sync::Semaphore};

use super::board_link::{BoardLinks, LinkCounts};
use crate::core::LinkFrom;

/// Links at once; more wait in the listener's backlog until one ends.
const MAX_LINKS: usize = 1_024;
/// After a failed accept (no file descriptors left, as a rule).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Accepts boards until stopped.
pub async fn run(listener: TcpListener, boards: BoardLinks, stop: Shutdown) {
    let places = Arc::new(Semaphore::new(MAX_LINKS));
    loop {
        let accepted = tokio::select! {
            () = stop.wait() => return,
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
        };
        match accepted {
            (Ok(place), Ok((stream, peer))) => {
                tracing::debug!(%peer, "a board connected");
                // Without it the link is slower, not broken.
                let _refused = stream.set_nodelay(true);
                let (boards, stop) = (boards.clone(), stop.clone());
                tokio::spawn(async move {
                    let (reader, writer) = stream.into_split();
                    let counts = LinkCounts::default();
                    let host = peer.ip().to_canonical();
                    let from = LinkFrom { host: host.to_string(), is_local: is_loopback(host) };
                    tokio::select! {
                        _end = boards.serve(from, reader, writer, &counts, pending()) => {}
                        () = stop.wait() => {}
                    }
                    drop(place);
                });
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "a board cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            (Err(_), _) => return,
        }
    }
}
