//! Why a handshake failed, in words that say what to do. With TLS 1.3 a client learns only after its own end of the handshake
//! that it was refused, by an alert in place of the first answer: so any error of a connection may be asked about here.

use std::{error::Error, fmt, io};

use tokio_rustls::rustls::{self, AlertDescription, CertificateError, pki_types::UnixTime};

use crate::certificate::{date, unix_seconds};

/// A clock that shows less was never set: 2020-01-01.
const NEVER_SET_BEFORE: i64 = 1_577_836_800;

/// Which end we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Of the broker.
    Client,
    /// Of the service that signs certificates.
    Enrolment,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Signed by nobody who counts.
    Authority,
    Expired,
    NotYetValid,
    /// Our clock was never set.
    Clock,
    Name,
    Revoked,
    /// Nothing says whether it is revoked.
    NoRevocationList,
    NoCertificate,
    /// Any other fault of a certificate.
    Certificate,
    /// The other end does not speak TLS.
    Plaintext,
    /// No version or cipher in common.
    Version,
    Closed,
    Timeout,
    Other,
}

impl Reason {
    /// As a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Clock => "clock",
            Self::Name => "name",
            Self::Revoked => "revoked",
            Self::NoRevocationList => "no-revocation-list",
            Self::NoCertificate => "no-certificate",
            Self::Certificate => "certificate",
            Self::Plaintext => "plaintext",
            Self::Version => "version",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Other => "other",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: Reason,
    /// The other end refused, and said so.
    pub by_peer: bool,
    said: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.said)
    }
}

impl Failure {
    /// None where the error has nothing to do with TLS.
    pub fn of(side: Side, error: &(dyn Error + 'static)) -> Option<Self> {
        match find(error)? {
            Found::Tls(error) => Some(Words::of(side).tls(error)),
            Found::Ended => Some(Words::of(side).ended()),
        }
    }

    /// The error in words, whether it has to do with TLS or not.
    pub fn in_words(side: Side, error: &(dyn Error + 'static)) -> String {
        Self::of(side, error).map_or_else(|| error.to_string(), |failure| failure.to_string())
    }

    pub fn new(reason: Reason, said: String) -> Self {
        Self { reason, by_peer: false, said }
    }
}

enum Found<'e> {
    Tls(&'e rustls::Error),
    Ended,
}

/// An `io::Error` hides what it wraps from `source`.
fn find<'e>(error: &'e (dyn Error + 'static)) -> Option<Found<'e>> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(Found::Tls(tls));
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let wrapped = io.get_ref().map(|wrapped| wrapped as &(dyn Error + 'static));
            if let Some(found) = wrapped.and_then(find) {
                return Some(found);
            }
            // So the handshake says it; a connection that ends later ends otherwise.
            if io.kind() == io::ErrorKind::UnexpectedEof && io.to_string().contains("handshake") {
                return Some(Found::Ended);
            }
        }
        at = error.source();
    }
    None
}

/// How one end speaks of the other, and of its own settings.
struct Words {
    /// "the broker" to a client.
    peer: &'static str,
    /// The setting that names the authorities.
    ca: &'static str,
    purpose: &'static str,
}

impl Words {
    fn of(side: Side) -> Self {
        match side {
            Side::Client => Self { peer: "the broker", ca: "`ca`", purpose: "server" },
            Side::Enrolment => {
                Self { peer: "the authority's service", ca: "the invitation or `ca`", purpose: "server" }
            }
            Side::Server => Self { peer: "the client", ca: "`client_ca`", purpose: "client" },
        }
    }

    fn tls(&self, error: &rustls::Error) -> Failure {
        let Self { peer, .. } = self;
        match error {
            rustls::Error::InvalidCertificate(error) => self.certificate(error),
            rustls::Error::NoCertificatesPresented => {
                Failure::new(Reason::NoCertificate, format!("{peer} gave no certificate"))
            }
            rustls::Error::InvalidMessage(_) => {
                Failure::new(Reason::Plaintext, format!("{peer} does not speak TLS on this connection"))
            }
            rustls::Error::PeerIncompatible(what) => Failure::new(
                Reason::Version,
                format!(
                    "{peer} speaks no version of TLS, or no cipher, that is allowed here ({what:?}); see `versions`"
                ),
            ),
            rustls::Error::AlertReceived(alert) => Failure { by_peer: true, ..self.alert(*alert) },
            other => Failure::new(Reason::Other, format!("the handshake with {peer} failed: {other}")),
        }
    }

    fn ended(&self) -> Failure {
        let said = format!(
            "{} ended the connection in the middle of the handshake; does it speak TLS on this port?",
            self.peer
        );
        Failure::new(Reason::Closed, said)
    }

    fn certificate(&self, error: &CertificateError) -> Failure {
        let Self { peer, ca, purpose } = self;
        let (reason, said) = match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => (
                Reason::Authority,
                format!(
                    "{peer}'s certificate is signed by no authority in {ca}; is that the right file, and does {peer} send all that lies between?"
                ),
            ),
            CertificateError::ExpiredContext { time, not_after } => (
                Reason::Expired,
                format!(
                    "{peer}'s certificate expired at {}, and the clock here says {}; renew it",
                    at(*not_after),
                    at(*time)
                ),
            ),
            CertificateError::Expired => {
                (Reason::Expired, format!("{peer}'s certificate has expired; renew it"))
            }
            CertificateError::NotValidYetContext { time, .. } if unix_seconds(*time) < NEVER_SET_BEFORE => (
                Reason::Clock,
                format!(
                    "the clock of this machine says {}, so no certificate is valid yet; have it set (NTP, or a clock with a battery)",
                    at(*time)
                ),
            ),
            CertificateError::NotValidYetContext { time, not_before } => (
                Reason::NotYetValid,
                format!(
                    "{peer}'s certificate is valid from {} on, and the clock here says {}; set the clock that is wrong",
                    at(*not_before),
                    at(*time)
                ),
            ),
            CertificateError::NotValidYet => {
                (Reason::NotYetValid, format!("{peer}'s certificate is not valid yet; set the clocks"))
            }
            CertificateError::Revoked => (Reason::Revoked, format!("{peer}'s certificate is revoked")),
            CertificateError::UnknownRevocationStatus => (
                Reason::NoRevocationList,
                format!(
                    "no list in `crl` is by whoever signed {peer}'s certificate, so nobody knows whether it is revoked; add that list"
                ),
            ),
            CertificateError::NotValidForNameContext { expected, presented } => (
                Reason::Name,
                format!(
                    "{peer}'s certificate is not for {}; it is for {}. Correct the address, or set `server_name`",
                    expected.to_str(),
                    listed(presented)
                ),
            ),
            CertificateError::NotValidForName => {
                (Reason::Name, format!("{peer}'s certificate is for another name"))
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
                Reason::Certificate,
                format!("{peer}'s certificate may not be used as a {purpose}'s (extended key usage)"),
            ),
            other => (Reason::Certificate, format!("{peer}'s certificate is refused: {other}")),
        };
        Failure::new(reason, said)
    }

    /// What the other end found wrong with us.
    fn alert(&self, alert: AlertDescription) -> Failure {
        let peer = self.peer;
        let (reason, said) = match alert {
            AlertDescription::CertificateRequired => (
                Reason::NoCertificate,
                format!("{peer} wants a certificate and was given none; set `certificate` and `key`"),
            ),
            AlertDescription::UnknownCA => (
                Reason::Authority,
                format!(
                    "{peer} does not accept who signed our certificate, or has no revocation list by them; is it the right certificate, with all that lies between in its file?"
                ),
            ),
            AlertDescription::CertificateExpired => (
                Reason::Expired,
                format!(
                    "by {peer}'s clock our certificate has expired or is not valid yet; renew it, or set the clock that is wrong"
                ),
            ),
            AlertDescription::CertificateRevoked => {
                (Reason::Revoked, format!("{peer} says that our certificate is revoked; have a new one made"))
            }
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError => (
                Reason::Certificate,
                format!(
                    "{peer} does not accept our certificate ({alert:?}); its name, its use or its signature is not what {peer} wants"
                ),
            ),
            AlertDescription::ProtocolVersion => (
                Reason::Version,
                format!("{peer} speaks no version of TLS that is allowed here; see `versions`"),
            ),
            AlertDescription::HandshakeFailure => (
                Reason::Version,
                format!(
                    "{peer} found no version or cipher in common, or wants a certificate that it was not given"
                ),
            ),
            other => (Reason::Other, format!("{peer} ended the handshake ({other:?})")),
        };
        Failure::new(reason, said)
    }
}

fn at(time: UnixTime) -> String {
    date(unix_seconds(time))
}

/// They come from the other end: bounded, and on one line.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> =
        names.iter().take(SHOWN).map(|name| name.escape_debug().take(128).collect()).collect();
    match (shown.is_empty(), names.len() > SHOWN) {
        (true, _) => "no name".to_owned(),
        (false, false) => shown.join(", "),
        (false, true) => format!("{} and more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn not_yet(seconds: u64) -> io::Error {
        let unix = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let error =
            CertificateError::NotValidYetContext { time: unix(seconds), not_before: unix(1_700_000_000) };
        io::Error::new(io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(error))
    }

    #[test]
    fn a_clock_that_was_never_set_is_called_that() {
        let unset = Failure::of(Side::Client, &not_yet(12)).expect("it is explained");
        assert_eq!(unset.reason, Reason::Clock);
        assert!(unset.to_string().contains("1970-01-01T00:00:12Z"), "{unset}");
        let early = Failure::of(Side::Client, &not_yet(1_690_000_000)).expect("it is explained");
        assert_eq!(early.reason, Reason::NotYetValid);
        assert!(early.to_string().contains("from 2023-11-14"), "{early}");
    }

    #[test]
    fn what_has_nothing_to_do_with_tls_is_left_to_others() {
        for error in
            [io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof]
        {
            assert_eq!(Failure::of(Side::Client, &io::Error::from(error)), None, "{error}");
        }
    }

    #[test]
    fn names_of_a_stranger_take_one_line() {
        let presented = (0..1_000).map(|number| format!("x\n{number}{}", "y".repeat(1_000))).collect();
        let expected = "broker.example".try_into().expect("a name");
        let error = CertificateError::NotValidForNameContext { expected, presented };
        let said = Failure::of(Side::Client, &rustls::Error::InvalidCertificate(error))
            .expect("it is explained")
            .to_string();
        assert!(said.len() < 1_000 && !said.contains('\n') && said.contains("and more"), "{said}");
    }
}
