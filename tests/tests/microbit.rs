//! The wire has met silicon: the micro:bit's image runs in QEMU, its serial line joined to a real agent's board link,
//! and what it measures arrives in a real ingest. `cargo xtask test` builds the image and says where it is.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tidegate_tests::{
    api::{Api, number},
    chain::Chain,
};

const ELF: &str = "TIDEGATE_TEST_MICROBIT_ELF";
const QEMU: &str = "TIDEGATE_TEST_QEMU";
/// Of the counter channel, which is sampled ten times a second.
const COUNTED: usize = 40;
/// What the image samples at its start, in the order of its channels: the counter's reading and the other three's.
const CHANNELS: [&str; 4] = ["counter", "uptime", "die_temperature", "button_a"];

/// A micro:bit whose serial line is a TCP connection to `link`. Dropping it pulls its plug.
struct Microbit(Child);

impl Microbit {
    fn start(link: SocketAddr) -> Self {
        let (elf, qemu) = (required(ELF), required(QEMU));
        assert!(
            elf.exists(),
            "{ELF} names {}, which does not exist: run `cargo xtask firmware`",
            elf.display()
        );
        let mut command = Command::new(&qemu);
        command.args(["-M", "microbit", "-display", "none", "-monitor", "none", "-serial"]);
        command.arg(format!("tcp:{link},nodelay")).arg("-kernel").arg(&elf).stdin(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{QEMU} names {}: {error}", qemu.display())))
    }
}

impl Drop for Microbit {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to end.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn required(variable: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(path) => path.into(),
        None => panic!(
            "{variable} is not set: run this test by `cargo xtask test`, which builds the image and sets it"
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emulated_board_is_heard_whole_and_its_plug_may_be_pulled() {
    let mut chain = Chain::new("");
    chain.start();
    let (api, agent) = (chain.api(), chain.agent_status());

    let microbit = Microbit::start(chain.board_link());
    let first = counted(&api, None).await;
    check_run(&api, &first).await;
    check_acknowledged(&agent, &first).await;
    drop(microbit);

    let _microbit = Microbit::start(chain.board_link());
    let second = counted(&api, Some(&first)).await;
    check_run(&api, &second).await;
    assert_ne!(first, second, "a boot id was used twice");

    let audit = api.get("/api/v1/audit?device=microbit").await;
    let origins = audit["origins"].as_array().expect("origins");
    assert_eq!(origins.len(), 2, "{audit}");
    assert_eq!(number(&audit, "/totals/conflicts"), 0, "{audit}");
    let before = origins.iter().find(|origin| origin["boot"] == first.as_str()).expect("the first boot");
    // Its plug was pulled: nobody can know how much more it measured.
    assert_eq!((&before["closed"], &before["measured"]["exact"]), (&true.into(), &false.into()), "{audit}");
}

/// Waits until a boot other than `before` has so many counter readings stored; returns the boot.
async fn counted(api: &Api, before: Option<&str>) -> String {
    let path = "/api/v1/readings?device=microbit&channel=counter&limit=10000";
    let boots = |answer: &Value| {
        let mut boots = BTreeMap::<String, usize>::new();
        for reading in answer["readings"].as_array().into_iter().flatten() {
            *boots.entry(text(&reading["boot"])).or_default() += 1;
        }
        let other = |boot: &String| before.is_none_or(|before| before != boot);
        boots.into_iter().find(|(boot, count)| other(boot) && *count >= COUNTED).map(|(boot, _)| boot)
    };
    let answer = api.get_when("the micro:bit's counter", path, |answer| boots(answer).is_some()).await;
    boots(&answer).expect("found just now")
}

/// Holds every stored reading of a boot against what the image measures by its source.
async fn check_run(api: &Api, boot: &str) {
    let answer = api.get(&format!("/api/v1/readings?device=microbit&boot={boot}&limit=10000")).await;
    let readings = answer["readings"].as_array().expect("readings");
    let mut counter = 0;
    let mut last_tick = 0;
    for (seq, reading) in readings.iter().enumerate() {
        assert_eq!(number(reading, "/seq"), seq as u64, "a hole or a double: {reading}");
        let tick = number(reading, "/tick_ms");
        assert!(tick >= last_tick, "{reading}");
        last_tick = tick;
        if let Some(channel) = CHANNELS.get(seq) {
            assert_eq!(reading["channel"], *channel, "all four are sampled at once at the start");
        }
        let value = &reading["value"];
        match reading["channel"].as_str() {
            Some("counter") => {
                assert_eq!((value.as_f64(), &reading["quality"]), (Some(f64::from(counter)), &"good".into()));
                counter += 1;
            }
            Some("uptime") => {
                // Read from the same clock as its tick, a moment later.
                let uptime_ms = value.as_f64().expect("a number") * 1_000.0;
                assert!(uptime_ms + 0.5 >= tick as f64, "{reading}");
            }
            // QEMU's micro:bit has no thermometer.
            Some("die_temperature") => {
                assert_eq!((value.as_f64(), &reading["quality"]), (Some(0.0), &"bad".into()))
            }
            // QEMU's pins are low, and the button is low when pressed.
            Some("button_a") => assert_eq!((value, &reading["quality"]), (&true.into(), &"good".into())),
            _ => panic!("a channel that the image does not declare: {reading}"),
        }
    }
    assert!(counter as usize >= COUNTED);
}

/// The board hears that its readings are safe: the floor it reports moves on.
async fn check_acknowledged(agent: &Api, boot: &str) {
    let floor = |status: &Value| {
        let devices = status["devices"].as_array()?;
        let device = devices.iter().find(|device| device["boot"] == boot)?;
        device["floor"].as_u64()
    };
    agent.get_when("the micro:bit's floor", "/status", |status| floor(status) >= Some(COUNTED as u64)).await;
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
