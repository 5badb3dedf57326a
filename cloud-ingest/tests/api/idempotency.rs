//! The same order under the same key is carried out once.

use reqwest::StatusCode;
use serde_json::{Value as Json, json};
use tidegate_ingest::{orders::OrderError, query::QueryError};

use crate::{
    Served,
    alarm_actions::{JSON, post},
};

const KEY: (&str, &str) = ("idempotency-key", "\"8e03978e\"");

fn comment(text: &str) -> Json {
    json!({ "operator": "eva", "comment": text })
}

fn acts(served: &Served) -> u32 {
    served.source.world.lock().unwrap().acts
}

#[tokio::test]
async fn an_order_that_is_given_again_is_answered_as_before_and_not_carried_out() {
    let served = Served::start().await;
    let first = post(&served, "comment", &[JSON, KEY], &comment("a")).await;
    let tag = first.headers()["etag"].clone();
    let event: Json = first.json().await.unwrap();
    // Without its quotes it is the same key.
    let again = post(&served, "comment", &[JSON, ("idempotency-key", "8e03978e")], &comment("a")).await;
    assert_eq!((again.status(), &again.headers()["etag"]), (StatusCode::OK, &tag));
    assert_eq!(again.json::<Json>().await.unwrap(), event);
    assert_eq!(acts(&served), 1);
    post(&served, "comment", &[JSON, ("idempotency-key", "other")], &comment("a")).await;
    post(&served, "comment", &[JSON], &comment("a")).await;
    assert_eq!(acts(&served), 3, "another key, or none, is another order");
}

#[tokio::test]
async fn another_order_under_the_same_key_is_refused() {
    let served = Served::start().await;
    post(&served, "comment", &[JSON, KEY], &comment("a")).await;
    for (action, headers, order) in [
        ("comment", vec![JSON, KEY], comment("b")),
        ("reset", vec![JSON, KEY], comment("a")),
        ("comment", vec![JSON, KEY, ("if-match", "\"7\"")], comment("a")),
    ] {
        let refused = post(&served, action, &headers, &order).await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "{action} {order}");
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
    }
    assert_eq!(acts(&served), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_being_carried_out_is_not_begun_again() {
    let served = std::sync::Arc::new(Served::start().await);
    let (entered, mut is_entered) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = std::sync::mpsc::channel();
    served.source.world.lock().unwrap().gate = Some((entered, released));
    let serving = std::sync::Arc::clone(&served);
    let first =
        tokio::spawn(async move { post(&serving, "comment", &[JSON, KEY], &comment("a")).await.status() });
    is_entered.recv().await.expect("it is being carried out");
    let second = post(&served, "comment", &[JSON, KEY], &comment("a")).await;
    assert_eq!(second.status(), StatusCode::CONFLICT);
    release.send(()).expect("it waits");
    assert_eq!((first.await.unwrap(), acts(&served)), (StatusCode::OK, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_client_goes_away_is_carried_out_to_its_end() {
    let served = std::sync::Arc::new(Served::start().await);
    let (entered, mut is_entered) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = std::sync::mpsc::channel();
    served.source.world.lock().unwrap().gate = Some((entered, released));
    let serving = std::sync::Arc::clone(&served);
    let first = tokio::spawn(async move { post(&serving, "comment", &[JSON, KEY], &comment("a")).await });
    is_entered.recv().await.expect("it is being carried out");
    first.abort();
    assert!(first.await.is_err(), "its client is gone");
    release.send(()).expect("it waits");
    loop {
        let again = post(&served, "comment", &[JSON, KEY], &comment("a")).await.status();
        if again != StatusCode::CONFLICT {
            assert_eq!((again, acts(&served)), (StatusCode::OK, 1));
            return;
        }
    }
}

#[tokio::test]
async fn what_was_not_carried_out_can_be_given_again_under_its_key() {
    let served = Served::start().await;
    served.source.world.lock().unwrap().refusal = Some(QueryError::Order(OrderError::NotCommitted));
    let refused = post(&served, "comment", &[JSON, KEY], &comment("a")).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let taken = post(&served, "comment", &[JSON, KEY], &comment("a")).await;
    assert_eq!((taken.status(), acts(&served)), (StatusCode::OK, 2));
}

#[tokio::test]
async fn a_refusal_is_an_answer_too() {
    let served = Served::start().await;
    served.source.world.lock().unwrap().refusal = Some(QueryError::UnknownAlarm);
    for _ in 0..2 {
        let refused = post(&served, "comment", &[JSON, KEY], &comment("a")).await;
        assert_eq!((refused.status(), acts(&served)), (StatusCode::NOT_FOUND, 1));
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_and_strangers_are_not_remembered() {
    let served = Served::start().await;
    let long = "x".repeat(129);
    for key in ["\"\"", "a\"b", &long] {
        let refused = post(&served, "comment", &[JSON, ("idempotency-key", key)], &comment("a")).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{key}");
    }
    let stranger = [JSON, KEY, ("x-forwarded-for", "10.0.0.1")];
    assert_eq!(post(&served, "comment", &stranger, &comment("z")).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(post(&served, "comment", &[JSON, KEY], &comment("a")).await.status(), StatusCode::OK);
    // A question needs no key, and takes none amiss.
    let url = format!("http://{}/health", served.address);
    let asked =
        reqwest::Client::new().get(url).header("idempotency-key", "\"8e03978e\"").send().await.unwrap();
    assert_eq!(asked.status(), StatusCode::OK);
}
