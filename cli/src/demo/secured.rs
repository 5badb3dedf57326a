//! The demo's identities, come by as a user would: an authority, its service, and gateways that enrol with invitations.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tidegate_enrolment::{
    Token,
    authority::{
        Authority, Setup,
        service::{self, Serving},
    },
    gateway::{Places, enrol},
    identity::IdentityFile,
};
use tidegate_protocol::{GatewayId, SiteId};
use tidegate_trust::{Identity, Role};

use super::{
    configuration::{ANY, GATEWAYS, SITE},
    error::DemoError,
};

/// Beside the configuration, which names them.
const FOLDER: &str = "ca";
const AUTHORITY: &str = "ca.pem";
const BROKER: &str = "broker.pem";
const INGEST: &str = "ingest.pem";
const OBSERVER: &str = "observer.pem";
/// Longer than any demo starts.
const INVITED_SECONDS: u64 = 600;

/// A running authority, by which all parts of the demo know each other.
pub struct Secured {
    root: PathBuf,
    serving: Serving,
    pub fingerprint: String,
}

impl Secured {
    pub async fn start(root: &Path) -> Result<Self, DemoError> {
        let part = || DemoError::part("authority");
        let folder = root.join(FOLDER);
        let authority = match Authority::open(&folder) {
            Ok(kept) => kept,
            // The service's port is known only once it listens.
            Err(_) => Authority::init(&folder, Setup::new("demo", &ANY.to_string(), ""))
                .map_err(|e| part()(e.into()))?,
        };
        let host = ANY.ip().to_string();
        let issued = authority.issue_server(&[host], &IdentityFile::new(root.join(BROKER)));
        issued.map_err(|e| part()(e.into()))?;
        for (role, file) in [(Role::Ingest, INGEST), (Role::Observer, OBSERVER)] {
            let identity = Identity::Role { role, name: None };
            let issued = authority.issue_identity(&identity, &IdentityFile::new(root.join(file)));
            issued.map_err(|e| part()(e.into()))?;
        }
        let mut invitations = Vec::new();
        for gateway in GATEWAYS {
            let site = SiteId::new(SITE).map_err(|e| part()(e.into()))?;
            let gateway = GatewayId::new(gateway).map_err(|e| part()(e.into()))?;
            let invitation =
                authority.invite(site, gateway, INVITED_SECONDS).map_err(|e| part()(e.into()))?;
            invitations.push(invitation);
        }
        let fingerprint = authority.fingerprint().to_string();
        let serving = service::start(authority, ANY).await.map_err(|e| part()(e.into()))?;
        for invitation in invitations {
            let invitation = Token { service: serving.address.to_string(), ..invitation };
            let places = places(root, invitation.gateway.as_str());
            enrol(&invitation, &places).await.map_err(|e| part()(e.into()))?;
        }
        Ok(Self { root: root.to_owned(), serving, fingerprint })
    }

    /// Where certificates are renewed.
    pub fn service(&self) -> SocketAddr {
        self.serving.address
    }

    pub fn authority(&self) -> PathBuf {
        self.root.join(FOLDER)
    }

    /// What mosquitto's clients want to be told to be let in.
    pub fn observer(&self) -> String {
        let file = |name: &str| self.root.join(name).display().to_string();
        let (ca, own) = (file(AUTHORITY), file(OBSERVER));
        format!("-h {} --cafile {ca} --cert {own} --key {own} ", ANY.ip())
    }

    pub async fn stop(self) {
        self.serving.stop().await;
    }
}

fn places(root: &Path, gateway: &str) -> Places {
    let identity: PathBuf = root.join(format!("{gateway}.pem"));
    Places { identity: IdentityFile::new(identity), authority: root.join(AUTHORITY) }
}
