//! Orders: what is taken, and from whom.

use reqwest::StatusCode;
use serde_json::{Value as Json, json};

use crate::{PATIENCE, Served};

const PATH: &str = "/api/v1/devices/plant/board-1/retire";

async fn post(served: &Served, headers: &[(&str, &str)], body: String) -> (StatusCode, Json) {
    let mut request = reqwest::Client::new().post(format!("http://{}{PATH}", served.address)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = tokio::time::timeout(PATIENCE, request.send()).await.expect("no answer").unwrap();
    (answer.status(), answer.json().await.unwrap())
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn an_order_reaches_the_source_and_changes_nothing_unless_it_is_confirmed() {
    let served = Served::start().await;
    let order = json!({ "operator": " eva ", "reason": "gone" });
    let (status, answer) = post(&served, &[JSON], order.to_string()).await;
    assert_eq!((status, &answer["dry_run"]), (StatusCode::OK, &json!(true)));
    let asked = "RetireRequest { site: \"plant\", device: \"board-1\", boot: None, operator: \"eva\", \
                 reason: \"gone\", confirmed: false }";
    assert_eq!(served.asked(), asked);
    let order = json!({ "operator": "eva", "reason": "gone", "boot": "ff", "confirm": true });
    let (_, answer) = post(&served, &[JSON], order.to_string()).await;
    assert_eq!(answer["dry_run"], json!(false));
    assert!(served.asked().contains("boot: Some(00000000000000ff)"), "{}", served.asked());
}

#[tokio::test]
async fn an_order_that_is_too_large_is_a_problem_as_every_other() {
    let served = Served::start().await;
    let (status, problem) = post(&served, &[JSON], "x".repeat(2 * 1024 * 1024 + 1)).await;
    assert_eq!((status, &problem["status"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!(413)));
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("limit")), "{problem}");
}

#[tokio::test]
async fn what_is_no_order_is_refused_with_what_is_wrong() {
    let served = Served::start().await;
    let good = json!({ "operator": "eva", "reason": "gone" }).to_string();
    for (headers, body, status, said) in [
        (
            vec![("content-type", "text/plain")],
            good.clone(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "application/json",
        ),
        (vec![], good.clone(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/json"),
        (vec![JSON, ("x-forwarded-for", "10.0.0.1")], good.clone(), StatusCode::FORBIDDEN, "a proxy"),
        (vec![JSON, ("host", "ingest.example")], good, StatusCode::FORBIDDEN, "localhost"),
        (vec![JSON], json!({ "operator": "eva" }).to_string(), StatusCode::BAD_REQUEST, "reason"),
        (
            vec![JSON],
            json!({ "operator": " ", "reason": "x" }).to_string(),
            StatusCode::BAD_REQUEST,
            "operator",
        ),
        (
            vec![JSON],
            json!({ "operator": "a", "reason": "x\ny" }).to_string(),
            StatusCode::BAD_REQUEST,
            "reason",
        ),
        (
            vec![JSON],
            json!({ "operator": "a", "reason": "x", "force": 1 }).to_string(),
            StatusCode::BAD_REQUEST,
            "force",
        ),
        (
            vec![JSON],
            json!({ "operator": "a", "reason": "x", "boot": "?" }).to_string(),
            StatusCode::BAD_REQUEST,
            "boot",
        ),
    ] {
        let (found, answer) = post(&served, &headers, body.clone()).await;
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(found == status && detail.contains(said), "{headers:?} {body}: {found} {detail}");
    }
    assert_eq!(served.asked(), "", "none of them reached the source");
}
