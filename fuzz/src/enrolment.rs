//! Invitations, what is asked of an authority, and what an authority reads back of its own folder.

use std::{fs, path::Path, sync::LazyLock};

use tempfile::TempDir;
use tidegate_enrolment::{
    Token, TokenError,
    authority::{Authority, AuthorityError, Denied, InvitationRecord, IssuedRecord, Setup},
    identity::{IdentityFile, Key},
    message::{Ask, Granted, MAX_BODY_BYTES, Problem},
    token::Secret,
};
use tidegate_protocol::{GatewayId, SiteId, frame::crc::crc32c};
use tidegate_trust::{
    Identity, ServerFiles, Versions,
    certificate::Certificate,
    files::OwnFiles,
    rustls::pki_types::{CertificateDer, pem::PemObject},
    server::ClientAuthorities,
};

use super::{base64url, queue::in_memory};

/// The line as it is, and the bytes as what such a line packs, under a good checksum.
pub fn invitation(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
    let signed = [bytes, &crc32c(bytes).to_le_bytes()].concat();
    read(&format!("tgi1_{}", base64url(&signed)));
}

fn read(text: &str) {
    let token = match text.parse::<Token>() {
        Ok(token) => token,
        Err(error) => {
            let is_ours = text.trim().starts_with("tgi1_");
            assert_eq!(is_ours, error == TokenError::Damaged, "{text:?}");
            return;
        }
    };
    let line = token.reveal();
    assert!(line.len() <= text.trim().len() && text.len() < 2_048, "nothing is longer than it has to be");
    assert_eq!(line.parse::<Token>(), Ok(token.clone()));
    // A length may be written in more bytes than it needs; besides there is one form.
    assert!(line.len() < text.trim().len() || line == text.trim(), "{text:?} is taken for {line}");
    let secret = token.secret.reveal();
    assert!(!format!("{token:?}").contains(&secret), "the secret is shown");
    assert_eq!(Secret::read(&secret), Some(token.secret));
    let identity = Identity::Gateway { site: token.site, gateway: token.gateway }.to_string();
    assert!(identity.parse::<Identity>().is_ok());
}

/// An authority in a folder of its own, with one invitation that is open and one certificate that was issued.
struct Folder {
    folder: TempDir,
    authority: Authority,
    secret: String,
    invited: std::path::PathBuf,
    issued: std::path::PathBuf,
    /// Of the certificate that was issued, in DER.
    shown: Vec<u8>,
}

thread_local! {
    static FOLDER: Folder = Folder::make();
}

/// The first byte says to whom the others go.
pub fn authority(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    FOLDER.with(|folder| match which % 6 {
        0 => folder.asked(bytes),
        1 => folder.requested(bytes),
        2 => folder.with(&folder.issued, bytes, Folder::reads_issued),
        3 => folder.with(&folder.invited, bytes, Folder::reads_invited),
        4 => folder.with(&folder.authority.path("authority.toml"), bytes, Folder::is_set_up),
        _ => answered(bytes),
    });
}

impl Folder {
    fn make() -> Self {
        let folder = in_memory();
        // So short that a certificate may be renewed at once.
        let setup = Setup {
            gateway_seconds: 60,
            server_seconds: 60,
            ..Setup::new("plant", "ca.example:8884", "broker.example:8883")
        };
        let authority = Authority::init(&folder.path().join("ca"), setup).expect("an authority");
        let (site, name) = (SiteId::new("plant").expect("a slug"), GatewayId::new("gw-a").expect("a slug"));
        let identity = Identity::Gateway { site, gateway: name };
        let file = IdentityFile::new(folder.path().join("identity.pem"));
        authority.issue_identity(&identity, &file).expect("a certificate");
        let token = authority.invite(site, name, 1 << 32).expect("an invitation");
        let shown = CertificateDer::from_pem_file(file.path()).expect("a certificate").to_vec();
        let only = |kind: &str| {
            let mut files = fs::read_dir(authority.path(kind)).expect("a folder");
            files.next().expect("a record").expect("a record").path()
        };
        let (invited, issued) = (only("invited"), only("issued"));
        Self { folder, secret: token.secret.reveal(), invited, issued, shown, authority }
    }

    /// The body of a request to the service.
    fn asked(&self, bytes: &[u8]) {
        let Ok(ask) = serde_json::from_slice::<Ask>(bytes) else { return };
        assert!(bytes.len() <= MAX_BODY_BYTES);
        // A guess: nobody knows the secret.
        if let Some(secret) = &ask.secret {
            assert!(matches!(
                self.authority.enrol(secret, &ask.request),
                Err(Denied::Invitation | Denied::Request)
            ));
        }
        self.requested(ask.request.as_bytes());
    }

    /// A signing request, with the certificate before shown.
    fn requested(&self, bytes: &[u8]) {
        let Ok(request) = std::str::from_utf8(bytes) else { return };
        let before = fs::read(&self.issued).expect("it is there");
        match self.authority.renew(&self.shown, request) {
            Ok(granted) => {
                let der = CertificateDer::from_pem_slice(granted.certificate.as_bytes()).expect("it is PEM");
                let certified = Identity::of(&der).expect("it says for whom it is");
                assert_eq!(certified.to_string(), "tidegate://plant/gw-a", "whatever the request wishes for");
                assert!(Certificate::read(&der).is_ok_and(|certificate| certificate.seconds_left() > 0));
                self.forget_what_was_issued();
                fs::write(&self.issued, before).expect("it can be written");
            }
            Err(Denied::Request) => {}
            Err(other) => panic!("{other}"),
        }
        // What is no certificate of this authority renews nothing.
        assert!(matches!(self.authority.renew(bytes, request), Err(Denied::Request | Denied::NoCertificate)));
        assert!(Secret::read(request).is_none_or(|secret| secret.reveal() == request));
    }

    fn forget_what_was_issued(&self) {
        for entry in fs::read_dir(self.authority.path("issued")).expect("a folder") {
            let path = entry.expect("a file").path();
            if path != self.issued {
                fs::remove_file(path).expect("it was there");
            }
        }
    }

    /// With `bytes` in the place of a file; then all is as it was.
    fn with(&self, file: &Path, bytes: &[u8], work: impl FnOnce(&Self, &[u8])) {
        let setup = self.authority.path("authority.toml");
        let files = [&self.issued, &self.invited, &setup];
        let before = files.map(|file| fs::read(file).expect("it is there"));
        fs::write(file, bytes).expect("it can be written");
        work(self, bytes);
        for (file, bytes) in files.into_iter().zip(before) {
            fs::write(file, bytes).expect("it can be written");
        }
    }

    fn reads_issued(&self, bytes: &[u8]) {
        let read = serde_json::from_slice::<IssuedRecord>(bytes);
        let all = self.authority.issued();
        assert_eq!(read.is_ok(), all.is_ok());
        told(all.as_ref().err());
        // The list for the broker is made of it.
        match self.authority.refresh_list() {
            Ok(()) => self.is_taken_by_a_broker(),
            Err(error) => told(Some(&error)),
        }
        if let Ok(record) = read {
            let name = record.identity.parse::<Identity>();
            if let Ok(identity) = name {
                told(self.authority.revoke(&identity, "fuzzed").err().as_ref());
            }
        }
    }

    /// The list, as its broker reads it.
    fn is_taken_by_a_broker(&self) {
        let own = self.folder.path().join("identity.pem");
        let own = OwnFiles { certificate: own.clone(), key: own };
        let (ca, crl) = (self.authority.path("ca.pem"), Some(self.authority.path("revoked.pem")));
        let clients = Some(ClientAuthorities { ca, crl, required: true });
        let loaded = ServerFiles { own, clients, versions: Versions::default() }.load();
        assert!(loaded.is_ok(), "{}", loaded.err().map(|error| error.to_string()).unwrap_or_default());
    }

    fn reads_invited(&self, bytes: &[u8]) {
        let read = serde_json::from_slice::<InvitationRecord>(bytes);
        assert_eq!(read.is_ok(), self.authority.invitations().is_ok());
        match self.authority.enrol(&self.secret, REQUEST.as_str()) {
            Ok(granted) => {
                let record = read.expect("only what can be read gives a certificate");
                let der = CertificateDer::from_pem_slice(granted.certificate.as_bytes()).expect("it is PEM");
                if record.used.is_none() {
                    let certified = Identity::of(&der).expect("it says for whom it is").to_string();
                    assert_eq!(certified, record.identity);
                }
                self.forget_what_was_issued();
            }
            Err(Denied::Failed(error)) => told(Some(&error)),
            Err(_) => {}
        }
    }

    fn is_set_up(&self, _: &[u8]) {
        let folder = self.folder.path().join("ca");
        match Authority::open(&folder) {
            Ok(opened) => {
                let invited =
                    opened.invite(SiteId::new("p").expect("a slug"), GatewayId::new("g").expect("a slug"), 1);
                let token = invited.expect("an invitation");
                let withdrawn = Identity::Gateway { site: token.site, gateway: token.gateway };
                // What it was set up with says how long certificates last.
                match opened.enrol(&token.secret.reveal(), REQUEST.as_str()) {
                    Ok(_) => self.forget_what_was_issued(),
                    Err(denied) => assert!(!denied.to_string().is_empty()),
                }
                let _gone = opened.revoke(&withdrawn, "fuzzed");
                self.forget_invitations();
            }
            Err(error) => told(Some(&error)),
        }
    }

    fn forget_invitations(&self) {
        for entry in fs::read_dir(self.authority.path("invited")).expect("a folder") {
            let path = entry.expect("a file").path();
            if path != self.invited {
                fs::remove_file(path).expect("it was there");
            }
        }
    }
}

static REQUEST: LazyLock<String> =
    LazyLock::new(|| Key::make().and_then(|key| key.request()).expect("a request"));

/// A refusal names the file, or says what to do.
fn told(error: Option<&AuthorityError>) {
    if let Some(error) = error {
        let said = error.to_string();
        assert!(!said.is_empty() && said.len() < 4_096, "{said}");
    }
}

/// What the service, or whoever speaks in its place, answers a gateway.
fn answered(bytes: &[u8]) {
    if let Ok(granted) = serde_json::from_slice::<Granted>(bytes) {
        let again = serde_json::to_vec(&granted).expect("what was read is written");
        assert!(serde_json::from_slice::<Granted>(&again).is_ok());
    }
    if let Ok(problem) = serde_json::from_slice::<Problem>(bytes) {
        assert!(problem.detail.len() <= bytes.len());
    }
}

pub fn invitation_seeds() -> Vec<(String, Vec<u8>)> {
    let token = Token {
        service: "ca.example:8884".to_owned(),
        authority: tidegate_enrolment::Fingerprint([7; 32]),
        site: SiteId::new("plant").expect("a slug"),
        gateway: GatewayId::new("gw-a").expect("a slug"),
        made: 1_790_000_000,
        expires: 1_790_086_400,
        secret: Secret::read(&base64url(&[9; 24])).expect("a secret"),
    };
    let line = token.reveal();
    let packed = super::unbase64url(&line["tgi1_".len()..]);
    vec![
        ("line".to_owned(), line.into_bytes()),
        ("packed".to_owned(), packed[..packed.len() - 4].to_vec()),
        ("newer".to_owned(), b"tgi2_AAAA".to_vec()),
    ]
}

/// Keys, and with them requests and certificates, are other ones each time: they are made once and kept.
pub fn authority_seeds() -> Vec<(String, Vec<u8>)> {
    FOLDER.with(|folder| {
        let request = REQUEST.as_bytes();
        let ask = serde_json::to_vec(&Ask { secret: Some(base64url(&[9; 24])), request: REQUEST.clone() });
        let issued: IssuedRecord =
            serde_json::from_slice(&fs::read(&folder.issued).expect("a record")).expect("a record");
        let short = IssuedRecord { certificate: String::new(), ..issued };
        let revoked =
            Some(tidegate_enrolment::authority::Revoked { at: 1_790_000_000, reason: "stolen".to_owned() });
        let revoked = IssuedRecord { revoked, ..short.clone() };
        let json = |record: &IssuedRecord| serde_json::to_vec(record).expect("a record is written");
        let setup = fs::read(folder.authority.path("authority.toml")).expect("a file");
        let granted = Granted {
            certificate: "C".to_owned(),
            authority: "A".to_owned(),
            broker: Some("b:1".to_owned()),
        };
        let problem = br#"{"title":"Forbidden","status":403,"detail":"this invitation is not known"}"#;
        let parts = [
            ("ask", 0, ask.expect("an ask")),
            ("request", 1, request.to_vec()),
            ("issued", 2, json(&short)),
            ("revoked", 2, json(&revoked)),
            ("invited", 3, fs::read(&folder.invited).expect("a record")),
            ("setup", 4, setup),
            ("granted", 5, serde_json::to_vec(&granted).expect("an answer")),
            ("problem", 5, problem.to_vec()),
        ];
        parts
            .into_iter()
            .map(|(name, which, bytes)| (name.to_owned(), [&[which][..], &bytes].concat()))
            .collect()
    })
}
