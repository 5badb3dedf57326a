//! Whom Tidegate's programs believe to be whom.
//!
//! - [`files`]: authorities, certificate, key and revocation lists, read and bounded
//! - [`certificate`]: what one certificate says: until when, and the SAN URIs
//! - [`identity`]: who a certificate is for, `tidegate://site/gateway` or `tidegate:role/ingest`
//! - [`server`], [`client`]: the two ends of a connection, TLS 1.3 unless told otherwise, with ring
//! - [`renewal`]: a server's files, read again while it runs
//! - [`handshake`]: a server's handshake, and its end where it fails
//! - [`settings`]: the `tls` section of a client's settings, and when plaintext is allowed
//! - [`explain`]: why a handshake failed, in words and as a metric's label
//! - `authority` (feature): a certificate authority for tests
//!
//! Nothing is resumed: a session that goes on without a look at the certificate would outlive its revocation.

#[cfg(feature = "authority")]
pub mod authority;
pub mod certificate;
pub mod client;
pub mod explain;
pub mod files;
pub mod handshake;
pub mod identity;
pub mod renewal;
pub mod server;
pub mod settings;
mod versions;

pub use client::{ClientFiles, ClientTls};
pub use explain::{Failure, Reason, Side};
pub use files::FileError;
pub use identity::{Identity, IdentityError, Role};
pub use server::{ServerFiles, ServerTls};
pub use settings::ClientTlsSettings;
pub use versions::{Version, Versions};

/// As the programs that speak TLS use it.
pub use tokio_rustls::{self, rustls};
