//! The configuration files of the demo's parts, as a user would write them. They stay in the data folder, for whoever
//! keeps it to look at.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use super::error::DemoError;

pub const SITE: &str = "demo";
pub const GATEWAYS: [&str; 2] = ["gw-a", "gw-b"];
/// The gateway that also measures the computer it runs on.
const HOST_GATEWAY: &str = "gw-a";
const RULES: &str = include_str!("rules.toml");

/// Any free port of the loopback.
pub const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How the demo's parts know each other.
#[derive(Clone, Debug)]
pub enum Trust {
    /// They share a password, in clear.
    Password(String),
    /// By certificates that lie in the folder; here they are renewed.
    Certificates { service: SocketAddr },
}

/// The folder of one demo.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    trust: Trust,
}

impl Folder {
    /// Creates the folder where it is missing; fails where it cannot be written.
    pub fn prepare(root: &Path, trust: Trust) -> Result<Self, DemoError> {
        let folder = Self { root: root.to_owned(), trust };
        fs::create_dir_all(root).map_err(|error| DemoError::Folder { folder: root.to_owned(), error })?;
        folder.write("rules.toml", RULES)?;
        Ok(folder)
    }

    pub fn broker(&self) -> Result<PathBuf, DemoError> {
        let who = match &self.trust {
            Trust::Password(password) => {
                let gateway = |name: &str| {
                    format!(
                        "\n[[users]]\nname = \"{name}\"\npassword = \"{password}\"\nrole = \"gateway\"\nsite = \"{SITE}\"\ngateway = \"{name}\"\n",
                    )
                };
                let gateways = GATEWAYS.map(gateway).concat();
                format!(
                    "[[users]]\nname = \"ingest\"\npassword = \"{password}\"\nrole = \"ingest\"\n{gateways}"
                )
            }
            Trust::Certificates { .. } => "[tls]\ncertificate = \"broker.pem\"\nkey = \"broker.pem\"\n\
                 client_ca = \"ca/ca.pem\"\ncrl = \"ca/revoked.pem\"\n"
                .to_owned(),
        };
        let anonymous = match &self.trust {
            Trust::Password(_) => "observer",
            Trust::Certificates { .. } => "none",
        };
        let text = format!(
            "listen = \"{ANY}\"\nallow_anonymous = \"{anonymous}\"\n\n[metrics]\nlisten = \"{ANY}\"\n\n{who}"
        );
        self.write("broker.toml", &text)
    }

    pub fn ingest(&self, broker: SocketAddr, http: SocketAddr) -> Result<PathBuf, DemoError> {
        let text = format!(
            "data_dir = \"ingest\"\nrules = \"rules.toml\"\n\n\
             {}\n[http]\nlisten = \"{http}\"\n",
            self.link("ingest", broker)
        );
        self.write("ingest.toml", &text)
    }

    pub fn agent(&self, gateway: &str, broker: SocketAddr) -> Result<PathBuf, DemoError> {
        let mut text = format!(
            "site = \"{SITE}\"\ngateway = \"{gateway}\"\ndata_dir = \"{gateway}\"\n\n\
             {}\n[status]\nlisten = \"{ANY}\"\n\n\
             [[source]]\ntype = \"board-tcp\"\nlisten = \"{ANY}\"\n",
            self.link(gateway, broker)
        );
        if gateway == HOST_GATEWAY {
            text.push_str("\n[[source]]\ntype = \"host\"\ndevice = \"this-computer\"\ninterval_ms = 1000\n");
        }
        self.write(&format!("{gateway}.toml"), &text)
    }

    /// How `name` reaches the broker.
    fn link(&self, name: &str, broker: SocketAddr) -> String {
        let who = match &self.trust {
            Trust::Password(password) => format!("user = \"{name}\"\npassword = \"{password}\"\n"),
            Trust::Certificates { service } => format!(
                "\n[broker.tls]\nca = \"ca.pem\"\ncertificate = \"{name}.pem\"\nkey = \"{name}.pem\"\nrenew_at = \"{service}\"\n"
            ),
        };
        format!("[broker]\naddress = \"{broker}\"\n{who}")
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, DemoError> {
        let file = self.root.join(name);
        fs::write(&file, text).map_err(|error| DemoError::Folder { folder: self.root.clone(), error })?;
        Ok(file)
    }
}
