//! Topics and filters, and what a broker lets whom do with them.

use std::sync::Arc;

use tidegate_broker::{
    Role,
    access::{
        ClientIdProblem, GatewayAccess, INGEST_CLIENT_ID, Identity, MAX_CLIENT_ID_BYTES, MAX_TOPIC_BYTES,
        PROBE_ROOT, check_client_id, could_be_another_gateways, generated_client_id,
    },
    mqtt::{covers, filter_problem, matches},
};
use tidegate_protocol::{
    GatewayId, SiteId,
    topic::{ALL_BLOCKS, ALL_STATUS, Down, GatewayPath, Lane, UpTopic},
};

/// What whoever writes the input may leave to the body: the gateway's own place.
const OWN: &str = "~";

fn gateway(name: &str) -> GatewayPath {
    GatewayPath::new(SiteId::new("plant").expect("a slug"), GatewayId::new(name).expect("a slug"))
}

/// Lines; the first two are filters, all others topics.
fn lines(bytes: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let own = gateway("gw-a").root();
    Some(text.split('\n').take(8).map(|line| line.replacen(OWN, &own, 1)).collect())
}

/// Filters and topics against the words of the standard (MQTT 3.1.1, section 4.7), said a second time in another way.
pub fn topics(bytes: &[u8]) {
    let Some(lines) = lines(bytes) else { return };
    let [wide, narrow, topics @ ..] = &lines[..] else { return };
    for filter in [wide, narrow] {
        assert_eq!(filter_problem(filter).is_none(), is_filter(filter), "{filter:?}");
    }
    topics.iter().for_each(|topic| ours(topic));
    if !is_filter(wide) || !is_filter(narrow) {
        return;
    }
    assert!(covers(wide, wide) && covers("#", wide));
    if covers(wide, narrow) {
        for topic in witnesses(narrow) {
            assert!(
                matches(wide, &topic) || topic.starts_with('$'),
                "{wide:?} covers {narrow:?} and not {topic:?}"
            );
        }
    }
    for topic in topics.iter().filter(|topic| is_topic(topic)) {
        for filter in [wide, narrow] {
            assert_eq!(matches(filter, topic), asked_for(filter, topic), "{filter:?} {topic:?}");
            if matches(filter, topic) {
                assert!(covers(filter, topic), "{filter:?} {topic:?}");
            }
        }
        if covers(wide, narrow) && matches(narrow, topic) && !topic.starts_with('$') {
            assert!(matches(wide, topic), "{wide:?} covers {narrow:?} and not {topic:?}");
        }
    }
}

/// Topics that a filter asks for, of each length that it may have.
fn witnesses(filter: &str) -> Vec<String> {
    let named = filter.split('/').map(|level| if level == "+" { "any" } else { level });
    let named: Vec<&str> = named.collect();
    let Some((&"#", above)) = named.split_last() else { return vec![named.join("/")] };
    let deeper = |more: &[&str]| [above, more].concat().join("/");
    let all = [deeper(&[]), deeper(&["any"]), deeper(&["any", "more"])];
    all.into_iter().filter(|topic| is_topic(topic)).collect()
}

fn is_topic(text: &str) -> bool {
    !text.is_empty() && !text.contains(['+', '#', '\0'])
}

fn is_filter(text: &str) -> bool {
    let levels: Vec<&str> = text.split('/').collect();
    let is_level = |level: &&str| matches!(*level, "+" | "#") || !level.contains(['+', '#']);
    let hash = levels.iter().position(|level| *level == "#");
    !text.is_empty() && levels.iter().all(is_level) && hash.is_none_or(|at| at + 1 == levels.len())
}

/// By recursion over the levels, where the code goes through them in a loop.
fn asked_for(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, topic @ ..]) => levels(filter, topic),
            ([same, filter @ ..], [level, topic @ ..]) => same == level && levels(filter, topic),
            _ => false,
        }
    }
    let is_hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
    let (filter, topic): (Vec<_>, Vec<_>) = (filter.split('/').collect(), topic.split('/').collect());
    !is_hidden && levels(&filter, &topic)
}

/// A topic of ours has one form, which is the one that is written.
fn ours(topic: &str) {
    let Ok((path, what)) = GatewayPath::parse_up(topic) else { return };
    let written = match what {
        UpTopic::Block(lane) => path.up(lane),
        UpTopic::Settings => path.up_settings(),
        UpTopic::Rules => path.up_rules(),
        UpTopic::Verdicts => path.up_verdicts(),
        UpTopic::Status => path.status(),
    };
    assert_eq!(written, topic);
    assert!(matches(ALL_BLOCKS, topic) || matches(ALL_STATUS, topic), "an ingest hears it: {topic}");
}

/// Who may do what, for whatever names and topics.
pub fn broker_access(bytes: &[u8]) {
    let Some(lines) = lines(bytes) else { return };
    let [filter, client_id, topics @ ..] = &lines[..] else { return };
    let own = gateway("gw-a");
    let role = Role::Gateway(GatewayAccess::new(own));
    let all = [role.clone(), Role::Ingest, Role::Observer, Role::Operator];
    for topic in topics.iter().map(String::as_str) {
        topic_of(topic, own, &all);
        if filter_problem(filter).is_none() && is_topic(topic) {
            filter_of(filter, topic, own, &all);
        }
    }
    if filter_problem(filter).is_none() && all.iter().any(|role| role.may_subscribe(filter)) {
        assert!(reaches_the_router(filter), "{filter:?}");
        witnesses(filter).iter().for_each(|topic| filter_of(filter, topic, own, &all));
    }
    client_id_of(client_id, &all);
}

/// The router keeps every name for as long as it runs, and what begins with `$` means something else to it.
fn reaches_the_router(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|byte| byte != b'$') && text.len() <= MAX_TOPIC_BYTES && !text.starts_with(PROBE_ROOT)
}

fn topic_of(topic: &str, own: GatewayPath, all: &[Role; 4]) {
    let [gateway, ingest, observer, operator] = all;
    if all.iter().any(|role| role.may_publish(topic)) {
        assert!(reaches_the_router(topic), "{topic:?}");
    }
    assert!(!observer.may_publish(topic));
    let said = GatewayPath::parse_up(topic);
    assert_eq!(
        gateway.may_publish(topic),
        said.is_ok_and(|(path, _)| path == own),
        "a gateway says what an ingest hears as its own, and nothing else: {topic:?}"
    );
    let is_up = said.is_ok();
    assert!(!(is_up && (ingest.may_publish(topic) || operator.may_publish(topic))), "{topic:?}");
    let is_own_down = Down::ALL.iter().any(|what| own.down(*what) == topic);
    assert!(!is_own_down || ingest.may_publish(topic) && !operator.may_publish(topic), "{topic:?}");
}

fn filter_of(filter: &str, topic: &str, own: GatewayPath, all: &[Role; 4]) {
    let [gateway, ingest, observer, _] = all;
    if !matches(filter, topic) {
        return;
    }
    let down = format!("{}/down/", own.root());
    // "…/down/#" asks for "…/down" too, on which nobody may say anything.
    let is_own = topic.starts_with(&down) || format!("{topic}/") == down;
    assert!(!gateway.may_subscribe(filter) || is_own, "{filter:?} hears {topic:?}");
    let is_for_ingest = matches(ALL_BLOCKS, topic) || matches(ALL_STATUS, topic);
    assert!(!ingest.may_subscribe(filter) || is_for_ingest, "{filter:?} hears {topic:?}");
    assert!(!observer.may_subscribe(filter) || matches("tidegate/v1/#", topic), "{filter:?} hears {topic:?}");
}

fn client_id_of(id: &str, all: &[Role; 4]) {
    let named = |name: &str, role: Role| Identity { user: name.into(), role: Arc::new(role) };
    let other = Role::Gateway(GatewayAccess::new(gateway("gw-b")));
    let known = [named("gw-a", all[0].clone()), named("gw-b", other), named("viewer", Role::Observer)];
    let [own, other, viewer] = &known;
    let mut takers = 0;
    for identity in &known {
        match check_client_id(identity, id, &known) {
            Ok(()) => {
                takers += 1;
                let is_tame = !id.contains(['+', '$', '#', '/']) && !id.chars().any(char::is_control);
                assert!(!id.is_empty() && id.len() <= MAX_CLIENT_ID_BYTES && is_tame, "{id:?}");
            }
            Err(ClientIdProblem::TooLong) => assert!(id.len() > MAX_CLIENT_ID_BYTES),
            Err(_) => {}
        }
    }
    assert!(takers <= 1, "two may call themselves {id:?}, and push each other off");
    if check_client_id(viewer, id, &known).is_ok() {
        assert!(!id.starts_with("plant.gw-a.") && id != "plant.gw-a" && id != "plant.gw-b");
        assert!(!id.starts_with(INGEST_CLIENT_ID), "an ingest that comes later is kept out: {id:?}");
    }
    let ingest = named("ingest", Role::Ingest);
    if id == INGEST_CLIENT_ID {
        assert_eq!(check_client_id(&ingest, id, &known), Ok(()));
    }
    assert!(!could_be_another_gateways(own, id) && !could_be_another_gateways(other, id));
    if check_client_id(own, id, &known).is_ok() {
        assert!(
            could_be_another_gateways(viewer, id),
            "where gateways are on no list it is kept for them: {id:?}"
        );
    }
    let random = id.len() as u64;
    for identity in &known {
        assert_eq!(check_client_id(identity, &generated_client_id(identity, random), &known), Ok(()));
    }
}

/// Filters and topics of every kind there is.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let own = gateway("gw-a");
    let ours: Vec<String> = Lane::ALL
        .iter()
        .map(|lane| own.up(*lane))
        .chain([own.up_settings(), own.up_rules(), own.up_verdicts(), own.status()])
        .chain(Down::ALL.iter().map(|what| own.down(*what)))
        .map(|topic| topic.replacen(&own.root(), OWN, 1))
        .collect();
    let mut seeds = vec![
        ("wildcards".to_owned(), b"sport/#\nsport/+/a\nsport\nsport/x/a\n/x\n$SYS/x".to_vec()),
        ("one-level".to_owned(), b"+/+\n+\n/a\na\na/b".to_vec()),
        ("not-all-below".to_owned(), b"a/+\na/#\na\na/b\na/b/c".to_vec()),
        ("all".to_owned(), "#\n~/down/#\n$SYS/x\n~/down\n~/down/ack\né/x".as_bytes().to_vec()),
        (
            "down".to_owned(),
            b"~/down/+\nplant.gw-a\n~/down/rules\n~/down\ntidegate/v1/4b/plant/gw-b/down/ack".to_vec(),
        ),
        ("client".to_owned(), b"tidegate/v1/+/+/+/up/+\nplant.gw-a.test\ntidegate-broker/probe/1".to_vec()),
        ("ingest".to_owned(), b"tidegate/v1/+/+/+/up/+\ntidegate-ingest\n~/down/ack".to_vec()),
        (
            "alarms".to_owned(),
            b"tidegate/v1/#\nviewer\ntidegate/v1/alarms/plant/d/c/r\ntidegate/v1/zz/plant/gw-a/up/live"
                .to_vec(),
        ),
    ];
    for (at, topic) in ours.iter().enumerate() {
        let words = format!("tidegate/v1/+/plant/+/#\n{topic}\n{topic}\n{topic}/x");
        seeds.push((format!("ours-{at:02}"), words.into_bytes()));
    }
    seeds
}
