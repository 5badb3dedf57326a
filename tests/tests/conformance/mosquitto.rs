//! `mosquitto_sub` and `mosquitto_pub` (Debian's mosquitto-clients) as far as a command line goes; more of them is in
//! `tests/interop.rs`. Whatever a subscriber should print waits for it already, so each command runs to its end.

use std::process::{Command, Output, Stdio};

use tidegate_broker::Running;

use crate::driver::broker;

fn mosquitto(broker: &Running, program: &str, arguments: &[&str]) -> Output {
    const GIVE_UP_S: &str = "20";
    let mut command = Command::new(program);
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &broker.mqtt.port().to_string(),
        "-u",
        "operator",
        "-P",
        "secret",
    ]);
    if program == "mosquitto_sub" {
        command.args(["-W", GIVE_UP_S, "-F", "%t %p %q %r"]);
    }
    let output = command.args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| {
        panic!("{program}: {error}; `cargo xtask test` installs it (apt mosquitto-clients)")
    })
}

fn publish(broker: &Running, arguments: &[&str]) {
    let output = mosquitto(broker, "mosquitto_pub", arguments);
    assert!(output.status.success(), "{output:?}");
}

/// The lines that it prints: topic, payload, QoS, and 1 for a retained one.
fn subscribe(broker: &Running, arguments: &[&str]) -> Vec<String> {
    let output = mosquitto(broker, "mosquitto_sub", arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_comes_back_to_its_session() {
    let broker = broker().await;
    let session = ["-c", "-i", "kept", "-q", "2"];
    // It subscribes and says goodbye.
    subscribe(&broker, &[&session[..], &["-E", "-t", "home/#", "-t", "other/x"]].concat());
    for (topic, qos) in [("home/a", "1"), ("other/x", "1"), ("home/b", "2"), ("home/c", "1")] {
        publish(&broker, &["-t", topic, "-q", qos, "-m", "missed"]);
    }
    let received = subscribe(&broker, &[&session[..], &["-C", "4", "-t", "home/#"]].concat());
    let mut sorted = received.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["home/a missed 1 0", "home/b missed 2 0", "home/c missed 1 0", "other/x missed 1 0"]);
    let of_home = |line: &&String| line.starts_with("home/a") || line.starts_with("home/c");
    let in_order: Vec<_> = received.iter().filter(of_home).collect();
    assert_eq!(in_order, ["home/a missed 1 0", "home/c missed 1 0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_gets_retained_messages_for_each_filter_until_it_clears_them() {
    let broker = broker().await;
    for (topic, qos) in [("home/a", "0"), ("home/b", "1"), ("home/b/c", "2"), ("/home", "1")] {
        publish(&broker, &["-r", "-t", topic, "-q", qos, "-m", "kept"]);
    }
    let asked = ["-q", "2", "-t", "home/#", "-t", "+/b", "-t", "+/home"];
    let mut received = subscribe(&broker, &[&asked[..], &["-C", "5"]].concat());
    received.sort_unstable();
    assert_eq!(
        received,
        ["/home kept 1 1", "home/a kept 0 1", "home/b kept 1 1", "home/b kept 1 1", "home/b/c kept 2 1"],
        "once for each subscription"
    );
    for topic in ["home/a", "home/b"] {
        publish(&broker, &["-r", "-t", topic, "-q", "1", "-n"]);
    }
    let left = subscribe(&broker, &["-q", "1", "-t", "#", "-C", "2"]);
    assert_eq!(left, ["/home kept 1 1", "home/b/c kept 1 1"]);
}
