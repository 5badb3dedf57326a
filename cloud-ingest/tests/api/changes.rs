//! The log of who changed what.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};
use tidegate_access::Role;

use crate::Served;

#[tokio::test]
async fn every_order_that_was_let_in_is_there_with_who_from_where_and_what_came_of_it() {
    let served = Served::start_asking().await;
    let [admin, engineer, viewer] = [("eva", Role::Admin), ("tom", Role::Engineer), ("kim", Role::Viewer)]
        .map(|(who, role)| served.token(who, role));
    let rules = json!({ "rule": [{ "id": "hot", "above": 60 }] });
    let put = served
        .with(&engineer, Method::PUT, "/api/v1/rules?reason=summer")
        .json(&rules)
        .header("if-match", "\"3\"");
    let put = put.send().await.unwrap();
    assert_eq!(put.status(), StatusCode::OK);
    let edition = put.headers()["etag"].to_str().unwrap().to_owned();
    let path = "/api/v1/devices/plant/board-1/retire";
    // Refused for what it says; and for who says it, which changes nothing and is not written down.
    served.with(&engineer, Method::POST, path).json(&json!({})).send().await.unwrap();
    served.with(&viewer, Method::POST, path).json(&json!({ "reason": "x" })).send().await.unwrap();
    served.request(Method::POST, path).json(&json!({ "reason": "x" })).send().await.unwrap();
    let order = json!({ "owner": "grafana", "role": "viewer", "expires_in_ms": 7_200_000 });
    served.with(&admin, Method::POST, "/api/v1/tokens").json(&order).send().await.unwrap();
    served.with(&admin, Method::GET, "/api/v1/devices").send().await.unwrap();

    let log = served.json_with(&admin, "/api/v1/changes").await;
    let changes = log["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 3, "{log}");
    assert_eq!(log["next_before"], Json::Null);
    let first = &changes[2];
    for (field, value) in [
        ("number", json!(1)),
        ("actor", json!("tom")),
        ("role", json!("engineer")),
        ("by", json!("token")),
        ("token", json!(engineer.id().to_string())),
        ("address", json!("127.0.0.1")),
        ("method", json!("PUT")),
        ("path", json!("/api/v1/rules")),
        ("before", json!("\"3\"")),
    ] {
        assert_eq!(first[field], value, "{field}");
    }
    assert_eq!((&first["outcome"]["status"], &first["outcome"]["after"]), (&json!(200), &json!(edition)));
    assert_eq!(changes[1]["outcome"]["status"], 400);
    let note = changes[0]["outcome"]["note"].as_str().unwrap();
    assert!(note.contains("for grafana, viewer, for 2 h"), "{note}");
    assert!(!log.to_string().contains("tdg_"), "no secret is in it");

    let page = served.json_with(&admin, "/api/v1/changes?before=3&limit=1").await;
    assert_eq!((&page["changes"][0]["number"], &page["next_before"]), (&json!(2), &json!(2)));
}

#[tokio::test]
async fn an_order_that_is_given_again_under_its_key_is_written_down_once() {
    let served = Served::start_asking().await;
    let (admin, engineer) = (served.token("eva", Role::Admin), served.token("tom", Role::Engineer));
    for _ in 0..3 {
        let order = served.with(&engineer, Method::POST, "/api/v1/devices/plant/board-1/retire");
        let order = order.header("idempotency-key", "\"once\"").json(&json!({ "reason": "gone" }));
        assert_eq!(order.send().await.unwrap().status(), StatusCode::OK);
    }
    let log = served.json_with(&admin, "/api/v1/changes").await;
    assert_eq!(log["changes"].as_array().unwrap().len(), 1, "{log}");
}

#[tokio::test]
async fn where_nobody_is_asked_the_log_says_who_they_said_they_are() {
    let served = Served::start().await;
    let order = json!({ "operator": "eva", "reason": "gone" });
    served.request(Method::POST, "/api/v1/devices/plant/board-1/retire").json(&order).send().await.unwrap();
    let log = served.json("/api/v1/changes").await;
    let change = &log["changes"][0];
    assert_eq!(
        (&change["by"], &change["actor"], &change["role"]),
        (&json!("local"), &json!(""), &Json::Null)
    );
    assert_eq!(change["outcome"]["operator"], "eva");
}

#[tokio::test]
async fn without_the_log_nothing_is_changed() {
    let served = Served::start().await;
    let lock = served.data_dir.path().join("access/lock");
    std::fs::remove_file(&lock).unwrap();
    std::fs::create_dir(&lock).unwrap();
    let order = json!({ "operator": "eva", "reason": "gone" });
    let order = served.request(Method::POST, "/api/v1/devices/plant/board-1/retire").json(&order);
    let refused = order.send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.text().await.unwrap().contains("nothing was changed"));
    assert_eq!(served.asked(), "");
}
