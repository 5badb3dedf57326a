//! The end that is connected to.

use std::{fmt, path::PathBuf, sync::Arc};

use tokio_rustls::rustls::{
    self, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, UnixTime},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};

use crate::{
    certificate::Certificate,
    files::{FileError, OwnFiles, Which, authorities, revocations},
    versions::Versions,
};

/// What a server is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    pub own: OwnFiles,
    /// None: clients are not asked for a certificate.
    pub clients: Option<ClientAuthorities>,
    pub versions: Versions,
}

/// Which certificates of clients count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuthorities {
    pub ca: PathBuf,
    /// With it, every authority between a client and `ca`, those of `ca` included, must have a list in it.
    pub crl: Option<PathBuf>,
    /// A client without a certificate is turned away in the handshake.
    pub required: bool,
}

/// One state of the files.
#[derive(Clone)]
pub struct ServerTls {
    pub config: Arc<ServerConfig>,
    pub certificate: Certificate,
    /// When the first revocation list should have been replaced.
    pub revocations_due: Option<i64>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ServerTls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl ServerFiles {
    pub fn load(&self) -> Result<ServerTls, FileError> {
        let own = self.own.read()?;
        let provider = Arc::new(ring::default_provider());
        let (mut verifier, mut revocations_due) = (None, None);
        if let Some(clients) = &self.clients {
            let mut builder =
                WebPkiClientVerifier::builder_with_provider(authorities(&clients.ca)?, Arc::clone(&provider));
            if let Some(path) = &clients.crl {
                let revocations = revocations(path)?;
                revocations_due = revocations.next_update;
                builder = builder.with_crls(revocations.lists);
            }
            if !clients.required {
                builder = builder.allow_unauthenticated();
            }
            // The authorities are known to be good by now.
            let path = clients.crl.as_ref().unwrap_or(&clients.ca);
            let built = builder.build().map_err(|error| FileError::wrong(Which::Revocations, path, error))?;
            verifier = Some(built);
        }
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions.list())
            .map_err(|error| self.own.refused(&error))?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config =
            builder.with_single_cert(own.chain, own.key).map_err(|error| self.own.refused(&error))?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(ServerTls { config: Arc::new(config), certificate: own.certificate, revocations_due, verifier })
    }

    /// Every file that counts.
    pub fn paths(&self) -> Vec<PathBuf> {
        let clients = self.clients.iter().flat_map(|clients| [Some(&clients.ca), clients.crl.as_ref()]);
        let own = [Some(&self.own.certificate), Some(&self.own.key)];
        own.into_iter().chain(clients).flatten().cloned().collect()
    }
}

impl ServerTls {
    /// Whether a client that came with these certificates, its own first, would be let in now.
    pub fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let Some((own, intermediates)) = chain.split_first() else { return Ok(()) };
        match &self.verifier {
            Some(verifier) => verifier.verify_client_cert(own, intermediates, UnixTime::now()).map(|_| ()),
            None => Err(rustls::Error::NoCertificatesPresented),
        }
    }
}
