//! What is asked reaches the source, what it answers goes out; every error is a problem document that says what to do.

use serde_json::json;
use tidegate_alarms::{Revision, RuleId};
use tidegate_ingest::{
    core::{
        bringing::{RulesStanding, RulesState},
        verdicts::Difference,
    },
    query::QueryError,
    verdicts::{RaisedView, VerdictView},
    view::{GatewayView, GatewaysView, ReadingView, ReadingsView, ValueView},
};
use tidegate_protocol::{BootId, ChannelName, ClockQuality, DeviceId, GatewayId, Quality, SiteId};

use crate::{Served, header};

fn reading(value: ValueView) -> ReadingView {
    ReadingView {
        site: SiteId::new("plant").unwrap(),
        device: DeviceId::new("board-1").unwrap(),
        channel: ChannelName::new("temperature").unwrap(),
        unit: "Cel".into(),
        boot: BootId(0xabc),
        seq: 3,
        tick_ms: 250,
        time: None,
        time_unix_ms: None,
        time_quality: ClockQuality::Unsynced,
        time_error_ms: None,
        time_corrected: false,
        value,
        quality: Quality::Good,
    }
}

#[tokio::test]
async fn readings_go_out_as_documented() {
    let served = Served::start().await;
    // The nearest double to a third, and an f32 widened: both must parse back to the very same bits.
    let values = [1.0 / 3.0, f64::from(0.1_f32), 5e-324];
    let readings = values.iter().map(|value| reading(ValueView::Number(*value)));
    let readings = readings.chain([reading(ValueView::Bool(true)), reading(ValueView::None)]).collect();
    served.source.world.lock().unwrap().readings =
        ReadingsView { expired: 0, readings, next_cursor: Some("more".into()) };
    let answer = served.json("/api/v1/readings?device=board-1").await;
    assert_eq!(answer["next_cursor"], "more");
    let expected = json!({
        "site": "plant", "device": "board-1", "channel": "temperature", "unit": "Cel", "boot": "0000000000000abc",
        "seq": 3, "tick_ms": 250, "time": null, "time_unix_ms": null, "time_quality": "unsynced",
        "time_error_ms": null, "time_corrected": false,
        "value": values[0], "quality": "good",
    });
    assert_eq!(answer["readings"][0], expected);
    for (at, value) in values.iter().enumerate() {
        assert_eq!(answer["readings"][at]["value"].as_f64().unwrap().to_bits(), value.to_bits());
    }
    assert_eq!(
        (&answer["readings"][3]["value"], &answer["readings"][4]["value"]),
        (&json!(true), &json!(null))
    );
}

#[tokio::test]
async fn gateways_go_out_with_what_became_of_their_rules() {
    let served = Served::start().await;
    let gateway = |name: &str, rules| GatewayView {
        site: SiteId::new("plant").unwrap(),
        gateway: GatewayId::new(name).unwrap(),
        online: true,
        version: "1".into(),
        last_block_unix_ms: None,
        rules,
    };
    let standing = RulesStanding { edition: 7, state: RulesState::InForce, unix_ms: 5 };
    let gateways = vec![gateway("gw-a", Some(standing)), gateway("gw-b", None)];
    served.source.world.lock().unwrap().gateways = GatewaysView { gateways };
    let answer = served.json("/api/v1/gateways").await;
    let rules = json!({ "edition": 7, "state": "in-force", "unix_ms": 5 });
    assert_eq!((&answer["gateways"][0]["rules"], &answer["gateways"][1]["rules"]), (&rules, &json!(null)));
}

#[tokio::test]
async fn verdicts_of_gateways_go_out_alone_and_with_their_alarm() {
    let served = Served::start().await;
    let verdict = VerdictView {
        site: SiteId::new("plant").unwrap(),
        device: DeviceId::new("board-1").unwrap(),
        channel: ChannelName::new("temperature").unwrap(),
        rule: RuleId::new("hot"),
        gateway: GatewayId::new("gw-a").unwrap(),
        at_gateway: Some(RaisedView {
            revision: Revision(0x1f),
            boot: "0000000000000abc".into(),
            seq: 3,
            since_unix_ms: 5,
        }),
        here: None,
        difference: Some(Difference::GatewayOnly),
    };
    served.source.world.lock().unwrap().verdicts = vec![verdict];
    let expected = json!({
        "site": "plant", "device": "board-1", "channel": "temperature", "rule": "hot", "gateway": "gw-a",
        "at_gateway": {
            "revision": "000000000000001f", "boot": "0000000000000abc", "seq": 3, "since_unix_ms": 5,
        },
        "here": null, "difference": "gateway-only",
    });
    assert_eq!(served.json("/api/v1/verdicts?differing=true&rule=h*").await["verdicts"], json!([expected]));
    let asked = served.source.world.lock().unwrap().asked.clone();
    assert!(asked.contains("differing: true") && asked.contains("\"h*\""), "{asked}");
    let alarm = served.json("/api/v1/alarms/plant/board-1/temperature/hot").await;
    assert_eq!(alarm["verdicts"], json!([expected]));
}

#[tokio::test]
async fn parameters_reach_the_source() {
    let served = Served::start().await;
    for (path, asked) in [
        ("latest?device=a", "Selection { site: None, device: Some(\"a\"), channel: None }"),
        ("latest?site=&channel=b.c", "Selection { site: None, device: None, channel: Some(\"b.c\") }"),
        (
            "audit?site=plant",
            "Selection { site: Some(\"plant\"), device: None, channel: None }, each sealed one: false",
        ),
        (
            "audit?device=a",
            "Selection { site: None, device: Some(\"a\"), channel: None }, each sealed one: true",
        ),
        ("audit?sealed=each", "Selection { site: None, device: None, channel: None }, each sealed one: true"),
        (
            "readings?device=a&since=1970-01-01T00:00:01.5Z&until=2000&boot=ff&limit=5&cursor=x%20y",
            "ReadingsRequest { site: None, device: \"a\", channel: None, since: Some(1500), until: Some(2000), \
             boot: Some(00000000000000ff), limit: 5, cursor: Some(\"x y\") }",
        ),
        (
            "alarms?rule=hot&limit=9",
            "AlarmSelection { names: AlarmNames { site: None, device: None, channel: None, \
             rule: Some(Glob { pattern: \"hot\" }) }, states: Active, priorities: [], kinds: [], \
             unacknowledged: false, limit: 9, after: None }",
        ),
        (
            "alarms?state=shelved,rtn-unacknowledged&priority=high,low&kind=stale,gateway&unacknowledged=true&device=a*",
            "AlarmSelection { names: AlarmNames { site: None, device: Some(Glob { pattern: \"a*\" }), channel: None, \
             rule: None }, states: These([Shelved, RtnUnacknowledged]), priorities: [High, Low], \
             kinds: [Stale, Gateway], unacknowledged: true, limit: 1000, after: None }",
        ),
        (
            "alarms/history?device=a",
            "HistorySelection { names: AlarmNames { site: None, device: Some(Glob { pattern: \"a\" }), \
             channel: None, rule: None }, limit: 1000, after: None }",
        ),
        (
            "alarms/log?site=p?&after=7&limit=2",
            "LogSelection { names: AlarmNames { site: Some(Glob { pattern: \"p?\" }), device: None, channel: None, \
             rule: None }, limit: 2, after: Some(7) }",
        ),
        (
            "alarms/report?site=p*&from=1000&to=1970-01-01T00:00:05Z",
            "AlarmNames { site: Some(Glob { pattern: \"p*\" }), device: None, channel: None, rule: None }, 1000 to 5000",
        ),
        (
            "alarms/report?to=86400007",
            "AlarmNames { site: None, device: None, channel: None, rule: None }, 7 to 86400007",
        ),
        (
            "alarms/plant/a/level/hot",
            "AlarmKey { site: \"plant\", device: \"a\", channel: \"level\", rule: \"hot\" }",
        ),
    ] {
        served.json(&format!("/api/v1/{path}")).await;
        assert_eq!(served.asked(), asked, "{path}");
    }
}

/// Fetches, and holds the answer to be a whole problem document.
async fn problem(served: &Served, path: &str) -> (u16, String, Option<String>) {
    let response = served.get(path).await;
    assert_eq!(header(&response, "content-type"), "application/problem+json", "{path}");
    let status = response.status();
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(body["status"], status.as_u16(), "{path}");
    assert_eq!(body["title"], status.canonical_reason().unwrap(), "{path}");
    assert_eq!(body["type"], "about:blank", "{path}");
    let parameter = body["parameter"].as_str().map(str::to_owned);
    (status.as_u16(), body["detail"].as_str().unwrap().to_owned(), parameter)
}

#[tokio::test]
async fn wrong_questions_are_answered_with_the_parameter_and_the_remedy() {
    let served = Served::start().await;
    for (path, parameter, says) in [
        ("readings", Some("device"), "/api/v1/devices lists them"),
        ("readings?device=Board", Some("device"), "a name may hold only a-z, 0-9 and -"),
        ("readings?device=a&since=yesterday", Some("since"), "RFC 3339"),
        ("readings?device=a&since=5&until=3", Some("until"), "swap them"),
        ("readings?device=a&limit=0", Some("limit"), "from 1 to 10000"),
        ("readings?device=a&limit=10001", Some("limit"), "from 1 to 10000"),
        ("readings?device=a&boot=xyz", Some("boot"), "cannot be read"),
        ("readings?device=a&device=b", Some("device"), "given twice"),
        ("latest?devise=a", None, "no parameter \"devise\"; known here: site, device, channel"),
        ("devices?site=a", None, "it takes none"),
        ("alarms?state=open", Some("state"), "rtn-unacknowledged"),
        ("alarms?priority=urgent", Some("priority"), "critical, high, medium, low"),
        ("alarms?kind=board", Some("kind"), "channel, stale, group, gateway"),
        ("alarms?device=A", Some("device"), "wildcards"),
        ("alarms?after=7", Some("after"), "start again"),
        ("alarms/history?after=!", Some("after"), "start again"),
        ("alarms/report?from=5&to=5", Some("from"), "swap them"),
        ("alarms/report?from=0&to=2592000001", Some("from"), "more than 30 days"),
        ("alarms/report?from=yesterday", Some("from"), "RFC 3339"),
        ("alarms/report?site=P", Some("site"), "wildcards"),
        ("events?since=tomorrow", Some("since"), "now, beginning, nor a cursor"),
        ("events?provisional=maybe", Some("provisional"), "true or false"),
    ] {
        let (status, detail, named) = problem(&served, &format!("/api/v1/{path}")).await;
        assert_eq!((status, named.as_deref()), (400, parameter), "{path}: {detail}");
        assert!(detail.contains(says), "{path}: {detail}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let served = Served::start().await;
    for path in ["/api/v1/nothing", "/api/v2/devices", "/favicon.ico", "/api/v1/devices/"] {
        let (status, detail, _) = problem(&served, path).await;
        assert_eq!(status, 404, "{path}");
        assert!(detail.contains(path) && detail.contains("/api/v1/openapi.json"), "{detail}");
    }
    let url = format!("http://{}/api/v1/devices", served.address);
    let response = reqwest::Client::new().post(url).send().await.unwrap();
    assert_eq!(response.status(), 405);
    assert_eq!(header(&response, "allow"), "GET,HEAD");
    assert_eq!(header(&response, "content-type"), "application/problem+json");
}

#[tokio::test]
async fn a_path_that_is_not_utf_8_is_a_problem_too() {
    let served = Served::start().await;
    let (status, detail, _) = problem(&served, "/api/v1/alarms/plant/board-1/%FF/hot").await;
    assert_eq!(status, 400);
    assert!(detail.contains("UTF-8"), "{detail}");
}

#[tokio::test]
async fn what_the_source_refuses_is_told_apart_from_what_it_cannot_do() {
    let served = Served::start().await;
    let refuse = |refusal| served.source.world.lock().unwrap().refusal = Some(refusal);
    refuse(QueryError::Cursor);
    let (status, _, parameter) = problem(&served, "/api/v1/readings?device=a&cursor=x").await;
    assert_eq!((status, parameter.as_deref()), (400, Some("cursor")));
    refuse(QueryError::Lake("a file is gone".into()));
    let (status, detail, _) = problem(&served, "/api/v1/readings?device=a").await;
    assert_eq!((status, detail.as_str()), (500, "the lake cannot be read: a file is gone"));
    served.json("/api/v1/readings?device=a").await;
}
