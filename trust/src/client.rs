//! The end that connects.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, SignatureScheme,
        client::{
            Resumption, WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::ring,
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use crate::{
    certificate::Certificate,
    files::{FileError, OwnFiles, Which, authorities, revocations},
    versions::Versions,
};

/// What a client is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    pub ca: PathBuf,
    /// None: a server that wants a certificate will refuse us.
    pub own: Option<OwnFiles>,
    /// With it, every authority between the server and `ca`, those of `ca` included, must have a list in it.
    pub crl: Option<PathBuf>,
    /// The name that the server's certificate must have, where it is not that of its address.
    pub server_name: Option<ServerName<'static>>,
    pub versions: Versions,
    /// `host:port` of the authority's service, where the certificate is renewed before it ends.
    pub renew_at: Option<String>,
}

/// One state of the files.
#[derive(Clone, Debug)]
pub struct ClientTls {
    pub config: Arc<ClientConfig>,
    pub certificate: Option<Certificate>,
    own: Option<CertificateDer<'static>>,
}

impl ClientTls {
    /// Our own certificate, as the server gets to see it.
    pub fn own_der(&self) -> Option<&[u8]> {
        self.own.as_deref()
    }

    /// The certificate that a server shows now. It is asked by a handshake that nothing follows, since a connection that stands only knows
    /// what there was when it began.
    pub async fn certificate_of(&self, host: &str, port: u16) -> io::Result<Certificate> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TcpStream::connect((host, port)).await?;
        let mut stream = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
        let _gone = stream.shutdown().await;
        let shown = shown.ok_or_else(|| io::Error::other("the server showed no certificate"))?;
        Certificate::read(&shown).map_err(io::Error::other)
    }
}

impl ClientFiles {
    /// Believes this authority, and shows no certificate.
    pub fn believing(ca: impl Into<PathBuf>) -> Self {
        Self {
            ca: ca.into(),
            own: None,
            crl: None,
            server_name: None,
            versions: Versions::default(),
            renew_at: None,
        }
    }

    pub fn load(&self) -> Result<ClientTls, FileError> {
        let provider = Arc::new(ring::default_provider());
        let roots = authorities(&self.ca)?;
        let mut builder = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
        if let Some(path) = &self.crl {
            builder = builder.with_crls(revocations(path)?.lists);
        }
        let path = self.crl.as_ref().unwrap_or(&self.ca);
        let verifier = builder.build().map_err(|error| FileError::wrong(Which::Revocations, path, error))?;
        let own = self.own.as_ref().map(OwnFiles::read).transpose()?;
        let since = own.as_ref().map_or(0, |own| own.certificate.not_before);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions.list())
            .map_err(|error| FileError::wrong(Which::Authorities, &self.ca, error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Judge {
                verifier,
                name: self.server_name.clone(),
                since: UnixTime::since_unix_epoch(Duration::from_secs(since.try_into().unwrap_or(0))),
            }));
        let (mut config, certificate, own) = match (&self.own, own) {
            (Some(files), Some(read)) => {
                let own = read.chain.first().cloned();
                let config = builder.with_client_auth_cert(read.chain, read.key);
                (config.map_err(|error| files.refused(&error))?, Some(read.certificate), own)
            }
            _ => (builder.with_no_client_auth(), None, None),
        };
        config.resumption = Resumption::disabled();
        Ok(ClientTls { config: Arc::new(config), certificate, own })
    }

    /// Until when our certificate lasts that is in its file now, in Unix seconds.
    pub fn certificate_expiry(&self) -> Option<i64> {
        self.own.as_ref()?.expiry()
    }
}

/// Verifies as always, but for two things.
///
/// A clock that shows a time before our own certificate was made is wrong, as with a gateway that has no battery for it and starts in
/// 1970. The other end is then judged as of the earliest time that it can be rather than not at all: from when on our own certificate
/// is valid, or the other end's, if that was made later.
#[derive(Debug)]
struct Judge {
    verifier: Arc<WebPkiServerVerifier>,
    /// Where it is not the address: whoever connects by an address gives the address.
    name: Option<ServerName<'static>>,
    since: UnixTime,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        address: &ServerName<'_>,
        ocsp_response: &[u8],
        clock: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let name = self.name.as_ref().unwrap_or(address);
        let now = if clock < self.since { Certificate::judged_as_of(self.since, end_entity) } else { clock };
        self.verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
