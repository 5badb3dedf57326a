//! A certificate authority for tests: keys are made where they are used, and nothing is kept safe.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};

/// It signs, and remembers what it signed by number.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    next: AtomicU64,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    pub serial: u64,
    pub certificate: String,
    pub key: String,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Now,
    /// Until 2021.
    Past,
    /// From 2120 on.
    Future,
    /// From 2121 on.
    LaterFuture,
    /// To the end of this Unix second.
    Until(u64),
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let (mut params, key) = (CertificateParams::default(), key());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).expect("it signs itself");
        Self { issuer: Issuer::new(params, key), certificate, next: AtomicU64::new(1) }
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// For a server at these names and addresses.
    pub fn server(&self, names: &[&str], when: When) -> Issued {
        let names = names.iter().map(|name| match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().expect("a name")),
        });
        self.issue(names.collect(), ExtendedKeyUsagePurpose::ServerAuth, when)
    }

    /// For a client with these URIs.
    pub fn client(&self, uris: &[&str], when: When) -> Issued {
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("ASCII")));
        self.issue(uris.collect(), ExtendedKeyUsagePurpose::ClientAuth, when)
    }

    fn issue(&self, names: Vec<SanType>, usage: ExtendedKeyUsagePurpose, when: When) -> Issued {
        let (mut params, key) = (CertificateParams::default(), key());
        let serial = self.next.fetch_add(1, Ordering::Relaxed);
        params.serial_number = Some(serial.into());
        params.subject_alt_names = names;
        params.extended_key_usages = vec![usage];
        (params.not_before, params.not_after) = match when {
            When::Now => (date_time_ymd(2022, 1, 1), date_time_ymd(2120, 1, 1)),
            When::Past => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
            When::Future => (date_time_ymd(2120, 1, 1), date_time_ymd(2130, 1, 1)),
            When::LaterFuture => (date_time_ymd(2121, 1, 1), date_time_ymd(2130, 1, 1)),
            When::Until(second) => {
                (date_time_ymd(2022, 1, 1), date_time_ymd(1970, 1, 1) + Duration::from_secs(second))
            }
        };
        let certificate = params.signed_by(&key, &self.issuer).expect("it signs").pem();
        Issued { serial, certificate, key: key.serialize_pem() }
    }

    /// A list that revokes these, in PEM.
    pub fn revoke(&self, serials: &[u64]) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: date_time_ymd(2023, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2023, 1, 1),
            next_update: date_time_ymd(2119, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).and_then(|list| list.pem()).expect("it signs")
    }
}

impl Issued {
    /// Puts both into a folder as `NAME.pem` and `NAME.key`, each complete at once, and gives their paths.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        replace(&certificate, &self.certificate, 0o644);
        replace(&key, &self.key, 0o600);
        (certificate, key)
    }
}

/// As a tool that renews files would do it.
pub fn replace(path: &Path, text: &str, mode: u32) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("the folder can be written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).expect("it is ours");
    }
    fs::rename(&new, path).expect("the folder can be written");
}

fn key() -> KeyPair {
    KeyPair::generate().expect("this machine has random numbers")
}
