//! What the authority remembers, one file each.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tidegate_service::durable;

use super::{Authority, AuthorityError, OWN_ONLY, at};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IssuedRecord {
    /// Hexadecimal.
    pub serial: String,
    /// The URI, or a server's names.
    pub identity: String,
    /// In Unix seconds.
    pub not_before: u64,
    pub not_after: u64,
    /// SHA-256 over the public key.
    pub key: String,
    /// With all that lies between it and the authority, in PEM.
    pub certificate: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revoked>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Revoked {
    pub at: u64,
    pub reason: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InvitationRecord {
    pub identity: String,
    pub made: u64,
    pub expires: u64,
    /// The serial of the certificate that it was used for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<String>,
}

impl Authority {
    pub(super) fn put_record(&self, record: &impl Serialize, path: &Path) -> Result<(), AuthorityError> {
        let text = serde_json::to_vec_pretty(record).map_err(|error| content(path, &error))?;
        durable::replace(path, &text, OWN_ONLY).map_err(at(path))
    }

    pub(super) fn get_record<R: DeserializeOwned>(&self, path: &Path) -> Result<Option<R>, AuthorityError> {
        match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| content(path, &error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(path)(error)),
        }
    }

    /// Of `issued` or `invited`.
    pub(super) fn records<R: DeserializeOwned>(
        &self,
        kind: &str,
    ) -> Result<Vec<(PathBuf, R)>, AuthorityError> {
        let folder = self.path(kind);
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let path = entry.map_err(at(&folder))?.path();
            if path.extension().is_some_and(|ending| ending == "json")
                && let Some(record) = self.get_record(&path)?
            {
                found.push((path, record));
            }
        }
        Ok(found)
    }
}

fn content(path: &Path, problem: &serde_json::Error) -> AuthorityError {
    AuthorityError::Content { path: path.to_owned(), problem: problem.to_string() }
}
