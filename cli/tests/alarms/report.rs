//! `tidegate alarms report`

use axum::{Json, response::IntoResponse};
use serde_json::{Value, json};

use crate::{
    fake_ingest::{FakeIngest, Request},
    run,
};

const DAY: i64 = 86_400_000;

fn alarm(device: &str, more: &Value) -> Value {
    let mut alarm = json!({"site": "plant", "device": device, "channel": "t", "rule": "hot", "priority": "high", "raises": 40});
    for (field, value) in more.as_object().expect("fields") {
        alarm[field] = value.clone();
    }
    alarm
}

fn times(count: u64) -> Value {
    if count == 0 {
        return json!({"count": 0, "p50_ms": null, "p90_ms": null, "max_ms": null});
    }
    json!({"count": count, "p50_ms": 30_000, "p90_ms": 180_000, "max_ms": 7_200_000})
}

fn report() -> Value {
    let priority = |(name, raises, share, guide): (&str, u64, f64, f64)| {
        json!({"priority": name, "raises": raises, "share": share, "guide_share": guide,
            "time_to_acknowledge": times(raises / 10)})
    };
    let spread = [
        ("critical", 0, 0.0, 0.01),
        ("high", 60, 0.6, 0.05),
        ("medium", 0, 0.0, 0.15),
        ("low", 40, 0.4, 0.8),
    ];
    let nothing = json!({"count": 0, "alarms": []});
    let on_shelf =
        json!({"state": "shelved", "raised_unix_ms": null, "shelved_until_unix_ms": DAY + 3_600_000});
    let old = json!({"state": "unacknowledged", "raised_unix_ms": -2 * DAY, "shelved_until_unix_ms": null});
    let suggestion =
        json!({"off_delay_ms": 9_000, "deadband": 0.41, "on_delay_ms": 400, "pauses": 10, "occurrences": 9});
    let noisy = json!({"chattering_raises": 30, "fleeting": 9, "suggestion": suggestion});
    json!({"from_unix_ms": 0, "to_unix_ms": DAY, "raises": 100, "late_raises": 3, "suppressed_raises": 5,
        "untimed_raises": 1, "untracked_raises": 0, "clears": 98, "acknowledgements": 12, "alarms_raised": 7,
        "priorities": spread.map(priority),
        "load": {"per_hour": {"average": 4.1666, "peak": 33}, "per_10_minutes": {"average": 0.694, "peak": 21},
            "flood_count": 1, "flooded_ms": 864_000, "floods": [{"began_unix_ms": 60_000, "ended_unix_ms": 924_000,
                "raises": 33, "peak_per_10_minutes": 21}]},
        "bad_actors": [alarm("b1", &json!({"share": 0.4}))],
        "chattering_alarms": 3, "chattering": [alarm("b1", &noisy)],
        "fleeting_alarms": 1, "fleeting": [alarm("b2", &noisy)],
        "time_to_acknowledge": times(10),
        "now": {"at_unix_ms": DAY, "standing": {"count": 1, "alarms": [alarm("b3", &old)]},
            "stale_unacknowledged": nothing, "shelved": {"count": 1, "alarms": [alarm("b4", &on_shelf)]},
            "priorities": [{"priority": "high", "active": 2, "unacknowledged": 11}]}})
}

fn ingest() -> FakeIngest {
    FakeIngest::start(|request: &Request| {
        assert_eq!(request.line, "GET /api/v1/alarms/report");
        Json(report()).into_response()
    })
}

#[test]
fn the_report_says_each_measure_and_what_to_try() {
    let ingest = ingest();
    let (code, out, err) = run(ingest.url(), &["alarms", "report"]);
    assert_eq!(code, Some(0), "{err}");
    for said in [
        "Alarms from 1970-01-01 00:00:00.000 to 1970-01-02 00:00:00.000 (24 h)\n",
        "  raises        100  of 7 alarms, 3 late\n",
        "  suppressed    5  raised besides, and nobody was told\n",
        "  without time  1  raised besides, nobody knows when\n",
        "  acknowledged  12  half within 30 s, nine of ten within 3 min, the longest 2 h\n",
        "  an hour       4.2 raises on average, 33 at most\n",
        "  in 10 minutes 0.7 raises on average, 21 at most\n",
        "  floods        1, 1.0 % of the time\n",
        "high          60  60.0 %   ~5 %      6     30 s       3 min      2 h           2           11\n",
        "critical       0   0.0 %   <1 %      0        -           -        -           0            0\n",
        "1970-01-01 00:01:00.000  1970-01-01 00:15:24.000  14 min      33              21\n",
        "    40  40.0 %  high      plant/b1/t/hot\n",
        "Chattering: raised three times in a minute, and 2 more\n",
        "    40          30  high      plant/b1/t/hot  off_delay = \"9s\" or deadband = 0.41\n",
        "    40         9  high      plant/b2/t/hot  on_delay = \"400ms\"\n",
        "1969-12-30 00:00:00.000  3 days  high      plant/b3/t/hot  unacknowledged\n",
        "-         -  high      plant/b4/t/hot  shelved until 1970-01-02 01:00:00.000\n",
    ] {
        assert!(out.contains(said), "{said:?} is not in\n{out}");
    }
    assert!(!out.contains("not acknowledged for"), "what there is nothing to say of is left out\n{out}");
    assert!(ingest.requests()[0].query("from").is_none(), "the ingest's day");
}

#[test]
fn the_stretch_and_the_sites_are_asked_for_and_json_is_as_it_came() {
    let ingest = ingest();
    let (_, out, _) = run(ingest.url(), &["alarms", "report", "--since", "30d", "--site", "pl*", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON"), report());
    let asked = &ingest.requests()[0];
    let ms = |name: &str| asked.query(name).and_then(|text| text.parse::<i64>().ok()).expect("a time");
    assert_eq!((ms("to") - ms("from"), asked.query("site")), (30 * DAY, Some("pl*")));
    run(ingest.url(), &["alarms", "report", "--until", "1970-01-01T00:00:05Z"]);
    let asked = &ingest.requests()[1];
    assert_eq!((asked.query("from"), asked.query("to")), (None, Some("5000")));
    let (code, _, err) = run(ingest.url(), &["alarms", "report", "--since", "tuesday"]);
    assert!(code == Some(2) && err.contains("how long ago"), "{err}");
}
