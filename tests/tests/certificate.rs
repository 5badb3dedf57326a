//! A completeness certificate from the real chain, checked by the command line alone.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tidegate_tests::{
    chain::Chain,
    measured::{Measured, RULES},
    programs::program,
};

fn tidegate(url: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program("tidegate"));
    command.args(["--url", url]).args(arguments).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().expect("tidegate starts");
    (status.code(), String::from_utf8(stdout).expect("UTF-8"), String::from_utf8(stderr).expect("UTF-8"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("it was written");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_measured_is_certified_and_a_killed_ingest_certifies_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let mut chain = Chain::new(RULES);
    let (code, _, said) = tidegate("", &["keys", "init", "--dir", text(folder.path())]);
    assert_eq!(code, Some(0), "{said}");
    let key: toml::Table =
        [("key_file".to_owned(), text(&at("certificate.key")).into())].into_iter().collect();
    chain.ingest.settings.insert("certificate".to_owned(), key.into());
    chain.start();
    let measured = Measured::default();
    let board = measured.board(1, 10, chain.board_link());
    let api = chain.api();
    api.get_when("half a hundred readings", "/api/v1/audit", |audit| {
        audit["totals"]["stored"].as_u64() >= Some(50)
    })
    .await;
    board.finish().await;
    let count = measured.count();
    api.get_when("all stored", "/api/v1/audit", |audit| audit["totals"]["stored"] == count).await;
    let url = api.url();

    let (first, again) = (at("first.json"), at("again.json"));
    let ask = |file: &Path| tidegate(&url, &["audit", "--device", "board-1", "--certificate", text(file)]);
    let (code, _, said) = ask(&first);
    assert_eq!(code, Some(0), "{said}");
    let verify =
        |file: &Path| tidegate("", &["audit", "verify", text(file), "--key", text(&at("certificate.pub"))]);
    let (code, out, said) = verify(&first);
    assert!(code == Some(0) && out.contains(&format!("{count} stored, 0 declared lost")), "{out}{said}");
    let told = json(&first);
    assert_eq!(told["statement"]["boots"][0]["content"]["readings"], count);

    chain.ingest.kill();
    chain.ingest.start();
    let (code, _, said) = ask(&again);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(json(&again)["statement"]["boots"], told["statement"]["boots"], "after kill -9");

    // Nothing stored brackets yesterday.
    let window = ["audit", "--device", "board-1", "--certificate", "--from", "2d", "--to", "1d"];
    let (code, out, said) = tidegate(&url, &window);
    assert!(code == Some(2) && out.is_empty() && said.contains("cannot be certified"), "{out}{said}");
}
