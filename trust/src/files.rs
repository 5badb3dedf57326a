//! Authorities, certificate, key and revocation lists, as they are on the disk. Each is read whole, up to a bound.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use tokio_rustls::rustls::{
    self, RootCertStore,
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem, pem::PemObject},
};
use x509_parser::{prelude::FromDer, revocation_list::CertificateRevocationList};

use crate::certificate::Certificate;

const MAX_FILE_BYTES: u64 = 1 << 20;
/// A hundred thousand revoked certificates take 4 MB.
const MAX_CRL_BYTES: u64 = 64 << 20;
/// The group may read a key, as with `LoadCredential` of systemd or a secret of Kubernetes, and do nothing else.
#[cfg(unix)]
const FORBIDDEN_MODE: u32 = 0o037;

/// Which of the files; its setting has the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Authorities,
    Certificate,
    Key,
    Revocations,
}

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: it cannot be read ({error})", path.display())]
    Unreadable { which: Which, path: PathBuf, error: io::Error },
    #[error("{}: it is longer than {most} bytes", path.display())]
    TooLong { which: Which, path: PathBuf, most: u64 },
    #[error("{}: {problem}", path.display())]
    Wrong { which: Which, path: PathBuf, problem: String },
    #[error("{}: others may read or change this private key (mode {mode:04o}); do `chmod 600` to it, and if they could have read it, have a new one made", path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("{}: the key does not belong to the certificate in {}", key.display(), certificate.display())]
    Mismatch { key: PathBuf, certificate: PathBuf },
}

impl FileError {
    /// The file that it is about.
    pub fn which(&self) -> Which {
        match self {
            Self::Unreadable { which, .. } | Self::TooLong { which, .. } | Self::Wrong { which, .. } => {
                *which
            }
            Self::Open { .. } | Self::Mismatch { .. } => Which::Key,
        }
    }

    pub(crate) fn wrong(which: Which, path: &Path, problem: impl ToString) -> Self {
        Self::Wrong { which, path: path.to_owned(), problem: problem.to_string() }
    }
}

/// A certificate with its chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

pub(crate) struct Own {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pub certificate: Certificate,
}

pub(crate) struct Revocations {
    pub lists: Vec<CertificateRevocationListDer<'static>>,
    /// When the first of them should have been replaced, where one says so.
    pub next_update: Option<i64>,
}

impl OwnFiles {
    pub(crate) fn read(&self) -> Result<Own, FileError> {
        let chain = certificates(Which::Certificate, &self.certificate)?;
        let wrong = |problem: String| FileError::wrong(Which::Certificate, &self.certificate, problem);
        let first = chain.first().ok_or_else(|| wrong("there is no certificate in it".to_owned()))?;
        let certificate = Certificate::read(first).map_err(|error| wrong(error.to_string()))?;
        Ok(Own { key: key(&self.key)?, chain, certificate })
    }

    /// Until when the certificate lasts that is in its file now, in Unix seconds.
    pub fn expiry(&self) -> Option<i64> {
        first_certificate(&self.certificate).ok().map(|certificate| certificate.not_after)
    }

    /// What a configuration is refused for once all files could be read.
    pub(crate) fn refused(&self, error: &rustls::Error) -> FileError {
        match error {
            rustls::Error::InconsistentKeys(_) => {
                FileError::Mismatch { key: self.key.clone(), certificate: self.certificate.clone() }
            }
            other => FileError::wrong(Which::Certificate, &self.certificate, other),
        }
    }
}

/// The certificate that is in the file now, for whoever wants to know how long it lasts.
pub fn first_certificate(path: &Path) -> Result<Certificate, FileError> {
    let chain = certificates(Which::Certificate, path)?;
    let read = chain.first().and_then(|first| Certificate::read(first).ok());
    read.ok_or_else(|| {
        FileError::wrong(Which::Certificate, path, "there is no certificate in it that can be read")
    })
}

pub(crate) fn authorities(path: &Path) -> Result<Arc<RootCertStore>, FileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(Which::Authorities, path)? {
        roots.add(certificate).map_err(|error| FileError::wrong(Which::Authorities, path, error))?;
    }
    Ok(Arc::new(roots))
}

/// One at least.
fn certificates(which: Which, path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let bytes = read(which, path, MAX_FILE_BYTES)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| FileError::wrong(which, path, format!("it is not valid PEM ({error})")))?;
    if found.is_empty() {
        return Err(FileError::wrong(
            which,
            path,
            "there is no certificate in PEM (BEGIN CERTIFICATE) in it",
        ));
    }
    Ok(found)
}

/// A file of another program's secrets, held to what a key file is held to.
pub fn secret(path: &Path) -> Result<Vec<u8>, FileError> {
    read(Which::Key, path, MAX_FILE_BYTES)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    let bytes = read(Which::Key, path, MAX_FILE_BYTES)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let is_encrypted = bytes.windows(9).any(|window| window == b"ENCRYPTED");
        let problem = match error {
            pem::Error::NoItemsFound if is_encrypted => {
                "the key in it has a passphrase; store it without (`openssl pkcs8 -topk8 -nocrypt`)"
                    .to_owned()
            }
            pem::Error::NoItemsFound => "there is no key in PEM (BEGIN PRIVATE KEY, PKCS#8) in it".to_owned(),
            // Its words could show what is in the file.
            _ => "it is not valid PEM".to_owned(),
        };
        FileError::wrong(Which::Key, path, problem)
    })?;
    // Here, where it is known which file it came from: together with a certificate the blame would fall on that.
    any_supported_type(&key).map_err(|_| {
        let problem =
            "the key in it is damaged or of an unknown kind; use ECDSA (P-256, P-384), Ed25519 or RSA";
        FileError::wrong(Which::Key, path, problem)
    })?;
    Ok(key)
}

/// PEM, of which there may be several, or one in DER.
pub(crate) fn revocations(path: &Path) -> Result<Revocations, FileError> {
    let wrong = |problem: String| FileError::wrong(Which::Revocations, path, problem);
    let bytes = read(Which::Revocations, path, MAX_CRL_BYTES)?;
    let mut lists: Vec<CertificateRevocationListDer<'static>> =
        CertificateRevocationListDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(format!("it is not valid PEM ({error})")))?;
    if lists.is_empty() {
        lists.push(bytes.into());
    }
    let mut next_update = None;
    for list in &lists {
        let read = CertificateRevocationList::from_der(list).ok().filter(|(rest, _)| rest.is_empty());
        let Some((_, read)) = read else {
            return Err(wrong(
                "there is no revocation list in it, in PEM (BEGIN X509 CRL) or DER".to_owned(),
            ));
        };
        let next = read.next_update().map(|time| time.timestamp());
        next_update = next_update.into_iter().chain(next).min();
    }
    Ok(Revocations { lists, next_update })
}

/// What a look at files without reading them can tell: whether one of them is another now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(Vec<Option<Look>>);

/// Length, when it was written, and which file it is: a rename brings another one under the same name.
type Look = (u64, Option<SystemTime>, [i64; 4]);

impl Fingerprint {
    pub fn of(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| fs::metadata(path).ok().map(|about| look(&about))).collect())
    }
}

fn look(about: &Metadata) -> Look {
    #[cfg(unix)]
    let which = {
        use std::os::unix::fs::MetadataExt;
        // Device and inode are numbers without an order, so a change of sign does no harm.
        [about.dev() as i64, about.ino() as i64, about.ctime(), about.ctime_nsec()]
    };
    #[cfg(not(unix))]
    let which = [0; 4];
    (about.len(), about.modified().ok(), which)
}

fn read(which: Which, path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    let unreadable = |error| FileError::Unreadable { which, path: path.to_owned(), error };
    let file = File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(FileError::wrong(which, path, "it is no file"));
    }
    #[cfg(unix)]
    if which == Which::Key {
        use std::os::unix::fs::PermissionsExt;
        let mode = about.permissions().mode() & 0o7777;
        if mode & FORBIDDEN_MODE != 0 {
            return Err(FileError::Open { path: path.to_owned(), mode });
        }
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > most {
        return Err(FileError::TooLong { which, path: path.to_owned(), most });
    }
    Ok(bytes)
}
