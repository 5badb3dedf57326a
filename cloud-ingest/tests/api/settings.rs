//! Settings of channels over HTTP: what is taken, under which condition, and from whom.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};
use tidegate_ingest::query::QueryError;

use crate::{PATIENCE, Served, header};

const PATH: &str = "/api/v1/devices/plant/board-1/channels/level/settings";
const JSON: (&str, &str) = ("content-type", "application/json");

async fn send(
    served: &Served,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
) -> (StatusCode, Json) {
    let client = reqwest::Client::new();
    let mut request = client.request(method, format!("http://{}{path}", served.address)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = tokio::time::timeout(PATIENCE, request.send()).await.expect("no answer").unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test]
async fn settings_are_read_set_and_cleared_under_their_revision() {
    let served = Served::start().await;
    let shown = served.get(PATH).await;
    assert_eq!((shown.status(), header(&shown, "etag")), (StatusCode::OK, "\"3\""));
    assert_eq!(shown.json::<Json>().await.unwrap()["channel"], "level");

    let order = json!({ "period_ms": 500, "report_deadband": { "absolute": 0.5 }, "max_silence_ms": 60_000 });
    let headers = [JSON, ("if-match", "\"3\"")];
    let (status, answer) = send(&served, Method::PUT, PATH, &headers, order.to_string()).await;
    assert_eq!((status, &answer["revision"]), (StatusCode::OK, &json!(4)));
    let asked = "SettingsRequest { key: ChannelKey { site: \"plant\", device: \"board-1\", channel: \"level\" }, \
                 wanted: Some(WantedSettings { enabled: true, period_ms: 500, \
                 report_deadband: Some(Absolute(Number(0.5))), max_silence_ms: 60000 }), expected: Some([3]) }";
    assert_eq!(served.asked(), asked);
    send(&served, Method::DELETE, PATH, &[], String::new()).await;
    assert!(served.asked().contains("wanted: None, expected: None"), "{}", served.asked());
    served.get("/api/v1/settings?device=board-1").await;
    assert!(served.asked().contains("device: Some(\"board-1\")"), "{}", served.asked());
}

#[tokio::test]
async fn whoever_is_late_gets_412_and_what_is_unknown_404() {
    for (refusal, expected) in [
        (QueryError::SettingsChanged { revision: 9 }, StatusCode::PRECONDITION_FAILED),
        (QueryError::UnknownDevice, StatusCode::NOT_FOUND),
        (QueryError::NoRevision, StatusCode::CONFLICT),
    ] {
        let served = Served::start().await;
        let said = refusal.to_string();
        served.source.world.lock().unwrap().refusal = Some(refusal);
        let (status, answer) =
            send(&served, Method::PUT, PATH, &[JSON], json!({ "period_ms": 5 }).to_string()).await;
        assert_eq!((status, &answer["detail"]), (expected, &json!(said)));
    }
}

#[tokio::test]
async fn what_is_no_order_is_refused_with_what_is_wrong_and_reaches_nobody() {
    let served = Served::start().await;
    let good = || json!({ "period_ms": 500 }).to_string();
    let with = |field: &str, value: Json| {
        let mut order = json!({ "period_ms": 500 });
        order[field] = value;
        order.to_string()
    };
    for (headers, body, status, said) in [
        (vec![], good(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/json"),
        (vec![JSON, ("forwarded", "for=10.0.0.1")], good(), StatusCode::FORBIDDEN, "a proxy"),
        (vec![JSON, ("host", "ingest.example")], good(), StatusCode::FORBIDDEN, "localhost"),
        (vec![JSON, ("if-match", "3")], good(), StatusCode::BAD_REQUEST, "If-Match"),
        (vec![JSON], "{}".to_owned(), StatusCode::BAD_REQUEST, "period_ms"),
        (vec![JSON], with("period_ms", json!(-1)), StatusCode::BAD_REQUEST, "-1"),
        (vec![JSON], with("enabled", json!("yes")), StatusCode::BAD_REQUEST, "yes"),
        (vec![JSON], with("perid_ms", json!(5)), StatusCode::BAD_REQUEST, "perid_ms"),
        (vec![JSON], with("report_deadband", json!({ "relative": 5 })), StatusCode::BAD_REQUEST, "relative"),
    ] {
        let (found, answer) = send(&served, Method::PUT, PATH, &headers, body.clone()).await;
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(found == status && detail.contains(said), "{headers:?} {body}: {found} {detail}");
    }
    let (status, _) = send(&served, Method::DELETE, PATH, &[("host", "ingest.example")], String::new()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let misspelt = PATH.replace("level", "LEVEL");
    let (status, answer) = send(&served, Method::PUT, &misspelt, &[JSON], good()).await;
    assert_eq!((status, &answer["parameter"]), (StatusCode::BAD_REQUEST, &json!("channel")));
    assert_eq!(served.asked(), "", "none of them reached the source");
}
