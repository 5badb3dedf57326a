//! How a gateway gets its certificate, keeps it fresh, and loses it.
//!
//! - [`token`]: an invitation, one line of text that says where to ask, whom to believe, and for which gateway
//! - [`identity`]: the gateway's key, made where it stays, and the one file that it lives in with its certificate
//! - [`client`]: asks the authority's service for a certificate, with an invitation or with the certificate before
//! - [`renewal`]: asks again before the end, as long as a program runs
//! - [`message`]: what the two say to each other
//! - `authority` (feature): the folder of the authority that signs, and its service

#[cfg(feature = "authority")]
pub mod authority;
pub mod client;
pub mod gateway;
pub mod identity;
pub mod message;
mod pinned;
pub mod renewal;
pub mod token;

pub use client::AskError;
pub use token::{Fingerprint, Token, TokenError};
