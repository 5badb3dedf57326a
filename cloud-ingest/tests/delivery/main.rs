//! Deliveries over real sockets: to servers that are slow, dead or lying, and to other people's programs.

mod attempts;
mod encrypted;
mod hook;
#[path = "../../src/delivery/core/test_support.rs"]
mod made;
mod mail;
mod outbox;
mod python;
mod quiet;
mod served;
mod whole;

use std::{path::Path, time::Duration};

use serde_json::{Value as Json, json};
use tidegate_ingest::delivery::{Receiver, Target, WebhookTarget, receiver};

/// Longer than anything awaited in these tests takes on a busy machine; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn checked(settings: &Json) -> Receiver {
    let settings = serde_json::from_value(settings.clone()).expect("settings");
    receiver::receivers(Path::new("ingest.toml"), vec![settings]).expect("good settings").remove(0)
}

/// A webhook's settings, for a server on loopback.
fn webhook(id: &str, url: &str) -> Json {
    json!({ "id": id, "type": "webhook", "url": url, "secrets": [SECRET], "allow_internal": true })
}

fn webhook_target(settings: &Json) -> WebhookTarget {
    match checked(settings).target {
        Target::Webhook(target) => target,
        Target::Email(_) => panic!("no webhook"),
    }
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}
