//! What a program shows instead of a password.
//!
//! ```text
//! tdg_0123456789abcdef_0123…cdef
//!     16 digits: which  64 digits: the secret, 256 random bits
//! ```
//!
//! The form is fixed so that scanners for leaked secrets find it (`tdg_[0-9a-f]{16}_[0-9a-f]{64}`). Kept is the SHA-256 of the
//! secret: nobody guesses 256 random bits, so a hash that is slow on purpose would only slow down each request.

use std::{fmt, str::FromStr};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub const PREFIX: &str = "tdg_";
const ID_DIGITS: usize = 16;
const SECRET_DIGITS: usize = 64;
const LENGTH: usize = PREFIX.len() + ID_DIGITS + 1 + SECRET_DIGITS;
/// So that a hash of something else is never one of a token.
const PURPOSE: &[u8] = b"tidegate token\0";

/// Which token it is: no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(u64);

impl TokenId {
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.to_string()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token's id has {ID_DIGITS} digits of 0 to 9 and a to f")]
pub struct NoTokenId;

impl FromStr for TokenId {
    type Err = NoTokenId;

    fn from_str(text: &str) -> Result<Self, NoTokenId> {
        if !is_hex(text, ID_DIGITS) {
            return Err(NoTokenId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| NoTokenId)
    }
}

impl TryFrom<String> for TokenId {
    type Error = NoTokenId;

    fn try_from(text: String) -> Result<Self, NoTokenId> {
        text.parse()
    }
}

/// A token as it is shown, whole.
#[derive(Clone, Debug)]
pub struct Token {
    id: TokenId,
    text: SecretString,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that is no token of Tidegate; one is {PREFIX}, {ID_DIGITS} digits, _ and {SECRET_DIGITS} digits")]
pub struct NoToken;

impl Token {
    /// From random bytes.
    pub fn new(id: [u8; 8], secret: [u8; 32]) -> Self {
        let id = TokenId(u64::from_be_bytes(id));
        let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { id, text: format!("{PREFIX}{id}_{secret}").into() }
    }

    pub fn read(text: &str) -> Result<Self, NoToken> {
        let (id, secret) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(NoToken)?;
        if text.len() != LENGTH || !is_hex(secret, SECRET_DIGITS) {
            return Err(NoToken);
        }
        Ok(Self { id: id.parse().map_err(|_| NoToken)?, text: text.into() })
    }

    pub const fn id(&self) -> TokenId {
        self.id
    }

    /// All of it, for whoever it was made for.
    pub const fn text(&self) -> &SecretString {
        &self.text
    }

    pub fn hash(&self) -> TokenHash {
        let digest = Sha256::new().chain_update(PURPOSE).chain_update(self.text.expose_secret()).finalize();
        TokenHash(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// What is kept of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(String);

impl TokenHash {
    /// Takes equally long whatever is shown.
    pub fn is_of(&self, token: &Token) -> bool {
        self.0.as_bytes().ct_eq(token.hash().0.as_bytes()).into()
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_made_and_is_not_shown() {
        let token = Token::new([0xab; 8], [0x5e; 32]);
        let text = token.text().expose_secret().to_owned();
        assert_eq!(text, format!("tdg_abababababababab_{}", "5e".repeat(32)));
        let read = Token::read(&text).unwrap();
        assert_eq!(read.id(), token.id());
        assert!(token.hash().is_of(&read));
        for shown in [format!("{token:?}"), format!("{:?}", token.hash())] {
            assert!(!shown.contains("5e5e5e"), "{shown}");
        }
    }

    #[test]
    fn another_secret_or_id_is_another_token() {
        let token = Token::new([1; 8], [2; 32]);
        for other in [Token::new([1; 8], [3; 32]), Token::new([2; 8], [2; 32])] {
            assert!(!token.hash().is_of(&other));
        }
    }

    #[test]
    fn what_is_not_quite_a_token_is_none() {
        let good = format!("tdg_{}_{}", "0".repeat(16), "a".repeat(64));
        assert!(Token::read(&good).is_ok());
        let wrong = [
            String::new(),
            good.to_uppercase(),
            good.replace("tdg_", "tdx_"),
            format!("{good}0"),
            format!(" {good}"),
            good.replacen('a', "g", 1),
            good.replacen('0', "é", 1),
            format!("tdg_{}_{}", "0".repeat(15), "a".repeat(65)),
        ];
        for text in wrong {
            assert!(Token::read(&text).is_err(), "{text}");
        }
    }
}
