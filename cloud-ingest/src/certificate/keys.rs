//! The key pair that certificates are signed with: Ed25519, the private half as PKCS#8 in PEM, readable by its owner
//! alone, the public half as PEM for whoever checks.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use ed25519_dalek::{
    Signature, Signer, SigningKey, VerifyingKey,
    pkcs8::{
        DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, spki::der::pem::LineEnding,
    },
};
use sha2::{Digest, Sha256};

/// A PEM file of an Ed25519 key is about 120 bytes long; what is much longer is something else.
const MAX_KEY_FILE_BYTES: u64 = 4096;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} is no Ed25519 {half} key in PEM; `tidegate keys init` makes a pair", path.display())]
    NoKey { path: PathBuf, half: &'static str },
    #[error("{} exists; a new key would make its certificates uncheckable: name another folder", path.display())]
    Exists { path: PathBuf },
    #[error("{} cannot be written: {error}", path.display())]
    Unwritable { path: PathBuf, error: io::Error },
    #[error("this machine gives no random numbers: {0}")]
    NoEntropy(String),
    #[error("the new key does not encode")]
    Encode,
}

/// The private half.
#[derive(Clone)]
pub struct CertificateKey(SigningKey);

/// The half that checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl CertificateKey {
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let pem = read(path)?;
        let key = SigningKey::from_pkcs8_pem(&pem);
        key.map(Self).map_err(|_| KeyError::NoKey { path: path.to_owned(), half: "private" })
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }
}

impl std::fmt::Debug for CertificateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CertificateKey({})", self.public().id())
    }
}

impl PublicKey {
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let pem = read(path)?;
        let key = VerifyingKey::from_public_key_pem(&pem);
        key.map(Self).map_err(|_| KeyError::NoKey { path: path.to_owned(), half: "public" })
    }

    /// What people compare: the first half of the key's SHA-256, in hex.
    pub fn id(&self) -> String {
        hex(Sha256::digest(self.0.as_bytes()).get(..16).unwrap_or_default())
    }

    /// Strict: no other signature of the same bytes passes as well.
    pub fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(bytes, &signature).is_ok())
    }
}

/// A pair of files, as made by [`init`].
#[derive(Clone, Debug)]
pub struct KeyFiles {
    pub private: PathBuf,
    pub public: PathBuf,
    pub id: String,
}

/// Makes a key pair in `folder`; refuses to write over one.
pub fn init(folder: &Path) -> Result<KeyFiles, KeyError> {
    let (private, public) = (folder.join("certificate.key"), folder.join("certificate.pub"));
    if let Some(path) = [&private, &public].into_iter().find(|path| path.exists()) {
        return Err(KeyError::Exists { path: path.clone() });
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| KeyError::Unwritable { path: folder.to_owned(), error })?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| KeyError::NoEntropy(error.to_string()))?;
    let key = SigningKey::from_bytes(&seed);
    let private_pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Encode)?;
    let public_pem = key.verifying_key().to_public_key_pem(LineEnding::LF).map_err(|_| KeyError::Encode)?;
    write(&private, private_pem.as_bytes(), 0o600)?;
    write(&public, public_pem.as_bytes(), 0o644)?;
    Ok(KeyFiles { private, public, id: CertificateKey(key).public().id() })
}

fn read(path: &Path) -> Result<String, KeyError> {
    let unreadable = |error| KeyError::Unreadable { path: path.to_owned(), error };
    let len = std::fs::metadata(path).map_err(unreadable)?.len();
    if len > MAX_KEY_FILE_BYTES {
        return Err(unreadable(io::Error::other("it is too long for a key")));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyError> {
    let unwritable = |error| KeyError::Unwritable { path: path.to_owned(), error };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path).map_err(unwritable)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(unwritable)
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_made_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let files = init(folder.path()).unwrap();
        let (key, public) =
            (CertificateKey::read(&files.private).unwrap(), PublicKey::read(&files.public).unwrap());
        assert_eq!((key.public(), public.id()), (public.clone(), files.id));
        assert!(public.verifies(b"words", &key.sign(b"words")));
        assert!(!public.verifies(b"other words", &key.sign(b"words")));
        assert!(matches!(init(folder.path()), Err(KeyError::Exists { .. })));
        assert!(matches!(CertificateKey::read(&files.public), Err(KeyError::NoKey { half: "private", .. })));
    }

    #[cfg(unix)]
    #[test]
    fn the_private_half_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let files = init(folder.path()).unwrap();
        let mode = std::fs::metadata(files.private).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
