//! The signature of Standard Webhooks (<https://www.standardwebhooks.com>): HMAC-SHA256 over `id.timestamp.body` under the
//! bytes behind `whsec_`, in base64, marked `v1,`. Several secrets give several signatures, with spaces between: the receiver
//! takes whichever it knows, and so secrets are changed without a gap.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
/// As the specification says.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

#[derive(Clone, Debug)]
pub struct Secret(SecretSlice<u8>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("a secret begins with {PREFIX}")]
    Prefix,
    #[error("behind {PREFIX} there is no base64")]
    Base64,
    #[error("a secret has 24 to 64 bytes, not {0}")]
    Length(usize),
}

impl Secret {
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let bytes = text.trim().strip_prefix(PREFIX).ok_or(SecretError::Prefix)?;
        let bytes = STANDARD.decode(bytes).map_err(|_| SecretError::Base64)?;
        if SECRET_BYTES.contains(&bytes.len()) {
            Ok(Self(bytes.into()))
        } else {
            Err(SecretError::Length(bytes.len()))
        }
    }
}

/// The value of `webhook-signature`.
pub fn sign(secrets: &[Secret], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let signatures = secrets.iter().filter_map(|Secret(key)| {
        // HMAC takes keys of any length.
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key.expose_secret()).ok()?;
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the specification's own libraries test.
    #[test]
    fn the_specifications_example_has_its_signature() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = sign(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_signs() {
        let secrets =
            ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_bm90IG9uZSBidXQgYW5vdGhlciBzZWNyZXQ="];
        let secrets = secrets.map(|text| Secret::parse(text).unwrap());
        let signed = sign(&secrets, "a", 1, b"b");
        let alone = secrets.clone().map(|secret| sign(&[secret], "a", 1, b"b"));
        assert_eq!(signed.split(' ').collect::<Vec<_>>(), alone);
        assert_ne!(alone[0], alone[1]);
    }

    #[test]
    fn what_is_no_secret_is_refused_and_none_is_shown() {
        assert_eq!(Secret::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap_err(), SecretError::Prefix);
        assert_eq!(Secret::parse("whsec_!").unwrap_err(), SecretError::Base64);
        assert_eq!(Secret::parse("whsec_c2hvcnQ=").unwrap_err(), SecretError::Length(5));
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert!(!format!("{secret:?}").contains("77"), "{secret:?}");
    }
}
