//! Passwords by argon2id. People choose passwords that can be guessed, so each guess is made to cost memory and time.

use std::sync::LazyLock;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// OWASP's Password Storage Cheat Sheet (2023): 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// NIST SP 800-63B-4: at least 15 characters where a password is all there is, no rules on what they are.
pub const MIN_CHARS: usize = 15;
/// What is longer is no password but an attempt to make hashing slow.
pub const MAX_BYTES: usize = 512;
pub const SALT_BYTES: usize = 16;

/// A password's hash in PHC form, with its own salt and costs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordRecord(String);

/// A guess at it can be tried out at leisure: it is not to be in a log.
impl std::fmt::Debug for PasswordRecord {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("(hidden)")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("a password has at least {MIN_CHARS} characters: take several words")]
    TooShort,
    #[error("a password has at most {MAX_BYTES} bytes")]
    TooLong,
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// Takes as long as [`verify`], and as much memory (19 MiB). The salt is random.
pub fn hash(password: &SecretString, salt: [u8; SALT_BYTES]) -> Result<PasswordRecord, PasswordError> {
    let text = password.expose_secret();
    if text.chars().count() < MIN_CHARS {
        return Err(PasswordError::TooShort);
    }
    if text.len() > MAX_BYTES {
        return Err(PasswordError::TooLong);
    }
    hashed(text.as_bytes(), &salt)
}

/// Takes equally long without a record, for a user whom nobody knows: then it is wrong, whatever it is.
pub fn verify(record: Option<&PasswordRecord>, password: &SecretString) -> bool {
    static NOBODY: LazyLock<Option<PasswordRecord>> =
        LazyLock::new(|| hashed(b"nobody has this password", &[0; SALT_BYTES]).ok());
    let text = password.expose_secret();
    if text.len() > MAX_BYTES {
        return false;
    }
    let Some(compared) = record.or(NOBODY.as_ref()) else { return false };
    let Ok(parsed) = PasswordHash::new(&compared.0) else { return false };
    // The costs are those of the record.
    let is_it = Argon2::default().verify_password(text.as_bytes(), &parsed).is_ok();
    is_it && record.is_some()
}

fn hashed(password: &[u8], salt: &[u8]) -> Result<PasswordRecord, PasswordError> {
    let failed = |error: &dyn std::fmt::Display| PasswordError::Hash(error.to_string());
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| failed(&error))?;
    let salt = SaltString::encode_b64(salt).map_err(|error| failed(&error))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password(password, &salt).map_err(|error| failed(&error))?;
    Ok(PasswordRecord(hash.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_password_fits_and_no_other() {
        let right = SecretString::from("tide and gate and tide");
        let record = hash(&right, [7; SALT_BYTES]).unwrap();
        assert!(record.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", record.0);
        assert!(verify(Some(&record), &right));
        for wrong in ["", "tide and gate and tid", "nobody has this password"] {
            assert!(!verify(Some(&record), &wrong.into()), "{wrong}");
        }
        assert_ne!(record, hash(&right, [8; SALT_BYTES]).unwrap(), "the salt counts");
        assert_eq!(format!("{record:?}"), "(hidden)");
    }

    #[test]
    fn nobody_has_a_password_even_that_of_nobody() {
        assert!(!verify(None, &"nobody has this password".into()));
    }

    #[test]
    fn a_password_has_a_length_that_is_counted_in_characters() {
        assert_eq!(hash(&"é".repeat(14).into(), [0; SALT_BYTES]), Err(PasswordError::TooShort));
        assert!(hash(&"é".repeat(15).into(), [0; SALT_BYTES]).is_ok());
        assert_eq!(hash(&"x".repeat(MAX_BYTES + 1).into(), [0; SALT_BYTES]), Err(PasswordError::TooLong));
        assert!(!verify(None, &"x".repeat(MAX_BYTES + 1).into()));
    }
}
