//! The `tls` section of a program that connects to a broker, and when it may do without.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tidegate_service::SettingsError;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::{
    client::ClientFiles,
    files::{FileError, OwnFiles, Which},
    versions::{Version, Versions},
};

/// Relative paths start at the settings file's folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientTlsSettings {
    /// The authorities that may have signed the broker's certificate, in PEM.
    pub ca: PathBuf,
    /// Our own, with what lies between it and its authority.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Revocation lists for the broker's certificate.
    pub crl: Option<PathBuf>,
    /// The name in the broker's certificate, where it is not that of its address.
    pub server_name: Option<String>,
    #[serde(default = "only_the_newest")]
    pub versions: Vec<Version>,
    /// `host:port` of the authority's service, which renews the certificate before it ends. Certificate and key are one file then.
    pub renew_at: Option<String>,
}

/// TLS 1.3.
pub fn only_the_newest() -> Vec<Version> {
    vec![Version::V1_3]
}

impl ClientTlsSettings {
    /// `section` is where they stand in `file`: `broker.tls`. No file that they name is opened.
    fn validate(self, file: &Path, section: &str) -> Result<ClientFiles, SettingsError> {
        let folder = file.parent().unwrap_or(Path::new(""));
        let refused = |key: &str, problem: String, remedy: &str| {
            SettingsError::invalid(file, &format!("{section}.{key}"), problem, remedy)
        };
        let own = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => {
                Some(OwnFiles { certificate: folder.join(certificate), key: folder.join(key) })
            }
            (None, None) => None,
            (Some(_), None) => {
                let problem = "there is a certificate without its key".to_owned();
                return Err(refused("certificate", problem, "add `key = …`"));
            }
            (None, Some(_)) => {
                let problem = "there is a key without its certificate".to_owned();
                return Err(refused("key", problem, "add `certificate = …`"));
            }
        };
        if let Some(service) = &self.renew_at {
            let host = service.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
            if host.is_none_or(|(host, _)| ServerName::try_from(host).is_err()) {
                let problem = format!("\"{service}\" is no address");
                return Err(refused("renew_at", problem, "write it as \"ca.example:8884\""));
            }
            if own.as_ref().is_none_or(|own| own.certificate != own.key) {
                let problem = "a certificate and its key can only be renewed together".to_owned();
                let remedy = "name the one file that has both in `certificate` and in `key`, as `tidegate-agent enroll` writes it";
                return Err(refused("renew_at", problem, remedy));
            }
        }
        let server_name = self.server_name.map(|name| {
            ServerName::try_from(name.clone()).map_err(|_| {
                refused(
                    "server_name",
                    format!("\"{name}\" is no name or address"),
                    "write it as \"broker.example\"",
                )
            })
        });
        Ok(ClientFiles {
            ca: folder.join(self.ca),
            own,
            crl: self.crl.map(|crl| folder.join(crl)),
            server_name: server_name.transpose()?,
            versions: Versions::validate(file, &format!("{section}.versions"), &self.versions)?,
            renew_at: self.renew_at,
        })
    }
}

/// A file that the `section` of a client's settings names, and that is wrong.
pub fn refused_file(settings_file: &Path, section: &str, error: &FileError) -> SettingsError {
    let key = match error.which() {
        Which::Authorities => "ca",
        Which::Certificate => "certificate",
        Which::Key => "key",
        Which::Revocations => "crl",
    };
    let remedy = "correct the path, or replace the file";
    SettingsError::invalid(settings_file, &format!("{section}.{key}"), error, remedy)
}

/// Whether what is sent to `host` stays on this machine, so that nobody on a network can read it.
pub fn is_this_machine(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(is_loopback)
}

pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// What is said at the start where [`open_page`] was told that it may.
pub const OPEN_PAGE: &str = "INSECURE: whoever is on the network can read this page; have it on 127.0.0.1, and remove `insecure = true`";

/// Where a page is served in clear and to everybody: on this machine, unless `insecure` says that the network may read it. `section`
/// holds `listen` and `insecure`.
pub fn open_page(
    file: &Path,
    section: &str,
    listen: SocketAddr,
    insecure: bool,
) -> Result<SocketAddr, SettingsError> {
    if insecure || is_loopback(listen.ip()) {
        return Ok(listen);
    }
    let problem = format!("whoever reaches {listen} could read this page, which has neither TLS nor logins");
    let remedy = format!(
        "listen on 127.0.0.1, or add `insecure = true` to [{section}] if nobody else can be on that network"
    );
    Err(SettingsError::invalid(file, &format!("{section}.listen"), problem, &remedy))
}

/// How a program reaches the broker at `host`: with TLS, or in clear where nobody else can listen. `section` holds the address,
/// `tls` and `insecure`.
pub fn transport(
    file: &Path,
    section: &str,
    host: &str,
    tls: Option<ClientTlsSettings>,
    insecure: bool,
) -> Result<Option<ClientFiles>, SettingsError> {
    let refused = |problem: String, remedy: String| {
        Err(SettingsError::invalid(file, &format!("{section}.address"), problem, remedy))
    };
    match tls {
        Some(_) if ServerName::try_from(host).is_err() => {
            let problem = format!("a certificate cannot be for \"{host}\"");
            refused(problem, "give the broker's name, or its address in IPv4".to_owned())
        }
        Some(tls) => tls.validate(file, &format!("{section}.tls")).map(Some),
        None if insecure || is_this_machine(host) => Ok(None),
        None => {
            let problem = format!("readings and passwords would go to {host} in clear");
            let remedy = format!(
                "add [{section}.tls] with `ca`, `certificate` and `key`, or `insecure = true` to [{section}] if nobody else can be on that network"
            );
            refused(problem, remedy)
        }
    }
}

/// What a program says at its start that may talk in clear to another machine.
pub const INSECURE: &str = "INSECURE: whoever is on the network can read passwords and readings, and take the broker's place; \
     set up [broker.tls] and remove `insecure = true`";

/// Whether `transport` let it talk in clear for no other reason than `insecure`.
pub fn is_leaking(host: &str, tls: Option<&ClientFiles>) -> bool {
    tls.is_none() && !is_this_machine(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_this_machine() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.8.0.1", "::1", "[::1]", "::ffff:127.0.0.1"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "0.0.0.0",
            "::",
            "[::]",
            "10.0.0.1",
            "localhost.example",
            "127.0.0.1.example",
            "broker",
            "",
            "[::1",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
