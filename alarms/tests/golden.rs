//! The document of rules as it travels and lies on gateways is frozen like the rest of the wire: what was committed is read for
//! ever, and as the same rules. `cargo xtask golden` adds what is new.

#[path = "../../protocol/tests/support/pinned.rs"]
mod pinned;

use pinned::{Pinned, Vector};
use serde_json::{Value, json};
use tidegate_alarms::{RuleBook, RuleSet, RulesSettings};
use tidegate_protocol::SiteId;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1");

#[test]
fn what_is_written_is_what_was_pinned() {
    pinned().each(|vector, committed| assert_eq!(committed, vector.bytes, "{}", vector.name));
}

#[test]
fn what_was_pinned_is_read_for_ever() {
    pinned().each(|vector, committed| (vector.still_says_it)(&committed));
}

#[test]
fn no_vector_was_changed_or_taken_away() {
    pinned().assert_nothing_was_touched();
}

fn pinned() -> Pinned {
    let vectors = [
        ("rules-none", "no rules", RuleBook::default()),
        ("rules-conditions", "a rule of every condition that gateways judge by", conditions()),
        ("rules-whole", "everything that a rule may say beside its condition", whole()),
        ("rules-revised", "a rule that changed, and one that was dated in a file", revised()),
    ];
    let vectors = vectors.into_iter().map(|(name, description, book)| {
        let book = book.for_site(SiteId::new("plant").unwrap());
        Vector {
            name: name.to_owned(),
            description: description.to_owned(),
            value: format!("{book:#?}"),
            bytes: book.document().unwrap(),
            still_says_it: Box::new(move |committed| {
                assert_eq!(RuleBook::from_document(committed).as_ref(), Ok(&book));
            }),
        }
    });
    Pinned::new(FOLDER, vectors.collect())
}

fn set(rules: &Value) -> RuleSet {
    let settings: RulesSettings = serde_json::from_value(json!({
        "labels": [{ "select": { "device": "boiler-*" }, "set": { "area": "north" } }], "rule": rules,
    }))
    .unwrap();
    RuleSet::from_settings(settings).unwrap()
}

fn conditions() -> RuleBook {
    RuleBook::from(set(&json!([
        { "id": "above", "above": 80.5 },
        { "id": "below", "below": -3 },
        { "id": "outside", "outside": [5, 80] },
        { "id": "inside", "inside": [5, 80] },
        { "id": "equals", "equals": [1, 3] },
        { "id": "not-equals", "not_equals": true },
        { "id": "rate", "rate": { "above": 2.5, "below": -1, "per": "1m", "over": "5m" } },
        { "id": "deviation", "deviation": { "outside": [-0.4, 2], "over": "1h" } },
    ])))
}

fn whole() -> RuleBook {
    let quiet = json!({ "from": "22:00", "to": "06:30", "days": ["mon", "sun"], "zone": "Europe/Berlin" });
    let select = json!({ "site": "pl*", "device": "boiler-?", "channel": "*", "tag": "TT-*", "labels": { "area": "n*" } });
    RuleBook::from(set(&json!([
        { "id": "critical", "select": select, "above": 80, "unit": "Cel", "deadband": 0.5, "on_delay": "5s",
          "off_delay": "1m", "priority": "critical", "latching": true, "quiet_hours": quiet,
          "message": "{device} is at {value} {unit}" },
        { "id": "high", "above": 1, "priority": "high" },
        { "id": "low", "above": 1, "priority": "low" },
    ])))
}

fn revised() -> RuleBook {
    let mut book = RuleBook::default();
    book.merge(&set(&json!([{ "id": "hot", "above": 80 }])), 1_790_000_000_000);
    let dated = json!({ "id": "cold", "below": 2, "effective_from": "2026-10-01T00:00:00Z" });
    book.merge(&set(&json!([{ "id": "hot", "above": 75 }, dated])), 1_790_000_100_000);
    book
}
