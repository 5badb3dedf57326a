//! An invitation: one line that a person can send, with all that a gateway needs to ask for its first certificate.
//!
//! It names the service, pins the authority by the fingerprint of its certificate, is for one gateway, and carries a secret
//! that works once and not for long. Of the secret the authority keeps a hash.

use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_protocol::{GatewayId, SiteId};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// By it a scanner for leaked secrets knows what it has found.
const PREFIX: &str = "tgi1_";
const SECRET_BYTES: usize = 24;
/// The longest names and a service's address of 255 bytes need less.
const MAX_TOKEN_BYTES: usize = 1_024;
const CHECK_BYTES: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// `host:port` of the authority's service.
    pub service: String,
    /// The authority's certificate.
    pub authority: Fingerprint,
    pub site: SiteId,
    pub gateway: GatewayId,
    /// In Unix seconds. A gateway whose clock is wrong takes the first for the time.
    pub made: u64,
    pub expires: u64,
    pub secret: Secret,
}

/// SHA-256 over a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 32]);

#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; SECRET_BYTES]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("this is no invitation: it would begin with {PREFIX}; `tidegate gateway invite` makes one")]
    NotOne,
    #[error("the invitation is incomplete or has a wrong character in it; copy the whole line again")]
    Damaged,
    #[error("the invitation is of a newer version of Tidegate than this program; update it")]
    Version,
}

/// As it is packed. Names are checked when they are read back.
#[derive(Serialize, Deserialize)]
struct Packed<'a> {
    service: &'a str,
    authority: Fingerprint,
    site: &'a str,
    gateway: &'a str,
    made: u64,
    expires: u64,
    secret: [u8; SECRET_BYTES],
}

impl Fingerprint {
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

/// Hexadecimal, in groups as people compare them by telephone.
impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            write!(out, "{}{byte:02X}", if index == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl Secret {
    /// # Errors
    /// When the system gives no random numbers.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// As it goes to the service.
    pub fn reveal(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }

    /// None where it is not of a secret's length.
    pub fn read(text: &str) -> Option<Self> {
        BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// What the authority keeps of it. It is too random to be guessed, so one round of a hash does.
    pub fn hash(&self) -> String {
        Sha256::digest(self.0).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(…)")
    }
}

impl Token {
    /// The whole line, secret and all.
    pub fn reveal(&self) -> String {
        let packed = Packed {
            service: &self.service,
            authority: self.authority,
            site: self.site.as_str(),
            gateway: self.gateway.as_str(),
            made: self.made,
            expires: self.expires,
            secret: self.secret.0,
        };
        let mut bytes = postcard::to_allocvec(&packed).unwrap_or_default();
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        let text = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(&bytes));
        bytes.zeroize();
        text
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            let is_newer = text.strip_prefix("tgi").and_then(|rest| rest.split_once('_'));
            let is_newer = is_newer.is_some_and(|(version, _)| version.parse::<u8>().is_ok());
            return Err(if is_newer { TokenError::Version } else { TokenError::NotOne });
        };
        if encoded.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Damaged);
        }
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Damaged)?;
        let token = Self::unpack(&bytes);
        bytes.zeroize();
        token.ok_or(TokenError::Damaged)
    }
}

impl Token {
    fn unpack(bytes: &[u8]) -> Option<Self> {
        let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK_BYTES)?)?;
        if crc32c::crc32c(body).to_le_bytes() != check {
            return None;
        }
        let (packed, rest) = postcard::take_from_bytes::<Packed<'_>>(body).ok()?;
        if !rest.is_empty() {
            return None;
        }
        Some(Self {
            service: packed.service.to_owned(),
            authority: packed.authority,
            site: SiteId::new(packed.site).ok()?,
            gateway: GatewayId::new(packed.gateway).ok()?,
            made: packed.made,
            expires: packed.expires,
            secret: Secret(packed.secret),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token {
            service: "ca.example:8884".to_owned(),
            authority: Fingerprint([7; 32]),
            site: SiteId::new("plant").expect("a name"),
            gateway: GatewayId::new("gw-a").expect("a name"),
            made: 1_790_000_000,
            expires: 1_790_086_400,
            secret: Secret([9; SECRET_BYTES]),
        }
    }

    #[test]
    fn an_invitation_reads_back_and_shows_its_secret_nowhere_else() {
        let (token, line) = (token(), token().reveal());
        assert_eq!(format!(" {line}\n").parse::<Token>(), Ok(token.clone()));
        let shown = format!("{token:?}");
        assert!(!shown.contains("9, 9") && !shown.contains(&token.secret.reveal()), "{shown}");
    }

    #[test]
    fn one_wrong_character_anywhere_is_noticed() {
        let line = token().reveal();
        for at in 0..line.len() {
            let other = if line.as_bytes()[at] == b'x' { 'y' } else { 'x' };
            let wrong = format!("{}{other}{}", &line[..at], &line[at + 1..]);
            assert!(wrong.parse::<Token>().is_err(), "{at}: {wrong}");
            assert!(line[..at].parse::<Token>().is_err(), "cut at {at}");
        }
    }

    #[test]
    fn what_is_no_invitation_is_told_apart_from_a_damaged_and_a_newer_one() {
        for (text, error) in [
            ("", TokenError::NotOne),
            ("tgi", TokenError::NotOne),
            ("tgix_AAAA", TokenError::NotOne),
            ("tgi1_", TokenError::Damaged),
            ("tgi1_!!", TokenError::Damaged),
            ("tgi2_AAAA", TokenError::Version),
        ] {
            assert_eq!(text.parse::<Token>(), Err(error), "{text}");
        }
    }
}
