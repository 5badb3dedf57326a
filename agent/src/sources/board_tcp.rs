//! Boards over TCP.

use std::{future::pending, time::Duration};

use tidegate_service::{Shutdown, places::Places};
use tidegate_trust::settings::is_loopback;
use tokio::net::TcpListener;

use super::board_link::{BoardLinks, LinkCounts};
use crate::{config::BoardTcp, core::LinkFrom};

/// After a failed accept (no file descriptors left, as a rule).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Accepts boards until stopped. What comes beyond the bounds is closed at once: a board tries again, and an address that took all
/// places would keep the others out for as long as it likes.
pub async fn run(listener: TcpListener, tcp: BoardTcp, boards: BoardLinks, stop: Shutdown) {
    let places = Places::new(tcp.max_links, tcp.max_links_per_address);
    loop {
        let accepted = tokio::select! {
            () = stop.wait() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = match places.enter(peer.ip()) {
                    Ok(place) => place,
                    Err(full) => {
                        boards.links.refused(full);
                        tracing::debug!(%peer, reason = %full, "a board link was refused");
                        continue;
                    }
                };
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
            Err(error) => {
                tracing::warn!(%error, "a board cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
