//! What a gateway does with an invitation, and with a certificate that will end: it makes a key, asks, looks at what it was
//! given, and puts all in place.

use std::path::{Path, PathBuf};

use tidegate_service::durable;
use tidegate_trust::{
    ClientFiles, Identity,
    certificate::Certificate,
    files::{OwnFiles, first_certificate},
    rustls::pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    client::{self, AskError},
    identity::{IdentityFile, Key},
    message::Granted,
    token::{Fingerprint, Token},
};

/// Where a gateway's files belong.
#[derive(Clone, Debug)]
pub struct Places {
    /// Key and certificate.
    pub identity: IdentityFile,
    /// The authority's certificate.
    pub authority: PathBuf,
}

/// What a gateway has now.
#[derive(Clone, Debug)]
pub struct Enrolled {
    pub certificate: Certificate,
    /// `host:port` of the broker, where the authority knows it.
    pub broker: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("{service} gave an authority that is not the one of the invitation")]
    OtherAuthority { service: String },
    #[error("{service} gave a certificate that is not for {wanted}")]
    OtherIdentity { service: String, wanted: String },
    #[error("{}: {error}", path.display())]
    Place { path: PathBuf, error: std::io::Error },
}

impl From<crate::identity::KeyError> for EnrolError {
    fn from(error: crate::identity::KeyError) -> Self {
        Self::Ask(error.into())
    }
}

impl From<tidegate_trust::FileError> for EnrolError {
    fn from(error: tidegate_trust::FileError) -> Self {
        Self::Ask(error.into())
    }
}

/// The first certificate. Cut off anywhere, it can be done again with the same invitation.
pub async fn enrol(token: &Token, places: &Places) -> Result<Enrolled, EnrolError> {
    let key = places.identity.pending_key()?;
    let granted = client::enrol(token, &key).await?;
    let authority = CertificateDer::from_pem_slice(granted.authority.as_bytes()).ok();
    if authority.is_none_or(|der| Fingerprint::of(&der) != token.authority) {
        return Err(EnrolError::OtherAuthority { service: token.service.clone() });
    }
    durable::replace(&places.authority, granted.authority.as_bytes(), 0o644)
        .map_err(|error| EnrolError::Place { path: places.authority.clone(), error })?;
    let wanted = Identity::Gateway { site: token.site, gateway: token.gateway };
    put(&token.service, places, &key, &granted, &wanted)
}

/// The next certificate, with a key of its own, for whom the present one is.
pub async fn renew(service: &str, files: &ClientFiles, places: &Places) -> Result<Enrolled, EnrolError> {
    let key = places.identity.pending_key()?;
    let granted = client::renew(service, files, &key).await?;
    let present = files.load()?;
    let wanted = present.own_der().and_then(|der| Identity::of(der).ok());
    let wanted = wanted.ok_or_else(|| EnrolError::OtherIdentity {
        service: service.to_owned(),
        wanted: "anybody, as the present one".to_owned(),
    })?;
    put(service, places, &key, &granted, &wanted)
}

fn put(
    service: &str,
    places: &Places,
    key: &Key,
    granted: &Granted,
    wanted: &Identity,
) -> Result<Enrolled, EnrolError> {
    places.identity.put(key, &granted.certificate, |file| is_good(service, places, file, wanted))?;
    let certificate = first_certificate(places.identity.path())?;
    Ok(Enrolled { certificate, broker: granted.broker.clone() })
}

/// Key and certificate belong together, and it is for us.
fn is_good(service: &str, places: &Places, file: &Path, wanted: &Identity) -> Result<(), EnrolError> {
    let own = OwnFiles { certificate: file.to_owned(), key: file.to_owned() };
    let files = ClientFiles { own: Some(own), ..ClientFiles::believing(&places.authority) };
    let loaded = files.load()?;
    let is_wanted = loaded.own_der().is_some_and(|der| Identity::of(der).as_ref() == Ok(wanted));
    if is_wanted {
        Ok(())
    } else {
        Err(EnrolError::OtherIdentity { service: service.to_owned(), wanted: wanted.to_string() })
    }
}
