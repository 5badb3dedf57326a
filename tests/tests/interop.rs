//! Other people's MQTT clients against our broker: `mosquitto_sub` and `mosquitto_pub` (Debian's mosquitto-clients),
//! and paho-mqtt (PyPI). What is missing fails the test; `cargo xtask test` installs it.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use tidegate_broker::config::{JUDGE_INTERVAL, Tls};
use tidegate_broker::{Config, Role, Running, User};
use tidegate_tests::python::python_with;
use tidegate_trust::authority::{Authority, When, replace};
use tidegate_trust::files::OwnFiles;
use tidegate_trust::server::ClientAuthorities;
use tidegate_trust::{ServerFiles, Versions};

/// Seconds after which a client gives up by itself, so that a failure is one and not a hang.
const GIVE_UP_S: &str = "20";

async fn broker() -> Running {
    let user = |name: &str, role| User::new(name, "secret", role);
    let users = vec![user("operator", Role::Operator), user("viewer", Role::Observer)];
    tidegate_broker::start(Config::demo(([127, 0, 0, 1], 0).into(), users))
        .await
        .expect("loop-back has free ports")
}

/// `stdbuf` (coreutils) because into a pipe `mosquitto_sub` would say nothing before its end.
fn mosquitto(broker: &Running, program: &str, user: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("stdbuf");
    command.args(["-oL", program]);
    command.args(["-h", "127.0.0.1", "-p", &broker.mqtt.port().to_string(), "-u", user, "-P", "secret"]);
    command.args(arguments);
    command
}

fn start(command: &mut Command) -> Child {
    require_mosquitto();
    command.stdout(Stdio::piped()).spawn().expect("mosquitto_sub and mosquitto_pub are there")
}

fn require_mosquitto() {
    for program in ["mosquitto_sub", "mosquitto_pub"] {
        let found = Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(
            found.is_ok(),
            "cannot run {program}: `cargo xtask test` installs it (apt mosquitto-clients)"
        );
    }
}

/// A running `mosquitto_sub` that has its SUBACK.
struct Subscriber {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Subscriber {
    fn start(broker: &Running, user: &str, arguments: &[&str]) -> Self {
        let mut process =
            start(&mut mosquitto(broker, "mosquitto_sub", user, &[&["-d", "-v"], arguments].concat()));
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let mut subscriber = Self { process, lines };
        subscriber.line_that(|line| line.contains("SUBACK"));
        subscriber
    }

    fn line_that(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        let found = self.lines.by_ref().map_while(Result::ok).find(|line| is_it(line));
        found.expect("mosquitto_sub says what is awaited")
    }

    /// The next message. `-d` mixes it with lines that begin with "Client" or speak of the subscription.
    fn message(&mut self) -> String {
        self.line_that(|line| line.starts_with("home/"))
    }

    fn end(mut self) -> ExitStatus {
        self.process.wait().expect("it ends")
    }
}

fn publish(broker: &Running, user: &str, arguments: &[&str]) -> ExitStatus {
    start(&mut mosquitto(broker, "mosquitto_pub", user, arguments)).wait().expect("it ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_clients_publish_and_subscribe_at_every_qos() {
    let broker = broker().await;
    let arguments = ["-t", "home/#", "-q", "2", "-C", "3", "-W", GIVE_UP_S];
    let mut subscriber = Subscriber::start(&broker, "operator", &arguments);
    for qos in ["0", "1", "2"] {
        let payload = format!("at QoS {qos}");
        assert!(publish(&broker, "operator", &["-t", "home/a", "-q", qos, "-m", &payload]).success());
        assert_eq!(subscriber.message(), format!("home/a {payload}"));
    }
    assert!(subscriber.end().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_clients_see_retained_messages_and_wills() {
    let broker = broker().await;
    assert!(publish(&broker, "operator", &["-t", "home/kept", "-q", "1", "-r", "-m", "kept"]).success());
    let mut late =
        Subscriber::start(&broker, "operator", &["-t", "home/#", "-q", "1", "-C", "2", "-W", GIVE_UP_S]);
    assert_eq!(late.message(), "home/kept kept");

    let will = ["--will-topic", "home/will", "--will-payload", "gone", "--will-qos", "1"];
    let mut vanishing = Subscriber::start(&broker, "operator", &[&["-t", "home/x"], &will[..]].concat());
    vanishing.process.kill().expect("it runs");
    vanishing.end();
    assert_eq!(late.message(), "home/will gone");
    assert!(late.end().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_clients_are_told_what_they_may_not() {
    require_mosquitto();
    let broker = broker().await;
    let wrong = mosquitto(&broker, "mosquitto_pub", "operator", &["-P", "wrong", "-t", "home/a", "-m", "x"])
        .stderr(Stdio::piped())
        .output()
        .expect("it runs");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("bad user name or password"));
    assert!(!publish(&broker, "viewer", &["-t", "home/a", "-q", "1", "-m", "x"]).success());
    let denied = mosquitto(&broker, "mosquitto_sub", "viewer", &["-t", "home/#", "-W", GIVE_UP_S])
        .stderr(Stdio::piped())
        .output()
        .expect("it runs");
    assert!(String::from_utf8_lossy(&denied.stderr).contains("denied"));
}

/// Prints what it got, one message a line, and ends when it has all six.
const PAHO: &str = r#"
import sys, threading
import paho.mqtt.client as mqtt

got, subscribed, done = [], threading.Event(), threading.Event()

def on_connect(client, userdata, flags, reason, properties):
    print("connected", reason, flush=True)
    client.subscribe([("home/#", 2), ("$share/group/home/#", 0)])

def on_subscribe(client, userdata, mid, reasons, properties):
    print("granted", [reason.value for reason in reasons], flush=True)
    subscribed.set()

def on_message(client, userdata, message):
    got.append((message.topic, message.payload, message.qos, message.retain))
    if len(got) == 6:
        done.set()

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="paho", protocol=mqtt.MQTTv311)
client.username_pw_set("operator", "secret")
client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
client.connect("127.0.0.1", int(sys.argv[1]), keepalive=30)
client.loop_start()
assert subscribed.wait(20), "no SUBACK"
large = bytes(range(256)) * 1000
for qos in (0, 1, 2):
    client.publish("home/small", f"qos {qos}", qos=qos).wait_for_publish(20)
    client.publish("home/large", large, qos=qos).wait_for_publish(20)
assert done.wait(20), f"only {len(got)} messages"
for topic, payload, qos, retain in got:
    print(topic, "large" if payload == large else payload.decode(), qos, retain, flush=True)
client.disconnect()
client.loop_stop()
"#;

#[tokio::test(flavor = "multi_thread")]
async fn paho_publishes_and_subscribes_at_every_qos() {
    let broker = broker().await;
    let port = broker.mqtt.port().to_string();
    let output = Command::new(python_with("paho.mqtt"))
        .args(["-c", PAHO, &port])
        .output()
        .expect("it ran a moment ago");
    let (printed, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}{errors}");
    let expected = "connected Success\ngranted [2, 128]\n\
        home/small qos 0 0 False\nhome/large large 0 False\n\
        home/small qos 1 1 False\nhome/large large 1 False\n\
        home/small qos 2 2 False\nhome/large large 2 False\n";
    assert_eq!(printed, expected);
}

/// Their TLS is OpenSSL's.
#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_speaks_tls_with_a_certificate_and_is_turned_away_without_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::new("plant");
    let ca = folder.path().join("ca.pem");
    replace(&ca, &authority.pem(), 0o644);
    let (certificate, key) = authority.server(&["127.0.0.1"], When::Now).write(folder.path(), "broker");
    let clients = Some(ClientAuthorities { ca: ca.clone(), crl: None, required: true });
    let own = OwnFiles { certificate, key };
    let files = ServerFiles { own, clients, versions: Versions::default() };
    let tls = Some(Tls { files, reload_interval: JUDGE_INTERVAL, judge_interval: JUDGE_INTERVAL });
    let config = Config { tls, ..Config::demo(([127, 0, 0, 1], 0).into(), Vec::new()) };
    let broker = tidegate_broker::start(config).await.expect("loop-back has free ports");

    let (certificate, key) =
        authority.client(&["tidegate:role/operator"], When::Now).write(folder.path(), "client");
    let [ca, certificate, key] = [&ca, &certificate, &key].map(|path| path.to_str().expect("UTF-8"));
    let known = ["--cafile", ca, "--cert", certificate, "--key", key];
    let mut subscriber = Subscriber::start(
        &broker,
        "nobody",
        &[&known[..], &["-t", "home/x", "-C", "1", "-W", GIVE_UP_S]].concat(),
    );
    let message = ["-t", "home/x", "-q", "1", "-m", "hello"];
    let stranger = publish(&broker, "nobody", &[&["--cafile", ca][..], &message].concat());
    assert!(!stranger.success(), "it has no certificate");
    assert!(publish(&broker, "nobody", &[&known[..], &message].concat()).success());
    assert_eq!(subscriber.message(), "home/x hello");
    assert!(subscriber.end().success());
}
