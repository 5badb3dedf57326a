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

/// The folder of one demo, and the password its parts share.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    password: String,
}

impl Folder {
    /// Creates the folder where it is missing; fails where it cannot be written.
    pub fn prepare(root: &Path, password: String) -> Result<Self, DemoError> {
        let folder = Self { root: root.to_owned(), password };
        fs::create_dir_all(root).map_err(|error| DemoError::Folder { folder: root.to_owned(), error })?;
        folder.write("rules.toml", RULES)?;
        Ok(folder)
    }

    pub fn broker(&self) -> Result<PathBuf, DemoError> {
        let gateway = |name: &str| {
            format!(
                "\n[[users]]\nname = \"{name}\"\npassword = \"{}\"\nrole = \"gateway\"\nsite = \"{SITE}\"\ngateway = \"{name}\"\n",
                self.password
            )
        };
        let text = format!(
            "listen = \"{ANY}\"\nallow_anonymous = \"observer\"\n\n[metrics]\nlisten = \"{ANY}\"\n\n\
             [[users]]\nname = \"ingest\"\npassword = \"{}\"\nrole = \"ingest\"\n{}",
            self.password,
            GATEWAYS.map(gateway).concat()
        );
        self.write("broker.toml", &text)
    }

    pub fn ingest(&self, broker: SocketAddr, http: SocketAddr) -> Result<PathBuf, DemoError> {
        let text = format!(
            "data_dir = \"ingest\"\nrules = \"rules.toml\"\n\n\
             [broker]\naddress = \"{broker}\"\nuser = \"ingest\"\npassword = \"{}\"\n\n\
             [http]\nlisten = \"{http}\"\n",
            self.password
        );
        self.write("ingest.toml", &text)
    }

    pub fn agent(&self, gateway: &str, broker: SocketAddr) -> Result<PathBuf, DemoError> {
        let mut text = format!(
            "site = \"{SITE}\"\ngateway = \"{gateway}\"\ndata_dir = \"{gateway}\"\n\n\
             [broker]\naddress = \"{broker}\"\nuser = \"{gateway}\"\npassword = \"{}\"\n\n\
             [status]\nlisten = \"{ANY}\"\n\n\
             [[source]]\ntype = \"board-tcp\"\nlisten = \"{ANY}\"\n",
            self.password
        );
        if gateway == HOST_GATEWAY {
            text.push_str("\n[[source]]\ntype = \"host\"\ndevice = \"this-computer\"\ninterval_ms = 1000\n");
        }
        self.write(&format!("{gateway}.toml"), &text)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, DemoError> {
        let file = self.root.join(name);
        fs::write(&file, text).map_err(|error| DemoError::Folder { folder: self.root.clone(), error })?;
        Ok(file)
    }
}
