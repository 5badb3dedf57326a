//! A statement with its signature.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    keys::{CertificateKey, PublicKey},
    statement::{Flaw, Statement},
};

const ALGORITHM: &str = "Ed25519";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    pub statement: Statement,
    pub signature: SignatureOf,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureOf {
    pub algorithm: String,
    /// Which key, as `tidegate keys init` printed it.
    pub key_id: String,
    /// Base64, over the statement in canonical form.
    pub value: String,
}

/// Why a certificate proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    #[error("it is no certificate: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it is signed with {0}; this program knows {ALGORITHM}")]
    Algorithm(String),
    #[error("it is signed with key {signed}, not with {given}; ask its issuer for the public key")]
    OtherKey { signed: String, given: String },
    #[error("the signature does not fit: it was changed after it was signed, or another key signed it")]
    Signature,
    #[error("the signature is good, but the statement contradicts itself: {0}")]
    Flaw(#[from] Flaw),
}

impl Certificate {
    pub fn sign(statement: Statement, key: &CertificateKey) -> serde_json::Result<Self> {
        let value = STANDARD.encode(key.sign(canonical(&statement)?.as_bytes()));
        let key_id = key.public().id();
        Ok(Self { statement, signature: SignatureOf { algorithm: ALGORITHM.to_owned(), key_id, value } })
    }

    /// Reads a certificate and checks signature and statement.
    pub fn verify(json: &[u8], key: &PublicKey) -> Result<Statement, Invalid> {
        let Self { statement, signature } = serde_json::from_slice(json)?;
        if signature.algorithm != ALGORITHM {
            return Err(Invalid::Algorithm(signature.algorithm));
        }
        if signature.key_id != key.id() {
            return Err(Invalid::OtherKey { signed: signature.key_id, given: key.id() });
        }
        let value = STANDARD.decode(&signature.value).map_err(|_| Invalid::Signature)?;
        if !key.verifies(canonical(&statement)?.as_bytes(), &value) {
            return Err(Invalid::Signature);
        }
        statement.check()?;
        Ok(statement)
    }
}

/// RFC 8785 as far as a statement needs it: it has names in ASCII, texts, and whole numbers.
fn canonical(statement: &Statement) -> serde_json::Result<String> {
    let mut out = String::new();
    write(&serde_json::to_value(statement)?, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut String) -> serde_json::Result<()> {
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                out.push(if at == 0 { '[' } else { ',' });
                write(item, out)?;
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            for (at, (name, field)) in fields.iter().enumerate() {
                out.push(if at == 0 { '{' } else { ',' });
                out.push_str(&serde_json::to_string(name)?);
                out.push(':');
                write(field, out)?;
            }
            out.push_str(if fields.is_empty() { "{}" } else { "}" });
        }
        plain => out.push_str(&serde_json::to_string(plain)?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::certificate::{keys, statement};

    fn signed() -> (Certificate, PublicKey) {
        let folder = tempfile::tempdir().unwrap();
        let key = CertificateKey::read(&keys::init(folder.path()).unwrap().private).unwrap();
        let statement = Statement {
            format: statement::FORMAT.to_owned(),
            issued: Timestamp::UNIX_EPOCH,
            issuer: "test \"1\"".to_owned(),
            journal_position: 7,
            ledger: 0,
            site: "plant".to_owned(),
            device: "board".to_owned(),
            window: None,
            boots: Vec::new(),
            sealed: Vec::new(),
            totals: statement::Totals::default(),
        };
        (Certificate::sign(statement, &key).unwrap(), key.public())
    }

    #[test]
    fn a_certificate_survives_another_layout_and_no_other_change() {
        let (certificate, key) = signed();
        let pretty = serde_json::to_string_pretty(&certificate).unwrap();
        assert_eq!(Certificate::verify(pretty.as_bytes(), &key).unwrap(), certificate.statement);
        for (from, to) in [("plant", "plank"), ("\"journal_position\": 7", "\"journal_position\": 8")] {
            let changed = pretty.replacen(from, to, 1);
            assert_ne!(changed, pretty);
            let refused = Certificate::verify(changed.as_bytes(), &key);
            assert!(matches!(refused, Err(Invalid::Signature)), "{refused:?}");
        }
        let (_, other) = signed();
        assert!(matches!(Certificate::verify(pretty.as_bytes(), &other), Err(Invalid::OtherKey { .. })));
        let with_more = pretty.replacen("\"site\"", "\"approved\": true, \"site\"", 1);
        assert!(matches!(Certificate::verify(with_more.as_bytes(), &key), Err(Invalid::Json(_))));
    }

    #[test]
    fn the_canonical_form_is_in_the_order_of_names() {
        let (certificate, _) = signed();
        let text = canonical(&certificate.statement).unwrap();
        let begins = "{\"boots\":[],\"device\":\"board\",\"format\":\"tidegate-completeness/1\",\"issued\":\"1970-01-01T00:00:00Z\",\"issuer\":\"test \\\"1\\\"\",\"journal_position\":7,";
        assert!(text.starts_with(begins), "{text}");
    }
}
