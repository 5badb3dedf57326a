//! Single attempts at a webhook.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;
use tidegate_ingest::delivery::{
    Failure, FailureKind,
    compose::{self, Composed, Told},
    http::Limits,
    webhook::send,
};
use tokio::net::TcpListener;

use crate::{
    SECRET,
    hook::{Answer, Hook, status},
    in_time, made, python, webhook, webhook_target,
};

fn message() -> Composed {
    let told =
        Told { event: made::event("plant", "board-1", 1), queued_unix_ms: 0, quiet_until_unix_ms: None };
    compose::compose("ops", None, 1, &[told], &TimeZone::UTC).expect("something to tell")
}

fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Short, where the test is one of their being kept.
const SHORT: Limits = Limits { connect: Duration::from_millis(300), whole: Duration::from_millis(600) };

async fn attempt(url: &str, limits: Limits) -> Result<(), Failure> {
    let target = webhook_target(&webhook("ops", url));
    in_time("an attempt", send(&target, &message(), now(), limits)).await
}

async fn answered(answer: Answer) -> Result<(), Failure> {
    let hook = Hook::start(move |_, _| answer.clone()).await;
    attempt(&hook.url(), Limits::default()).await
}

fn temporary(result: Result<(), Failure>) -> (Option<i64>, String) {
    match result.expect_err("it failed") {
        Failure { kind: FailureKind::Temporary { retry_after_ms }, why } => (retry_after_ms, why),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_webhook_is_what_the_standards_own_library_takes_for_one() {
    let mut hook = Hook::start(|_, _| status("204 No Content")).await;
    attempt(&hook.url(), Limits::default()).await.expect("it arrives");
    let received = hook.next().await;
    assert_eq!(received.line, "POST /hook?key=1 HTTP/1.1");
    assert_eq!(received.headers["content-type"], "application/json");
    assert_eq!(received.headers["host"], hook.address.to_string());
    assert_eq!(received.body, message().json);
    assert_eq!(received.id(), message().id);
    let script = "
import json, sys
from standardwebhooks.webhooks import Webhook
given = json.load(sys.stdin)
json.dump(Webhook(given['secret']).verify(given['body'], given['headers']), sys.stdout)
";
    let body = String::from_utf8(received.body.clone()).expect("text");
    let given = json!({ "secret": SECRET, "headers": received.headers, "body": body });
    assert_eq!(python::run(script, &given).expect("it is signed"), received.json());
    let forged =
        json!({ "secret": SECRET, "headers": received.headers, "body": body.replace("board-1", "board-2") });
    let said = python::run(script, &forged).expect_err("a forged body is refused");
    assert!(said.contains("WebhookVerificationError"), "{said}");
}

#[tokio::test]
async fn any_2xx_is_success_whatever_else_it_says() {
    answered(status("200 OK")).await.expect("success");
    answered(status("299 Fine")).await.expect("success");
    answered(Answer::Bytes("HTTP/1.1 200 OK\r\n\r\nto the end of the connection".to_owned()))
        .await
        .expect("success");
    // More than anybody wants to read.
    answered(Answer::Endless("HTTP/1.1 200 OK\r\n\r\n".to_owned())).await.expect("success");
}

#[tokio::test]
async fn what_is_no_success_is_tried_again_with_its_words() {
    let (wish, why) = temporary(answered(status("500 Internal Server Error")).await);
    assert_eq!((wish, why.as_str()), (None, "it answered 500 Internal Server Error: ok"));
    let (_, why) = temporary(answered(status("404 Not Found")).await);
    assert!(why.contains("404"), "{why}");
    let wish = "429 Too Many Requests\r\nRetry-After: 120";
    assert_eq!(temporary(answered(status(wish)).await).0, Some(120_000));
    let date = jiff::fmt::rfc2822::to_string(
        &Timestamp::from_second(now() / 1_000 + 3_600).unwrap().to_zoned(TimeZone::UTC),
    );
    let wish = format!("503 Service Unavailable\r\nRetry-After: {}", date.unwrap());
    let (wish, _) = temporary(answered(status(&wish)).await);
    assert!(wish.is_some_and(|wish| (3_000_000..=3_600_000).contains(&wish)), "{wish:?}");
}

#[tokio::test]
async fn one_that_is_gone_says_so() {
    let failure = answered(status("410 Gone")).await.expect_err("it is gone");
    assert_eq!(failure.kind, FailureKind::Gone);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut elsewhere = Hook::start(|_, _| status("200 OK")).await;
    let to = format!("307 Temporary Redirect\r\nLocation: {}", elsewhere.url());
    let (_, why) = temporary(answered(status(&to)).await);
    assert!(why.contains("redirects are not followed"), "{why}");
    assert!(elsewhere.came().is_empty());
}

#[tokio::test]
async fn a_success_that_breaks_off_is_none() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this";
    for broken in [
        cut,
        "HTTP/1.1 200 OK\r\nContent-Le",
        "",
        "HTTP/1.1 two hundred\r\n\r\n",
        "220 mail.example ESMTP\r\n",
    ] {
        let (_, why) = temporary(answered(Answer::Bytes(broken.to_owned())).await);
        assert!(why.contains("before the answer did"), "{broken:?}: {why}");
    }
    let huge_head = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(100_000));
    temporary(answered(Answer::Bytes(huge_head)).await);
}

#[tokio::test]
async fn one_that_never_answers_is_left_in_time() {
    let mut hook = Hook::start(|_, _| Answer::Nothing).await;
    let (_, why) = temporary(attempt(&hook.url(), SHORT).await);
    assert!(why.contains("no complete answer within 0.6 s"), "{why}");
    hook.next().await;
    // A head, and a body that never comes.
    let hook = Hook::start_over(
        |_, _| Answer::Nothing,
        async |mut stream: tokio::net::TcpStream| {
            use tokio::io::AsyncWriteExt;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await.ok()?;
            Some(stream)
        },
    )
    .await;
    temporary(attempt(&hook.url(), SHORT).await);
}

#[tokio::test]
async fn where_nobody_listens_is_a_failure_and_not_an_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let (_, why) = temporary(attempt(&format!("http://{address}/"), Limits::default()).await);
    assert!(why.contains("no connection to 127.0.0.1"), "{why}");
    let (_, why) = temporary(attempt("http://no-such-name.invalid/", Limits::default()).await);
    assert!(why.contains("cannot be resolved"), "{why}");
}

/// As written, by a name that means this machine, and in other spellings.
#[tokio::test]
async fn an_internal_address_is_not_connected_to_unless_that_is_allowed() {
    let mut hook = Hook::start(|_, _| status("200 OK")).await;
    let port = hook.address.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1]", "0.0.0.0"] {
        let mut settings = webhook("ops", &format!("http://{host}:{port}/"));
        (settings["allow_internal"], settings["insecure"]) = (json!(false), json!(true));
        let target = webhook_target(&settings);
        let sent = in_time("an attempt", send(&target, &message(), now(), Limits::default())).await;
        let (_, why) = temporary(sent);
        assert!(why.contains("allow_internal"), "{host}: {why}");
    }
    assert!(hook.came().is_empty());
    attempt(&format!("http://localhost:{port}/"), Limits::default()).await.expect("it is allowed");
    assert_eq!(hook.came().len(), 1);
}
