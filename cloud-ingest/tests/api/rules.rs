//! Rules over HTTP: how they are shown, in which forms they are taken, under which condition, and from whom.

use reqwest::{Response, StatusCode};
use serde_json::{Value as Json, json};
use tidegate_ingest::query::QueryError;

use crate::{PATIENCE, Served, header};

const BY_EVA: &str = "/api/v1/rules?operator=eva&reason=summer";
const TOML: (&str, &str) = ("content-type", "application/toml");
const JSON: (&str, &str) = ("content-type", "application/json");
const HOT: &str = "[[rule]]\nid = \"hot\"\nabove = 60\n";

async fn put(served: &Served, path: &str, headers: &[(&str, &str)], body: impl Into<String>) -> Response {
    let client = reqwest::Client::new();
    let mut request = client.put(format!("http://{}{path}", served.address)).body(body.into());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    tokio::time::timeout(PATIENCE, request.send()).await.expect("no answer").unwrap()
}

#[tokio::test]
async fn rules_are_shown_under_their_edition() {
    let served = Served::start().await;
    let all = served.get("/api/v1/rules").await;
    assert_eq!(header(&all, "etag"), "\"5\"");
    let all: Json = all.json().await.unwrap();
    assert_eq!((&all["edition"], &all["rules"][0]["id"]), (&json!(5), &json!("hot")));
    let one = served.get("/api/v1/rules/hot").await;
    assert_eq!(header(&one, "etag"), "\"5\"");
    let one: Json = one.json().await.unwrap();
    assert_eq!(one, all["rules"][0]);
    assert_eq!((&one["condition"], &one["kind"]), (&json!("above = 60"), &json!("channel")));
    let revision = &one["revisions"][0];
    assert_eq!(
        (&revision["effective_from_unix_ms"], &revision["says"]["select"]["device"]),
        (&Json::Null, &json!("*"))
    );
    assert_eq!(revision["revision"].as_str().map(str::len), Some(16));
    let unknown = served.get("/api/v1/rules/cold").await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    served.json("/api/v1/rules/log?limit=7").await;
    assert_eq!(served.asked(), "the last 7 lines of the log of rules");
}

#[tokio::test]
async fn the_whole_file_is_taken_as_toml_and_as_json() {
    let served = Served::start().await;
    let answer = put(&served, BY_EVA, &[TOML, ("if-match", "\"5\"")], HOT).await;
    assert_eq!((answer.status(), header(&answer, "etag")), (StatusCode::OK, "\"6\""));
    let asked = served.asked();
    assert!(
        asked.contains("operator: \"eva\", reason: \"summer\", expected: Some([5]), dry_run: false"),
        "{asked}"
    );
    let rules = json!({ "rule": [{ "id": "hot", "above": 60 }] }).to_string();
    let dry = format!("{BY_EVA}&dry_run=true");
    let answer = put(&served, &dry, &[("content-type", "application/json; charset=utf-8")], rules).await;
    assert_eq!(answer.json::<Json>().await.unwrap()["dry_run"], json!(true));
    let as_json = served.asked();
    assert_eq!(as_json, asked.replace("Some([5])", "None").replace("dry_run: false", "dry_run: true"));
}

#[tokio::test]
async fn everything_that_is_wrong_is_named_with_its_place_and_its_remedy() {
    let served = Served::start().await;
    let wrong = "[[rule]]\nid = \"a\"\nabove = 1\nbelow = 2\ndeadband = -1\n[[labels]]\nset = {}\n\
                 [[rule]]\nid = \"B\"\nabove = 1\n";
    let answer = put(&served, BY_EVA, &[TOML], wrong).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(header(&answer, "content-type"), "application/problem+json");
    let problem: Json = answer.json().await.unwrap();
    let problems = problem["problems"].as_array().unwrap();
    let places: Vec<_> = problems.iter().map(|problem| problem["key"].as_str().unwrap()).collect();
    assert_eq!(places, ["labels[0].set", "rule[0].below", "rule[0].deadband", "rule[1].id"]);
    assert_eq!(problems[1]["rule"], "a");
    assert_eq!(problems[1]["problem"], "the rule has two conditions, above and below");
    assert_eq!(problems[1]["remedy"], "keep one and put the other into a rule of its own");
    assert!(problem["detail"].as_str().unwrap().ends_with("(and 3 more in problems)"), "{problem}");

    let misspelt = put(&served, BY_EVA, &[TOML], "[[rule]]\nid = \"a\"\nabvoe = 1\n").await;
    let problem: Json = misspelt.json().await.unwrap();
    let found = &problem["problems"][0];
    assert_eq!((&found["key"], &found["line"]), (&json!("rule[0].abvoe"), &json!(3)));
    assert_eq!(found["remedy"], "did you mean \"above\"?");
    let no_json = put(&served, BY_EVA, &[JSON], "{").await;
    assert_eq!(no_json.status(), StatusCode::BAD_REQUEST);
    assert_eq!(no_json.json::<Json>().await.unwrap()["problems"].as_array().map(Vec::len), Some(1));
    assert_eq!(served.asked(), "", "none of them reached the source");
}

#[tokio::test]
async fn what_is_no_order_is_refused_and_reaches_nobody() {
    let served = Served::start().await;
    let long = format!("/api/v1/rules?operator=eva&reason={}", "x".repeat(501));
    for (path, headers, status, said) in [
        (BY_EVA, vec![], StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/toml"),
        (
            BY_EVA,
            vec![("content-type", "text/plain")],
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "application/toml",
        ),
        (BY_EVA, vec![TOML, ("host", "ingest.example")], StatusCode::FORBIDDEN, "localhost"),
        (BY_EVA, vec![TOML, ("x-forwarded-for", "10.0.0.1")], StatusCode::FORBIDDEN, "a proxy"),
        (BY_EVA, vec![TOML, ("if-match", "5")], StatusCode::BAD_REQUEST, "If-Match"),
        ("/api/v1/rules?reason=x", vec![TOML], StatusCode::BAD_REQUEST, "operator"),
        ("/api/v1/rules?operator=eva", vec![TOML], StatusCode::BAD_REQUEST, "reason"),
        (&long, vec![TOML], StatusCode::BAD_REQUEST, "reason"),
        (&format!("{BY_EVA}&dry_run=yes"), vec![TOML], StatusCode::BAD_REQUEST, "true or false"),
        (&format!("{BY_EVA}&dryrun=true"), vec![TOML], StatusCode::BAD_REQUEST, "dryrun"),
    ] {
        let answer = put(&served, path, &headers, HOT).await;
        let (found, answer) = (answer.status(), answer.json::<Json>().await.unwrap());
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(found == status && detail.contains(said), "{path} {headers:?}: {found} {detail}");
    }
    assert_eq!(served.asked(), "", "none of them reached the source");
}

#[tokio::test]
async fn whoever_is_late_gets_412_and_who_has_a_file_409() {
    for (refusal, expected) in [
        (QueryError::RulesChanged { edition: 9 }, StatusCode::PRECONDITION_FAILED),
        (QueryError::RulesOfFile { file: "/etc/rules.toml".to_owned() }, StatusCode::CONFLICT),
    ] {
        let served = Served::start().await;
        let said = refusal.to_string();
        served.source.world.lock().unwrap().refusal = Some(refusal);
        let answer = put(&served, BY_EVA, &[TOML], HOT).await;
        assert_eq!(answer.status(), expected);
        assert_eq!(answer.json::<Json>().await.unwrap()["detail"], json!(said));
    }
}

#[tokio::test]
async fn the_same_key_changes_the_rules_once() {
    let served = Served::start().await;
    let headers = [TOML, ("idempotency-key", "\"k1\"")];
    let first = put(&served, BY_EVA, &headers, HOT).await.text().await.unwrap();
    served.source.world.lock().unwrap().asked.clear();
    let again = put(&served, BY_EVA, &headers, HOT).await;
    assert_eq!((header(&again, "etag"), served.asked().as_str()), ("\"6\"", ""));
    assert_eq!(again.text().await.unwrap(), first);
    let other = put(&served, BY_EVA, &headers, "").await;
    assert_eq!(other.status(), StatusCode::UNPROCESSABLE_ENTITY);
}
