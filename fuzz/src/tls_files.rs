//! Certificates, keys and revocation lists as people and other programs put them into files.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::LazyLock};

use tempfile::TempDir;
use tidegate_enrolment::{
    authority::{Authority, Setup},
    identity::IdentityFile,
};
use tidegate_trust::{
    ServerFiles, Versions,
    files::{OwnFiles, first_certificate},
    server::ClientAuthorities,
};

use super::queue::in_memory;

const NAMES: [&str; 4] = ["own.pem", "own.key", "ca.pem", "revoked.pem"];

/// Good ones, of an authority of our own.
static GOOD: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| {
    let folder = in_memory();
    let authority = Authority::init(folder.path(), Setup::new("plant", "ca.example:1", "b.example:1"))
        .expect("an authority");
    let own = folder.path().join("own.pem");
    authority.issue_server(&["broker.example".to_owned()], &IdentityFile::new(&own)).expect("a certificate");
    let read = |path: PathBuf| fs::read(path).expect("it was written");
    [read(own.clone()), read(own), read(authority.path("ca.pem")), read(authority.path("revoked.pem"))]
});

thread_local! {
    static FOLDER: TempDir = in_memory();
}

/// The first byte says which file the others are; the rest are good.
pub fn tls_files(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let which = usize::from(*which) % NAMES.len();
    FOLDER.with(|folder| {
        let paths = NAMES.map(|name| folder.path().join(name));
        for (at, path) in paths.iter().enumerate() {
            let content = if at == which { bytes } else { &GOOD[at] };
            fs::write(path, content).expect("it can be written");
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        }
        let [certificate, key, ca, crl] = paths.clone();
        let clients = Some(ClientAuthorities { ca, crl: Some(crl), required: true });
        let own = OwnFiles { certificate: certificate.clone(), key };
        let files = ServerFiles { own, clients, versions: Versions::default() };
        match files.load() {
            Ok(tls) => {
                let first = first_certificate(&certificate).expect("it was read a moment ago");
                assert_eq!(first.uris, tls.certificate.uris);
            }
            Err(error) => {
                let said = error.to_string();
                assert!(said.contains(NAMES[which]), "the file that is wrong is named: {said}");
                assert!(said.len() < 4_096);
                if NAMES[which] == "own.key" {
                    // A key is in base64; no path or sentence of ours is.
                    let is_key = |line: &&str| {
                        line.len() > 30
                            && line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
                    };
                    let text = String::from_utf8_lossy(bytes);
                    let shown = text.lines().filter(is_key).find(|line| said.contains(line));
                    assert_eq!(shown, None, "a key is shown: {said}");
                }
            }
        }
    });
}

/// Keys, and with them certificates, are other ones each time: they are made once and kept.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let one = |(at, name): (usize, &str)| {
        let seed = [&[at as u8][..], &GOOD[at]].concat();
        (name.replace('.', "-"), seed)
    };
    NAMES.into_iter().enumerate().map(one).collect()
}
