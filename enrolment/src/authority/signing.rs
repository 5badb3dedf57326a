//! What is in a certificate that we sign.

use std::{fmt, net::IpAddr, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKey, PublicKeyData, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use sha2::{Digest, Sha256};
use tidegate_trust::Identity;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::AuthorityError;

/// The clocks of those who are given a certificate may be behind by so much; more than this and theirs is taken to be wrong.
const SLACK_SECONDS: u64 = 300;
/// RFC 5280 allows 20 bytes.
const SERIAL_BYTES: usize = 16;
/// The longest common name that X.520 allows.
const MAX_COMMON_NAME: usize = 64;

pub(super) type Serial = [u8; SERIAL_BYTES];

/// Whom a certificate is for.
pub(super) enum Subject {
    Identity(Identity),
    Server(Vec<String>),
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(identity) => fmt::Display::fmt(identity, out),
            Self::Server(names) => write!(out, "server {}", names.join(" ")),
        }
    }
}

pub(super) struct Signer {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// The public key of whoever asks, who has shown to have the private one.
pub(super) struct RequestedKey(PublicKey);

impl RequestedKey {
    pub fn fingerprint(&self) -> String {
        shown(&Sha256::digest(self.0.der_bytes()))
    }
}

pub(super) fn requested_key(request: &str) -> Result<RequestedKey, rcgen::Error> {
    CertificateSigningRequestParams::from_pem(request).map(|request| RequestedKey(request.public_key))
}

pub(super) fn random_serial() -> Result<Serial, getrandom::Error> {
    let mut serial = [0; SERIAL_BYTES];
    getrandom::fill(&mut serial)?;
    // It is a positive number, of full length.
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

/// As records name it.
pub(super) fn serial(der: &[u8]) -> Option<String> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| shown(certificate.raw_serial()))
}

pub(super) fn shown(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unshown(serial: &str) -> Vec<u8> {
    let pairs = serial.as_bytes().chunks(2);
    pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

impl Signer {
    pub fn make(name: &str, now: u64, seconds: u64) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = dates(now, now.saturating_add(seconds));
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    pub fn read(certificate: &str, key: &str) -> Result<Self, rcgen::Error> {
        let issuer = Issuer::from_ca_cert_pem(certificate, KeyPair::from_pem(key)?)?;
        Ok(Self { issuer, certificate: certificate.to_owned() })
    }

    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    pub fn sign(
        &self,
        subject: &Subject,
        key: &RequestedKey,
        serial: &Serial,
        not_before: u64,
        not_after: u64,
    ) -> Result<String, AuthorityError> {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from_slice(serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        (params.not_before, params.not_after) = dates(not_before, not_after);
        match subject {
            Subject::Identity(identity) => {
                params.distinguished_name = named(&identity.common_name());
                params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into()?)];
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }
            Subject::Server(names) => {
                params.distinguished_name = named(names.first().map_or("server", String::as_str));
                let names = names.iter().map(|name| match name.parse::<IpAddr>() {
                    Ok(address) => Ok(SanType::IpAddress(address)),
                    Err(_) if is_host(name) => Ok(SanType::DnsName(name.as_str().try_into()?)),
                    Err(_) => Err(AuthorityError::ServerName(name.clone())),
                });
                params.subject_alt_names = names.collect::<Result<_, _>>()?;
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }
        }
        Ok(params.signed_by(&key.0, &self.issuer)?.pem())
    }

    /// A revocation list of these serials, in PEM.
    pub fn list(
        &self,
        revoked: impl Iterator<Item = (String, u64)>,
        now: u64,
        next: u64,
    ) -> Result<String, AuthorityError> {
        let revoked = revoked.map(|(serial, at)| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&unshown(&serial)),
            revocation_time: date(at),
            reason_code: None,
            invalidity_date: None,
        });
        let (this_update, next_update) = dates(now, next);
        let list = CertificateRevocationListParams {
            this_update,
            next_update,
            // It only has to grow.
            crl_number: SerialNumber::from(now),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }
}

fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let name = name.strip_prefix("*.").unwrap_or(name);
    name.len() <= 253 && name.split('.').all(is_label)
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    if name.len() <= MAX_COMMON_NAME {
        named.push(DnType::CommonName, name);
    }
    named
}

fn dates(not_before: u64, not_after: u64) -> (OffsetDateTime, OffsetDateTime) {
    (date(not_before.saturating_sub(SLACK_SECONDS)), date(not_after))
}

/// Certificates know no later time than the end of the year 9999, which says "never" (RFC 5280 §4.1.2.5).
fn date(unix_seconds: u64) -> OffsetDateTime {
    const NEVER: u64 = 253_402_300_799;
    date_time_ymd(1970, 1, 1) + Duration::from_secs(unix_seconds.min(NEVER))
}
