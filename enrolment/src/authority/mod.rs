//! The authority: one folder, whoever may read it may make anybody anyone.
//!
//! ```text
//! authority.toml          what it was set up with
//! ca.key                  its private key; for the owner alone
//! ca.pem                  its certificate, for everyone
//! service.pem             key and certificate of its own service
//! revoked.pem             the revocation list, for the broker
//! issued/SERIAL.json      one for each certificate
//! invited/HASH.json       one for each invitation: not the secret, its hash
//! ```
//!
//! Every change is made under a lock on the folder, by whatever process, and each file is replaced whole. A certificate is
//! recorded before it is given away, so none is unknown that could be in use.

mod records;
pub mod service;
mod signing;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tidegate_protocol::{GatewayId, SiteId};
use tidegate_service::durable;
use tidegate_trust::{
    Identity,
    rustls::pki_types::{CertificateDer, pem::PemObject},
};

pub use records::{InvitationRecord, IssuedRecord, Revoked};
use signing::{Signer, Subject};

use crate::{
    identity::{IdentityFile, Key, KeyError},
    message::Granted,
    token::{Fingerprint, Secret, Token},
};

const DAY: u64 = 86_400;
/// Its own certificate; it is renewed by hand, with all that it signed.
const AUTHORITY_DAYS: u64 = 3_650;
/// A certificate is renewed only after this part of its time, so one chain of them has no more than a hundred that are good.
const SOONEST_RENEWAL: u64 = 100;
/// How long a revocation list claims to be the newest.
pub(crate) const LIST_SECONDS: u64 = 7 * DAY;
const OWN_ONLY: u32 = 0o600;
const FOR_EVERYONE: u32 = 0o644;

/// What an authority is set up with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Shown in its certificate.
    pub name: String,
    /// `host:port` where gateways reach its service; invitations name it.
    pub service: String,
    /// `host:port` of the broker, told to whoever enrols.
    pub broker: String,
    /// How long certificates last, of gateways and of others.
    pub gateway_seconds: u64,
    pub server_seconds: u64,
}

impl Setup {
    pub fn new(name: &str, service: &str, broker: &str) -> Self {
        Self {
            name: name.to_owned(),
            service: service.to_owned(),
            broker: broker.to_owned(),
            gateway_seconds: 90 * DAY,
            server_seconds: 365 * DAY,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{}: {problem}", path.display())]
    Content { path: PathBuf, problem: String },
    #[error("{} has an authority already; a second one would make all that the first signed worthless", .0.display())]
    Exists(PathBuf),
    #[error("there is no authority in {}; `tidegate ca init` makes one", .0.display())]
    None(PathBuf),
    #[error("{0}")]
    Signing(#[from] rcgen::Error),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("a task ended unexpectedly: {0}")]
    Task(String),
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    #[error("\"{0}\" can be in no certificate; give a name like broker.example, or an address")]
    ServerName(String),
    #[error(
        "no certificate was issued to {0} that is still good; `tidegate gateway list` shows those that are"
    )]
    NobodyTo(String),
}

/// Why someone who asked is given none.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    #[error(
        "this invitation is not known, has expired or was withdrawn; have a new one made with `tidegate gateway invite`"
    )]
    Invitation,
    #[error(
        "this invitation was used already, with another key; if that was not this gateway, revoke it: `tidegate gateway revoke`"
    )]
    Used,
    #[error(
        "this certificate was renewed already, with another key; if that was not this gateway, revoke it: `tidegate gateway revoke`, then `tidegate gateway invite`"
    )]
    RenewedByAnother,
    #[error("this certificate is too new to be renewed; it can be in {seconds} s")]
    TooSoon { seconds: u64 },
    #[error("this certificate is revoked; have a new invitation made with `tidegate gateway invite`")]
    Revoked,
    #[error("renewing wants the certificate that is to be renewed")]
    NoCertificate,
    #[error("that is no certificate signing request (PKCS#10, PEM) with a good signature")]
    Request,
    #[error(transparent)]
    Failed(#[from] AuthorityError),
}

pub struct Authority {
    folder: PathBuf,
    setup: Setup,
    signer: Signer,
}

impl Authority {
    /// Makes one where there is none.
    pub fn init(folder: &Path, setup: Setup) -> Result<Self, AuthorityError> {
        if folder.join("ca.key").exists() {
            return Err(AuthorityError::Exists(folder.to_owned()));
        }
        for part in [folder.to_owned(), folder.join("issued"), folder.join("invited")] {
            fs::create_dir_all(&part).map_err(at(&part))?;
        }
        let signer = Signer::make(&setup.name, unix_now(), AUTHORITY_DAYS * DAY)?;
        let authority = Self { folder: folder.to_owned(), setup, signer };
        let text =
            toml::to_string(&authority.setup).map_err(|error| authority.wrong("authority.toml", &error))?;
        authority.write("authority.toml", &text, FOR_EVERYONE)?;
        authority.write("ca.pem", authority.signer.certificate(), FOR_EVERYONE)?;
        // Last: with the key the authority is there.
        authority.write("ca.key", &authority.signer.key_pem(), OWN_ONLY)?;
        let _lock = authority.lock()?;
        authority.list_revoked()?;
        Ok(authority)
    }

    pub fn open(folder: &Path) -> Result<Self, AuthorityError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(at(&path))
        };
        if !folder.join("ca.key").exists() {
            return Err(AuthorityError::None(folder.to_owned()));
        }
        let wrong =
            |name: &str, problem: String| AuthorityError::Content { path: folder.join(name), problem };
        let setup = toml::from_str(&read("authority.toml")?)
            .map_err(|error| wrong("authority.toml", error.message().to_owned()))?;
        let key = zeroize::Zeroizing::new(read("ca.key")?);
        let signer = Signer::read(&read("ca.pem")?, &key).map_err(|_| {
            wrong("ca.key", "it is no private key in PEM, or ca.pem is not its certificate".to_owned())
        })?;
        Ok(Self { folder: folder.to_owned(), setup, signer })
    }

    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// In PEM.
    pub fn certificate(&self) -> &str {
        self.signer.certificate()
    }

    pub fn fingerprint(&self) -> Fingerprint {
        let der = CertificateDer::from_pem_slice(self.certificate().as_bytes());
        der.map_or(Fingerprint([0; 32]), |der| Fingerprint::of(&der))
    }

    /// Makes an invitation; only what this returns holds its secret.
    pub fn invite(&self, site: SiteId, gateway: GatewayId, seconds: u64) -> Result<Token, AuthorityError> {
        let made = unix_now();
        let token = Token {
            service: self.setup.service.clone(),
            authority: self.fingerprint(),
            site,
            gateway,
            made,
            expires: made.saturating_add(seconds),
            secret: Secret::random().map_err(AuthorityError::Random)?,
        };
        let record = InvitationRecord {
            identity: Identity::Gateway { site, gateway }.to_string(),
            made,
            expires: token.expires,
            used: None,
        };
        let _lock = self.lock()?;
        self.put_record(&record, &self.invitation(&token.secret))?;
        Ok(token)
    }

    /// The first certificate, for whoever brings an invitation's secret. Asked again with the same key it is the same one, so a
    /// gateway that missed the answer can ask again; with another key there is none.
    pub fn enrol(&self, secret: &str, request: &str) -> Result<Granted, Denied> {
        let secret = Secret::read(secret).ok_or(Denied::Invitation)?;
        let key = signing::requested_key(request).map_err(|_| Denied::Request)?;
        let path = self.invitation(&secret);
        let _lock = self.lock()?;
        let invitation: InvitationRecord = self.get_record(&path)?.ok_or(Denied::Invitation)?;
        if invitation.expires <= unix_now() {
            return Err(Denied::Invitation);
        }
        if let Some(serial) = &invitation.used {
            let issued: IssuedRecord =
                self.get_record(&self.issued_path(serial))?.ok_or(Denied::Invitation)?;
            return match () {
                () if issued.revoked.is_some() => Err(Denied::Revoked),
                () if issued.key != key.fingerprint() => Err(Denied::Used),
                () => Ok(self.granted(issued.certificate)),
            };
        }
        let subject = Subject::Identity(invitation.identity.parse().map_err(|_| Denied::Invitation)?);
        let issued = self.sign(&subject, &key, self.setup.gateway_seconds)?;
        self.put_record(&InvitationRecord { used: Some(issued.serial), ..invitation }, &path)?;
        Ok(self.granted(issued.certificate))
    }

    /// The next certificate, for whoever the handshake found to have the one before. Asked again with the same key it is the same one.
    ///
    /// A certificate has one successor, and no sooner than it has served a while: whoever has copied a gateway's files can neither
    /// gather certificates nor renew beside the gateway without either of them noticing.
    pub fn renew(&self, der: &[u8], request: &str) -> Result<Granted, Denied> {
        let key = signing::requested_key(request).map_err(|_| Denied::Request)?;
        let serial = signing::serial(der).ok_or(Denied::NoCertificate)?;
        let _lock = self.lock()?;
        let path = self.issued_path(&serial);
        let present: IssuedRecord = self.get_record(&path)?.ok_or(Denied::NoCertificate)?;
        let identity = present.identity.parse().map_err(|_| Denied::NoCertificate)?;
        if present.revoked.is_some() {
            return Err(Denied::Revoked);
        }
        if let Some(serial) = &present.next {
            let next: IssuedRecord =
                self.get_record(&self.issued_path(serial))?.ok_or(Denied::NoCertificate)?;
            return match () {
                () if next.revoked.is_some() => Err(Denied::Revoked),
                () if next.key != key.fingerprint() => Err(Denied::RenewedByAnother),
                () => Ok(self.granted(next.certificate)),
            };
        }
        let life = present.not_after.saturating_sub(present.not_before);
        let soonest = present.not_before.saturating_add(life / SOONEST_RENEWAL);
        if let seconds @ 1.. = soonest.saturating_sub(unix_now()) {
            return Err(Denied::TooSoon { seconds });
        }
        let issued = self.sign(&Subject::Identity(identity), &key, self.setup.gateway_seconds)?;
        self.put_record(&IssuedRecord { next: Some(issued.serial), ..present }, &path)?;
        Ok(self.granted(issued.certificate))
    }

    /// For the broker, the ingest, people: a key and a certificate in one file, made here.
    pub fn issue_identity(&self, identity: &Identity, file: &IdentityFile) -> Result<(), AuthorityError> {
        self.issue(&Subject::Identity(identity.clone()), file)
    }

    /// For a server at these names and addresses.
    pub fn issue_server(&self, names: &[String], file: &IdentityFile) -> Result<(), AuthorityError> {
        self.issue(&Subject::Server(names.to_vec()), file)
    }

    fn issue(&self, subject: &Subject, file: &IdentityFile) -> Result<(), AuthorityError> {
        let key = Key::make()?;
        let request = key.request()?;
        let public = signing::requested_key(&request)?;
        let _lock = self.lock()?;
        let issued = self.sign(subject, &public, self.setup.server_seconds)?;
        file.put(&key, &issued.certificate, |_| Ok(()))
    }

    /// Every certificate of an identity that is still good, and its invitations. Returns how many certificates.
    pub fn revoke(&self, identity: &Identity, reason: &str) -> Result<usize, AuthorityError> {
        let (name, now) = (identity.to_string(), unix_now());
        let _lock = self.lock()?;
        let mut found = 0;
        for record in self.issued()? {
            if record.identity == name && record.revoked.is_none() && record.not_after > now {
                let revoked = Some(Revoked { at: now, reason: reason.to_owned() });
                self.put_record(
                    &IssuedRecord { revoked, ..record.clone() },
                    &self.issued_path(&record.serial),
                )?;
                found += 1;
            }
        }
        let mut withdrawn = 0;
        for (path, record) in self.records::<InvitationRecord>("invited")? {
            if record.identity == name && record.used.is_none() {
                fs::remove_file(&path).map_err(at(&path))?;
                withdrawn += 1;
            }
        }
        // Also when there was nothing left to revoke: a revocation that was cut off before it got here is finished by another.
        self.list_revoked()?;
        if found + withdrawn == 0 {
            return Err(AuthorityError::NobodyTo(name));
        }
        Ok(found)
    }

    /// All that were ever issued, the oldest first.
    pub fn issued(&self) -> Result<Vec<IssuedRecord>, AuthorityError> {
        let mut all: Vec<IssuedRecord> =
            self.records("issued")?.into_iter().map(|(_, record)| record).collect();
        all.sort_by(|a, b| (a.not_before, &a.serial).cmp(&(b.not_before, &b.serial)));
        Ok(all)
    }

    pub fn invitations(&self) -> Result<Vec<InvitationRecord>, AuthorityError> {
        let mut all: Vec<InvitationRecord> =
            self.records("invited")?.into_iter().map(|(_, record)| record).collect();
        all.sort_by(|a, b| (a.made, &a.identity).cmp(&(b.made, &b.identity)));
        Ok(all)
    }

    /// Signs the revocation list anew, as it must be from time to time though nothing changed.
    pub fn refresh_list(&self) -> Result<(), AuthorityError> {
        let _lock = self.lock()?;
        self.list_revoked()
    }

    /// Records what it signs.
    fn sign(
        &self,
        subject: &Subject,
        key: &signing::RequestedKey,
        seconds: u64,
    ) -> Result<IssuedRecord, AuthorityError> {
        let (serial, now) = (signing::random_serial().map_err(AuthorityError::Random)?, unix_now());
        let certificate = self.signer.sign(subject, key, &serial, now, now.saturating_add(seconds))?;
        let record = IssuedRecord {
            serial: signing::shown(&serial),
            identity: subject.to_string(),
            not_before: now,
            not_after: now.saturating_add(seconds),
            key: key.fingerprint(),
            certificate: format!("{}{}", certificate, self.certificate()),
            next: None,
            revoked: None,
        };
        self.put_record(&record, &self.issued_path(&record.serial))?;
        Ok(record)
    }

    fn list_revoked(&self) -> Result<(), AuthorityError> {
        let now = unix_now();
        let revoked = self.issued()?.into_iter().filter(|record| record.not_after > now);
        let revoked = revoked.filter_map(|record| Some((record.serial.clone(), record.revoked?.at)));
        let list = self.signer.list(revoked, now, now + LIST_SECONDS)?;
        self.write("revoked.pem", &list, FOR_EVERYONE)
    }

    fn granted(&self, certificate: String) -> Granted {
        let broker = Some(self.setup.broker.clone()).filter(|broker| !broker.is_empty());
        Granted { certificate, authority: self.certificate().to_owned(), broker }
    }

    /// Held until it is dropped, against other processes too.
    fn lock(&self) -> Result<File, AuthorityError> {
        let folder = File::open(&self.folder).map_err(at(&self.folder))?;
        folder.lock().map_err(at(&self.folder))?;
        Ok(folder)
    }

    fn invitation(&self, secret: &Secret) -> PathBuf {
        self.folder.join("invited").join(secret.hash()).with_extension("json")
    }

    fn issued_path(&self, serial: &str) -> PathBuf {
        self.folder.join("issued").join(serial).with_extension("json")
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> Result<(), AuthorityError> {
        let path = self.path(name);
        durable::replace(&path, text.as_bytes(), mode).map_err(at(&path))
    }

    fn wrong(&self, name: &str, problem: &dyn std::fmt::Display) -> AuthorityError {
        AuthorityError::Content { path: self.path(name), problem: problem.to_string() }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> AuthorityError {
    let path = path.to_owned();
    move |error| AuthorityError::File { path, error }
}

/// The clock of the authority's machine must be right: all that it signs is dated by it.
fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}
