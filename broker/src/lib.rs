//! The Tidegate MQTT broker: a guarded listener in front of rumqttd's router.
//!
//! A connection's way through the files:
//!
//! ```text
//! listener ──▶ transport ──▶ handshake ──▶ connection ⇄ session ⇄ window       mqtt: the codec
//! (caps)       (TLS)         (users,        (I/O, one    (pure: what MQTT       access: who may do what
//!                 ⇡           access,        task each)   asks of a broker)     retained, catalogue
//!             credentials     registry)          ⇅
//!                                              router (rumqttd, behind links) ◀── health (probe, restart)
//! ```
//!
//! [`config`] validates [`settings`]; `status_page` shows `metrics` and health; [`export`] says who may do what to other brokers.
//!
//! What it does not do: store anything on disk. A message is the sender's duty until the next hop has committed it.

pub mod access;
mod broker;
mod catalogue;
pub mod config;
mod connection;
mod credentials;
pub mod export;
pub mod failpoint;
mod handshake;
mod health;
mod listener;
mod metrics;
pub mod mqtt;
mod registry;
mod retained;
mod router;
mod session;
pub mod settings;
mod status_page;
mod transport;
mod users;
mod window;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_trust::settings::{OPEN_PAGE, is_loopback};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

pub use access::Role;
pub use broker::Broker;
pub use config::Config;
pub use users::{User, Users};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("TLS: {0}")]
    Tls(#[from] tidegate_trust::FileError),
    #[error(
        "readings and passwords would come to {address} in clear; add [tls], or `insecure = true` if nobody else can be on that network"
    )]
    Plaintext { address: SocketAddr },
    #[error(
        "cannot listen for MQTT on {address} ({error}); stop what listens there, or set `listen` to another address"
    )]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error(
        "cannot serve metrics on {address} ({error}); stop what listens there, or set `metrics.listen` to another address"
    )]
    Metrics { address: SocketAddr, error: std::io::Error },
}

#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("{0} ended by itself; the log says why")]
    TaskEnded(&'static str),
    #[error("{connections} connections did not end within the deadline")]
    Deadline { connections: usize },
}

/// A broker that is up. Dropping it leaves it running; [`Running::drain`] ends it.
#[derive(Debug)]
pub struct Running {
    /// Where MQTT clients connect.
    pub mqtt: SocketAddr,
    /// Where `/metrics` and `/health` are.
    pub metrics: SocketAddr,
    broker: Arc<Broker>,
    connections: TaskTracker,
    accepting: JoinHandle<()>,
    supervising: JoinHandle<()>,
    keeping_up: JoinHandle<()>,
    serving: JoinHandle<()>,
}

/// Binds both listeners and starts to serve.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let address = config.listen;
    if config.would_leak() {
        return Err(StartError::Plaintext { address });
    }
    let listen_error = |error| StartError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(listen_error)?;
    let mqtt = listener.local_addr().map_err(listen_error)?;
    let address = config.metrics_listen;
    let metrics_error = |error| StartError::Metrics { address, error };
    let pages = TcpListener::bind(address).await.map_err(metrics_error)?;
    let metrics = pages.local_addr().map_err(metrics_error)?;

    let broker = Arc::new(Broker::new(config)?);
    if broker.credentials.is_none() && !is_loopback(mqtt.ip()) {
        tracing::warn!(
            %mqtt,
            "INSECURE: whoever is on the network can read passwords and readings, and speak as any gateway; \
             set up [tls] and remove `insecure = true`"
        );
    }
    if !is_loopback(metrics.ip()) {
        tracing::warn!(%metrics, "{OPEN_PAGE}");
    }
    let connections = TaskTracker::new();
    let accepting = tokio::spawn(listener::accept(listener, Arc::clone(&broker), connections.clone()));
    let supervised = Arc::clone(&broker);
    let supervising = tokio::spawn(async move { health::supervise(&supervised).await });
    let kept_up = Arc::clone(&broker);
    let keeping_up = tokio::spawn(async move { credentials::keep_up(&kept_up).await });
    let serving = tokio::spawn(status_page::serve(pages, Arc::clone(&broker)));
    tracing::info!(%mqtt, %metrics, "broker up");
    Ok(Running { mqtt, metrics, broker, connections, accepting, supervising, keeping_up, serving })
}

impl Running {
    /// Resolves only if the broker cannot go on.
    pub async fn stopped(&mut self) -> Result<(), StopError> {
        let ended = tokio::select! {
            _ = &mut self.accepting => "the listener",
            _ = &mut self.supervising => "the router's supervisor",
            _ = &mut self.keeping_up => "whoever looks after the certificates",
            _ = &mut self.serving => "the metrics page",
        };
        if self.broker.shutdown.is_triggered() { Ok(()) } else { Err(StopError::TaskEnded(ended)) }
    }

    /// Stops accepting, lets every connection write what it has, closes them, within the deadline.
    pub async fn drain(self, deadline: Duration) -> Result<(), StopError> {
        self.broker.shutdown.trigger();
        self.connections.close();
        let ended = tokio::time::timeout(deadline, self.connections.wait()).await;
        self.serving.abort();
        ended.map_err(|_| StopError::Deadline { connections: self.broker.registry.connections() })
    }

    /// Reads certificates, key and revocation lists again; what came of it is logged and counted.
    pub async fn reload(&self) {
        credentials::reload(&self.broker).await;
    }

    /// Open connections, those included that have not said who they are.
    pub fn connections(&self) -> usize {
        self.broker.registry.connections()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// An anonymous observer, up to its CONNACK and SUBACK.
    async fn subscriber(running: &Running) -> TcpStream {
        let mut stream = TcpStream::connect(running.mqtt).await.expect("the broker listens");
        stream.write_all(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01s").await.expect("sent");
        stream.write_all(b"\x82\x12\0\x01\0\x0dtidegate/v1/#\0").await.expect("sent");
        let mut answers = [0; 9];
        let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answers)).await;
        read.expect("answers").expect("the connection lives");
        assert_eq!(answers, [0x20, 2, 0, 0, 0x90, 3, 0, 1, 0]);
        stream
    }

    #[tokio::test]
    async fn when_the_router_dies_clients_are_cut_off_and_can_come_back() {
        let running =
            start(Config::demo(([127, 0, 0, 1], 0).into(), Vec::new())).await.expect("loop-back is free");
        let mut cut_off = subscriber(&running).await;
        let mut breaking = running.broker.router().link().await.expect("the router runs");
        breaking.break_router(failpoint::RouterFault::Dies).expect("the router runs");
        let end = tokio::time::timeout(PATIENCE, cut_off.read(&mut [0; 1])).await.expect("an end");
        assert!(matches!(end, Ok(0) | Err(_)));

        let again = async {
            while running.broker.health.restarts() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            subscriber(&running).await
        };
        tokio::time::timeout(PATIENCE, again).await.expect("a new router is in service");
        assert_eq!(running.broker.health.restarts(), 1);
        running.drain(PATIENCE).await.expect("everyone leaves in time");
    }
}
