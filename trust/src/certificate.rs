//! What one certificate says. It comes from outside: whoever asks here has either had it verified, or trusts its file.

use std::{net::IpAddr, time::Duration};

use tokio_rustls::rustls::pki_types::UnixTime;
use x509_parser::{extensions::GeneralName, prelude::FromDer, prelude::X509Certificate};

/// What is much longer is no certificate that was made for a gateway.
pub const MAX_CERTIFICATE_BYTES: usize = 64 << 10;

/// What is read of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// In Unix seconds, the last one included.
    pub not_before: i64,
    pub not_after: i64,
    /// The URIs among the subject's alternative names.
    pub uris: Vec<String>,
    /// The host names and addresses among them.
    pub hosts: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no X.509 certificate that can be read")]
pub struct Unreadable;

impl Certificate {
    pub fn read(der: &[u8]) -> Result<Self, Unreadable> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(Unreadable);
        }
        let (rest, read) = X509Certificate::from_der(der).map_err(|_| Unreadable)?;
        if !rest.is_empty() {
            return Err(Unreadable);
        }
        let names = read.subject_alternative_name().map_err(|_| Unreadable)?;
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        let uris = names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        });
        let hosts = names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
            _ => None,
        });
        let validity = read.validity();
        Ok(Self {
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            uris: uris.collect(),
            hosts: hosts.collect(),
        })
    }

    /// The time as of which the other end's certificate is judged where our clock cannot be right, and it is at least `since`: then, or
    /// the start of that certificate, if that is later. Whoever signed it vouches for that start too.
    pub fn judged_as_of(since: UnixTime, other: &[u8]) -> UnixTime {
        let start = Self::read(other).ok().and_then(|other| u64::try_from(other.not_before).ok());
        since.max(UnixTime::since_unix_epoch(Duration::from_secs(start.unwrap_or(0))))
    }

    /// Whether it names all of these hosts, and no others.
    pub fn is_for(&self, hosts: &[String]) -> bool {
        let named =
            |list: &[String], host: &String| list.iter().any(|other| other.eq_ignore_ascii_case(host));
        hosts.iter().all(|host| named(&self.hosts, host)) && self.hosts.iter().all(|host| named(hosts, host))
    }

    /// From now on; negative when it has expired.
    pub fn seconds_left(&self) -> i64 {
        self.not_after.saturating_sub(unix_seconds(UnixTime::now()))
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from).ok();
    four.or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())
}

pub(crate) fn unix_seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// As people read it.
pub fn date(unix_seconds: i64) -> String {
    match jiff::Timestamp::from_second(unix_seconds) {
        Ok(time) => time.to_string(),
        Err(_) => "no time that a calendar has".to_owned(),
    }
}
