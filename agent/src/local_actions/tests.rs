//! The thread with its file and outputs; the tests wait for what it does, and for nothing else.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use serde_json::Value;
use tidegate_alarms::{Glob, Priority, Revision, RuleId};
use tidegate_protocol::{ChannelName, DeviceId, GatewayId, SiteId, topic::GatewayPath};

use super::{Line, LocalActions, Output, OutputRule, state_file::MAX_LISTED};
use crate::{
    clock::ShellClock,
    core::{AlarmKey, LocalAlarm},
    settings::FailSafe,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Says what it was set to, or that it refused.
struct Fake {
    said: Sender<Result<bool, ()>>,
    broken: Arc<AtomicBool>,
}

impl Output for Fake {
    fn set(&mut self, on: bool) -> io::Result<()> {
        let broken = self.broken.load(Ordering::SeqCst);
        let _nobody_listens = self.said.send(if broken { Err(()) } else { Ok(on) });
        if broken { Err(io::Error::other("the chip is gone")) } else { Ok(()) }
    }
}

struct Lamp {
    said: Receiver<Result<bool, ()>>,
    broken: Arc<AtomicBool>,
}

impl Lamp {
    fn next(&self) -> Result<bool, ()> {
        self.said.recv_timeout(PATIENCE).expect("the output is set")
    }
}

fn lamp(rule: OutputRule) -> ((OutputRule, Box<dyn Output>), Lamp) {
    let (sender, said) = channel();
    let broken = Arc::new(AtomicBool::new(false));
    let fake = Fake { said: sender, broken: broken.clone() };
    ((rule, Box::new(fake)), Lamp { said, broken })
}

fn rule(min_priority: Priority, device: &str, fail_safe: FailSafe) -> OutputRule {
    let all = || Glob::new("*");
    let line = Line { chip: "/dev/gpiochip0".into(), offset: 17, active_low: false };
    let device = Glob::new(device);
    OutputRule { line, min_priority, device, channel: all(), tag: all(), rule: all(), fail_safe }
}

fn path() -> GatewayPath {
    GatewayPath::new(SiteId::new("plant").unwrap(), GatewayId::new("gw-a").unwrap())
}

fn start(file: Option<&Path>, outputs: Vec<(OutputRule, Box<dyn Output>)>) -> LocalActions {
    LocalActions::with_outputs(file.map(Path::to_owned), outputs, path(), ShellClock::start())
}

fn key(device: &str) -> AlarmKey {
    let channel = ChannelName::new("temperature").unwrap();
    AlarmKey { device: DeviceId::new(device).unwrap(), channel, rule: RuleId::new("hot") }
}

fn alarm(priority: Priority, value: f64) -> LocalAlarm {
    LocalAlarm {
        tag: "TT-1".into(),
        revision: Revision(0xab),
        priority,
        since_unix_ms: 1_800_000_000_000,
        value,
        peak: value + 1.0,
        message: "it is hot \"here\"".repeat(20),
    }
}

fn read(file: &Path) -> Option<Value> {
    let text = std::fs::read(file).ok()?;
    Some(serde_json::from_slice(&text).expect("a whole state, never half of one"))
}

fn until(file: &Path, wanted: impl Fn(&Value) -> bool) -> Value {
    let since = std::time::Instant::now();
    loop {
        let state = read(file);
        match state {
            Some(state) if wanted(&state) => return state,
            state => assert!(since.elapsed() < PATIENCE, "{state:?}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn the_file_says_what_is_active_from_the_start_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run/alarms.json");
    let actions = start(Some(&file), Vec::new());
    let first = until(&file, |_| true);
    assert_eq!(
        (&first["version"], &first["gateway"], &first["running"]),
        (&1.into(), &"gw-a".into(), &true.into())
    );
    assert_eq!((&first["alarms"], &first["highest_priority"]), (&serde_json::json!([]), &Value::Null));
    let since_start: jiff::Timestamp = first["since_start"].as_str().unwrap().parse().unwrap();
    assert!(since_start.as_millisecond() <= first["written_unix_ms"].as_i64().unwrap());
    actions.changed(key("a"), Some(alarm(Priority::Low, 1.0)));
    actions.changed(key("b"), Some(alarm(Priority::High, f64::INFINITY)));
    let both = until(&file, |state| state["active"] == 2);
    assert_eq!(both["highest_priority"], "high");
    let expected = serde_json::json!({
        "device": "b", "channel": "temperature", "rule": "hot", "revision": "00000000000000ab", "priority": "high",
        "since": "2027-01-15T08:00:00Z", "value": null, "peak": null, "message": "it is hot \"here\"".repeat(20),
    });
    assert_eq!(both["alarms"][0], expected, "the most urgent first");
    actions.changed(key("a"), Some(alarm(Priority::Low, 2.0)));
    until(&file, |state| state["alarms"][1]["value"] == 2.0);
    actions.changed(key("b"), None);
    assert_eq!(until(&file, |state| state["active"] == 1)["highest_priority"], "low");
    actions.stop();
    assert_eq!(read(&file).unwrap()["running"], false);
    let left: Vec<_> = std::fs::read_dir(file.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_reader_never_sees_half_a_file_and_its_size_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alarms.json");
    let actions = start(Some(&file), Vec::new());
    until(&file, |_| true);
    let ending = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (file, ending) = (file.clone(), ending.clone());
        move || {
            let mut seen = std::collections::BTreeSet::new();
            while !ending.load(Ordering::SeqCst) {
                let state = read(&file).expect("it is always there");
                let (active, listed) =
                    (state["active"].as_u64().unwrap(), state["alarms"].as_array().unwrap().len());
                assert_eq!(active, listed as u64 + state["not_listed"].as_u64().unwrap());
                assert!(listed <= MAX_LISTED);
                seen.insert(active);
            }
            seen.len()
        }
    });
    for round in 1..=6 {
        (0..100 * round)
            .for_each(|at| actions.changed(key(&format!("d-{at}")), Some(alarm(Priority::Medium, 1.0))));
        until(&file, |state| state["active"] == 100 * round);
    }
    ending.store(true, Ordering::SeqCst);
    assert!(reader.join().expect("no half file") > 1);
    let last = read(&file).unwrap();
    assert_eq!((last["alarms"].as_array().unwrap().len(), &last["not_listed"]), (MAX_LISTED, &344.into()));
    actions.stop();
}

#[test]
fn a_file_that_cannot_be_written_is_tried_again_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("run");
    std::fs::write(&blocked, "no folder").unwrap();
    let file = blocked.join("alarms.json");
    let actions = start(Some(&file), Vec::new());
    let since = std::time::Instant::now();
    while actions.errors().of_file() == 0 {
        assert!(since.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    std::fs::remove_file(&blocked).unwrap();
    until(&file, |state| state["active"] == 0);
    actions.stop();
}

#[test]
fn an_output_is_on_while_an_alarm_that_it_selects_is_active_and_ends_in_its_fail_safe_state() {
    let (high, high_lamp) = lamp(rule(Priority::High, "*", FailSafe::On));
    let (boilers, boiler_lamp) = lamp(rule(Priority::Low, "boiler-*", FailSafe::Off));
    let actions = start(None, vec![high, boilers]);
    assert_eq!((high_lamp.next(), boiler_lamp.next()), (Ok(false), Ok(false)), "nothing is active yet");
    actions.changed(key("boiler-7"), Some(alarm(Priority::Medium, 1.0)));
    assert_eq!(boiler_lamp.next(), Ok(true));
    actions.changed(key("pump"), Some(alarm(Priority::Critical, 1.0)));
    assert_eq!(high_lamp.next(), Ok(true), "and the first alarm did not set it");
    actions.changed(key("pump"), None);
    assert_eq!(high_lamp.next(), Ok(false));
    actions.stop();
    assert_eq!((high_lamp.next(), boiler_lamp.next()), (Ok(true), Ok(false)));
    assert!(
        high_lamp.said.try_recv().is_err() && boiler_lamp.said.try_recv().is_err(),
        "set when it changes only"
    );
}

#[test]
fn an_output_that_fails_is_counted_and_tried_again_and_holds_nothing_else_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alarms.json");
    let (broken, broken_lamp) = lamp(rule(Priority::Low, "*", FailSafe::Off));
    let (good, good_lamp) = lamp(rule(Priority::Low, "*", FailSafe::Off));
    broken_lamp.broken.store(true, Ordering::SeqCst);
    let actions = start(Some(&file), vec![broken, good]);
    assert_eq!((broken_lamp.next(), good_lamp.next()), (Err(()), Ok(false)));
    actions.changed(key("a"), Some(alarm(Priority::Low, 1.0)));
    assert_eq!(good_lamp.next(), Ok(true));
    until(&file, |state| state["active"] == 1);
    assert_eq!(broken_lamp.next(), Err(()), "tried again, and it is still broken");
    broken_lamp.broken.store(false, Ordering::SeqCst);
    while broken_lamp.next() != Ok(true) {}
    assert!(actions.errors().of_outputs() >= 2);
    // Dropped, as when the agent's core ends unexpectedly.
    drop(actions);
    assert_eq!((broken_lamp.next(), good_lamp.next()), (Ok(false), Ok(false)));
}
