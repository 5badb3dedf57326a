//! What a bad configuration gets told, and that the example in deploy/ is good.

use std::path::Path;

use tidegate_broker::Config;
use tidegate_trust::authority::{Authority, When, replace};

fn refused(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("broker.toml");
    std::fs::write(&file, text).expect("written");
    certificates(folder.path());
    let error = Config::load(&file).expect_err("it is refused");
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

fn certificates(folder: &Path) {
    let authority = Authority::new("plant");
    replace(&folder.join("ca.pem"), &authority.pem(), 0o644);
    let broker = authority.server(&["broker.example"], When::Now);
    broker.write(folder, "broker");
    authority.server(&["broker.example"], When::Now).write(folder, "other");
    replace(&folder.join("open.key"), &broker.key, 0o644);
}

#[test]
fn tls_is_all_that_a_listener_on_every_address_needs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    certificates(folder.path());
    let file = folder.path().join("broker.toml");
    let text =
        "listen = '[::]:8883'\n[tls]\ncertificate = 'broker.pem'\nkey = 'broker.key'\nclient_ca = 'ca.pem'\n";
    std::fs::write(&file, text).expect("written");
    let config = Config::load(&file).expect("certificates say who is who, and nobody needs a password");
    assert!(config.tls.is_some_and(|tls| tls.tells_clients_apart()));
    let open = "listen = '0.0.0.0:1883'\ninsecure = true\nallow_anonymous = 'observer'\n[metrics]\nlisten = '0.0.0.0:9883'\ninsecure = true\n";
    std::fs::write(&file, open).expect("written");
    assert!(Config::load(&file).expect("it is what was wanted").tls.is_none());
}

#[test]
fn bad_configurations() {
    const USER: &str = "[[users]]\nname = 'a'\npassword = 'b'\nrole = 'observer'\n";
    let tls = |lines: &str| format!("[tls]\ncertificate = 'broker.pem'\n{lines}{USER}");
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
        format!("[limits]\nmax_handshakes = 0\n{USER}"),
        format!("listen = '0.0.0.0:1883'\n{USER}"),
        format!("listen = '[::]:1883'\ninsecure = false\n{USER}"),
        format!("[metrics]\nlisten = '0.0.0.0:9883'\n{USER}"),
        "[[users]]\nname = 'tidegate:role/ingest'\nrole = 'observer'\npassword = 'x'\n".to_owned(),
        format!("[tls]\ncertificate = 'broker.pem'\n{USER}"),
        tls("key = 'nowhere.key'\n"),
        tls("key = 'open.key'\n"),
        tls("key = 'other.key'\n"),
        tls("key = 'broker.key'\nclient_ca = 'broker.key'\n"),
        tls("key = 'broker.key'\ncrl = 'crl.pem'\n"),
        tls("key = 'broker.key'\nclient_ca = 'ca.pem'\ncrl = 'ca.pem'\n"),
        tls("key = 'broker.key'\nversions = []\n"),
        tls("key = 'broker.key'\nversions = ['1.1']\n"),
        tls("key = 'broker.key'\nreload_interval_ms = 0\n"),
        tls("key = 'broker.key'\nclient_cas = 'ca.pem'\n"),
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
