//! What the authority remembers, one file each.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned},
};
use tidegate_service::durable;

use super::{Authority, AuthorityError, OWN_ONLY, at};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IssuedRecord {
    /// Hexadecimal.
    #[serde(deserialize_with = "serial")]
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
    /// The serial of the one that it was renewed by: one, and no more.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "serial_if_any")]
    pub next: Option<String>,
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
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "serial_if_any")]
    pub used: Option<String>,
}

/// Records are files by this name, and a serial goes into the revocation list: what is none leads nowhere.
fn serial<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    // RFC 5280 allows 20 bytes.
    let is_one = (2..=40).contains(&text.len()) && text.len().is_multiple_of(2);
    if is_one && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        Ok(text)
    } else {
        Err(de::Error::custom(format!("{text:?} is no serial: up to 20 bytes, hexadecimal")))
    }
}

fn serial_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    serial(deserializer).map(Some)
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

#[cfg(test)]
mod tests {
    use tidegate_protocol::{GatewayId, SiteId};
    use tidegate_trust::Identity;

    use super::{super::Setup, *};
    use crate::identity::IdentityFile;

    /// An authority with one certificate, and the record of it.
    fn issued(folder: &Path) -> (Authority, PathBuf, IssuedRecord) {
        let setup = Setup::new("plant", "ca.example:8884", "broker.example:8883");
        let authority = Authority::init(&folder.join("ca"), setup).expect("an authority");
        let (site, gateway) =
            (SiteId::new("plant").expect("a name"), GatewayId::new("gw-a").expect("a name"));
        let file = IdentityFile::new(folder.join("identity.pem"));
        authority.issue_identity(&Identity::Gateway { site, gateway }, &file).expect("a certificate");
        let (path, record) = authority.records("issued").expect("records").remove(0);
        (authority, path, record)
    }

    /// Found by fuzzing: `revoke` writes each record anew, under the name that its serial gives it.
    #[test]
    fn a_record_whose_serial_is_none_is_refused_and_leads_out_of_no_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let (authority, path, record) = issued(folder.path());
        let outside = folder.path().join("elsewhere.json");
        for serial in ["../../elsewhere", "", "abc", "AB", &"ab".repeat(21)] {
            let wrong = IssuedRecord { serial: serial.to_owned(), ..record.clone() };
            authority.put_record(&wrong, &path).expect("it can be written");
            let identity: Identity = record.identity.parse().expect("an identity");
            for refused in [authority.issued().err(), authority.revoke(&identity, "lost").err()] {
                let said = refused.expect("it is no serial").to_string();
                assert!(
                    said.contains(&*path.display().to_string()) && said.contains("is no serial"),
                    "{said}"
                );
            }
            assert!(!outside.exists());
        }
    }

    /// Found by fuzzing: times beyond the year 9999 ended the process.
    #[test]
    fn a_time_beyond_all_calendars_is_written_as_the_end_of_the_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let (authority, path, record) = issued(folder.path());
        let revoked = Some(Revoked { at: u64::MAX, reason: "lost".to_owned() });
        let record = IssuedRecord { not_after: u64::MAX, revoked, ..record };
        authority.put_record(&record, &path).expect("it can be written");
        authority.refresh_list().expect("a list");
        let for_ever = Setup { gateway_seconds: u64::MAX, ..authority.setup().clone() };
        let authority = Authority { setup: for_ever, ..authority };
        let (site, gateway) =
            (SiteId::new("plant").expect("a name"), GatewayId::new("gw-b").expect("a name"));
        let token = authority.invite(site, gateway, 60).expect("an invitation");
        let request = crate::identity::Key::make().and_then(|key| key.request()).expect("a request");
        let granted = authority.enrol(&token.secret.reveal(), &request).expect("a certificate");
        assert!(granted.certificate.contains("BEGIN CERTIFICATE"));
    }
}
