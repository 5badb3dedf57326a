//! Both ends over a pipe: who is let in, who is not, and what each is told.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;
use tidegate_trust::{
    ClientFiles, ClientTls, Failure, FileError, Identity, Reason, ServerFiles, ServerTls, Side, Version,
    Versions,
    authority::{Authority, Issued, When, replace},
    files::OwnFiles,
    rustls::{
        HandshakeKind,
        client::Resumption,
        pki_types::{CertificateDer, ServerName},
    },
    server::ClientAuthorities,
    tokio_rustls::{TlsAcceptor, TlsConnector},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

const NAME: &str = "broker.example";
const GATEWAY: &str = "tidegate://plant/gw-a";

/// An authority, a server and a client that trust each other until a test changes something.
struct Set {
    folder: TempDir,
    authority: Authority,
    server: ServerFiles,
    client: ClientFiles,
    name: &'static str,
}

impl Set {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::new("plant");
        let ca = folder.path().join("ca.pem");
        replace(&ca, &authority.pem(), 0o644);
        let server = own(&authority.server(&[NAME], When::Now), folder.path(), "server");
        let client = own(&authority.client(&[GATEWAY], When::Now), folder.path(), "client");
        let clients = ClientAuthorities { ca: ca.clone(), crl: None, required: true };
        let versions = Versions::default();
        Self {
            authority,
            server: ServerFiles { own: server, clients: Some(clients), versions },
            client: ClientFiles { own: Some(client), ..ClientFiles::believing(ca) },
            folder,
            name: NAME,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn client_is(&mut self, issued: &Issued) {
        self.client.own = Some(own(issued, self.folder.path(), "other-client"));
    }

    fn server_is(&mut self, issued: &Issued) {
        self.server.own = own(issued, self.folder.path(), "other-server");
    }

    fn revoking(&mut self, list: &str) {
        let path = self.path("crl.pem");
        replace(&path, list, 0o644);
        self.clients().crl = Some(path);
    }

    fn clients(&mut self) -> &mut ClientAuthorities {
        self.server.clients.as_mut().expect("they are asked")
    }

    async fn meet(&self) -> Met {
        let (server, client) =
            (self.server.load().expect("good files"), self.client.load().expect("good files"));
        meet(&server, &client, self.name).await
    }

    /// What the server found, and what the client was told.
    async fn refused(&self) -> (Reason, Reason) {
        let met = self.meet().await;
        let (at_server, at_client) = (met.server.expect_err("refused"), met.client.expect_err("refused"));
        assert!(!at_server.to_string().is_empty() && !at_client.to_string().is_empty());
        (at_server.reason, at_client.reason)
    }
}

fn own(issued: &Issued, folder: &Path, name: &str) -> OwnFiles {
    let (certificate, key) = issued.write(folder, name);
    OwnFiles { certificate, key }
}

struct Met {
    /// The client's certificates.
    server: Result<Vec<CertificateDer<'static>>, Failure>,
    /// A byte from the server: with TLS 1.3 only that shows that it let us in.
    client: Result<Option<HandshakeKind>, Failure>,
}

async fn meet(server: &ServerTls, client: &ClientTls, name: &str) -> Met {
    let (near, far) = duplex(64 << 10);
    let acceptor = TlsAcceptor::from(Arc::clone(&server.config));
    let serve = async {
        let mut stream = acceptor.accept(far).await.map_err(|error| failure(Side::Server, &error))?;
        stream.write_all(b"x").await.expect("the client reads");
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Ok((chain, stream))
    };
    let connector = TlsConnector::from(Arc::clone(&client.config));
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let connect = async {
        let mut stream =
            connector.connect(name, near).await.map_err(|error| failure(Side::Client, &error))?;
        stream.read_u8().await.map_err(|error| failure(Side::Client, &error))?;
        Ok(stream.get_ref().1.handshake_kind())
    };
    let (server, client) = tokio::join!(serve, connect);
    Met { server: server.map(|(chain, _)| chain), client }
}

fn failure(side: Side, error: &std::io::Error) -> Failure {
    Failure::of(side, error).unwrap_or_else(|| panic!("{error:?} is not explained"))
}

/// Of 2120, when our clock says much less: as with a gateway that starts in 1970.
#[tokio::test]
async fn a_clock_from_before_our_own_certificate_is_not_asked() {
    let mut set = Set::new();
    set.server.clients = None;
    set.server_is(&set.authority.server(&[NAME], When::Future));
    let refused = set.meet().await.client.expect_err("not valid yet");
    assert_eq!(refused.reason, Reason::NotYetValid);
    set.client_is(&set.authority.client(&[GATEWAY], When::Future));
    assert_eq!(set.meet().await.client, Ok(Some(HandshakeKind::Full)));
    // One that the server got after we got ours says how late it is at least.
    set.server_is(&set.authority.server(&[NAME], When::LaterFuture));
    assert_eq!(set.meet().await.client, Ok(Some(HandshakeKind::Full)));
    // Where our clock can be right, it is asked.
    set.client_is(&set.authority.client(&[GATEWAY], When::Now));
    assert_eq!(set.meet().await.client.expect_err("not valid yet").reason, Reason::NotYetValid);
    set.client_is(&set.authority.client(&[GATEWAY], When::Future));
    // Nobody but the authority moves the clock.
    set.server_is(&Authority::new("another").server(&[NAME], When::LaterFuture));
    assert_eq!(set.meet().await.client.expect_err("a stranger").reason, Reason::Authority);
    // It is then that time, and no other: what had expired by then has expired.
    set.server_is(&set.authority.server(&[NAME], When::Past));
    assert_eq!(set.meet().await.client.expect_err("expired").reason, Reason::Expired);
}

#[tokio::test]
async fn who_has_a_certificate_of_the_authority_is_let_in_and_known() {
    let met = Set::new().meet().await;
    assert_eq!(met.client, Ok(Some(HandshakeKind::Full)));
    let chain = met.server.expect("let in");
    let identity = Identity::of(chain.first().expect("it gave one")).expect("it has one");
    assert_eq!(identity.to_string(), GATEWAY);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_let_in_only_where_none_is_required() {
    let mut set = Set::new();
    set.client.own = None;
    assert_eq!(set.refused().await, (Reason::NoCertificate, Reason::NoCertificate));
    set.clients().required = false;
    assert_eq!(set.meet().await.server, Ok(Vec::new()));
    set.server.clients = None;
    assert_eq!(set.meet().await.server, Ok(Vec::new()));
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_by_either_end() {
    for name in ["plant", "another"] {
        let stranger = Authority::new(name);
        let mut set = Set::new();
        set.client_is(&stranger.client(&[GATEWAY], When::Now));
        assert_eq!(set.refused().await.0, Reason::Authority);
        let mut set = Set::new();
        set.server_is(&stranger.server(&[NAME], When::Now));
        let met = set.meet().await;
        assert_eq!(met.client.expect_err("refused").reason, Reason::Authority);
        assert!(met.server.expect_err("refused").by_peer);
    }
}

#[tokio::test]
async fn what_is_out_of_its_time_is_refused_with_the_dates() {
    let mut set = Set::new();
    set.client_is(&set.authority.client(&[GATEWAY], When::Past));
    let met = set.meet().await;
    let said = met.server.expect_err("refused");
    assert!(said.reason == Reason::Expired && said.to_string().contains("expired at 2021-01-01T"), "{said}");
    assert_eq!(met.client.expect_err("refused").reason, Reason::Expired);
    set.client_is(&set.authority.client(&[GATEWAY], When::Future));
    let said = set.meet().await.server.expect_err("refused");
    assert!(said.reason == Reason::NotYetValid && said.to_string().contains("from 2120-01-01T"), "{said}");

    let mut set = Set::new();
    set.server_is(&set.authority.server(&[NAME], When::Past));
    assert_eq!(set.meet().await.client.expect_err("refused").reason, Reason::Expired);
}

#[tokio::test]
async fn a_server_by_another_name_is_refused_unless_that_name_is_asked_for() {
    let mut set = Set::new();
    set.name = "127.0.0.1";
    let said = set.meet().await.client.expect_err("refused");
    assert_eq!(said.reason, Reason::Name);
    for part in ["127.0.0.1", NAME, "`server_name`"] {
        assert!(said.to_string().contains(part), "{said}");
    }
    set.client.server_name = Some(NAME.try_into().expect("a name"));
    assert_eq!(set.meet().await.client, Ok(Some(HandshakeKind::Full)));
    set.client.server_name = Some("elsewhere.example".try_into().expect("a name"));
    assert_eq!(set.meet().await.client.expect_err("refused").reason, Reason::Name);
    set.server_is(&set.authority.server(&["127.0.0.1"], When::Now));
    set.client.server_name = None;
    assert_eq!(set.meet().await.client, Ok(Some(HandshakeKind::Full)));
}

#[tokio::test]
async fn a_certificate_for_one_end_does_not_serve_at_the_other() {
    let mut set = Set::new();
    set.server_is(&set.authority.client(&[GATEWAY], When::Now));
    assert!(set.meet().await.client.is_err());
    let mut set = Set::new();
    set.client_is(&set.authority.server(&[NAME], When::Now));
    assert_eq!(set.refused().await, (Reason::Certificate, Reason::Certificate));
}

#[tokio::test]
async fn the_revoked_are_refused_also_by_a_list_in_der_and_also_who_was_let_in_before() {
    let mut set = Set::new();
    let (good, bad) =
        (set.authority.client(&[GATEWAY], When::Now), set.authority.client(&[GATEWAY], When::Now));
    set.revoking(&set.authority.revoke(&[]));
    set.client_is(&bad);
    let chain = set.meet().await.server.expect("let in");
    assert_eq!(set.server.load().expect("good files").verify(&chain), Ok(()));

    let list = set.authority.revoke(&[bad.serial]);
    set.revoking(&list);
    assert_eq!(set.refused().await, (Reason::Revoked, Reason::Revoked));
    let now = set.server.load().expect("good files");
    assert!(now.verify(&chain).is_err());
    assert_eq!(
        now.revocations_due.map(tidegate_trust::certificate::date),
        Some("2119-01-01T00:00:00Z".to_owned())
    );
    set.client_is(&good);
    assert_eq!(set.meet().await.client, Ok(Some(HandshakeKind::Full)));

    let der = rustls_der(&list);
    std::fs::write(set.path("crl.pem"), der).expect("written");
    set.client_is(&bad);
    assert_eq!(set.refused().await, (Reason::Revoked, Reason::Revoked));
}

fn rustls_der(pem: &str) -> Vec<u8> {
    use tidegate_trust::rustls::pki_types::{CertificateRevocationListDer, pem::PemObject};
    CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).expect("it is PEM").to_vec()
}

#[tokio::test]
async fn where_lists_are_kept_an_authority_without_one_vouches_for_nobody() {
    let mut set = Set::new();
    let another = Authority::new("another");
    set.revoking(&another.revoke(&[]));
    assert_eq!(set.refused().await, (Reason::NoRevocationList, Reason::Authority));
    let both = set.authority.revoke(&[]) + &another.revoke(&[]);
    set.revoking(&both);
    assert_eq!(set.meet().await.client, Ok(Some(HandshakeKind::Full)));
}

#[tokio::test]
async fn a_revoked_server_is_refused_by_a_client_that_has_the_list() {
    let mut set = Set::new();
    let server = set.authority.server(&[NAME], When::Now);
    set.server_is(&server);
    let path = set.path("server-crl.pem");
    replace(&path, &set.authority.revoke(&[server.serial]), 0o644);
    assert_eq!(set.meet().await.client, Ok(Some(HandshakeKind::Full)));
    set.client.crl = Some(path);
    assert_eq!(set.meet().await.client.expect_err("refused").reason, Reason::Revoked);
}

/// A resumed session does not look at the certificate again.
#[tokio::test]
async fn a_client_that_comes_again_is_looked_at_again() {
    let mut set = Set::new();
    for list in [&[Version::V1_3][..], &[Version::V1_2]] {
        (set.server.versions, set.client.versions) = (versions(list), versions(list));
        let server = set.server.load().expect("good files");
        let mut client = set.client.load().expect("good files");
        let mut eager = (*client.config).clone();
        eager.resumption = Resumption::in_memory_sessions(8);
        client.config = Arc::new(eager);
        for _ in 0..3 {
            let met = meet(&server, &client, NAME).await;
            assert_eq!(met.client, Ok(Some(HandshakeKind::Full)));
        }
    }
}

fn versions(list: &[Version]) -> Versions {
    Versions::validate(Path::new("x.toml"), "versions", list).expect("one at least")
}

#[tokio::test]
async fn tls_1_2_is_spoken_only_where_it_is_allowed() {
    let mut set = Set::new();
    set.client.versions = versions(&[Version::V1_2]);
    assert_eq!(set.refused().await, (Reason::Version, Reason::Version));
    set.server.versions = versions(&[Version::V1_2, Version::V1_3]);
    assert_eq!(set.meet().await.client, Ok(Some(HandshakeKind::Full)));
    set.server.versions = versions(&[Version::V1_2]);
    set.client.own = None;
    assert_eq!(set.refused().await.0, Reason::NoCertificate);
    assert!(Versions::validate(Path::new("x.toml"), "versions", &[]).is_err());
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_is_told_apart_from_one_that_goes_away() {
    let set = Set::new();
    let (server, client) = (set.server.load().expect("good files"), set.client.load().expect("good files"));
    for (sent, at_server, at_client) in [
        (&b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01s"[..], Reason::Plaintext, Reason::Plaintext),
        (b"GET / HTTP/1.1\r\n\r\n", Reason::Plaintext, Reason::Plaintext),
        (b"", Reason::Closed, Reason::Closed),
    ] {
        let (mut near, far) = duplex(64 << 10);
        near.write_all(sent).await.expect("taken");
        near.shutdown().await.expect("closed");
        let error = TlsAcceptor::from(Arc::clone(&server.config)).accept(far).await.expect_err("refused");
        assert_eq!(failure(Side::Server, &error).reason, at_server);

        let (near, mut far) = duplex(64 << 10);
        far.write_all(sent).await.expect("taken");
        far.shutdown().await.expect("closed");
        let name = ServerName::try_from(NAME).expect("a name");
        let error =
            TlsConnector::from(Arc::clone(&client.config)).connect(name, near).await.expect_err("refused");
        assert_eq!(failure(Side::Client, &error).reason, at_client);
    }
}

#[test]
fn wrong_files_are_refused_by_name_with_what_to_do() {
    let set = Set::new();
    let said = |change: &dyn Fn(&mut ServerFiles)| {
        let mut files = set.server.clone();
        change(&mut files);
        files
            .load()
            .expect_err("refused")
            .to_string()
            .replace(&format!("{}/", set.folder.path().display()), "")
    };
    let other = own(&set.authority.server(&[NAME], When::Now), set.folder.path(), "second");
    let open = set.path("open.key");
    let sealed = set.path("sealed.key");
    replace(&open, &set.authority.server(&[NAME], When::Now).key, 0o644);
    replace(
        &sealed,
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        0o640,
    );
    // Found by fuzzing: the certificate was blamed for it.
    let damaged = set.path("damaged.key");
    replace(&damaged, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600);
    let empty = set.path("empty");
    replace(&empty, "nothing\n", 0o600);
    for (found, expected) in [
        (
            said(&|files| files.own.key = open.clone()),
            "open.key: others may read or change this private key (mode 0644); do `chmod 600` to it",
        ),
        (
            said(&|files| files.own.key = other.key.clone()),
            "second.key: the key does not belong to the certificate in server.pem",
        ),
        (said(&|files| files.own.key = empty.clone()), "empty: there is no key in PEM"),
        (said(&|files| files.own.key = sealed.clone()), "sealed.key: the key in it has a passphrase"),
        (
            said(&|files| files.own.key = damaged.clone()),
            "damaged.key: the key in it is damaged or of an unknown",
        ),
        (said(&|files| files.own.certificate = empty.clone()), "empty: there is no certificate in PEM"),
        (
            said(&|files| files.own.certificate = set.path("nowhere")),
            "nowhere: it cannot be read (No such file",
        ),
        (said(&|files| files.own.certificate = set.folder.path().to_owned()), "it is no file"),
        (
            said(&|files| files.clients.as_mut().expect("they are asked").ca = empty.clone()),
            "empty: there is no certificate in PEM",
        ),
        (
            said(&|files| files.clients.as_mut().expect("they are asked").crl = Some(empty.clone())),
            "empty: there is no revocation list in it",
        ),
    ] {
        assert!(found.contains(expected), "{found}");
    }
}

/// Anyone who may change a key may put his own in its place.
#[cfg(unix)]
#[test]
fn a_key_is_for_its_owner_and_may_be_read_by_the_group() {
    let mut set = Set::new();
    let key = set.authority.server(&[NAME], When::Now);
    for (mode, good) in [
        (0o600, true),
        (0o400, true),
        (0o440, true),
        (0o640, true),
        (0o660, false),
        (0o604, false),
        (0o601, false),
        (0o602, false),
    ] {
        let path = set.path("moded.key");
        replace(&path, &key.key, mode);
        set.server.own.certificate = set.path("moded.pem");
        replace(&set.server.own.certificate, &key.certificate, 0o644);
        set.server.own.key = path;
        let loaded = set.server.load();
        assert!(
            loaded.is_ok() || matches!(loaded, Err(FileError::Open { mode: found, .. }) if found == mode),
            "{loaded:?}"
        );
        assert_eq!(loaded.is_ok(), good, "{mode:o}");
    }
}
