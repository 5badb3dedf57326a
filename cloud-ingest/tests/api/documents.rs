//! The OpenAPI document against the routes.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use tidegate_alarms::{AlarmEvent, TransitionKind};
use tidegate_protocol::Seq;

use crate::Served;

const ROUTES: &str = include_str!("../../src/api/mod.rs");

#[tokio::test]
async fn every_route_is_documented_and_every_documented_path_is_served() {
    let served = Served::start().await;
    let document = served.json("/api/v1/openapi.json").await;
    let documented: BTreeSet<&str> =
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let routes: BTreeSet<&str> =
        ROUTES.split(".route(").skip(1).filter_map(|rest| rest.split('"').nth(1)).collect();
    assert!(routes.len() > 10, "the routes are not found in the source any more");
    assert_eq!(documented, routes);
    for path in documented {
        // Orders are not asked for.
        if document["paths"][path].get("get").is_none() {
            continue;
        }
        assert_eq!(served.get(&asked(path)).await.status(), 200, "{path}");
    }
}

/// A path with what it cannot be asked without.
fn asked(path: &str) -> String {
    let of_a_device = ["/readings", "/certificate"].iter().any(|end| path.ends_with(end));
    let path = path
        .replace("{site}", "plant")
        .replace("{device}", "a")
        .replace("{channel}", "level")
        .replace("{rule}", "hot")
        .replace("{number}", "7");
    format!("{path}{}", if of_a_device { "?device=a" } else { "" })
}

/// The refusal of an unknown parameter lists those that are known.
#[tokio::test]
async fn the_documented_parameters_are_those_that_are_taken() {
    let served = Served::start().await;
    let document = served.json("/api/v1/openapi.json").await;
    for (path, item) in document["paths"].as_object().unwrap() {
        if path.ends_with("openapi.json") || item.get("get").is_none() {
            continue;
        }
        let parameters = item["get"]["parameters"].as_array().cloned().unwrap_or_default();
        let in_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
        let documented: BTreeSet<&str> =
            in_query.map(|parameter| parameter["name"].as_str().unwrap()).collect();
        let bare = asked(path);
        let bare = bare.split('?').next().unwrap_or_default();
        let refusal = served.get(&format!("{bare}?no-such=1")).await.json::<Json>().await.unwrap();
        let detail = refusal["detail"].as_str().unwrap();
        let taken = detail.split_once("known here: ").map_or("", |(_, list)| list);
        let taken: BTreeSet<&str> = taken.split(", ").filter(|name| !name.is_empty()).collect();
        assert_eq!(documented, taken, "{path}: {detail}");
    }
}

#[tokio::test]
async fn answers_have_the_documented_fields() {
    let served = Served::start().await;
    served.source.world.lock().unwrap().events.push(crate::raise(1));
    let document = served.json("/api/v1/openapi.json").await;
    let schemas = &document["components"]["schemas"];
    let fields = |schema: &Json| -> BTreeSet<String> {
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    };
    let of = |answer: &Json| -> BTreeSet<String> { answer.as_object().unwrap().keys().cloned().collect() };
    for (path, item) in document["paths"].as_object().unwrap() {
        let schema = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
        let Some(name) = schema.as_str().and_then(|reference| reference.rsplit('/').next()) else { continue };
        let answer = served.json(&asked(path)).await;
        assert_eq!(of(&answer), fields(&schemas[name]), "{path}");
    }
    let revision = &schemas["RuleRevisions"]["properties"]["revisions"]["items"];
    let rule = served.json("/api/v1/rules/hot").await;
    assert_eq!(of(&rule["revisions"][0]), fields(revision));
    assert_eq!(of(&rule["revisions"][0]["says"]), fields(&revision["properties"]["says"]));
    let change = serde_json::to_value(tidegate_ingest::rules::RulesChangeView::default()).unwrap();
    assert_eq!(of(&change), fields(&schemas["RulesChange"]));
    let mut event = serde_json::to_value(crate::raise(1)).unwrap();
    let required = schemas["AlarmEvent"]["required"].as_array().unwrap();
    let required: BTreeSet<String> = required.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    assert_eq!(of(&event), required);
    // What an event says only where there is something to say.
    let after = tidegate_alarms::Lifecycle { suppressed_by_design: true, ..Default::default() };
    let operator =
        tidegate_alarms::event::Operator { by: "eva".into(), comment: String::new(), until_unix_ms: None };
    let kind = tidegate_alarms::TransitionKind::Suppress;
    let deed = tidegate_alarms::event::Deed { kind, number: 1, operator, unix_ms: 0, after: &after };
    let done = AlarmEvent {
        learned_unix_ms: Some(1),
        continues: Some(tidegate_alarms::EventId(1)),
        ..crate::raise(1).done(deed)
    };
    let done = serde_json::to_value(done).unwrap();
    assert_eq!(of(&done), fields(&schemas["AlarmEvent"]));
    assert_eq!(of(&done["lifecycle"]), fields(&schemas["Lifecycle"]));
    assert_eq!(of(&done["operator"]), fields(&schemas["Operator"]));
    event["onset"] = done["onset"].clone();
    assert_eq!(of(&event["onset"]), fields(&schemas["Point"]));
}

/// The report is deep: everything in it is held against its schema.
#[tokio::test]
async fn the_alarm_report_is_documented_all_through() {
    let served = Served::start().await;
    let document = served.json("/api/v1/openapi.json").await;
    // Ten at once, that clear within a second each: a flood, a bad actor, chatter, all of them fleeting.
    let events = (0..20_u64).map(|n| {
        let raised = crate::raise(n / 2);
        let at = (n / 2 * 2_000 + n % 2 * 500) as i64;
        let transition = [TransitionKind::Raise, TransitionKind::Clear][n as usize % 2];
        AlarmEvent { transition, seq: Seq(n), time_unix_ms: Some(at), ..raised }
    });
    served.source.world.lock().unwrap().events.extend(events);
    let answer = served.json("/api/v1/alarms/report?from=0&to=3600000").await;
    for list in ["/load/floods", "/bad_actors", "/chattering", "/fleeting", "/priorities", "/now/priorities"]
    {
        assert!(
            answer.pointer(list).unwrap().as_array().unwrap().len() > usize::from(list.ends_with("ties")),
            "{list}: {answer}"
        );
    }
    let schemas = &document["components"]["schemas"];
    let mut held = BTreeSet::new();
    hold(schemas, "AlarmReport", &answer, &mut held);
    // Lists that are empty here.
    let standing = serde_json::json!({ "site": "a", "device": "a", "channel": "a", "rule": "a", "priority": "low",
        "state": "shelved", "raised_unix_ms": null, "shelved_until_unix_ms": 1 });
    hold(schemas, "StandingAlarm", &standing, &mut held);
    assert_eq!(held.len(), 13, "{held:?}");
}

fn hold(schemas: &Json, name: &str, value: &Json, held: &mut BTreeSet<String>) {
    held.insert(name.to_owned());
    let properties = schemas[name]["properties"].as_object().unwrap();
    let fields = value.as_object().unwrap();
    assert_eq!(fields.keys().collect::<BTreeSet<_>>(), properties.keys().collect(), "{name}");
    let required = schemas[name]["required"].as_array().unwrap();
    assert_eq!(required.len(), properties.len(), "{name}: all are required");
    for (field, schema) in properties {
        let target =
            |schema: &Json| schema["$ref"].as_str().and_then(|to| to.rsplit('/').next()).map(str::to_owned);
        let of_items = target(&schema["items"])
            .into_iter()
            .flat_map(|to| fields[field].as_array().unwrap().iter().map(move |item| (to.clone(), item)));
        let itself = target(schema).filter(|_| fields[field].is_object()).map(|to| (to, &fields[field]));
        for (to, value) in of_items.chain(itself) {
            hold(schemas, &to, value, held);
        }
    }
}
