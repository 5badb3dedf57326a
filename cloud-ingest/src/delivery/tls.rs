//! Whom we believe to be whom: the system's certificate authorities, and those of a file.

use std::{fmt, path::Path, sync::Arc};

use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, pem::PemObject},
    },
};

/// Only the receivers of one process share it; a system's certificates change rarely, and are read at the start.
pub struct Trust(TlsConnector);

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

impl Trust {
    /// An error says in words what is wrong with the file.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        // A system without any is told by the first handshake, which then names it.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = ca_file {
            let refused = |why: String| format!("{}: {why}", path.display());
            let found = CertificateDer::pem_file_iter(path).map_err(|error| refused(error.to_string()))?;
            let found: Vec<_> =
                found.collect::<Result<_, _>>().map_err(|error| refused(error.to_string()))?;
            if found.is_empty() {
                return Err(refused("there is no certificate in it".to_owned()));
            }
            for certificate in found {
                roots.add(certificate).map_err(|error| refused(error.to_string()))?;
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    pub(super) const fn connector(&self) -> &TlsConnector {
        &self.0
    }
}
