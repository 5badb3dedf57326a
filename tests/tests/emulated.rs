//! The wire has met silicon: boards' images run in QEMU, their serial lines joined to a real agent's board link, and what they
//! measure arrives in a real ingest, whatever happens on the way.

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::Value;
use tidegate_tests::{
    api::{Api, number},
    chain::Chain,
    devices::{devices, give_key, held},
    emulated::Emulated,
    eventually::eventually,
    tee::Tee,
    tidegate::{Following, tidegate},
};

/// Of the counter channel, which is sampled ten times a second.
const COUNTED: usize = 40;

/// What an image samples at its start, in the order of its channels.
fn channels(board: &str) -> &'static [&'static str] {
    match board {
        "microbit" => &["counter", "uptime", "die_temperature", "button_a"],
        _ => &["counter", "uptime", "ramp"],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cortex_m0_is_heard_whole_and_its_plug_may_be_pulled() {
    is_heard_whole_and_its_plug_may_be_pulled("microbit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cortex_m3_is_heard_whole_and_its_plug_may_be_pulled() {
    is_heard_whole_and_its_plug_may_be_pulled("lm3s6965evb").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cortex_m4f_is_heard_whole_and_its_plug_may_be_pulled() {
    is_heard_whole_and_its_plug_may_be_pulled("mps2-an386").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_stm32f4_is_heard_whole_and_its_plug_may_be_pulled() {
    is_heard_whole_and_its_plug_may_be_pulled("netduinoplus2").await;
}

/// A gateway that has another key says nothing that the board believes, and hears nothing of it. The board measures on; under its own key
/// all of that is then heard, and in clear nothing would be.
#[tokio::test(flavor = "multi_thread")]
async fn a_cortex_m0_with_a_key_measures_unheard_until_a_gateway_has_the_same() {
    const KEY: &[u8; 16] = b"no secret at all";
    const OTHER_KEY: &str = "00112233445566778899aabbccddeeff";
    /// Its third Call: the second is 1 s behind the first, and the third 2 s behind that.
    const THIRD_CALL_MS: u64 = 3_000;
    let board = "microbit";
    let mut chain = Chain::new("");
    chain.start();
    give_key(&chain, board, OTHER_KEY, &[]);
    let _running = Emulated::start_keyed(board, chain.board_link());
    held(&chain, board, "key-unproved").await;
    let (api, agent) = (chain.api(), chain.agent_status());
    // Its first Call is answered, the others show that the answer was not believed.
    let asked_on = |status: &Value| status["pending"][0]["asked"].as_u64() >= Some(2);
    let status = agent.get_when("a board that goes on asking", "/status", asked_on).await;
    assert_eq!(status["devices"], Value::Array(Vec::new()), "it was never welcomed");
    assert!(is_unheard(&api, board).await, "nothing of it was taken");

    let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    give_key(&chain, board, &key, &["--replace"]);
    let boot = counted(&api, board, None, COUNTED).await;
    check_run(&api, board, &boot, COUNTED).await;
    check_acknowledged(&agent, &boot).await;
    let path = format!("/api/v1/readings?device={board}&channel=counter&limit=10000");
    let answer = api.get(&path).await;
    let ticks = answer["readings"].as_array().expect("readings").iter();
    let unheard = ticks.filter(|reading| number(reading, "/tick_ms") < THIRD_CALL_MS).count();
    assert!(unheard > 1, "measured while nobody listened: {unheard}");
    // A device that has a key is taken under it alone.
    let listed: Value = serde_json::from_str(&devices(&chain.agent, &["list", "--json"])).expect("JSON");
    assert_eq!((&listed[0]["device"], &listed[0]["has_key"]), (&board.into(), &true.into()), "{listed}");
    assert_eq!(agent.get("/status").await["pending"], Value::Array(Vec::new()));
}

async fn is_unheard(api: &Api, board: &str) -> bool {
    let answer = api.try_get(&format!("/api/v1/readings?device={board}&channel=counter&limit=1")).await;
    answer.is_ok_and(|answer| answer["readings"].as_array().is_none_or(Vec::is_empty))
}

async fn is_heard_whole_and_its_plug_may_be_pulled(board: &str) {
    let mut chain = Chain::new("");
    chain.start();
    let (api, agent) = (chain.api(), chain.agent_status());

    let running = Emulated::start(board, chain.board_link());
    let first = counted(&api, board, None, COUNTED).await;
    check_run(&api, board, &first, COUNTED).await;
    check_acknowledged(&agent, &first).await;
    drop(running);

    let _running = Emulated::start(board, chain.board_link());
    let second = counted(&api, board, Some(&first), COUNTED).await;
    check_run(&api, board, &second, COUNTED).await;
    assert_ne!(first, second, "a boot id was used twice");

    let audit = api.get(&format!("/api/v1/audit?device={board}")).await;
    let origins = audit["origins"].as_array().expect("origins");
    assert_eq!(origins.len(), 2, "{audit}");
    assert_eq!(number(&audit, "/totals/conflicts"), 0, "{audit}");
    let before = origins.iter().find(|origin| origin["boot"] == first.as_str()).expect("the first boot");
    // Its plug was pulled: nobody can know how much more it measured.
    assert_eq!((&before["closed"], &before["measured"]["exact"]), (&true.into(), &false.into()), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_of_an_emulated_board_reaches_whoever_watches() {
    const RULES: &str = r#"
        [[rule]]
        id = "counted-far"
        select = { channel = "counter" }
        above = 20.5
        "#;
    let mut chain = Chain::new(RULES);
    chain.start();
    let mut watch = Following::start(tidegate(&chain.api().url(), &["watch", "--committed", "--json"]));
    let _running = Emulated::start("microbit", chain.board_link());
    let event = tokio::task::spawn_blocking(move || watch.next_line()).await.expect("an event");
    assert_eq!((&event["device"], &event["rule"]), (&"microbit".into(), &"counted-far".into()), "{event}");
    assert_eq!((&event["transition"], event["value"].as_f64()), (&"raise".into(), Some(21.0)), "{event}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_noisy_line_costs_an_emulated_board_repetitions_and_no_reading() {
    let mut chain = Chain::new("");
    chain.start();
    let mut line = Tee::start(&[chain.board_link()], 401).await.expect("a tee");
    let _running = Emulated::start("netduinoplus2", line.addr());
    let boot = counted(&chain.api(), "netduinoplus2", None, COUNTED).await;
    check_run(&chain.api(), "netduinoplus2", &boot, COUNTED).await;
    line.hear_until("frames that the board could not read", |heard| heard.bad_frames > 0).await;
}

/// The one has room for minutes, the other for seconds.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_agent_is_dead_a_ring_holds_or_runs_over_and_says_so() {
    let (large, small) = ("mps2-an386", "lm3s6965evb");
    let mut chain = Chain::new("");
    chain.start();
    let api = chain.api();
    let mut line = Tee::start(&[chain.board_link()], 401).await.expect("a tee");
    let _running = (Emulated::start(large, chain.board_link()), Emulated::start(small, line.addr()));
    let held = counted(&api, large, None, COUNTED / 2).await;
    let ran_over = counted(&api, small, None, COUNTED / 2).await;
    chain.agent.kill();
    let overflow = line.hear_until("a ring that runs over", |heard| heard.lost > 0).await;
    chain.agent.start();

    // All that it had measured by then is where it is. What it measures now is damaged as it goes, some of it at any moment.
    let all_accounted = |audit: &Value| {
        let origin = &audit["origins"][0];
        let holes = origin["outstanding_ranges"].as_array();
        origin["lost"]["ring-overflow"].as_u64() > Some(0)
            && origin["measured"]["count"].as_u64() > Some(overflow.next)
            && holes.is_some_and(|holes| holes.iter().all(|hole| hole[0].as_u64() >= Some(overflow.next)))
    };
    let path = format!("/api/v1/audit?device={small}");
    let audit = api.get_when("what the ring gave up", &path, all_accounted).await;
    assert_eq!(audit["origins"].as_array().map(Vec::len), Some(1), "{audit}");
    assert_eq!(audit["origins"][0]["boot"], ran_over.as_str(), "the board went on in its boot");
    let enough = COUNTED + overflow.next as usize / 2;
    assert_eq!(counted(&api, large, None, enough).await, held);
    check_run(&api, large, &held, enough).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emulated_board_that_two_gateways_share_is_stored_once_whichever_of_them_dies() {
    let board = "microbit";
    let mut chain = Chain::new("");
    chain.start();
    let mut other = chain.start_other_agent();
    let links: [SocketAddr; 2] = [chain.board_link(), other.address("board_link")];
    let mut line = Tee::start(&links, 0).await.expect("a tee");
    let api = chain.api();
    let _running = Emulated::start(board, line.addr());
    let boot = counted(&api, board, None, COUNTED).await;
    chain.agent.kill();
    counted(&api, board, None, 2 * COUNTED).await;
    chain.agent.start();
    other.kill();
    assert_eq!(counted(&api, board, None, 3 * COUNTED).await, boot);
    check_run(&api, board, &boot, 3 * COUNTED).await;
    let audit = api.get(&format!("/api/v1/audit?device={board}")).await;
    let origins = audit["origins"].as_array().expect("origins");
    assert_eq!((origins.len(), number(&audit, "/totals/conflicts")), (1, 0), "{audit}");
    assert!(number(&audit, "/totals/duplicates") > 0, "both brought it: {audit}");
    line.hear_until("nothing lost", |heard| heard.lost == 0).await;
}

/// The counter is made slower and the ramp reports only steps of one; a period that the board cannot keep is refused. A new boot is
/// told again, by an agent that was killed, while there is no cloud.
#[tokio::test(flavor = "multi_thread")]
async fn settings_go_down_to_an_emulated_board_and_take_effect_in_its_next_boot_too() {
    let board = "lm3s6965evb";
    let mut chain = Chain::new("");
    chain.start();
    let api = chain.api();
    let running = Emulated::start(board, chain.board_link());
    let first = counted(&api, board, None, COUNTED / 4).await;

    let set = |channel: &str, more: &[&str]| {
        let asked = [&["settings", "set", board, channel, "--wait", "--json"], more].concat();
        let done = tidegate(&api.url(), &asked).output().expect("tidegate starts");
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        let shown: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"));
        (done.status.code(), shown)
    };
    let (code, slower) = set("counter", &["--period", "300ms"]);
    assert_eq!((code, &slower["state"], &slower["revision"]), (Some(0), &"applied".into(), &1.into()));
    assert_eq!(slower["reported"]["gateway"], tidegate_tests::chain::GATEWAY, "{slower}");
    let (code, steps) = set("ramp", &["--period", "100ms", "--report-deadband", "1"]);
    assert_eq!((code, &steps["state"]), (Some(0), &"applied".into()), "{steps}");
    let (code, refused) = set("uptime", &["--period", "1ms"]);
    assert_eq!(
        (code, &refused["state"], &refused["code"]),
        (Some(1), &"rejected".into(), &"bad-period".into())
    );
    await_new_pace(&api, board, &first).await;
    check_ticks("uptime goes on as it did", &last(&api, board, "uptime", &first).await, 500);

    chain.ingest.kill();
    chain.agent.kill();
    drop(running);
    chain.agent.start();
    let _running = Emulated::start(board, chain.board_link());
    // So many readings were measured while there was no cloud.
    let measured = |status: &Value| {
        let mut devices = status["devices"].as_array().into_iter().flatten();
        let new = devices.find(|device| device["boot"] != first.as_str())?;
        new["next"].as_u64().filter(|next| *next > 30)
    };
    let status =
        chain.agent_status().get_when("a new boot", "/status", |status| measured(status).is_some()).await;
    let alone = measured(&status).expect("found just now");
    chain.ingest.start();
    let api = chain.api();
    let second = counted(&api, board, Some(&first), COUNTED / 4).await;
    await_new_pace(&api, board, &second).await;
    let answer =
        api.get(&format!("/api/v1/readings?device={board}&channel=ramp&boot={second}&limit=10000")).await;
    let ramp = answer["readings"].as_array().expect("readings").iter();
    let ramp: Vec<f64> = ramp
        .take_while(|reading| number(reading, "/seq") < alone)
        .filter_map(|reading| reading["value"].as_f64())
        .collect();
    assert!(
        ramp.windows(2).any(|pair| pair[1] - pair[0] == 1.0),
        "not told while there was no cloud: {ramp:?}"
    );
}

/// The newest readings of a channel in a boot: tick and value.
async fn last(api: &Api, board: &str, channel: &str, boot: &str) -> Vec<(u64, f64)> {
    const NEWEST: usize = 5;
    let path = format!("/api/v1/readings?device={board}&channel={channel}&boot={boot}&limit=10000");
    let answer = api.get(&path).await;
    let readings = answer["readings"].as_array().expect("readings").iter();
    let mut readings: Vec<_> = readings
        .map(|reading| (number(reading, "/tick_ms"), reading["value"].as_f64().expect("a number")))
        .collect();
    readings.drain(..readings.len().saturating_sub(NEWEST));
    readings
}

/// A busy machine samples late, and then the next is nearer; none comes at another period.
fn check_ticks(what: &str, readings: &[(u64, f64)], period_ms: u64) {
    let steps: Vec<u64> = readings.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(!steps.is_empty() && steps.iter().all(|step| *step > period_ms / 2), "{what}: {steps:?}");
    assert!(steps.iter().any(|step| step.abs_diff(period_ms) <= period_ms / 5), "{what}: {steps:?}");
}

/// Waits until the newest readings of a boot are what the settings ask for, which follow each other for good.
async fn await_new_pace(api: &Api, board: &str, boot: &str) {
    let is_slower = |readings: &[(u64, f64)]| {
        readings.len() == 5 && readings.windows(2).all(|pair| pair[1].0 - pair[0].0 > 150)
    };
    let is_in_steps = |readings: &[(u64, f64)]| {
        readings.len() == 5 && readings.windows(2).all(|pair| pair[1].1 - pair[0].1 == 1.0)
    };
    let (counter, ramp) = eventually("readings as the settings ask", async || {
        let (counter, ramp) = (last(api, board, "counter", boot).await, last(api, board, "ramp", boot).await);
        if is_slower(&counter) && is_in_steps(&ramp) {
            Ok((counter, ramp))
        } else {
            Err(format!("{counter:?} {ramp:?}"))
        }
    })
    .await;
    check_ticks("the counter", &counter, 300);
    // Eight samples, a tenth of a second apart, make one step.
    check_ticks("the ramp", &ramp, 800);
}

/// Waits until a boot other than `before` has so many counter readings stored, none of them missing; returns the boot.
async fn counted(api: &Api, board: &str, before: Option<&str>, enough: usize) -> String {
    let path = format!("/api/v1/readings?device={board}&channel=counter&limit=10000");
    let boot_of = |answer: &Value| {
        let mut boots = BTreeMap::<String, Vec<f64>>::new();
        for reading in answer["readings"].as_array().into_iter().flatten() {
            boots.entry(text(&reading["boot"])).or_default().extend(reading["value"].as_f64());
        }
        let whole = |counted: &[f64]| {
            counted.iter().zip(0..).take_while(|(value, at)| **value == f64::from(*at)).count()
        };
        let other = |boot: &String| before.is_none_or(|before| before != boot);
        let found = boots.into_iter().find(|(boot, counted)| other(boot) && whole(counted) >= enough);
        found.map(|(boot, _)| boot)
    };
    let answer = api.get_when("the board's counter", &path, |answer| boot_of(answer).is_some()).await;
    boot_of(&answer).expect("found just now")
}

/// Holds every stored reading of a boot, up to what may still be on its way, against what the image measures by its source.
async fn check_run(api: &Api, board: &str, boot: &str, enough: usize) {
    // What a noisy line damaged of the other channels comes behind what is new.
    let whole = |answer: &Value| {
        let readings = answer["readings"].as_array().into_iter().flatten().zip(0..);
        let run = readings.take_while(|(reading, seq)| reading["seq"] == *seq);
        run.filter(|(reading, _)| reading["channel"] == "counter").count() >= enough
    };
    let path = format!("/api/v1/readings?device={board}&boot={boot}&limit=10000");
    let answer = api.get_when("a run without a hole", &path, whole).await;
    let readings = answer["readings"].as_array().expect("readings");
    let seqs: Vec<u64> = readings.iter().map(|reading| number(reading, "/seq")).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "a double: {seqs:?}");
    let (mut counter, mut ramp, mut last_tick) = (0, 0, 0);
    for (seq, reading) in readings.iter().enumerate().take_while(|(at, _)| seqs[*at] == *at as u64) {
        let tick = number(reading, "/tick_ms");
        assert!(tick >= last_tick, "{reading}");
        last_tick = tick;
        if let Some(channel) = channels(board).get(seq) {
            assert_eq!(reading["channel"], *channel, "all are sampled at once at the start");
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
            // A float that holds it exactly.
            Some("ramp") => {
                let expected = Some(f64::from(ramp) / 8.0);
                assert_eq!((value.as_f64(), &reading["quality"]), (expected, &"good".into()));
                ramp += 1;
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
    assert!(counter as usize >= enough, "{counter} of {enough} without a hole");
}

/// The board hears that its readings are safe: the floor it reports moves on.
async fn check_acknowledged(agent: &Api, boot: &str) {
    let floor = |status: &Value| {
        let devices = status["devices"].as_array()?;
        let device = devices.iter().find(|device| device["boot"] == boot)?;
        device["floor"].as_u64()
    };
    agent.get_when("the board's floor", "/status", |status| floor(status) >= Some(COUNTED as u64)).await;
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
