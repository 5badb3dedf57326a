//! Completeness certificates: a signed statement of where every reading of a device is.
//!
//! ```text
//! statement  what is said, and whether it is consistent in itself
//! signed     the statement with an Ed25519 signature over its canonical form
//! keys       the key pair: made once, the private half kept by the ingest
//! ```
//! A certificate is one JSON document that people can read. What is signed is its statement in canonical form (RFC
//! 8785: names in order, no white space), so that a file may be indented, mailed and stored without breaking it.
//! What it proves and what not is said in `docs/reliability.md`.

pub mod keys;
mod signed;
pub mod statement;

pub use self::{
    keys::{CertificateKey, KeyError, PublicKey},
    signed::{Certificate, Invalid},
    statement::{Flaw, Statement},
};
