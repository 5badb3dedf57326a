use serde_json::{Value, json};

use super::*;

fn check(receivers_json: Value) -> Result<Vec<Receiver>, String> {
    let raw: Vec<ReceiverSettings> =
        serde_json::from_value(receivers_json).map_err(|error| error.to_string())?;
    receivers(Path::new("ingest.toml"), raw).map_err(|error| error.to_string())
}

fn webhook() -> Value {
    json!({ "id": "ops", "type": "webhook", "url": "https://example.org/hook",
            "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] })
}

fn email() -> Value {
    json!({ "id": "night", "type": "email", "server": "mail.example.org:587", "from": "Tidegate <a@example.org>",
            "to": ["b@example.org"] })
}

fn with(mut receiver: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().expect("an object") {
        receiver[key] = value.clone();
    }
    receiver
}

#[test]
fn good_receivers_pass_and_have_their_defaults() {
    let good = check(json!([webhook(), email()])).expect("good settings");
    assert!(!good[0].policy.digest && good[1].policy.digest);
    assert_eq!((good[0].target.kind(), good[1].target.kind()), ("webhook", "email"));
    assert_eq!(good[0].target.place(), "https://example.org");
    assert_eq!(good[1].target.place(), "b@example.org");
    let night = json!({ "from": "22:00", "to": "06:00", "days": ["mon"], "zone": "Europe/Berlin" });
    let transitions = json!(["raise"]);
    let more = json!({ "quiet_hours": night, "digest": true, "transitions": transitions, "min_priority": "high",
                       "select": { "site": "plant-*", "channel": "t.*" } });
    check(json!([with(webhook(), more.clone()), with(email(), more)])).expect("good settings");
    for (changes, is_in_clear) in [
        (json!({}), false),
        (json!({ "url": "http://example.org/", "insecure": true }), true),
        (json!({ "url": "http://10.0.0.1/", "allow_internal": true }), true),
        (json!({ "url": "http://127.0.0.1:80/", "allow_internal": true }), false),
    ] {
        let good = check(json!([with(webhook(), changes.clone())])).expect("good settings");
        assert_eq!(good[0].target.is_in_clear(), is_in_clear, "{changes}");
    }
    for (changes, is_in_clear) in [
        (json!({ "server": "127.0.0.1:25", "tls": "none" }), false),
        (json!({ "server": "[::1]:25", "tls": "none" }), false),
        (json!({ "tls": "none", "insecure": true }), true),
        (json!({ "user": "a", "password": "b" }), false),
    ] {
        let good = check(json!([with(email(), changes.clone())])).expect("good settings");
        assert_eq!(good[0].target.is_in_clear(), is_in_clear, "{changes}");
    }
}

#[test]
fn what_cannot_work_is_named_with_its_key() {
    for (receivers, key, says) in [
        (json!([webhook(), webhook()]), "receiver[1].id", "receiver[0] has this id"),
        (json!([with(webhook(), json!({ "id": "Ops" }))]), "receiver[0].id", "a-z"),
        (json!([with(webhook(), json!({ "url": "example.org" }))]), "receiver[0].url", "no address"),
        (json!([with(webhook(), json!({ "url": "ftp://example.org" }))]), "receiver[0].url", "no address"),
        (json!([with(webhook(), json!({ "url": "http://example.org" }))]), "receiver[0].url", "insecure"),
        (
            json!([with(webhook(), json!({ "url": "https://u:p@example.org" }))]),
            "receiver[0].url",
            "password",
        ),
        (json!([with(webhook(), json!({ "secrets": [] }))]), "receiver[0].secrets", "0 secrets"),
        (json!([with(webhook(), json!({ "secrets": ["hush"] }))]), "receiver[0].secrets[0]", "whsec_"),
        (json!([with(webhook(), json!({ "to": ["a@b.c"] }))]), "receiver[0].to", "type \"webhook\" has none"),
        (
            json!([with(email(), json!({ "url": "https://a.b" }))]),
            "receiver[0].url",
            "type \"email\" has none",
        ),
        (json!([with(email(), json!({ "server": "mail" }))]), "receiver[0].server", "host:port"),
        (json!([with(email(), json!({ "tls": "none" }))]), "receiver[0].tls", "insecure"),
        (json!([with(email(), json!({ "to": [] }))]), "receiver[0].to", "0 addresses"),
        (json!([with(email(), json!({ "to": ["nobody"] }))]), "receiver[0].to[0]", "no address of mail"),
        (json!([with(email(), json!({ "from": null }))]), "receiver[0].from", "no address of mail"),
        (json!([with(email(), json!({ "user": "a" }))]), "receiver[0].user", "no password"),
        (json!([with(email(), json!({ "transitions": ["rise"] }))]), "receiver[0].transitions", "rise"),
        (json!([with(email(), json!({ "select": { "rule": "A*" } }))]), "receiver[0].select.rule", "A*"),
        (json!([with(email(), json!({ "ca_file": "no-such.pem" }))]), "receiver[0].ca_file", "no-such.pem"),
        (
            json!([with(webhook(), json!({ "quiet_hours": { "from": "1:00", "to": "2:00" } }))]),
            "receiver[0].quiet_hours",
            "digest = true",
        ),
        (
            json!([with(email(), json!({ "quiet_hours": { "from": "1:00", "to": "2:00", "zone": "X" } }))]),
            "receiver[0].quiet_hours.zone",
            "no time zone",
        ),
    ] {
        let said = check(receivers.clone()).map(|_| ()).expect_err(key);
        assert!(said.contains(&format!("{key}:")) || said.contains(&format!("{key} ")), "{key}: {said}");
        assert!(said.contains(says), "{says}: {said}");
    }
}

#[test]
fn a_filter_takes_what_it_says() {
    let hot = crate::delivery::core::test_support::event("plant", "board-1", 1);
    let takes = |changes| check(json!([with(webhook(), changes)])).expect("good")[0].filter.takes(&hot);
    assert!(takes(json!({})));
    assert!(takes(json!({ "select": { "site": "pl*", "device": "board-?", "rule": "hot" } })));
    assert!(takes(json!({ "transitions": ["raise"], "min_priority": "high" })));
    for changes in [
        json!({ "min_priority": "critical" }),
        json!({ "transitions": ["clear"] }),
        json!({ "select": { "site": "other" } }),
        json!({ "select": { "device": "board-2" } }),
        json!({ "select": { "channel": "pressure" } }),
        json!({ "select": { "rule": "cold" } }),
    ] {
        assert!(!takes(changes.clone()), "{changes}");
    }
}
