//! Keys, certificates and their check, by the built program; the ingest is one fixed answer.

use std::path::Path;

use axum::{Json, response::IntoResponse};
use tidegate_ingest::certificate::{
    Certificate, CertificateKey, Statement,
    statement::{BootStatement, Content, End, FORMAT, Totals},
};

use crate::{fake_ingest::FakeIngest, run};

fn statement(outstanding: Vec<(u64, u64)>, next: u64) -> Statement {
    let boot = BootStatement {
        boot: "00000000000000aa".to_owned(),
        covers: (0, next),
        next,
        end: End::AtLeast,
        stored: vec![(0, 90)],
        lost: [("ring-overflow".to_owned(), vec![(90, 100)])].into(),
        outstanding,
        conflicts: 0,
        content: Content { readings: 90, sha256: "ab".repeat(32) },
    };
    let mut totals = Totals::default();
    totals.add(&boot);
    Statement {
        format: FORMAT.to_owned(),
        issued: "2026-11-22T20:00:00Z".parse().expect("a time"),
        issuer: "tidegate-ingest 0".to_owned(),
        journal_position: 12,
        ledger: 1,
        site: "plant".to_owned(),
        device: "b1".to_owned(),
        window: None,
        boots: vec![boot],
        sealed: Vec::new(),
        totals,
    }
}

/// An ingest that signs this statement with the key made in `folder`.
fn issuer(folder: &Path, statement: Statement) -> FakeIngest {
    let folder_text = folder.to_str().expect("UTF-8");
    let (code, out, said) = run("", &["keys", "init", "--dir", folder_text]);
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains("certificate.key") && out.contains("[certificate]"), "{out}");
    let key = CertificateKey::read(&folder.join("certificate.key")).expect("a key");
    let certificate = Certificate::sign(statement, &key).expect("it encodes");
    FakeIngest::start(move |request| {
        assert_eq!((request.query("device"), request.query("from")), (Some("b1"), None));
        Json(certificate.clone()).into_response()
    })
}

#[test]
fn a_certificate_is_written_once_checked_and_any_change_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let ingest = issuer(folder.path(), statement(Vec::new(), 100));
    let (file, key) = (at("b1.json"), at("certificate.pub"));
    let ask = ["audit", "--device", "b1", "--certificate", &file];
    let (code, out, said) = run(ingest.url(), &ask);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("100 readings, 90 stored, 10 lost, 0 outstanding"), "{said}");
    let (code, _, said) = run(ingest.url(), &ask);
    assert!(code == Some(2) && said.contains("exists"), "it is not written over: {said}");

    let (code, out, said) = run("", &["audit", "verify", &file, "--key", &key]);
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains("every reading is stored or declared lost"), "{out}");
    assert!(out.contains("1 boot ended without a word"), "{out}");
    assert!(out.contains("the ledger was restored from a backup before (number 1)"), "{out}");

    let text = std::fs::read_to_string(&file).expect("the certificate");
    std::fs::write(&file, text.replacen("ring-overflow", "evicted", 1)).expect("it is changed");
    let (code, out, said) = run("", &["audit", "verify", &file, "--key", &key]);
    assert!(code == Some(1) && out.is_empty() && said.contains("the signature does not fit"), "{said}");

    let other = at("other");
    run("", &["keys", "init", "--dir", &other]);
    let (code, _, said) = run("", &["audit", "verify", &file, "--key", &format!("{other}/certificate.pub")]);
    assert!(code == Some(1) && said.contains("ask its issuer"), "{said}");
}

#[test]
fn what_is_outstanding_is_proved_and_is_no_success() {
    let folder = tempfile::tempdir().expect("a folder");
    let ingest = issuer(folder.path(), statement(vec![(100, 103)], 103));
    let (code, out, _) = run(ingest.url(), &["audit", "--device", "b1", "--certificate"]);
    assert_eq!(code, Some(1));
    let file = folder.path().join("b1.json");
    std::fs::write(&file, out).expect("it is written");
    let (file, key) = (file.to_str().expect("UTF-8"), folder.path().join("certificate.pub"));
    let (code, out, said) = run("", &["audit", "verify", file, "--key", key.to_str().expect("UTF-8")]);
    assert!(code == Some(1) && out.contains("3 readings are outstanding"), "{out}{said}");
}

#[test]
fn a_statement_that_contradicts_itself_is_refused_though_signed() {
    let folder = tempfile::tempdir().expect("a folder");
    let ingest = issuer(folder.path(), statement(Vec::new(), 103));
    let (_, out, _) = run(ingest.url(), &["audit", "--device", "b1", "--certificate"]);
    let file = folder.path().join("b1.json");
    std::fs::write(&file, out).expect("it is written");
    let (file, key) = (file.to_str().expect("UTF-8"), folder.path().join("certificate.pub"));
    let (code, _, said) = run("", &["audit", "verify", file, "--key", key.to_str().expect("UTF-8")]);
    assert!(code == Some(1) && said.contains("seq 100 is in no state"), "{said}");
}

#[test]
fn a_window_needs_both_ends_and_a_certificate_a_device() {
    for arguments in [
        &["audit", "--certificate"][..],
        &["audit", "--device", "b1", "--certificate", "-", "--from", "2h"],
        &["audit", "--device", "b1", "--from", "2h", "--to", "1h"],
    ] {
        let (code, _, said) = run("http://127.0.0.1:1", arguments);
        assert!(code == Some(2) && said.contains("--help"), "{said}");
    }
}
