//! The HTTP API against its own document, by other people's fuzzer: schemathesis (PyPI). What is missing fails the test;
//! `cargo xtask test` installs it.
//!
//! Every operation of the document is asked, with good and with wrong values: once with names made up, and once with the
//! names of what is there, so that orders are carried out. The event stream is not: it has no end, so that each
//! request would last until it is given up; `cloud-ingest/tests/api/streams.rs` reads it.

use std::{fs, net::SocketAddr, process::Command};

use serde_json::Value as Json;
use tidegate_tests::{
    chain::{Chain, SITE},
    eventually::eventually,
    measured::{Measured, RULES},
    python::python_with,
    tidegate::tidegate,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const PERIOD_MS: u32 = 10;
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";
/// Of each operation, beside those at the bounds of its parameters.
const EXAMPLES: &str = "15";
const SEED: &str = "1";

/// Answers every delivery with 204.
async fn hook() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 64 * 1024];
                // Messages are small: they come in one piece, and what does not is tried again.
                let _length = stream.read(&mut bytes).await;
                let _sent = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
            });
        }
    });
    address
}

/// Runs schemathesis against `url` with what `settings` says in its own words.
fn fuzz(url: &str, document: &Json, settings: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [file, document_file] = ["schemathesis.toml", "openapi.json"].map(|name| folder.path().join(name));
    fs::write(&file, settings).expect("the temporary folder can be written");
    // From a file: it leaves out the operation that a document comes from.
    fs::write(&document_file, document.to_string()).expect("the temporary folder can be written");
    let output = Command::new(python_with("schemathesis"))
        .args(["-m", "schemathesis.cli", "--no-color", "--config-file"])
        .arg(&file)
        .arg("run")
        .arg(&document_file)
        .args(["--exclude-path", "/api/v1/events"])
        .args(["--url", url, "--checks", CHECKS, "--max-examples", EXAMPLES, "--seed", SEED])
        .args(["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--request-timeout", "20"])
        .args(["--suppress-health-check", "all", "--no-shrink"])
        // It leaves its database of examples where it runs.
        .current_dir(folder.path())
        .output()
        .expect("it ran a moment ago");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let count = |operations: &serde_json::Map<String, Json>| operations.len();
    let paths = document["paths"].as_object().expect("an object");
    let operations: usize = paths.values().filter_map(Json::as_object).map(count).sum();
    let tested = format!("Tested: {}\n", operations - 1);
    assert!(printed.contains(&tested), "every operation but the event stream is tested: {printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_as_its_document_says() {
    let mut chain = Chain::new(RULES);
    let receiver = format!(
        "[[receiver]]\nid = \"ops\"\ntype = \"webhook\"\nurl = \"http://{}/\"\nallow_internal = true\n\
         secrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]\n",
        hook().await
    );
    chain.ingest.settings.extend(receiver.parse::<toml::Table>().expect("TOML"));
    chain.start();
    let measured = Measured::default();
    let board = measured.board(1, PERIOD_MS, chain.board_link());
    let is_raised = |alarms: &Json| alarms["alarms"][0]["raised"].is_object();
    chain.api().get_when("an alarm", "/api/v1/alarms?state=all", is_raised).await;
    let has_history = |history: &Json| history["occurrences"].as_array().is_some_and(|all| all.len() > 1);
    chain.api().get_when("settled history", "/api/v1/alarms/history", has_history).await;
    let url = chain.api().url();
    let alarm = format!("{SITE}/board-1/temperature/too-cold");
    for arguments in [&["ack"][..], &["shelve", "--for", "1h"], &["comment", "--comment", "seen"]] {
        let (action, more) = arguments.split_first().expect("an action");
        // The alarm may move on between the look and the order.
        eventually(action, async || {
            let mut order = tidegate(&url, &["alarms", action, &alarm, "--as", "eva"]);
            let output = order.args(more).output().expect("tidegate starts");
            let refused = || String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() { Ok(()) } else { Err(refused()) }
        })
        .await;
    }
    let known = format!(
        "[parameters]\n\"path.site\" = \"{SITE}\"\n\"path.device\" = \"board-1\"\n\
         \"path.channel\" = \"temperature\"\n\"path.rule\" = \"too-cold\"\n\
         \"path.receiver\" = \"ops\"\n"
    );
    let document = chain.api().get("/api/v1/openapi.json").await;
    for settings in ["", &known] {
        fuzz(&url, &document, settings);
    }
    board.finish().await;
}
