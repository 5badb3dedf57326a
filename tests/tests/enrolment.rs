//! From `tidegate ca init` to a gateway that sends, renews, is revoked and invited anew: with our broker, and with Mosquitto.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tidegate_protocol::{
    GatewayId, SiteId,
    topic::{GatewayPath, Lane},
};
use tidegate_simulator::BoardHandle;
use tidegate_tests::{
    api::number,
    authority::{CertificateAuthority, enroll},
    chain::{Chain, GATEWAY, SITE},
    eventually::{PATIENCE, eventually},
    measured::Measured,
    secured::{enrolled, gateway},
    tidegate::{Following, tidegate},
};

const PERIOD_MS: u32 = 10;
const LOOPBACK: &str = "127.0.0.1";

fn said(output: &Output) -> String {
    [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat()
}

async fn acknowledged(board: &BoardHandle, more: u64) {
    let from = board.status().acknowledged;
    let until = board.wait_until(|status| status.acknowledged >= from + more);
    let flowing = tokio::time::timeout(PATIENCE, until).await;
    flowing.unwrap_or_else(|_| panic!("nothing flows: {:?}", board.status()));
}

/// What the board measured is stored, each reading once.
async fn all_stored(chain: &Chain, measured: &Measured, board: BoardHandle) {
    let last = board.finish().await;
    assert_eq!((last.acknowledged, last.lost), (last.measured, 0), "{last:?}");
    let stored = |audit: &Value| number(audit, "/totals/stored");
    let all = |audit: &Value| stored(audit) >= measured.count() && audit["totals"]["outstanding"] == 0;
    let audit = chain.api().get_when("every reading stored", "/api/v1/audit", all).await;
    let counts = ["lost", "conflicts"].map(|count| number(&audit, &format!("/totals/{count}")));
    assert_eq!((stored(&audit), counts), (measured.count(), [0, 0]), "{audit}");
}

/// How many clients the broker ever let in.
async fn accepted(chain: &Chain) -> u64 {
    let url = format!("http://{}/metrics", chain.broker.address("metrics"));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let text = client.get(url).send().await.expect("it answers").text().await.expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix("tidegate_broker_connections_accepted_total "));
    line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no such line in {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_enrols_renews_on_a_link_that_stands_and_is_shut_out_once_it_is_revoked() {
    // So short a time that two thirds of it are always over.
    let (mut chain, authority, config) = enrolled(&["--gateways-for", "140s"], LOOPBACK);
    let identity = format!("tidegate://{}", gateway());
    chain.start();
    let measured = Measured::default();
    let board = measured.board(1, PERIOD_MS, chain.board_link());
    acknowledged(&board, 50).await;
    raw_watch_is_encrypted(&chain, &authority);
    let told_first = certificate_told(&chain);
    let before = accepted(&chain).await;
    let have = authority.certificates(&identity).len();
    eventually("two renewals", async || {
        let count = authority.certificates(&identity).len();
        if count >= have + 2 { Ok(()) } else { Err(format!("{count} certificates")) }
    })
    .await;
    acknowledged(&board, 50).await;
    assert_eq!(accepted(&chain).await, before, "nobody had to connect again");
    // Nor do alarms go by the certificate before.
    eventually("the cloud is told of the newer certificate", async || {
        let told = certificate_told(&chain);
        if told > told_first { Ok(()) } else { Err(format!("{told}, as at first")) }
    })
    .await;
    let before = accepted(&chain).await;
    // It starts with what it has now.
    chain.agent.kill();
    chain.agent.start();
    acknowledged(&board, 50).await;
    assert_eq!(accepted(&chain).await, before + 1);

    let revoke = ["gateway", "revoke", &gateway(), "--reason", "the cabinet was broken open"];
    assert!(authority.run(&revoke).contains("certificates revoked"));
    let states = authority.certificates(&identity);
    assert!(states.iter().all(|record| record["state"] == "revoked"), "{states:?}");
    let status = chain.agent_status();
    status.get_when("the link is down", "/status", |status| status["uplink_up"] == false).await;
    let again = authority.command(&revoke).output().expect("it starts");
    assert!(again.status.code() == Some(1) && said(&again).contains("no certificate"), "{}", said(&again));

    let invited = authority.enrol(&gateway(), &config);
    assert!(invited.status.success(), "{}", said(&invited));
    status.get_when("the link is up", "/status", |status| status["uplink_up"] == true).await;
    all_stored(&chain, &measured, board).await;
}

/// When the gateway's certificate ends, as anyone hears who may listen.
fn certificate_told(chain: &Chain) -> i64 {
    let listen = ["-C", "1", "-W", "30", "-t", "tidegate/v1/+/+/+/status"];
    let output = client("mosquitto_sub", chain.folder(), "observer.pem", &listen)
        .args(["-V", "311", "-h", LOOPBACK, "-p", &chain.mqtt().port().to_string()])
        .output()
        .expect("mosquitto_sub");
    let status: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    status["certificate_expires_unix_s"].as_i64().unwrap_or_else(|| panic!("{status}"))
}

fn raw_watch_is_encrypted(chain: &Chain, authority: &CertificateAuthority) {
    authority.issue(&["role", "observer"], "observer.pem");
    let at = |name: &str| chain.folder().join(name).display().to_string();
    let broker = chain.mqtt().to_string();
    let (ca, own) = (at("ca/ca.pem"), at("observer.pem"));
    let known = ["watch", "--raw", "--json", "--mqtt", &broker, "--mqtt-ca", &ca, "--mqtt-identity", &own];
    let nowhere = "http://127.0.0.1:9";
    let reading = Following::start(tidegate(nowhere, &known)).next_line();
    assert_eq!(reading["gateway"], GATEWAY, "{reading}");
    for (arguments, code, words) in [
        (&known[..7], 1, "wants a certificate"),
        (&["watch", "--raw", "--mqtt", "192.0.2.1:1883"][..], 2, "in clear; give --mqtt-ca"),
    ] {
        let output = tidegate(nowhere, arguments).output().expect("it starts");
        assert!(output.status.code() == Some(code) && said(&output).contains(words), "{}", said(&output));
    }
}

#[test]
fn what_does_not_fit_an_invitation_is_said_before_it_is_used_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = CertificateAuthority::start(folder.path(), LOOPBACK, &[]);
    let invitation = authority.run(&["gateway", "invite", &gateway()]);
    let config = folder.path().join("agent.toml");
    let with = |text: &str| {
        std::fs::write(&config, text).expect("a file");
        let output = enroll(&invitation, &config);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        said(&output)
    };
    let head = |gateway: &str| format!("site = \"{SITE}\"\ngateway = \"{gateway}\"\ndata_dir = \"data\"\n");
    let broker = "[[source]]\ntype = \"host\"\ndevice = \"here\"\n[broker]\naddress = \"127.0.0.1:1883\"\n";
    let other = with(&format!("{}{broker}", head("gw-z")));
    assert!(other.contains("this is gateway gw-z of site plant, and the invitation is for gw-a"), "{other}");
    let clear = with(&format!("{}{broker}", head(GATEWAY)));
    assert!(clear.contains("broker.tls") && clear.contains("renew_at = \"127.0.0.1:"), "{clear}");
    let apart = "[broker.tls]\nca = \"ca.pem\"\ncertificate = \"a.pem\"\nkey = \"a.key\"\n";
    let apart = with(&format!("{}{broker}{apart}", head(GATEWAY)));
    assert!(apart.contains("certificate and key are not one file"), "{apart}");
    std::fs::remove_file(&config).expect("a file");
    for (text, words) in [("", "no invitation"), (&invitation[..invitation.len() - 5], "incomplete")] {
        let output = enroll(text, &config);
        assert!(output.status.code() == Some(1) && said(&output).contains(words), "{}", said(&output));
    }
    let names = |path: &Path| {
        let entries = std::fs::read_dir(path).expect("a folder").flatten();
        entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect::<Vec<_>>()
    };
    assert_eq!(names(folder.path()), ["ca"], "nothing was made for nothing");
    let output = enroll(&invitation, &config);
    assert!(output.status.success(), "and it is good still: {}", said(&output));
    let shown = said(&output);
    assert!(!shown.contains(invitation.trim()), "what was secret is shown nowhere: {shown}");
}

/// Mosquitto with our certificates and the access list that we write for it. It listens at an address of this process's own, so
/// that its port is free.
struct Mosquitto {
    address: SocketAddr,
    child: Child,
}

impl Mosquitto {
    fn host() -> String {
        let [_, _, a, b] = std::process::id().to_be_bytes();
        Ipv4Addr::new(127, 83, a, b.max(1)).to_string()
    }

    async fn start(folder: &Path, authority: &CertificateAuthority) -> Self {
        let address: SocketAddr = format!("{}:8883", Self::host()).parse().expect("an address");
        std::fs::write(folder.join("acl"), authority.run(&["broker", "export-acl", "mosquitto"]))
            .expect("a file");
        let at = |name: &str| folder.join(name).display().to_string();
        // Its user is for a root that would give its rights up, and could then not read what is for the owner alone.
        let settings = format!(
            "user root\nlistener {} {}\ncafile {}\ncertfile {}\nkeyfile {}\ncrlfile {}\nrequire_certificate true\n\
             use_identity_as_username true\nallow_anonymous false\nacl_file {}\n\
             max_packet_size 1048576\nset_tcp_nodelay true\nmax_queued_messages 10000\npersistence false\nlog_dest stderr\nlog_type all\n",
            address.port(),
            address.ip(),
            at("ca/ca.pem"),
            at("broker.pem"),
            at("broker.pem"),
            at("ca/revoked.pem"),
            at("acl"),
        );
        let file = folder.join("mosquitto.conf");
        std::fs::write(&file, settings).expect("a file");
        let installed = Path::new("/usr/sbin/mosquitto");
        let program = if installed.exists() { installed } else { Path::new("mosquitto") };
        let child = Command::new(program).arg("-c").arg(&file).stderr(Stdio::inherit()).spawn();
        let child = child.expect("`cargo xtask test` installs it (apt mosquitto)");
        let started = Self { address, child };
        eventually("Mosquitto listens", async || {
            let connected = tokio::net::TcpStream::connect(address).await;
            connected.map(|_| ()).map_err(|error| error.to_string())
        })
        .await;
        started
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of Mosquitto's, as whoever has this file.
fn client(program: &str, folder: &Path, own: &str, arguments: &[&str]) -> Command {
    let at = |name: &str| folder.join(name).display().to_string();
    let mut command = Command::new("stdbuf");
    // With MQTT 5 it is told what it may not.
    command.args([
        "-oL",
        program,
        "-V",
        "5",
        "-h",
        &Mosquitto::host(),
        "-p",
        "8883",
        "--cafile",
        &at("ca/ca.pem"),
    ]);
    command.args(["--cert", &at(own), "--key", &at(own)]).args(arguments).stdin(Stdio::null());
    command
}

fn may_publish(folder: &Path, own: &str, topic: &str) -> bool {
    let message = ["-q", "1", "-m", "x", "-t", topic];
    let output = client("mosquitto_pub", folder, own, &message).output().expect("mosquitto_pub");
    let said = said(&output);
    let denied = said.contains("Not authorized");
    assert!(denied || output.status.success(), "{topic}: {said}");
    !denied
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_identities_are_let_in_by_mosquitto_and_may_there_what_they_may_here() {
    let host = Mosquitto::host();
    let (mut chain, authority, _) = enrolled(&[], &host);
    let broker = Mosquitto::start(chain.folder(), &authority).await;
    chain.connect_ingest(broker.address);
    chain.connect_agent(broker.address);
    chain.ingest.start();
    chain.agent.start();
    let measured = Measured::default();
    let board = measured.board(1, PERIOD_MS, chain.board_link());
    acknowledged(&board, 100).await;
    all_stored(&chain, &measured, board).await;

    let folder = chain.folder();
    let path = |gateway: &str| {
        GatewayPath::new(SiteId::new(SITE).expect("a name"), GatewayId::new(gateway).expect("a name"))
    };
    let (own, other, identity) = (path(GATEWAY), path("gw-z"), "gateway/identity.pem");
    for (file, topic, may) in [
        (identity, own.up(Lane::Live), true),
        (identity, own.status(), true),
        (identity, other.up(Lane::Live), false),
        (identity, other.status(), false),
        (identity, format!("{}/down/ack", own.root()), false),
        (identity, "tidegate/v1/alarms/plant/b/c/r".to_owned(), false),
        ("ingest.pem", format!("{}/down/ack", other.root()), true),
        ("ingest.pem", "tidegate/v1/alarms/plant/b/c/r".to_owned(), true),
        ("ingest.pem", own.up(Lane::Live), false),
    ] {
        assert_eq!(may_publish(folder, file, &topic), may, "{file}: {topic}");
    }
    // It may ask for all that goes down, and hears of its own.
    let all_down = ["-d", "-W", "30", "-t", "tidegate/v1/+/+/+/down/#", "-F", "heard %t"];
    let listening = client("mosquitto_sub", folder, identity, &all_down).stdout(Stdio::piped()).spawn();
    let mut listening = listening.expect("mosquitto_sub");
    let mut lines = BufReader::new(listening.stdout.take().expect("piped")).lines().map_while(Result::ok);
    lines.find(|line| line.contains("SUBACK")).expect("it is subscribed");
    for path in [other, own] {
        assert!(may_publish(folder, "ingest.pem", &format!("{}/down/test", path.root())));
    }
    let heard = lines.find(|line| line.starts_with("heard ") && line.ends_with("/test")).expect("a message");
    assert_eq!(heard, format!("heard {}/down/test", own.root()));
    listening.kill().and_then(|()| listening.wait()).expect("it ran");
}
