//! What an ingest reads of its own folder and others may have written: users and tokens, the log of changes, and certificates
//! that anybody shows.

use std::fs;

use tempfile::TempDir;
use tidegate_access::Book;
use tidegate_ingest::{
    certificate::{Certificate, CertificateKey, Invalid, PublicKey, keys},
    doctor::manifest::Manifest,
    door::{
        changes::{Changes, Order},
        kept::Kept,
    },
};

use super::queue::in_memory;

struct Folder {
    folder: TempDir,
    public: PublicKey,
    key: CertificateKey,
}

thread_local! {
    static FOLDER: Folder = {
        let folder = in_memory();
        let files = keys::init(&folder.path().join("keys")).expect("keys");
        let key = CertificateKey::read(&files.private).expect("a key");
        Folder { public: key.public(), key, folder }
    };
}

/// The first byte says which file the others are.
pub fn ingest_files(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    FOLDER.with(|folder| match which % 4 {
        0 => folder.users_and_tokens(bytes),
        1 => folder.changes(bytes),
        2 => folder.certificate(bytes),
        _ => folder.manifest(bytes),
    });
}

impl Folder {
    /// What cannot be read lets nobody in, and is not shown.
    fn users_and_tokens(&self, bytes: &[u8]) {
        let data_dir = self.folder.path().join("users");
        let path = data_dir.join("access");
        fs::create_dir_all(&path).expect("a folder");
        fs::write(path.join("access.json"), bytes).expect("it can be written");
        match Kept::open(&data_dir) {
            Ok(kept) => {
                let book = kept.book().expect("it was read a moment ago");
                let json = serde_json::to_vec(&*book).expect("what was read is written");
                let again: Book = serde_json::from_slice(&json).expect("what was written is read");
                assert_eq!(again, *book);
                for user in book.users() {
                    assert_eq!(
                        book.user(&user.name).map(|known| known.role),
                        Some(user.role),
                        "one of each name"
                    );
                }
            }
            Err(error) => {
                let said = error.to_string();
                assert!(said.contains("access"), "{said}");
                assert!(
                    said.len() < path.as_os_str().len() + 300,
                    "its words could show what is in it: {said}"
                );
            }
        }
    }

    /// Whatever stands in the file, what is written after it can be read, newest first.
    fn changes(&self, bytes: &[u8]) {
        let path = self.folder.path().join("changes");
        let _gone = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        fs::write(path.join("changes.jsonl"), bytes).expect("it can be written");
        let changes = Changes::open(&path).expect("noise is no error");
        let before = changes.before(None, 1_000).expect("what was taken for an order can be read");
        assert!(before.is_sorted_by(|a, b| a.order.number > b.order.number));
        let number = changes.begin(order()).expect("there is room");
        let newest = changes.before(None, 1).expect("it can be read");
        assert_eq!(newest.first().map(|change| change.order.number), Some(number));
        assert!(before.iter().all(|change| change.order.number < number), "no number is given twice");
        assert_eq!(changes.before(None, 1_001).map(|all| all.len()).ok(), Some(before.len() + 1));
    }

    fn certificate(&self, bytes: &[u8]) {
        match Certificate::verify(bytes, &self.public) {
            Ok(_) => assert!(signed(bytes, &self.public), "nobody signs without the key"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        // The same words under a good signature: then only what they say is looked at.
        let Ok(Certificate { statement, .. }) = serde_json::from_slice(bytes) else { return };
        let fits = statement.check().is_ok();
        let certificate = Certificate::sign(statement.clone(), &self.key).expect("it can be signed");
        let json = serde_json::to_vec(&certificate).expect("it can be written");
        match Certificate::verify(&json, &self.public) {
            Ok(read) => assert!(fits && read == statement),
            Err(Invalid::Flaw(_)) => assert!(!fits),
            Err(other) => panic!("{other}"),
        }
    }

    fn manifest(&self, bytes: &[u8]) {
        let backup = self.folder.path().join("backup");
        fs::create_dir_all(&backup).expect("a folder");
        fs::write(backup.join("manifest.json"), bytes).expect("it can be written");
        fs::write(backup.join("a"), b"").expect("it can be written");
        match Manifest::verified(&backup, &mut |_, _, _| {}) {
            Ok(manifest) => {
                assert!(manifest.files.iter().all(|file| file.path == "a" || file.path == "manifest.json"))
            }
            Err(error) => assert!(error.to_string().contains("backup"), "{error}"),
        }
    }
}

/// By hand: the words are those of the file, and the signature is over them.
fn signed(bytes: &[u8], public: &PublicKey) -> bool {
    let said: Certificate = serde_json::from_slice(bytes).expect("it was read");
    said.signature.algorithm == "Ed25519" && said.signature.key_id == public.id()
}

fn order() -> Order {
    Order {
        number: 0,
        unix_ms: 5,
        actor: "eva".to_owned(),
        role: Some("operator".to_owned()),
        by: "session".to_owned(),
        token: None,
        address: Some("10.0.0.7".to_owned()),
        method: "PUT".to_owned(),
        path: "/api/v1/rules".to_owned(),
        before: Some("\"1\"".to_owned()),
    }
}

pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let book = concat!(
        r#"{"format":1,"book":{"users":[{"name":"eva","role":"admin","password":"$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","changed_unix_ms":1}],"#,
        r#""tokens":[]}}"#
    );
    let line = |number| serde_json::to_string(&Order { number, ..order() }).expect("it is written");
    let log = format!(
        "{}\n{}\n{{\"outcome_of\":2,\"unix_ms\":6,\"status\":200,\"operator\":null,\"after\":null,\"note\":null}}\n{}",
        line(1),
        line(2),
        line(3)
    );
    let certificate = concat!(
        r#"{"statement":{"format":"tidegate-completeness/1","issued":"2026-01-31T12:00:00Z","issuer":"tidegate-ingest 0.1.0","#,
        r#""journal_position":9,"ledger":0,"site":"plant","device":"board-7","boots":[{"boot":"0123456789abcdef","covers":[0,9],"#,
        r#""next":9,"end":"open","stored":[[0,5]],"lost":{"evicted":[[5,7]]},"outstanding":[[7,9]],"conflicts":0,"#,
        r#""content":{"sha256":"","readings":0}}],"sealed":[],"totals":{"stored":5,"lost":2,"outstanding":2}},"#,
        r#""signature":{"algorithm":"Ed25519","key_id":"00","value":"AAAA"}}"#
    );
    let manifest = concat!(
        r#"{"version":1,"format":5,"position":9,"ledger":0,"made":"2026-01-31T12:00:00Z","files":[{"path":"a","bytes":0,"#,
        r#""sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}"#
    );
    [("users", 0, book), ("changes", 1, &log), ("certificate", 2, certificate), ("manifest", 3, manifest)]
        .map(|(name, which, text)| (name.to_owned(), [&[which], text.as_bytes()].concat()))
        .into()
}
