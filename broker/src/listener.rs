//! The accept loop. It does nothing that a client could slow down: caps are checked here, everything else in the
//! connection's own task.

use std::sync::Arc;
use std::time::Duration;

use tidegate_service::places::network_of;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::broker::Broker;
use crate::registry::AdmissionRefused;
use crate::transport;

/// Accepts until the broker shuts down. A connection over the caps is closed without an answer.
pub async fn accept(listener: TcpListener, broker: Arc<Broker>, connections: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = broker.shutdown.wait() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: it passes when clients leave.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let admission = match broker.registry.admit(network_of(peer.ip())) {
            Ok(admission) => admission,
            Err(refused) => {
                let reason = match refused {
                    AdmissionRefused::Total => "max-connections",
                    AdmissionRefused::PerAddress => "max-connections-per-address",
                    AdmissionRefused::Handshakes => "max-handshakes",
                    AdmissionRefused::HandshakesPerAddress => "max-handshakes-per-address",
                };
                broker.metrics.refuse(reason);
                tracing::warn!(%peer, reason, "connection refused");
                continue;
            }
        };
        let broker = Arc::clone(&broker);
        connections.spawn(async move { transport::serve(&broker, stream, peer, admission).await });
    }
}
