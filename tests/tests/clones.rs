//! One image that runs twice, and a gateway whose disk is set back: through a real broker, as processes. What anybody measured
//! is stored as it measured it, or lies in quarantine; and it is said.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value as Json, json};
use tidegate_protocol::{BootId, DeviceId, Reading};
use tidegate_service::Shutdown;
use tidegate_simulator::{
    BoardHandle, BoardPlan, Proxy, Script, Shape, VirtualBoard,
    board::BoardStatus,
    plan::{BootPlan, channel},
};
use tidegate_tests::{
    api::{Api, number},
    chain::{Chain, Part, copy_all},
    eventually::{PATIENCE, eventually},
    measured::RULES,
    tidegate::tidegate,
};

const DEVICE: &str = "board-1";
const BOOT: BootId = BootId(0x60_1d);
const PERIOD_MS: u32 = 10;

/// What one board measured, by seq: the bits of its values.
type Measured = Arc<Mutex<Vec<u64>>>;

/// A board of the one image: every copy says that it is the same device in the same boot.
fn board(seed: u64, link: SocketAddr) -> (BoardHandle, Measured) {
    let measured = Measured::default();
    let shape = Shape::Wave { mean: 50.0, swing: 5.0, period_s: 3.0, wander: 0.0, noise: 1.0 };
    let kind = tidegate_protocol::ValueKind::F64;
    let plan = tidegate_simulator::ChannelPlan {
        period_ms: PERIOD_MS,
        ..channel("temperature", "Cel", kind, 0, shape).expect("a channel")
    };
    let script = Script::Signals { channels: vec![plan], seed };
    let mut plan = BoardPlan::new(DeviceId::new(DEVICE).expect("a slug"), script);
    plan.ring_bytes = 16 << 20;
    plan.boot = BootPlan::Fixed(BOOT);
    let seen = Arc::clone(&measured);
    plan.observer = Some(Arc::new(move |_, reading: &Reading| {
        let mut seen = seen.lock().expect("no observer panics");
        assert_eq!(reading.seq.0, seen.len() as u64);
        seen.push(reading.value.as_f64().to_bits());
    }));
    (VirtualBoard::spawn(plan, link, Shutdown::new()).expect("a board"), measured)
}

async fn finish(board: BoardHandle) -> BoardStatus {
    let finished = tokio::time::timeout(PATIENCE, board.finish()).await;
    finished.expect("a gateway takes what a board holds")
}

/// Seqs and values of the boot that all copies say.
async fn stored(api: &Api) -> Vec<(u64, u64)> {
    let boot = BOOT.to_string();
    stored_by_boot(api).await.into_iter().filter(|(of, _)| *of == boot).map(|(_, reading)| reading).collect()
}

/// Boots, seqs and values, page by page.
async fn stored_by_boot(api: &Api) -> Vec<(String, (u64, u64))> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/api/v1/readings?device={DEVICE}&limit=1000{cursor}")).await;
        let readings = page["readings"].as_array().expect("readings");
        let boot = |reading: &Json| reading["boot"].as_str().expect("a boot").to_owned();
        all.extend(readings.iter().map(|of| (boot(of), reading(of))));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn reading(reading: &Json) -> (u64, u64) {
    (reading["seq"].as_u64().expect("a seq"), reading["value"].as_f64().expect("a value").to_bits())
}

/// All that is in quarantine of a second content.
async fn quarantined(api: &Api) -> Vec<(u64, u64)> {
    let list = api.get("/api/v1/quarantine?reason=boot-conflict&limit=200").await;
    assert_eq!(list["next"], Json::Null, "one page holds it");
    let mut all = Vec::new();
    for block in list["blocks"].as_array().expect("blocks") {
        let detail = api.get(&format!("/api/v1/quarantine/{}", block["number"])).await;
        all.extend(detail["content"].as_array().expect("readings").iter().map(reading));
    }
    all
}

async fn raised(api: &Api, rule: &str) -> Json {
    let path = format!("/api/v1/alarms?rule={rule}");
    let is_there = |alarms: &Json| alarms["alarms"].as_array().is_some_and(|alarms| !alarms.is_empty());
    api.get_when(&format!("the alarm {rule}"), &path, is_there).await["alarms"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_image_that_runs_twice_is_named_and_what_it_says_twice_is_kept_apart() {
    let mut chain = Chain::new(RULES);
    chain.start();
    let is_up = |status: &Json| status["uplink_up"] == true;
    chain.agent_status().get_when("the image has been in service", "/status", is_up).await;
    assert!(chain.agent.terminate().success());
    let mut clone = chain.start_clone_of_agent();
    chain.agent.start();
    let (first, first_measured) = board(1, chain.board_link());
    let (second, second_measured) = board(2, clone.address("board_link"));
    let api = chain.api();

    // Both go on until it is noticed, each time the one that the broker has just let in.
    let cloned = raised(&api, "gateway-cloned").await;
    assert_eq!((&cloned[0]["site"], &cloned[0]["device"]), (&"plant".into(), &"gw-a".into()), "{cloned}");
    let conflict = raised(&api, "identity-conflict").await;
    assert_eq!((&conflict[0]["device"], &conflict[0]["channel"]), (&DEVICE.into(), &"identity".into()));
    assert_eq!((cloned.as_array().map(Vec::len), conflict.as_array().map(Vec::len)), (Some(1), Some(1)));
    let audit = api.get("/api/v1/audit").await;
    let raised_unix_ms = &cloned[0]["raised"]["time_unix_ms"];
    assert_eq!(
        audit["cloned"],
        json!([{ "site": "plant", "gateway": "gw-a", "raised_unix_ms": raised_unix_ms, "goes_on": true }])
    );

    let (first, second) = (finish(first).await, finish(second).await);
    for status in [&first, &second] {
        assert_eq!((status.acknowledged, status.lost), (status.measured, 0), "{status:?}");
    }
    let (first, second) =
        (first_measured.lock().expect("done").clone(), second_measured.lock().expect("done").clone());
    assert!(first.iter().zip(&second).all(|(a, b)| a != b), "they measure different things");
    let accounted = async || {
        let (stored, kept) = (stored(&api).await, quarantined(&api).await);
        for (name, measured) in [("the first", &first), ("the second", &second)] {
            for (seq, value) in (0_u64..).zip(measured.iter()) {
                if !stored.contains(&(seq, *value)) && !kept.contains(&(seq, *value)) {
                    return Err(format!("{seq} of {name}: {} stored, {} kept", stored.len(), kept.len()));
                }
            }
        }
        Ok((stored, kept))
    };
    let (stored, kept) = eventually("every reading stored or in quarantine", accounted).await;
    let mut seqs: Vec<u64> = stored.iter().map(|(seq, _)| *seq).collect();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), stored.len(), "each seq once");
    for (seq, value) in &stored {
        let of = |measured: &[u64]| measured.get(*seq as usize) == Some(value);
        assert!(of(&first) || of(&second), "{seq}: nobody measured that");
    }
    assert!(!kept.is_empty());

    let audit = api.get("/api/v1/audit").await;
    assert!(number(&audit, "/totals/conflicts") > 0 && audit["complete"] == false, "{audit}");
    assert!(number(&audit, "/quarantine/blocks") > 0, "{audit}");
    let run = |arguments: &[&str]| tidegate(&api.url(), arguments).output().expect("tidegate runs");
    let said = run(&["audit"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        !said.status.success() && text.contains("conflict:") && text.contains("quarantine list"),
        "{text}"
    );
    assert!(text.contains("may be of either"), "{text}");
    let said = run(&["quarantine", "list", "--json"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let line: Json = text.lines().next().and_then(|line| serde_json::from_str(line).ok()).expect("a block");
    assert_eq!((&line["reason"], &line["gateway"]), (&"boot-conflict".into(), &"gw-a".into()), "{line}");
    let said = run(&["quarantine", "show", &line["number"].to_string()]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(text.contains(DEVICE) && text.contains("boot-conflict"), "{text}");
    stop(clone.terminate().success(), &mut chain.agent);
}

fn stop(ended: bool, agent: &mut Part) {
    assert!(ended && agent.terminate().success(), "both end cleanly");
}

/// The second was away while the first was heard, and holds more.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_board_of_one_image_behind_one_gateway_loses_nothing() {
    let mut chain = Chain::new(RULES);
    chain.start();
    let cable = Proxy::start(chain.board_link()).await.expect("a free port");
    let other_cable = Proxy::start(chain.board_link()).await.expect("a free port");
    other_cable.cut();
    let (second, second_measured) = board(2, other_cable.addr());
    let (first, first_measured) = board(1, cable.addr());
    let heard = first.wait_until(|status| status.acknowledged > 100);
    tokio::time::timeout(PATIENCE, heard).await.expect("it flows");
    cable.cut();
    let heard = first.status().measured;
    let holds_more = second.wait_until(|status| status.measured > 2 * heard);
    tokio::time::timeout(PATIENCE, holds_more).await.expect("it measures");
    other_cable.restore();
    let flows = second.wait_until(|status| status.acknowledged > heard);
    tokio::time::timeout(PATIENCE, flows).await.expect("it is taken");
    cable.restore();
    let (first, second) = (finish(first).await, finish(second).await);
    for status in [&first, &second] {
        assert_eq!((status.acknowledged, status.lost), (status.measured, 0), "{status:?}");
    }
    let first = first_measured.lock().expect("done").clone();
    let second = second_measured.lock().expect("done").clone();
    let api = chain.api();
    let accounted = async || {
        let stored = stored_by_boot(&api).await;
        let has = |value: &u64| stored.iter().any(|(_, (_, of))| of == value);
        let missing = first.iter().chain(&second).filter(|value| !has(value)).count();
        if missing == 0 { Ok(stored) } else { Err(format!("{missing} are not there")) }
    };
    let stored = eventually("every reading of both stored", accounted).await;
    for (boot, (seq, value)) in stored {
        let is_first = first.get(seq as usize) == Some(&value);
        assert_eq!(is_first, boot == BOOT.to_string(), "{seq} of {boot}: one boot for each");
    }
    let status = chain.agent_status().get("/status").await;
    assert!(number(&status, "/counters/hellos_gone_back") > 0, "{status}");
    assert!(chain.agent.terminate().success());
}

/// The gateway's disk goes back to what it was; boards go on where they are. What the newer disk had and the cloud did not is
/// the only thing that can be missing, and here the cloud had it all. That it happened is told all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_set_back_is_named_and_loses_nothing_that_was_delivered() {
    let mut chain = Chain::new(RULES);
    chain.start();
    let (board, measured) = board(1, chain.board_link());
    let until = board.wait_until(|status| status.acknowledged > 100);
    tokio::time::timeout(PATIENCE, until).await.expect("it flows");
    assert!(chain.agent.terminate().success());
    let old = chain.folder().join("old");
    copy_all(&chain.agent_data(), &old).expect("a copy");
    chain.agent.start();
    let seen = board.status().acknowledged;
    let until = board.wait_until(|status| status.acknowledged > seen + 200);
    tokio::time::timeout(PATIENCE, until).await.expect("it flows");
    let api = chain.api();
    let alarms = api.get("/api/v1/alarms?kind=system").await;
    assert_eq!(
        alarms["alarms"].as_array().map(Vec::len),
        Some(0),
        "to be started again is no alarm: {alarms}"
    );
    assert!(chain.agent.terminate().success());
    std::fs::remove_dir_all(chain.agent_data()).expect("removed");
    copy_all(&old, &chain.agent_data()).expect("set back");
    chain.agent.start();
    let seen = board.status().acknowledged;
    let until = board.wait_until(|status| status.acknowledged > seen + 100);
    tokio::time::timeout(Duration::from_secs(60), until).await.expect("it flows after it was set back");
    let last = finish(board).await;
    assert_eq!((last.acknowledged, last.lost), (last.measured, 0), "{last:?}");
    let count = last.measured;
    let all = |audit: &Json| number(audit, "/totals/stored") >= count;
    let audit = api.get_when("every reading stored", "/api/v1/audit", all).await;
    assert_eq!((number(&audit, "/totals/conflicts"), number(&audit, "/totals/lost")), (0, 0), "{audit}");
    let measured = measured.lock().expect("done").clone();
    let mut stored = stored(&api).await;
    stored.sort_unstable();
    let expected: Vec<(u64, u64)> = (0..).zip(measured).collect();
    assert_eq!(stored, expected, "as measured, once");
    let told = raised(&api, "gateway-set-back").await;
    assert_eq!((&told[0]["site"], &told[0]["device"]), (&"plant".into(), &"gw-a".into()), "{told}");
    let alarms = api.get("/api/v1/alarms?kind=system").await;
    assert_eq!(alarms["alarms"].as_array().map(Vec::len), Some(1), "nothing else is wrong: {alarms}");
    let set_back = &api.get("/api/v1/audit").await["set_back"];
    assert_eq!((&set_back[0]["gateway"], &set_back[0]["times"]), (&"gw-a".into(), &1.into()), "{set_back}");
    assert!(number(set_back, "/0/had_commits") >= number(set_back, "/0/has_commits"), "{set_back}");
    let said = tidegate(&api.url(), &["audit"]).output().expect("tidegate runs");
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(text.contains("gateway plant/gw-a was set back once"), "{text}");
}
