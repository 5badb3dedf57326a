//! What a bad configuration gets told, and that the example in deploy/ is good.

use std::path::Path;

use tidegate_broker::Config;

fn refused(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("broker.toml");
    std::fs::write(&file, text).expect("written");
    let error = Config::load(&file).expect_err("it is refused");
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn bad_configurations() {
    const USER: &str = "[[users]]\nname = 'a'\npassword = 'b'\nrole = 'observer'\n";
    let user = |lines: &str| format!("[[users]]\nname = 'a'\n{lines}");
    let cases = [
        "".to_owned(),
        "lisen = '127.0.0.1:1883'\n".to_owned(),
        format!("listen = 'localhost'\n{USER}"),
        format!("allow_anonymous = 'yes'\n{USER}"),
        format!("[metrics]\nlisten = '9883'\n{USER}"),
        format!("[limits]\nmax_connection = 3\n{USER}"),
        format!("[limits]\nmax_connections = 0\n{USER}"),
        format!("[limits]\nmax_packet_bytes = 100\n{USER}"),
        format!("[limits]\nmax_packet_bytes = 300000000\n{USER}"),
        format!("[limits]\nmax_inflight = 70000\n{USER}"),
        format!("[limits]\nconnect_timeout_ms = '5s'\n{USER}"),
        format!("[limits]\nwrite_timeout_ms = 0\n{USER}"),
        format!("[limits]\ndown_segment_bytes = 10\n{USER}"),
        format!("[probe]\ninterval_ms = 0\n{USER}"),
        format!("{USER}{USER}"),
        user("role = 'observer'\n"),
        user("role = 'observer'\npassword = ''\n"),
        user("role = 'observer'\npassword = 'x'\npassword_file = 'y'\n"),
        user("role = 'observer'\npassword_file = 'nowhere'\n"),
        user("role = 'reader'\npassword = 'x'\n"),
        user("role = 'gateway'\npassword = 'x'\nsite = 'plant'\n"),
        user("role = 'gateway'\npassword = 'x'\nsite = 'Plant 1'\ngateway = 'gw1'\n"),
        user("role = 'observer'\npassword = 'x'\nsite = 'plant'\n"),
    ];
    let shown: Vec<String> = cases
        .iter()
        .map(|text| format!("{}\n  → {}", text.trim_end().replace('\n', " ⏎ "), refused(text)))
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn the_example_is_good_and_shows_the_defaults() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/broker.toml");
    let example = Config::load(&file).expect("the example is good");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let minimal = folder.path().join("broker.toml");
    std::fs::write(&minimal, "[[users]]\nname = 'a'\npassword = 'b'\nrole = 'observer'\n").expect("written");
    let defaults = Config::load(&minimal).expect("all but a user has defaults");
    assert_eq!(format!("{:?}", example.limits), format!("{:?}", defaults.limits));
    assert_eq!(format!("{:?}", example.probe), format!("{:?}", defaults.probe));
    assert_eq!((example.listen, example.metrics_listen), (defaults.listen, defaults.metrics_listen));
    assert_eq!(example.users.identities().len(), 3);
}
