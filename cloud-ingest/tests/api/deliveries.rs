//! Receivers and deliveries: what is shown, and which orders are taken.

use reqwest::StatusCode;
use serde_json::{Value as Json, json};
use tidegate_ingest::delivery::{
    core::{Reason, RowState},
    view::{DeliveryView, ReceiverState, ReceiverView, TallyView},
};

use crate::{PATIENCE, Served};

fn receiver() -> ReceiverView {
    ReceiverView {
        id: "ops".to_owned(),
        r#type: "webhook",
        to: "https://example.org".to_owned(),
        state: ReceiverState::Disabled,
        waiting: 3,
        parked: 1,
        oldest_waiting_unix_ms: Some(0),
        last_success_unix_ms: None,
        last_error_unix_ms: Some(5),
        last_error: Some("it answered 410 Gone".to_owned()),
        disabled: Some("it answered 410 Gone".to_owned()),
        tally: TallyView { delivered: 7, failed: 2, parked: 1 },
    }
}

async fn post(served: &Served, path: &str, headers: &[(&str, &str)], body: Json) -> (StatusCode, Json) {
    let mut request = reqwest::Client::new().post(format!("http://{}{path}", served.address)).json(&body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = tokio::time::timeout(PATIENCE, request.send()).await.expect("no answer").unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test]
async fn receivers_and_deliveries_are_shown_as_they_are_documented() {
    let served = Served::start().await;
    let delivery = DeliveryView {
        receiver: "ops".to_owned(),
        cursor: 9,
        state: RowState::Parked,
        attempts: 12,
        queued_unix_ms: 1,
        due_unix_ms: None,
        last_error: Some("it is away".to_owned()),
        digest: Some(Reason::QuietHours),
        event: Some(crate::raise(1)),
    };
    {
        let mut world = served.source.world.lock().unwrap();
        world.receivers.receivers.push(receiver());
        world.deliveries.deliveries.push(delivery);
    }
    let document = served.json("/api/v1/openapi.json").await;
    let schemas = &document["components"]["schemas"];
    let keys = |value: &Json| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let shown = served.json("/api/v1/receivers").await["receivers"][0].clone();
    assert_eq!(keys(&shown), keys(&schemas["Receiver"]["properties"]));
    assert_eq!(keys(&shown["tally"]), keys(&schemas["Receiver"]["properties"]["tally"]["properties"]));
    assert_eq!((&shown["state"], &shown["type"]), (&json!("disabled"), &json!("webhook")));
    let shown =
        served.json("/api/v1/deliveries?state=parked&receiver=ops&limit=5").await["deliveries"][0].clone();
    assert_eq!(keys(&shown), keys(&schemas["Deliveries"]["properties"]["deliveries"]["items"]["properties"]));
    assert_eq!((&shown["state"], &shown["digest"]), (&json!("parked"), &json!("quiet-hours")));
    assert_eq!(
        served.asked(),
        "DeliverySelection { receiver: Some(\"ops\"), state: Some(Parked), limit: 5 }"
    );
    let wrong = served.get("/api/v1/deliveries?state=lost").await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn orders_reach_the_desk_from_this_machine_only() {
    let served = Served::start().await;
    served.source.world.lock().unwrap().receivers.receivers.push(receiver());
    let order = json!({ "operator": "eva" });
    for (path, asked, shown) in [
        ("/api/v1/deliveries/ops/9/replay", "replay ops 9", ("id", json!("ops"))),
        ("/api/v1/receivers/ops/enable", "enable ops", ("waiting", json!(3))),
        ("/api/v1/receivers/ops/test", "test ops", ("error", json!("it is away"))),
    ] {
        let (status, answer) = post(&served, path, &[], order.clone()).await;
        assert_eq!((status, &answer[shown.0]), (StatusCode::OK, &shown.1), "{path}: {answer}");
        assert_eq!(served.asked(), asked);
        served.source.world.lock().unwrap().asked.clear();
        for (headers, body, refused) in [
            (&[("x-forwarded-for", "10.0.0.1")][..], order.clone(), StatusCode::FORBIDDEN),
            (&[("host", "ingest.example")], order.clone(), StatusCode::FORBIDDEN),
            (&[], json!({}), StatusCode::BAD_REQUEST),
            (&[], json!({ "operator": " " }), StatusCode::BAD_REQUEST),
        ] {
            let (status, answer) = post(&served, path, headers, body).await;
            assert_eq!(status, refused, "{path}: {answer}");
        }
        assert_eq!(served.asked(), "", "none of them reached the desk");
    }
    let (status, answer) = post(&served, "/api/v1/deliveries/ops/0/replay", &[], order.clone()).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    let (status, answer) = post(&served, "/api/v1/receivers/nobody/enable", &[], order).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
}

#[tokio::test]
async fn metrics_tell_of_each_receiver() {
    let served = Served::start().await;
    {
        let mut world = served.source.world.lock().unwrap();
        world.receivers.receivers.push(receiver());
        world.figures.heartbeat_unix_ms = 1_795_780_800_500;
    }
    let text = served.text("/metrics").await;
    for line in [
        "tidegate_ingest_deliveries_total{receiver=\"ops\",outcome=\"delivered\"} 7",
        "tidegate_ingest_deliveries_total{receiver=\"ops\",outcome=\"failed\"} 2",
        "tidegate_ingest_deliveries_total{receiver=\"ops\",outcome=\"parked\"} 1",
        "tidegate_ingest_deliveries_waiting{receiver=\"ops\"} 3",
        "tidegate_ingest_deliveries_parked{receiver=\"ops\"} 1",
        "tidegate_ingest_receiver_disabled{receiver=\"ops\"} 1",
        "tidegate_ingest_heartbeat_timestamp_seconds 1795780800.5",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let oldest =
        text.lines().find(|line| line.starts_with("tidegate_ingest_deliveries_oldest_waiting_seconds{"));
    let seconds = oldest.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse::<f64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 1e9), "{oldest:?}");
}
