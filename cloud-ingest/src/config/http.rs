//! The HTTP door: where it is, its certificate, and who is let in.

use std::{net::SocketAddr, path::Path, time::Duration};

use tidegate_service::SettingsError;
use tidegate_trust::{
    FileError, ServerFiles, Versions,
    files::{OwnFiles, Which},
};

use crate::{
    door::{Policy, settings::AuthSettings},
    settings::{HttpSettings, HttpTlsSettings},
};

#[derive(Clone, Debug)]
pub struct Http {
    pub listen: SocketAddr,
    /// None: in clear.
    pub tls: Option<HttpTls>,
    pub policy: Policy,
    pub max_connections_per_address: usize,
}

#[derive(Clone, Debug)]
pub struct HttpTls {
    pub files: ServerFiles,
    pub reload_interval: Duration,
}

impl Http {
    /// The certificate is tried, so that `check` finds what is wrong with it.
    pub fn from_settings(
        file: &Path,
        raw: &HttpSettings,
        auth: Option<&AuthSettings>,
    ) -> Result<Self, SettingsError> {
        let listen = listen(file, &raw.listen)?;
        let policy = Policy::from_settings(file, listen, raw.tls.is_some(), raw.insecure, auth)?;
        let tls = raw.tls.as_ref().map(|raw| tls(file, raw)).transpose()?;
        if raw.max_connections_per_address == 0 {
            let problem = "nobody could connect";
            return Err(SettingsError::invalid(
                file,
                "http.max_connections_per_address",
                problem,
                "give 1 or more",
            ));
        }
        let max_connections_per_address = raw.max_connections_per_address;
        Ok(Self { listen, tls, policy, max_connections_per_address })
    }
}

fn tls(file: &Path, raw: &HttpTlsSettings) -> Result<HttpTls, SettingsError> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let own = OwnFiles { certificate: folder.join(&raw.certificate), key: folder.join(&raw.key) };
    let versions = Versions::validate(file, "http.tls.versions", &raw.versions)?;
    let files = ServerFiles { own, clients: None, versions };
    files.load().map_err(|error| {
        let remedy = "correct the path, or replace the file";
        SettingsError::invalid(file, &format!("http.tls.{}", key_of(&error)), error, remedy)
    })?;
    if raw.reload_interval_ms == 0 {
        let problem = "the files would be looked at without a pause";
        return Err(SettingsError::invalid(file, "http.tls.reload_interval_ms", problem, "give 1 or more"));
    }
    Ok(HttpTls { files, reload_interval: Duration::from_millis(raw.reload_interval_ms) })
}

fn key_of(error: &FileError) -> &'static str {
    if error.which() == Which::Key { "key" } else { "certificate" }
}

fn listen(file: &Path, text: &str) -> Result<SocketAddr, SettingsError> {
    text.parse().map_err(|_| {
        let problem = format!("\"{text}\" is not an address with a port");
        SettingsError::invalid(
            file,
            "http.listen",
            problem,
            "write it as \"127.0.0.1:8080\" or \"[::1]:8080\"",
        )
    })
}
