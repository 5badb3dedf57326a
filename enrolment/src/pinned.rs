//! Believing one authority, which is known by the fingerprint of its certificate and by nothing else yet.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tidegate_trust::{
    certificate::Certificate,
    rustls::{
        self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::{
            Resumption, WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, ServerName, UnixTime},
        version::TLS13,
    },
};

use crate::token::{Fingerprint, Token};

/// For a connection to the service that an invitation names.
pub(crate) fn client_config(token: &Token) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Pinned {
        authority: token.authority,
        made: token.made,
        expires: token.expires,
        provider: Arc::clone(&provider),
        found: OnceLock::new(),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

#[derive(Debug)]
struct Pinned {
    authority: Fingerprint,
    made: u64,
    expires: u64,
    provider: Arc<CryptoProvider>,
    /// Once the service has shown it.
    found: OnceLock<Arc<WebPkiServerVerifier>>,
}

impl Pinned {
    /// The service sends its authority's certificate along; the one that is pinned becomes the root.
    fn verifier(&self, shown: &[CertificateDer<'_>]) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
        if let Some(found) = self.found.get() {
            return Ok(Arc::clone(found));
        }
        let pinned = shown.iter().find(|certificate| Fingerprint::of(certificate) == self.authority);
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let mut roots = RootCertStore::empty();
        roots.add(pinned.ok_or_else(unknown)?.clone().into_owned())?;
        let builder = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&self.provider));
        let verifier = builder.build().map_err(|_| unknown())?;
        Ok(Arc::clone(self.found.get_or_init(|| verifier)))
    }

    /// A gateway's clock may be wrong. The invitation was made at a time that was right, and is not good for long: a clock that
    /// shows neither is not asked.
    fn time(&self, clock: UnixTime, shown: &[u8]) -> UnixTime {
        if (self.made..=self.expires).contains(&clock.as_secs()) {
            clock
        } else {
            Certificate::judged_as_of(UnixTime::since_unix_epoch(Duration::from_secs(self.made)), shown)
        }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verifier = self.verifier(intermediates)?;
        verifier.verify_server_cert(
            end_entity,
            intermediates,
            name,
            ocsp_response,
            self.time(now, end_entity),
        )
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_cannot_be_right_is_not_asked() {
        let verifier = Pinned {
            authority: Fingerprint([0; 32]),
            made: 1_000,
            expires: 2_000,
            provider: Arc::new(ring::default_provider()),
            found: OnceLock::new(),
        };
        for (clock, taken) in
            [(0, 1_000), (999, 1_000), (1_000, 1_000), (1_500, 1_500), (2_000, 2_000), (2_001, 1_000)]
        {
            let time =
                verifier.time(UnixTime::since_unix_epoch(Duration::from_secs(clock)), b"no certificate");
            assert_eq!(time.as_secs(), taken, "{clock}");
        }
    }
}
