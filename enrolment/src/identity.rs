//! A gateway's key, and the file that holds it together with its certificate.
//!
//! Both are in one file, PEM after PEM: a rename puts a new key and a new certificate in place at once, so there is no moment at
//! which a power cut could leave a key without its certificate. A key that has no certificate yet waits beside it, so that
//! whoever asks again asks for the same key and is given the same answer.
//!
//! A key in a secure element or TPM (PKCS#11) would come in here: [`Key`] would name it instead of holding it, and
//! `tidegate_trust::files` would hand rustls a `SigningKey` that asks it to sign.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tidegate_service::durable;
use zeroize::Zeroizing;

const OWN_ONLY: u32 = 0o600;

/// A private key, which never leaves this machine.
pub struct Key(KeyPair);

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("no key can be made: {0}")]
    Making(rcgen::Error),
}

impl Key {
    /// ECDSA on P-256, which every tool and secure element knows.
    pub fn make() -> Result<Self, KeyError> {
        KeyPair::generate().map(Self).map_err(KeyError::Making)
    }

    /// The request to sign for it, in PEM. It wishes for nothing: the authority knows whom it is for.
    pub fn request(&self) -> Result<String, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.serialize_request(&self.0).and_then(|request| request.pem()).map_err(KeyError::Making)
    }

    /// PKCS#8 in PEM.
    fn pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }
}

/// Where an identity is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFile(PathBuf);

impl IdentityFile {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The key that waits for its certificate; a new one where none does.
    pub fn pending_key(&self) -> Result<Key, KeyError> {
        let path = self.pending();
        let failed = |error| KeyError::File { path: path.clone(), error };
        match fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(pem) => {
                if let Ok(pair) = KeyPair::from_pem(&pem) {
                    return Ok(Key(pair));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let key = Key::make()?;
        durable::replace(&path, key.pem().as_bytes(), OWN_ONLY).map_err(failed)?;
        Ok(key)
    }

    /// Puts key and certificate in place, once `is_good` finds nothing wrong with the file that holds both. Until then the key goes on
    /// waiting: the authority gives its certificate for this one alone.
    pub fn put<E: From<KeyError>>(
        &self,
        key: &Key,
        certificate: &str,
        is_good: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |error| E::from(KeyError::File { path, error })
        };
        let pem = key.pem();
        let whole = Zeroizing::new(format!("{}\n{}\n", pem.trim_end(), certificate.trim_end()));
        let new = self.beside(".new");
        durable::replace(&new, whole.as_bytes(), OWN_ONLY).map_err(failed(&new))?;
        let verdict = is_good(&new);
        if verdict.is_ok() {
            fs::rename(&new, &self.0).map_err(failed(&self.0))?;
            let folder = self.0.parent().filter(|folder| !folder.as_os_str().is_empty());
            durable::sync_folder(folder.unwrap_or(Path::new("."))).map_err(failed(&self.0))?;
        }
        let pending = verdict.is_ok().then(|| self.pending());
        for done in std::iter::once(new).chain(pending) {
            match fs::remove_file(&done) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&done)(error)),
                _ => {}
            }
        }
        verdict
    }

    fn pending(&self) -> PathBuf {
        self.beside(".pending")
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = OsString::from(&self.0);
        name.push(ending);
        name.into()
    }
}
