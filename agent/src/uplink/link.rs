//! What a connection is made of, and what is said when it breaks.

use rumqttc::{ConnectReturnCode, ConnectionError, NetworkOptions, TlsConfiguration, Transport};
use tidegate_trust::{ClientFiles, ClientTls, Failure, Side};

/// For TCP, TLS and the answer to CONNECT together.
const CONNECT_TIMEOUT_S: u64 = 10;

pub const SUBSCRIPTION_REFUSED: &str =
    "the broker refuses this gateway's subscription; check the rights of its user or certificate";

/// Reads the files as they are now. An error is in words.
pub async fn transport(files: Option<&ClientFiles>) -> Result<Transport, String> {
    match files {
        None => Ok(Transport::Tcp),
        Some(files) => Ok(over_tls(&load(files).await?)),
    }
}

pub async fn load(files: &ClientFiles) -> Result<ClientTls, String> {
    let files = files.clone();
    let loaded = tokio::task::spawn_blocking(move || files.load()).await;
    loaded.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

pub fn over_tls(loaded: &ClientTls) -> Transport {
    Transport::Tls(TlsConfiguration::Rustls(loaded.config.clone()))
}

pub fn network() -> NetworkOptions {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_TIMEOUT_S);
    network
}

/// Why a connection could not be made, or ended.
pub fn in_words(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => refused(*code).to_owned(),
        ConnectionError::NetworkTimeout => format!("no answer from the broker within {CONNECT_TIMEOUT_S} s"),
        other => Failure::in_words(Side::Client, other),
    }
}

fn refused(code: ConnectReturnCode) -> &'static str {
    match code {
        ConnectReturnCode::NotAuthorized => {
            "the broker does not authorise this gateway: its certificate, or its user, must be for this site and gateway"
        }
        ConnectReturnCode::BadUserNamePassword => {
            "the broker does not know this user, or the password is wrong"
        }
        ConnectReturnCode::BadClientId => {
            "the broker does not accept the client id SITE.GATEWAY from this user, or another user is connected with it"
        }
        ConnectReturnCode::ServiceUnavailable => "the broker cannot take the connection now",
        ConnectReturnCode::RefusedProtocolVersion => "the broker does not speak MQTT 3.1.1",
        ConnectReturnCode::Success => "the broker answered twice",
    }
}
