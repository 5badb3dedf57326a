//! A broker with certificates, and clients that have some.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_broker::config::{JUDGE_INTERVAL, Tls};
use tidegate_broker::{Config, Running};
use tidegate_trust::authority::{Authority, Issued, When, replace};
use tidegate_trust::files::OwnFiles;
use tidegate_trust::rustls::pki_types::{CertificateDer, ServerName};
use tidegate_trust::server::ClientAuthorities;
use tidegate_trust::tokio_rustls::TlsConnector;
use tidegate_trust::{ClientFiles, Failure, Reason, ServerFiles, Side, Versions};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::raw::{HERE, Raw, dial, packet};
use crate::support::{PATIENCE, config};

pub const GW1: &str = "tidegate://plant/gw1";
pub const GW2: &str = "tidegate://plant/gw2";

/// The files of a broker, an authority for everybody, and who it signed for.
pub struct Trusted {
    pub authority: Authority,
    folder: tempfile::TempDir,
}

impl Trusted {
    pub fn new() -> Self {
        let trusted =
            Self { authority: Authority::new("plant"), folder: tempfile::tempdir().expect("a folder") };
        replace(&trusted.path("ca.pem"), &trusted.authority.pem(), 0o644);
        trusted.revoke(&[]);
        trusted.renew();
        trusted
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn revoke(&self, revoked: &[&Issued]) {
        let serials: Vec<u64> = revoked.iter().map(|issued| issued.serial).collect();
        replace(&self.path("crl.pem"), &self.authority.revoke(&serials), 0o644);
    }

    /// Gives the broker another certificate and key.
    pub fn renew(&self) {
        self.authority.server(&["127.0.0.1"], When::Now).write(self.folder.path(), "broker");
    }

    pub fn files(&self) -> ServerFiles {
        ServerFiles {
            own: OwnFiles { certificate: self.path("broker.pem"), key: self.path("broker.key") },
            clients: Some(ClientAuthorities {
                ca: self.path("ca.pem"),
                crl: Some(self.path("crl.pem")),
                required: true,
            }),
            versions: Versions::default(),
        }
    }

    /// With the users that every test has; files are looked at all the time.
    pub fn config(&self) -> Config {
        self.config_with(Duration::from_millis(10), JUDGE_INTERVAL)
    }

    /// A broker that reads its files again only when it is told to.
    pub fn config_at_rest(&self) -> Config {
        self.config_with(Duration::from_secs(3600), JUDGE_INTERVAL)
    }

    pub fn config_with(&self, reload_interval: Duration, judge_interval: Duration) -> Config {
        Config { tls: Some(Tls { files: self.files(), reload_interval, judge_interval }), ..config() }
    }

    pub fn client(&self, uri: &str) -> Issued {
        self.authority.client(&[uri], When::Now)
    }

    /// How a client speaks TLS that has this certificate, or none.
    pub fn connector(&self, issued: Option<&Issued>) -> TlsConnector {
        let own = issued.map(|issued| {
            let (certificate, key) = issued.write(self.folder.path(), &format!("client-{}", issued.serial));
            OwnFiles { certificate, key }
        });
        let versions = Versions::default();
        let files = ClientFiles {
            ca: self.path("ca.pem"),
            own,
            crl: None,
            server_name: None,
            versions,
            renew_at: None,
        };
        TlsConnector::from(Arc::clone(&files.load().expect("good files").config))
    }

    /// A client up to the end of its own handshake, with the broker's certificate.
    pub async fn open(
        &self,
        broker: &Running,
        issued: Option<&Issued>,
    ) -> Result<(Raw, CertificateDer<'static>), Failure> {
        shake(&self.connector(issued), dial(broker.mqtt, HERE).await).await
    }

    /// A client that has sent a CONNECT without credentials.
    pub async fn connect(&self, broker: &Running, issued: &Issued, client_id: &str) -> Raw {
        let (mut raw, _) = self.open(broker, Some(issued)).await.expect("it trusts the broker");
        raw.send(&connect(client_id)).await;
        raw
    }

    /// A client that was let in.
    pub async fn let_in(&self, broker: &Running, issued: &Issued, client_id: &str) -> Raw {
        let mut raw = self.connect(broker, issued, client_id).await;
        assert_eq!(raw.packet().await.as_deref(), Some(&[0x20, 2, 0, 0][..]), "CONNACK");
        raw
    }

    /// Why a client does not get through the handshake, as it is told itself.
    pub async fn refused(&self, broker: &Running, issued: Option<&Issued>) -> Reason {
        let mut raw = match self.open(broker, issued).await {
            Ok((raw, _)) => raw,
            Err(failure) => return failure.reason,
        };
        // What was written before the refusal came must not keep it from being read.
        raw.send(&connect("plant.gw1")).await;
        explained(&raw.byte().await.expect_err("it is refused")).reason
    }
}

async fn shake(
    connector: &TlsConnector,
    stream: TcpStream,
) -> Result<(Raw, CertificateDer<'static>), Failure> {
    let name = ServerName::from(stream.peer_addr().expect("it is connected").ip());
    let shaken = timeout(PATIENCE, connector.connect(name, stream)).await.expect("an end of the handshake");
    let stream = shaken.map_err(|error| explained(&error))?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = certificates.first().expect("a server has one").clone().into_owned();
    Ok((Raw::over(stream), certificate))
}

/// A client that was let in, from wherever it comes.
pub async fn enter(connector: &TlsConnector, stream: TcpStream, client_id: &str) -> Raw {
    let (mut raw, _) = shake(connector, stream).await.expect("it trusts the broker");
    raw.send(&connect(client_id)).await;
    assert_eq!(raw.packet().await.as_deref(), Some(&[0x20, 2, 0, 0][..]), "CONNACK for {client_id}");
    raw
}

fn explained(error: &std::io::Error) -> Failure {
    Failure::of(Side::Client, error).unwrap_or_else(|| panic!("{error:?} is not explained"))
}

/// A clean session and nothing else.
pub fn connect(client_id: &str) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04\x02\0\0".to_vec();
    body.extend((client_id.len() as u16).to_be_bytes());
    body.extend(client_id.as_bytes());
    packet(0x10, &body)
}
