//! What lies between an accepted TCP connection and MQTT: a socket option, and TLS where it is configured.
//!
//! The handshake runs in the connection's own task, within the time given for the CONNECT: who says nothing holds up nobody
//! else. What a client's certificate says takes the place of user and password in [`crate::handshake`]. It is judged again
//! whenever the broker's files change, and once an hour, so that a client that is revoked or expires meanwhile is cut off.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_trust::rustls::ServerConfig;
use tidegate_trust::rustls::pki_types::CertificateDer;
use tidegate_trust::tokio_rustls::TlsAcceptor;
use tidegate_trust::tokio_rustls::server::TlsStream;
use tidegate_trust::{Failure, Identity, IdentityError, Reason, ServerTls, Side};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::broker::Broker;
use crate::connection;
use crate::registry::Admission;

/// How long a client that was refused may take to read why.
const FAREWELL: Duration = Duration::from_millis(500);
/// What it may still send meanwhile.
const FAREWELL_BYTES: u64 = 64 * 1024;

/// Who is at the other end, as far as the transport can tell.
#[derive(Debug)]
pub struct Caller {
    pub address: SocketAddr,
    /// When its CONNECT must be here.
    pub deadline: Instant,
    /// None where it has given none, or was not asked.
    pub certificate: Option<Presented>,
}

/// A client's certificate, which was found good.
#[derive(Debug)]
pub struct Presented {
    chain: Vec<CertificateDer<'static>>,
    in_force: watch::Receiver<Arc<ServerTls>>,
}

impl Presented {
    pub fn identity(&self) -> Result<Identity, IdentityError> {
        self.chain.first().map_or(Err(IdentityError::None), |own| Identity::of(own))
    }

    /// Resolves once the certificate would not be accepted any more.
    pub async fn distrusted(&mut self) -> Failure {
        while self.in_force.changed().await.is_ok() {
            let verified = self.in_force.borrow_and_update().verify(&self.chain);
            if let Err(error) = verified {
                let other = || Failure::new(Reason::Other, error.to_string());
                return Failure::of(Side::Server, &error).unwrap_or_else(other);
            }
        }
        // The broker is gone, which its connections are told otherwise.
        std::future::pending().await
    }
}

/// Serves one connection, from accept to its end.
pub async fn serve(broker: &Broker, stream: TcpStream, address: SocketAddr, admission: Admission) {
    // Without it the kernel holds small packets back until the peer's delayed acknowledgement (40 ms).
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let deadline = Instant::now() + broker.config.limits.connect_timeout;
    let mut caller = Caller { address, deadline, certificate: None };
    let Some(credentials) = &broker.credentials else {
        return connection::serve(broker, stream, caller, admission).await;
    };
    // Taken before the handshake: what changes in its midst is seen after it.
    let mut in_force = credentials.watch();
    let config = Arc::clone(&in_force.borrow_and_update().config);
    let shaken = tokio::select! {
        shaken = timeout_at(deadline, shake_hands(stream, config)) => shaken,
        () = broker.shutdown.wait() => return,
    };
    let failure = match shaken {
        Ok(Ok(stream)) => {
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let chain: Vec<_> = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
            caller.certificate = (!chain.is_empty()).then_some(Presented { chain, in_force });
            return connection::serve(broker, stream, caller, admission).await;
        }
        Ok(Err(error)) => {
            let closed =
                || Failure::new(Reason::Closed, format!("the connection broke in the handshake: {error}"));
            Failure::of(Side::Server, &error).unwrap_or_else(closed)
        }
        Err(_) => {
            Failure::new(Reason::Timeout, "no TLS handshake within limits.connect_timeout_ms".to_owned())
        }
    };
    broker.metrics.fail_handshake(&failure);
    tracing::info!(peer = %address, reason = %failure, "TLS handshake failed");
}

async fn shake_hands(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<TlsStream<TcpStream>> {
    match TlsAcceptor::from(config).accept(stream).into_fallible().await {
        Ok(stream) => Ok(stream),
        Err((error, stream)) => {
            let _late = timeout(FAREWELL, part(stream)).await;
            Err(error)
        }
    }
}

/// A socket that is closed while something in it is unread is reset, and the alert that says why may never be read.
async fn part(mut stream: TcpStream) -> io::Result<u64> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(FAREWELL_BYTES), &mut tokio::io::sink()).await
}
