//! Rules on their way to gateways: what travels, the same bytes for the same rules, and what is refused.

use tidegate_alarms::{RuleBook, RuleKind, RuleSet, RulesSettings, document::MAX_REVISIONS};
use tidegate_protocol::{SiteId, WIRE_VERSION, sealed::SealError};

fn set(rules: serde_json::Value) -> RuleSet {
    let settings: RulesSettings = serde_json::from_value(serde_json::json!({
        "labels": [{ "select": { "device": "boiler-*" }, "set": { "area": "north" } }], "rule": rules,
    }))
    .unwrap();
    RuleSet::from_settings(settings).unwrap()
}

fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

fn ids(book: &RuleBook) -> Vec<&str> {
    book.rules().map(|rule| rule.id().as_str()).collect()
}

#[test]
fn the_rules_of_channels_of_a_site_travel_and_judge_the_same() {
    let rules = set(serde_json::json!([
        { "id": "elsewhere", "select": { "site": "mine" }, "above": 1.0 },
        { "id": "everywhere", "above": 80.5, "deadband": 0.1, "on_delay": "5s", "message": "{device}" },
        { "id": "here", "select": { "site": "pl*", "labels": { "area": "n*" } }, "rate": { "above": 1.0, "per": "1m", "over": "5m" } },
        { "id": "many", "above": 1.0, "group": { "count": 2 } },
        { "id": "silent", "stale": { "after": 3.0 } },
        { "id": "state", "equals": [1, 3], "latching": true, "quiet_hours": { "from": "22:00", "to": "06:00" } },
    ]));
    let book = RuleBook::from(rules);
    let sent = book.for_site(site("plant"));
    assert_eq!(ids(&sent), ["everywhere", "here", "state"]);
    let document = sent.document().unwrap();
    assert_eq!(book.for_site(site("plant")).document().unwrap(), document);
    let read = RuleBook::from_document(&document).unwrap();
    assert_eq!(read, sent);
    for rule in read.rules() {
        let (there, here) = (rule.at(None).unwrap(), book.get(rule.id()).unwrap().at(None).unwrap());
        assert_eq!((there.revision(), there.rule_kind()), (here.revision(), RuleKind::Channel));
    }
    assert_eq!(RuleBook::from_document(&RuleBook::default().document().unwrap()), Ok(RuleBook::default()));
}

#[test]
fn the_newest_revisions_travel_and_retired_rules_do_not() {
    let mut book = RuleBook::default();
    for limit in 0..20_i64 {
        let both = serde_json::json!([{ "id": "hot", "above": limit }, { "id": "odd", "above": 1 }]);
        book.merge(&set(both), limit * 1_000);
    }
    book.merge(&set(serde_json::json!([{ "id": "hot", "above": 19 }])), 30_000);
    let sent = book.for_site(site("plant"));
    assert_eq!(ids(&sent), ["hot"]);
    let hot = sent.rules().next().unwrap();
    assert_eq!(hot.revisions().len(), MAX_REVISIONS);
    assert_eq!(hot.at(Some(15_500)), book.rules().next().unwrap().at(Some(15_500)));
    assert_eq!(hot.at(Some(1_000)), None, "older than what travels");
}

#[test]
fn what_no_book_says_is_refused() {
    let book = |rules| RuleBook::from(set(rules));
    let good = book(serde_json::json!([{ "id": "hot", "above": 1 }])).document().unwrap();
    let sealed = |body: &[u8]| {
        let mut bytes = [&[WIRE_VERSION], body].concat();
        let crc = tidegate_protocol::frame::crc::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    };
    let body = &good[1..good.len() - 4];
    assert!(RuleBook::from_document(&sealed(body)).is_ok());
    // The one rule twice, under one id.
    let twice = [&[2], &body[1..], &body[1..]].concat();
    assert_eq!(RuleBook::from_document(&sealed(&twice)), Err(SealError::Malformed));
    // An id that the rule itself does not bear.
    let mut other = body.to_vec();
    assert_eq!(&other[1..5], b"\x03hot");
    other[2] = b'p';
    assert_eq!(RuleBook::from_document(&sealed(&other)), Err(SealError::Malformed));
    assert_eq!(RuleBook::from_document(&sealed(&[0x81, 0x20])), Err(SealError::TooMany(4_096)));
    assert_eq!(RuleBook::from_document(&sealed(&[body, &[0]].concat())), Err(SealError::Malformed));
    assert_eq!(RuleBook::from_document(&good[..good.len() - 1]), Err(SealError::Corrupt));
}
