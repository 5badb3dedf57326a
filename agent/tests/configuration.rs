//! What a person sees when the configuration is wrong: the file, the key, the line, the remedy.

use std::path::Path;

use tidegate_agent::{Config, Settings};

const GOOD: &str = r#"
site = "plant"
gateway = "gw-a"
data_dir = "data"
[broker]
address = "127.0.0.1:1883"
user = "gw-a"
password = "secret"
[[source]]
type = "board-tcp"
listen = "127.0.0.1:7780"
[[source]]
type = "host"
device = "gw-a-host"
"#;

fn refused(text: &str) -> String {
    let file = Path::new("agent.toml");
    let parsed = tidegate_service::parse::<Settings>(file, text);
    match parsed.and_then(|settings| Config::validate(file, settings)) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn wrong_configurations() {
    let changed = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        GOOD.replacen(from, to, 1)
    };
    let with_tls = |address: &str, keys: &str| {
        let tls = format!("{address}\"\n[broker.tls]\nca = \"ca.pem\"\n{keys}\n#");
        changed("user = \"gw-a\"\npassword = \"secret\"\n", "").replacen("127.0.0.1:1883", &tls, 1)
    };
    let added = |text: &str| format!("{GOOD}{text}");
    let entry = |keys: &str| format!("[[source]]\ntype = \"board-serial\"\n{keys}\n");
    let serial = |keys: &str| added(&entry(keys));
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/rules.toml");
    let ruled = |text: &str| format!("rules = \"{rules}\"\n{GOOD}{text}");
    let output = |keys: &str| format!("[[local_alarms.output]]\n{keys}\n");
    let cases = [
        ("unknown key", changed("gateway =", "gatway =")),
        ("name with capitals", changed("\"gw-a\"\ndata", "\"GW A\"\ndata")),
        ("broker without port", changed("127.0.0.1:1883", "127.0.0.1")),
        ("user without password", changed("password = \"secret\"\n", "")),
        ("password twice", changed("password = \"secret\"", "password = \"secret\"\npassword_file = \"x\"")),
        ("in clear to another machine", changed("127.0.0.1:1883", "broker.example:1883")),
        ("TLS without authorities", changed("password = \"secret\"", "tls = { key = \"a.key\" }")),
        ("certificate without key", with_tls("127.0.0.1:8883", "certificate = \"a.pem\"")),
        ("key without certificate", with_tls("127.0.0.1:8883", "key = \"a.key\"")),
        ("no certificate for an address in IPv6", with_tls("[::1]:8883", "")),
        ("no name", with_tls("127.0.0.1:8883", "server_name = \"a b\"")),
        ("no version", with_tls("127.0.0.1:8883", "versions = []")),
        ("unknown key of TLS", with_tls("127.0.0.1:8883", "cert = \"a.pem\"")),
        ("missing password file", changed("password = \"secret\"", "password_file = \"no-such-file\"")),
        ("no source", GOOD.split("[[source]]").next().unwrap_or_default().to_owned()),
        ("unknown type", changed("board-tcp", "board-udp")),
        ("key of another type", changed("listen = \"127.0.0.1:7780\"", "baud = 9600")),
        ("serial without path", changed("\"board-tcp\"\nlisten = \"127.0.0.1:7780\"", "\"board-serial\"")),
        ("serial with both", serial("path = \"/dev/ttyUSB0\"\npattern = \"/dev/ttyUSB*\"")),
        ("relative line", serial("path = \"ttyUSB0\"")),
        ("pattern as path", serial("path = \"/dev/ttyUSB*\"")),
        ("relative pattern", serial("pattern = \"usb-*\"")),
        ("wildcard in the folder", serial("pattern = \"/dev/*/by-id/usb-*\"")),
        ("pattern of a folder", serial("pattern = \"/dev/serial/by-id/\"")),
        ("pattern without wildcard", serial("pattern = \"/dev/ttyUSB0\"")),
        ("pattern that goes up", serial("pattern = \"/dev/serial/../tty*\"")),
        ("broken pattern", serial("pattern = \"/dev/tty[U\"")),
        ("no baud rate", serial("path = \"/dev/ttyUSB0\"\nbaud = 0")),
        ("unknown flow control", serial("path = \"/dev/ttyUSB0\"\nflow_control = \"software\"")),
        (
            "same line twice",
            format!("{}{}", serial("path = \"/dev/ttyUSB0\""), entry("path = \"/dev//./ttyUSB0\"")),
        ),
        (
            "same line twice, ending like a free port",
            format!("{}{}", serial("path = \"/dev/usb-0:1:0\""), entry("path = \"/dev/usb-0:1:0\"")),
        ),
        (
            "same pattern twice",
            format!("{}{}", serial("pattern = \"/dev/ttyUSB*\""), entry("pattern = \"/dev/ttyUSB*\"")),
        ),
        ("same port twice", added("[[source]]\ntype = \"board-tcp\"\nlisten = \"127.0.0.1:7780\"\n")),
        ("port of the status page", added("[[source]]\ntype = \"board-tcp\"\nlisten = \"127.0.0.1:7781\"\n")),
        ("same device twice", added("[[source]]\ntype = \"host\"\ndevice = \"gw-a-host\"\n")),
        ("quota beyond the map", added("[queue]\nmap_size_bytes = 10000000\nquota_bytes = 9000000\n")),
        ("tiny quota", added("[queue]\nquota_bytes = 10\n")),
        ("unknown policy", added("[queue]\npolicy = \"drop\"\n")),
        ("text for a number", added("[queue]\nflush_interval_ms = \"1s\"\n")),
        ("outage below flush", added("[queue]\nflush_interval_ms = 500\noutage_flush_interval_ms = 100\n")),
        ("no memory", added("[limits]\nram_limit_bytes = 1000\n")),
        ("unknown order", added("[link]\nbacklog_order = \"newest\"\n")),
        ("tiny cap", added("[link.caps.live]\nbytes_per_day = 1000\n")),
        ("no address", added("[status]\nlisten = \"localhost\"\n")),
        ("a page for the network", added("[status]\nlisten = \"0.0.0.0:7781\"\n")),
        ("no action", ruled("[local_alarms]\n")),
        ("state file that is a folder", ruled("[local_alarms]\nstate_file = \"/run/\"\n")),
        ("relative chip", ruled(&output("line = { chip = \"gpiochip0\", offset = 1 }"))),
        ("no such line", ruled(&output("line = { chip = \"/dev/gpiochip0\", offset = 70000 }"))),
        (
            "unknown priority",
            ruled(&output("line = { chip = \"/dev/gpiochip0\", offset = 1 }\nmin_priority = \"urgent\"")),
        ),
        (
            "unknown fail-safe state",
            ruled(&output("line = { chip = \"/dev/gpiochip0\", offset = 1 }\nfail_safe = \"keep\"")),
        ),
        (
            "impossible pattern",
            ruled(&output(
                "line = { chip = \"/dev/gpiochip0\", offset = 1 }\nselect = { device = \"Boiler 7\" }",
            )),
        ),
        (
            "same line twice, however it is driven",
            ruled(&format!(
                "{}{}",
                output("line = { chip = \"/dev/gpiochip0\", offset = 1 }"),
                output("line = { chip = \"/dev//gpiochip0\", offset = 1 }\nactive_low = true")
            )),
        ),
    ];
    let messages: Vec<String> =
        cases.iter().map(|(what, text)| format!("{what}\n  → {}", refused(text))).collect();
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn the_example_in_deploy_is_good_and_shows_the_defaults() {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/agent.toml"));
    let shown = Config::load(file).expect("the example is good");
    let given = tidegate_service::parse::<Settings>(Path::new("agent.toml"), GOOD).expect("it parses");
    let default = Config::validate(Path::new("agent.toml"), given).expect("it is good");
    assert_eq!(format!("{:?}", shown.queue), format!("{:?}", default.queue));
    assert_eq!(format!("{:?}", shown.limits), format!("{:?}", default.limits));
    assert_eq!(format!("{:?}", shown.link), format!("{:?}", default.link));
    assert_eq!(shown.status_listen, default.status_listen);
}
