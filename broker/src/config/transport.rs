//! How clients reach the broker: with TLS, or in clear where nobody else can listen.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tidegate_service::SettingsError;
use tidegate_trust::files::{OwnFiles, Which};
use tidegate_trust::server::ClientAuthorities;
use tidegate_trust::settings::is_loopback;
use tidegate_trust::{FileError, ServerFiles, Versions};

use crate::settings::TlsSettings;

#[derive(Debug, Clone)]
pub struct Tls {
    pub files: ServerFiles,
    pub reload_interval: Duration,
    /// How often the certificates of those who are connected are judged anew though no file changed: they may expire.
    pub judge_interval: Duration,
}

/// What `judge_interval` is where nobody sets it.
pub const JUDGE_INTERVAL: Duration = Duration::from_secs(3600);

impl Tls {
    /// Whether a client's certificate says who it is.
    pub fn tells_clients_apart(&self) -> bool {
        self.files.clients.is_some()
    }
}

/// The files are tried, so that `check` finds what is wrong with them.
pub(super) fn tls(file: &Path, settings: TlsSettings) -> Result<Tls, SettingsError> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let clients = match (settings.client_ca, settings.crl) {
        (Some(ca), crl) => Some(ClientAuthorities {
            ca: folder.join(ca),
            crl: crl.map(|crl| folder.join(crl)),
            required: settings.require_client_certificate,
        }),
        (None, None) => None,
        (None, Some(_)) => {
            let problem = "a revocation list is of no use where clients have no certificates";
            return Err(SettingsError::invalid(file, "tls.crl", problem, "add tls.client_ca, or remove it"));
        }
    };
    let files = ServerFiles {
        own: OwnFiles { certificate: folder.join(settings.certificate), key: folder.join(settings.key) },
        clients,
        versions: Versions::validate(file, "tls.versions", &settings.versions)?,
    };
    files.load().map_err(|error| {
        let remedy = "correct the path, or replace the file";
        SettingsError::invalid(file, &format!("tls.{}", key_of(&error)), error, remedy)
    })?;
    let reload_interval = super::positive_ms(file, "tls.reload_interval_ms", settings.reload_interval_ms)?;
    Ok(Tls { files, reload_interval, judge_interval: JUDGE_INTERVAL })
}

fn key_of(error: &FileError) -> &'static str {
    match error.which() {
        Which::Certificate => "certificate",
        Which::Key => "key",
        Which::Authorities => "client_ca",
        Which::Revocations => "crl",
    }
}

pub(super) fn check_plaintext(
    file: &Path,
    listen: SocketAddr,
    tls: Option<&Tls>,
    insecure: bool,
) -> Result<(), SettingsError> {
    if !would_leak(listen, tls, insecure) {
        return Ok(());
    }
    let problem = format!("readings and passwords would come to {listen} in clear");
    let remedy = "add [tls], or `insecure = true` if nobody else can be on that network";
    Err(SettingsError::invalid(file, "listen", problem, remedy))
}

pub(super) fn would_leak(listen: SocketAddr, tls: Option<&Tls>, insecure: bool) -> bool {
    tls.is_none() && !insecure && !is_loopback(listen.ip())
}
