//! Who a certificate is for: one URI among the subject's alternative names.
//!
//! ```text
//! tidegate://SITE/GATEWAY        a gateway
//! tidegate:role/ROLE             ingest, observer or operator
//! tidegate:role/ROLE/NAME        the same, when several are to be told apart
//! ```
//!
//! No SITE is called `role`: where identities are shown without their scheme, a gateway there would look like the ingest.
//!
//! SITE, GATEWAY and NAME have 1 to 32 of `a` to `z`, `0` to `9` and `-`; nothing is escaped, nothing is case-folded.
//! Other names beside it are passed over; a second URI of ours is refused, since nobody could say which one counts.

use std::{fmt, str::FromStr};

use tidegate_protocol::{GatewayId, SiteId};

use crate::certificate::{Certificate, Unreadable};

const SCHEME: &str = "tidegate:";
const RESERVED_SITE: &str = "role";
const MAX_NAME_BYTES: usize = 32;
/// The longest that is right, and some.
const MAX_URI_BYTES: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    Gateway { site: SiteId, gateway: GatewayId },
    Role { role: Role, name: Option<String> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Ingest,
    Observer,
    Operator,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("the certificate has no URI like tidegate://SITE/GATEWAY among its subject's alternative names")]
    None,
    #[error("the certificate has {0} URIs that start with \"tidegate:\"; one may be there")]
    Several(usize),
    #[error(
        "the certificate's {shown} is neither tidegate://SITE/GATEWAY nor tidegate:role/ROLE or tidegate:role/ROLE/NAME"
    )]
    Form { shown: String },
}

impl Identity {
    /// Of a certificate that was verified.
    pub fn of(der: &[u8]) -> Result<Self, IdentityError> {
        let certificate = Certificate::read(der)?;
        let mut ours = certificate.uris.iter().filter(|uri| uri.starts_with(SCHEME));
        let uri = ours.next().ok_or(IdentityError::None)?;
        match ours.count() {
            0 => uri.parse(),
            more => Err(IdentityError::Several(more + 1)),
        }
    }
}

impl Identity {
    /// The name by which brokers know a client that look at no URIs: `plant/gw-a`, `role/ingest`. Certificates of our own authority
    /// have it as their common name.
    pub fn common_name(&self) -> String {
        let uri = self.to_string();
        uri.trim_start_matches(SCHEME).trim_start_matches('/').to_owned()
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, IdentityError> {
        // It may be anything, and goes to logs.
        let form = || IdentityError::Form {
            shown: format!("{:?}", uri.chars().take(MAX_URI_BYTES).collect::<String>()),
        };
        if uri.len() > MAX_URI_BYTES {
            return Err(form());
        }
        if let Some(path) = uri.strip_prefix("tidegate://") {
            let (site, gateway) =
                path.split_once('/').filter(|(site, _)| *site != RESERVED_SITE).ok_or_else(form)?;
            let (site, gateway) = (SiteId::new(site), GatewayId::new(gateway));
            return Ok(Self::Gateway {
                site: site.map_err(|_| form())?,
                gateway: gateway.map_err(|_| form())?,
            });
        }
        let path = uri.strip_prefix("tidegate:role/").ok_or_else(form)?;
        let (role, name) = path.split_once('/').map_or((path, None), |(role, name)| (role, Some(name)));
        if name.is_some_and(|name| !is_name(name)) {
            return Err(form());
        }
        let role = Role::ALL.into_iter().find(|known| known.name() == role).ok_or_else(form)?;
        Ok(Self::Role { role, name: name.map(str::to_owned) })
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

impl Role {
    const ALL: [Self; 3] = [Self::Ingest, Self::Observer, Self::Operator];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Observer => "observer",
            Self::Operator => "operator",
        }
    }
}

/// The URI.
impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway { site, gateway } => write!(out, "tidegate://{site}/{gateway}"),
            Self::Role { role, name: None } => write!(out, "tidegate:role/{}", role.name()),
            Self::Role { role, name: Some(name) } => write!(out, "tidegate:role/{}/{name}", role.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_as_it_was_written() {
        for uri in [
            "tidegate://plant/gw-a",
            "tidegate:role/ingest",
            "tidegate:role/observer/eva",
            "tidegate:role/operator",
        ] {
            assert_eq!(uri.parse::<Identity>().map(|identity| identity.to_string()), Ok(uri.to_owned()));
        }
    }

    #[test]
    fn what_is_no_identity_is_refused_and_shown_on_one_line() {
        let long = format!("tidegate://plant/{}", "x".repeat(2_000));
        for uri in [
            "tidegate://plant",
            "tidegate://plant/",
            "tidegate:///gw-a",
            "tidegate://plant/gw-a/x",
            "tidegate://role/ingest",
            "tidegate://Plant/gw-a",
            "tidegate://plant/gw-a?x",
            "tidegate://eva@plant/gw-a",
            "tidegate://plant/+",
            "tidegate://plant/gw%2da",
            "Tidegate://plant/gw-a",
            "tidegate:role/gateway",
            "tidegate:role/",
            "tidegate:role/ingest/",
            "tidegate:role/observer/Eva",
            "tidegate:role/observer/a/b",
            "tidegate:",
            "tidegate:\nrole/ingest",
            &long,
        ] {
            let refused = uri.parse::<Identity>().expect_err(uri).to_string();
            assert!(refused.len() < 400 && !refused.contains('\n'), "{refused}");
        }
    }
}
