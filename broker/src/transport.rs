//! What lies between an accepted TCP connection and MQTT: a socket option, and TLS where it is configured.
//!
//! The handshake runs in the connection's own task, within the time given for the CONNECT: who says nothing holds up nobody
//! else. What a client's certificate says takes the place of user and password in [`crate::handshake`]. It is judged again
//! whenever the broker's files change, and once an hour, so that a client that is revoked or expires meanwhile is cut off.

use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_trust::handshake::shake_hands;
use tidegate_trust::rustls::pki_types::CertificateDer;
use tidegate_trust::{Failure, Identity, IdentityError, Reason, ServerTls, Side};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::broker::Broker;
use crate::connection;
use crate::registry::Admission;

/// Who is at the other end, as far as the transport can tell.
#[derive(Debug)]
pub struct Caller {
    pub address: SocketAddr,
    pub is_tls: bool,
    /// When its CONNECT must be here.
    pub deadline: Instant,
    /// None where it has given none, or was not asked.
    pub certificate: Option<Presented>,
}

impl Caller {
    /// Resolves once its certificate would not be accepted any more.
    pub async fn distrusted(&mut self) -> Failure {
        match &mut self.certificate {
            Some(certificate) => certificate.distrusted().await,
            None => std::future::pending().await,
        }
    }
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

    async fn distrusted(&mut self) -> Failure {
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
    let mut caller = Caller { address, is_tls: false, deadline, certificate: None };
    let Some(credentials) = &broker.credentials else {
        return connection::serve(broker, stream, caller, admission).await;
    };
    // Taken before the handshake: what changes in its midst is seen after it.
    let mut in_force = credentials.watch();
    let config = Arc::clone(&in_force.borrow_and_update().config);
    let shaken = tokio::select! {
        shaken = shake_hands(stream, config, deadline, "limits.connect_timeout_ms") => shaken,
        () = broker.shutdown.wait() => return,
    };
    match shaken {
        Ok(stream) => {
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let chain: Vec<_> = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
            caller.is_tls = true;
            caller.certificate = (!chain.is_empty()).then_some(Presented { chain, in_force });
            connection::serve(broker, stream, caller, admission).await;
        }
        Err(failure) => {
            broker.metrics.fail_handshake(&failure);
            tracing::info!(peer = %address, reason = %failure, "TLS handshake failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tidegate_trust::authority::{Authority, When};
    use tidegate_trust::files::OwnFiles;
    use tidegate_trust::rustls::pki_types::ServerName;
    use tidegate_trust::tokio_rustls::{TlsAcceptor, TlsConnector};
    use tidegate_trust::{ClientFiles, ServerFiles, Versions};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;
    use crate::config::Config;
    use crate::mqtt::{Message, QoS, Topic};

    const PATIENCE: Duration = Duration::from_secs(20);
    /// Less than a message.
    const PIPE_BYTES: usize = 8 * 1024;
    const MESSAGE_BYTES: usize = 20_000;

    /// TLS takes a message whole when the network has room for a part of it: the rest must leave although nothing follows.
    #[tokio::test]
    async fn what_tls_holds_leaves_without_another_message_to_push_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new("plant");
        let (certificate, key) =
            authority.server(&["broker.example"], When::Now).write(folder.path(), "broker");
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).expect("written");
        let versions = Versions::default();
        let server = ServerFiles { own: OwnFiles { certificate, key }, clients: None, versions };
        let client = ClientFiles { versions, ..ClientFiles::believing(ca) };
        let (server, client) = (server.load().expect("good files"), client.load().expect("good files"));

        let broker =
            Broker::new(Config::demo(([127, 0, 0, 1], 0).into(), Vec::new())).expect("no files are needed");
        let topic = Topic::new(Bytes::from_static(b"tidegate/v1/x")).expect("a topic");
        let payload = Bytes::from(vec![7; MESSAGE_BYTES]);
        broker.retain(&Message { topic, payload, qos: QoS::AtMostOnce, retain: true });
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let admission = broker.registry.admit(address.ip()).expect("there is room");

        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let serving = async {
            let stream = TlsAcceptor::from(server.config).accept(far).await.expect("a handshake");
            let caller =
                Caller { address, is_tls: true, deadline: Instant::now() + PATIENCE, certificate: None };
            connection::serve(&broker, stream, caller, admission).await;
        };
        let talking = async {
            let name = ServerName::try_from("broker.example").expect("a name");
            let mut stream =
                TlsConnector::from(client.config).connect(name, near).await.expect("a handshake");
            stream.write_all(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01s").await.expect("sent");
            stream.write_all(b"\x82\x12\0\x01\0\x0dtidegate/v1/#\0").await.expect("sent");
            stream.flush().await.expect("sent");
            // CONNACK, SUBACK, and the message with its header and topic.
            let mut answers = vec![0; 4 + 5 + 4 + 15 + MESSAGE_BYTES];
            stream.read_exact(&mut answers).await.expect("all of it");
        };
        tokio::select! {
            () = serving => panic!("the broker closed"),
            talked = timeout(PATIENCE, talking) => talked.expect("the whole message"),
        }
    }
}
