//! What operators do with alarms over HTTP: what is taken, under which condition, and from whom.

use reqwest::{Response, StatusCode};
use serde_json::{Value as Json, json};
use tidegate_alarms::{Lifecycle, lifecycle::Refusal};
use tidegate_ingest::query::QueryError;

use crate::{PATIENCE, Served, header};

const ALARM: &str = "/api/v1/alarms/plant/board-1/level/hot";
pub const JSON: (&str, &str) = ("content-type", "application/json");

pub async fn post(served: &Served, action: &str, headers: &[(&str, &str)], body: &Json) -> Response {
    let client = reqwest::Client::new();
    let url = format!("http://{}{ALARM}/{action}", served.address);
    let mut request = client.post(url).body(body.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    tokio::time::timeout(PATIENCE, request.send()).await.expect("no answer").unwrap()
}

#[tokio::test]
async fn each_action_reaches_the_source_and_its_event_is_answered() {
    let id = format!("{:032x}", 7);
    let saw = json!({ "occurrence": id, "transition": id });
    let seen = format!("Seen {{ occurrence: {id}, transition: {id} }}");
    for (action, fields, deed) in [
        ("acknowledge", saw, format!("Act(Acknowledge({seen}))")),
        ("shelve", json!({ "until_unix_ms": 5 }), "Act(Shelve { until_unix_ms: 5 })".to_owned()),
        ("shelve", json!({ "for_ms": 5 }), "ShelveForMs(5)".to_owned()),
        ("unshelve", json!({}), "Act(Unshelve)".to_owned()),
        ("suppress", json!({}), "Act(Suppress)".to_owned()),
        ("unsuppress", json!({}), "Act(Unsuppress)".to_owned()),
        ("out-of-service", json!({}), "Act(OutOfService)".to_owned()),
        ("in-service", json!({}), "Act(InService)".to_owned()),
        ("reset", json!({}), "Act(Reset)".to_owned()),
        ("comment", json!({}), "Act(Comment)".to_owned()),
    ] {
        let served = Served::start().await;
        let mut order = fields;
        order["operator"] = " eva ".into();
        order["comment"] = "known".into();
        let answer = post(&served, action, &[JSON, ("if-match", &format!("\"{id}\""))], &order).await;
        assert_eq!(answer.status(), StatusCode::OK, "{action}");
        let tag = header(&answer, "etag").to_owned();
        let event: Json = answer.json().await.unwrap();
        assert_eq!(tag, format!("\"{}\"", event["id"].as_str().unwrap()));
        let asked = format!(
            "AlarmRequest {{ key: AlarmKey {{ site: \"plant\", device: \"board-1\", channel: \"level\", rule: \"hot\" }}, \
             deed: {deed}, operator: \"eva\", comment: \"known\", expected: Some([{id}]) }}"
        );
        assert_eq!(served.asked(), asked);
    }
}

#[tokio::test]
async fn a_refusal_says_which_state_the_alarm_is_in() {
    let served = Served::start().await;
    let lifecycle = Lifecycle { active: true, acknowledged: false, ..Lifecycle::default() };
    let shown = serde_json::to_value(&lifecycle).unwrap();
    let refusal = QueryError::AlarmRefused { refusal: Refusal::Superseded, lifecycle: Box::new(lifecycle) };
    for (refusal, status) in [
        (refusal, StatusCode::CONFLICT),
        (QueryError::AlarmChanged, StatusCode::PRECONDITION_FAILED),
        (QueryError::UnknownAlarm, StatusCode::NOT_FOUND),
    ] {
        let said = refusal.to_string();
        served.source.world.lock().unwrap().refusal = Some(refusal);
        let answer = post(&served, "unshelve", &[JSON], &json!({ "operator": "eva" })).await;
        assert_eq!(answer.status(), status);
        let problem: Json = answer.json().await.unwrap();
        assert_eq!(problem["detail"], said);
        if status == StatusCode::CONFLICT {
            assert_eq!(problem["refusal"], "superseded");
            assert_eq!((&problem["state"], &problem["lifecycle"]), (&json!("unacknowledged"), &shown));
        }
    }
}

#[tokio::test]
async fn what_is_no_order_is_refused_with_what_is_wrong_and_reaches_nobody() {
    let served = Served::start().await;
    let id = format!("{:032x}", 7);
    let by = |fields: Json| {
        let mut order = fields;
        order["operator"] = "eva".into();
        order
    };
    for (action, headers, order, status, said) in [
        ("reset", vec![], by(json!({})), StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/json"),
        ("reset", vec![JSON, ("forwarded", "for=10.0.0.1")], by(json!({})), StatusCode::FORBIDDEN, "a proxy"),
        ("reset", vec![JSON, ("host", "ingest.example")], by(json!({})), StatusCode::FORBIDDEN, "localhost"),
        ("reset", vec![JSON], json!({}), StatusCode::BAD_REQUEST, "operator"),
        ("reset", vec![JSON], by(json!({ "force": true })), StatusCode::BAD_REQUEST, "force"),
        ("reset", vec![JSON], by(json!({ "for_ms": 5 })), StatusCode::BAD_REQUEST, "reset takes none"),
        ("reset", vec![JSON], by(json!({ "occurrence": id })), StatusCode::BAD_REQUEST, "reset takes none"),
        ("reset", vec![JSON, ("if-match", "x")], by(json!({})), StatusCode::BAD_REQUEST, "If-Match"),
        ("comment", vec![JSON], by(json!({})), StatusCode::BAD_REQUEST, "comment"),
        ("comment", vec![JSON], by(json!({ "comment": "a\nb" })), StatusCode::BAD_REQUEST, "one line"),
        ("acknowledge", vec![JSON], by(json!({ "occurrence": id })), StatusCode::BAD_REQUEST, "transition"),
        ("acknowledge", vec![JSON], by(json!({ "occurrence": "?" })), StatusCode::BAD_REQUEST, "order"),
        ("shelve", vec![JSON], by(json!({})), StatusCode::BAD_REQUEST, "has an end"),
        ("shelve", vec![JSON], by(json!({ "for_ms": 0 })), StatusCode::BAD_REQUEST, "7 days"),
        (
            "shelve",
            vec![JSON],
            by(json!({ "for_ms": 5, "until_unix_ms": 5 })),
            StatusCode::BAD_REQUEST,
            "one of",
        ),
    ] {
        let answer = post(&served, action, &headers, &order).await;
        let found = answer.status();
        let problem: Json = answer.json().await.unwrap();
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(found == status && detail.contains(said), "{action} {headers:?} {order}: {found} {detail}");
    }
    assert_eq!(served.source.world.lock().unwrap().acts, 0, "none of them reached the source");
}
