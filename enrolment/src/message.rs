//! What a gateway and the authority's service say to each other: JSON over HTTP/1.1, over TLS.
//!
//! ```text
//! POST /enrol   Ask with the invitation's secret             → Granted
//! POST /renew   Ask, over TLS with the certificate before    → Granted
//! GET  /revoked.pem                                          → the revocation list, in PEM
//! ```
//!
//! A refusal is a problem document (RFC 9457).

use serde::{Deserialize, Serialize};

/// An Ask or a Granted may be so long.
pub const MAX_BODY_BYTES: usize = 64 << 10;
pub const ENROL: &str = "/enrol";
pub const RENEW: &str = "/renew";
pub const REVOKED: &str = "/revoked.pem";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Of the invitation. Not where a certificate says who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// A certificate signing request (PKCS#10) in PEM. Its key counts, and that its sender has the private half; what it wishes
    /// to be called does not.
    pub request: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Granted {
    /// With all that lies between it and the authority, in PEM.
    pub certificate: String,
    /// The authority's own certificate.
    pub authority: String,
    /// `host:port` of the broker, where the authority knows it.
    #[serde(default)]
    pub broker: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Problem {
    pub title: String,
    pub status: u16,
    #[serde(default)]
    pub detail: String,
}
