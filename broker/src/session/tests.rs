use std::sync::Arc;

use super::*;
use crate::access::Role;
use crate::catalogue::Claim;

const LIMITS: SessionLimits =
    SessionLimits { max_filters: 2, max_inflight: 2, max_backlog: 4, max_backlog_bytes: 100 };

fn session() -> Session {
    let identity = Identity { user: "o".into(), role: Arc::new(Role::Operator) };
    Session::new(identity, LIMITS, true)
}

fn message(topic: &'static str, qos: QoS) -> Message {
    let topic = Topic::new(Bytes::from_static(topic.as_bytes())).expect("a topic");
    Message { topic, payload: Bytes::from_static(b"p"), qos, retain: false }
}

/// Feeds packets; gives the bytes answered, the effects, and how it ended.
fn feed(session: &mut Session, packets: Vec<Packet>) -> (Vec<u8>, Vec<Effect>, Result<Flow, Violation>) {
    let catalogue = Catalogue::new(100, 100);
    let (mut out, mut effects, mut last) = (BytesMut::new(), Vec::new(), Ok(Flow::GoesOn));
    for packet in packets {
        last = session.handle(packet, &catalogue, &mut out, &mut effects);
    }
    (out.to_vec(), effects, last)
}

/// The router carries out a subscription; gives the bytes answered and the effects.
fn confirm(session: &mut Session, number: usize) -> (Vec<u8>, Vec<Effect>) {
    let (mut out, mut effects) = (BytesMut::new(), Vec::new());
    session.subscribed(number, &mut out, &mut effects);
    (out.to_vec(), effects)
}

fn subscribe(filters: &[(&str, QoS)]) -> Packet {
    let filters = filters.iter().map(|(filter, qos)| (filter.to_string(), *qos)).collect();
    Packet::Subscribe { id: 7, filters }
}

fn arrived(topic: &'static str, qos: QoS, subscription: usize, offset: u64) -> Arrived {
    Arrived { message: message(topic, qos), subscription, offset }
}

#[test]
fn each_qos_is_acknowledged_its_own_way() {
    let publish = |qos, id| Packet::Publish { message: message("home/x", qos), id };
    let packets =
        vec![publish(QoS::AtMostOnce, 0), publish(QoS::AtLeastOnce, 5), publish(QoS::ExactlyOnce, 6)];
    let (out, effects, _) = feed(&mut session(), packets);
    assert_eq!(out, [0x40, 2, 0, 5, 0x50, 2, 0, 6]);
    assert_eq!(effects.len(), 3);
}

#[test]
fn a_repeated_qos_2_publish_is_routed_once_until_released() {
    let publish = || Packet::Publish { message: message("home/x", QoS::ExactlyOnce), id: 6 };
    let (out, effects, _) =
        feed(&mut session(), vec![publish(), publish(), Packet::PubRel(6), Packet::PubRel(6), publish()]);
    assert_eq!(out, [0x50, 2, 0, 6, 0x50, 2, 0, 6, 0x70, 2, 0, 6, 0x70, 2, 0, 6, 0x50, 2, 0, 6]);
    assert_eq!(effects.len(), 2);
}

#[test]
fn unreleased_qos_2_exchanges_are_bounded() {
    let publish = |id| Packet::Publish { message: message("home/x", QoS::ExactlyOnce), id };
    let (_, _, last) = feed(&mut session(), vec![publish(1), publish(2), publish(2)]);
    assert_eq!(last, Ok(Flow::GoesOn));
    let (_, _, last) = feed(&mut session(), vec![publish(1), publish(2), publish(3)]);
    assert_eq!(last, Err(Violation::TooManyUnreleased));
}

#[test]
fn a_refused_publish_ends_the_connection_and_routes_nothing() {
    let refused = Packet::Publish { message: message("tidegate/v1/alarms/a/b/c/d", QoS::AtLeastOnce), id: 1 };
    let (out, effects, last) = feed(&mut session(), vec![refused]);
    assert!(matches!(last, Err(Violation::PublishRefused(_))));
    assert!(out.is_empty() && effects.is_empty());
}

#[test]
fn a_suback_waits_until_the_router_has_all_its_filters() {
    let mut session = session();
    let filters = [("a", QoS::AtLeastOnce), ("b", QoS::AtMostOnce)];
    let (out, effects, _) = feed(&mut session, vec![subscribe(&filters), Packet::PingReq]);
    assert_eq!(out, [0xd0, 0], "a message of another client may still overtake the subscription");
    let asked =
        [("a", 1), ("b", 2)].map(|(filter, number)| Effect::Subscribe { filter: filter.into(), number });
    assert_eq!(effects, asked);
    assert_eq!(confirm(&mut session, 1), (vec![], vec![]));
    let (out, effects) = confirm(&mut session, 2);
    assert_eq!(out, [0x90, 4, 0, 7, 1, 0]);
    let found = filters.map(|(filter, qos)| Effect::FindRetained { filter: filter.into(), qos });
    assert_eq!(effects, found, "and what was retained meanwhile");
    assert_eq!(confirm(&mut session, 2), (vec![], vec![]));
}

#[test]
fn no_suback_is_left_to_the_next_connection_of_a_kept_session() {
    let mut session = session();
    let (out, _, _) = feed(&mut session, vec![subscribe(&[("a", QoS::AtLeastOnce)])]);
    assert!(out.is_empty());
    session.resume();
    let (out, _, _) = feed(&mut session, vec![subscribe(&[("a", QoS::ExactlyOnce)])]);
    assert!(out.is_empty(), "the router has still not carried it out");
    assert_eq!(confirm(&mut session, 1).0, [0x90, 3, 0, 7, 2], "of this connection alone");
    let (out, _, _) = feed(&mut session, vec![subscribe(&[("a", QoS::AtLeastOnce)])]);
    assert_eq!(out, [0x90, 3, 0, 7, 1], "it is subscribed already");
    assert_eq!(session.resubscribe(&Catalogue::new(1, 1)).map(|effects| effects.len()), Some(1));
    let (out, _, _) = feed(&mut session, vec![subscribe(&[("a", QoS::AtLeastOnce)])]);
    assert!(out.is_empty(), "at another router it is not");
}

#[test]
fn subscribes_that_wait_for_the_router_are_bounded() {
    let mut session = session();
    let again = || subscribe(&[("a", QoS::AtMostOnce)]);
    let (out, _, _) = feed(&mut session, vec![again(), again(), again(), again()]);
    assert_eq!(out, [0x90, 3, 0, 7, 0x80, 0x90, 3, 0, 7, 0x80], "two wait");
    assert_eq!(confirm(&mut session, 1).0, [0x90, 3, 0, 7, 0, 0x90, 3, 0, 7, 0]);
}

#[test]
fn refused_filters_get_0x80_beside_granted_ones() {
    let filters = [("$share/g/x", QoS::AtMostOnce), ("a", QoS::AtLeastOnce)];
    let mut session = session();
    let (_, effects, _) = feed(&mut session, vec![subscribe(&filters)]);
    let expected = [
        Effect::Refused { filter: "$share/g/x".into() },
        Effect::Subscribe { filter: "a".into(), number: 1 },
    ];
    assert_eq!(effects, expected);
    assert_eq!(confirm(&mut session, 1).0, [0x90, 4, 0, 7, 0x80, 1]);
    let (out, _, _) = feed(&mut session, vec![subscribe(&[("b", QoS::AtMostOnce), ("c", QoS::AtMostOnce)])]);
    assert!(out.is_empty());
    assert_eq!(confirm(&mut session, 2).0, [0x90, 4, 0, 7, 0, 0x80], "the third filter is over the limit");
    let (out, effects, _) =
        feed(&mut session, vec![subscribe(&[("a/#/b", QoS::AtMostOnce), ("a", QoS::ExactlyOnce)])]);
    assert_eq!(out, [0x90, 4, 0, 7, 0x80, 2], "a known one is not");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Subscribe { .. })));
    assert!(effects.contains(&Effect::FindRetained { filter: "a".into(), qos: QoS::ExactlyOnce }));
}

#[test]
fn every_unsubscribe_is_acknowledged_once_known_or_not() {
    let mut session = session();
    let unsubscribe = || Packet::Unsubscribe { id: 9, filters: vec!["a".into(), "unknown".into()] };
    let (out, effects, _) =
        feed(&mut session, vec![subscribe(&[("a", QoS::AtMostOnce)]), unsubscribe(), unsubscribe()]);
    assert_eq!(out, [0xb0, 2, 0, 9, 0xb0, 2, 0, 9]);
    let unsubscribed = Effect::Unsubscribe { filter: "a".into() };
    assert_eq!(effects.iter().filter(|effect| **effect == unsubscribed).count(), 1);
    let mut out = BytesMut::new();
    assert!(!session.deliver(arrived("a", QoS::AtMostOnce, 1, 0), &mut out).sent);
    assert!(out.is_empty());
}

#[test]
fn a_delivery_takes_the_lower_qos_and_counts_what_the_log_skipped() {
    let mut session = session();
    assert_eq!(feed(&mut session, vec![subscribe(&[("a", QoS::AtLeastOnce)])]).2, Ok(Flow::GoesOn));
    let mut out = BytesMut::new();
    let deliver = |session: &mut Session, out: &mut BytesMut, qos, offset| {
        out.clear();
        let delivered = session.deliver(arrived("a", qos, 1, offset), out);
        (delivered, out.first().map_or(0, |first| first >> 1 & 3))
    };
    let sent = |skipped| Delivered { sent: true, skipped };
    assert_eq!(deliver(&mut session, &mut out, QoS::AtMostOnce, 10), (sent(0), 0));
    assert_eq!(deliver(&mut session, &mut out, QoS::ExactlyOnce, 11), (sent(0), 1));
    assert_eq!(deliver(&mut session, &mut out, QoS::AtLeastOnce, 15), (sent(3), 1));
    assert!(!session.has_room(), "two unacknowledged messages fill the window");
}

#[test]
fn retained_messages_wait_for_the_window_and_come_before_new_ones() {
    let mut session = session();
    let kept = (0..3).map(|_| Message { retain: true, ..message("a", QoS::AtLeastOnce) }).collect();
    assert_eq!(session.send_retained(kept, QoS::AtLeastOnce), Ok(()));
    let mut out = BytesMut::new();
    assert_eq!(session.write_backlog(&mut out, 1000), 2);
    assert!(!session.has_room());
    assert_eq!(feed(&mut session, vec![Packet::PubAck(1), Packet::PubAck(2)]).2, Ok(Flow::GoesOn));
    assert!(!session.has_room(), "one retained message is still to be sent");
    out.clear();
    assert_eq!(session.write_backlog(&mut out, 1000), 1);
    assert_eq!(out[0], 0x33, "QoS 1, retain");
    assert!(session.has_room());
}

#[test]
fn retained_messages_that_wait_are_bounded_by_what_they_take() {
    let mut session = session();
    let large = |payload: usize| {
        let payload = Bytes::from(vec![7; payload]);
        vec![Message { payload, ..message("home/x", QoS::AtLeastOnce) }]
    };
    assert_eq!(session.send_retained(large(100 - 6), QoS::AtLeastOnce), Ok(()), "with its topic 100 bytes");
    let refused = Err(Violation::TooMuchBacklog);
    assert_eq!(session.send_retained(vec![message("a", QoS::AtLeastOnce)], QoS::AtLeastOnce), refused);
    assert_eq!(session.send_retained(Vec::new(), QoS::AtLeastOnce), Ok(()));
    let mut out = BytesMut::new();
    assert_eq!(session.write_backlog(&mut out, 1000), 1);
    // What was sent does not count any more, and what was refused never did.
    assert_eq!(session.send_retained(large(44), QoS::AtLeastOnce), Ok(()));
    assert_eq!(session.send_retained(large(44), QoS::AtLeastOnce), Ok(()));
    assert_eq!(session.send_retained(vec![message("a", QoS::AtLeastOnce)], QoS::AtLeastOnce), refused);
}

/// Of QoS 0 no window says when it is enough.
#[test]
fn retained_messages_of_qos_0_wait_for_room_in_what_is_to_be_written() {
    let mut session = session();
    let kept = vec![message("home/x", QoS::AtMostOnce); 3];
    assert_eq!(session.send_retained(kept, QoS::AtMostOnce), Ok(()));
    let mut out = BytesMut::new();
    assert_eq!(session.write_backlog(&mut out, 1), 1);
    assert_eq!(session.write_backlog(&mut out, 1), 0);
    out.clear();
    assert_eq!(session.write_backlog(&mut out, 1000), 2);
}

#[test]
fn topics_that_were_looked_up_are_remembered_within_a_bound() {
    let (mut session, catalogue) = (session(), Catalogue::new(1, 10_000));
    for number in 0..1_000 {
        let topic = Topic::new(Bytes::from(format!("home/{number}"))).expect("a topic");
        assert_eq!(session.authorise(&topic, &catalogue), Ok(()));
        assert!(session.allowed_topics.len() <= 256);
        assert!(session.allowed_topics.contains(topic.bytes()));
    }
}

#[test]
fn at_another_router_a_session_asks_the_catalogue_for_its_filters_and_topics_again() {
    let mut session = session();
    let filters = [("a", QoS::AtMostOnce), ("b", QoS::AtMostOnce)];
    assert_eq!(feed(&mut session, vec![subscribe(&filters)]).2, Ok(Flow::GoesOn));
    let topic = message("home/x", QoS::AtMostOnce).topic;
    assert_eq!(session.authorise(&topic, &Catalogue::new(0, 2)), Ok(()));
    // A guest gets half: one, and two.
    assert_eq!(session.resubscribe(&Catalogue::new(2, 2)), None);
    let again =
        [("a", 1), ("b", 2)].map(|(filter, number)| Effect::Subscribe { filter: filter.into(), number });
    let roomy = Catalogue::new(4, 0);
    assert_eq!(session.resubscribe(&roomy), Some(Vec::from(again)));
    assert!(roomy.admits_filter("a", Claim::Guest) && !roomy.admits_filter("c", Claim::Guest));
    let refused = Violation::TooManyTopics("home/x".into());
    assert_eq!(session.authorise(&topic, &roomy), Err(refused), "this router was not told of it yet");
}

#[test]
fn one_subscribe_cannot_ask_for_everything_many_times() {
    let mut session = session();
    let (_, asked, _) = feed(&mut session, vec![subscribe(&[("#", QoS::AtMostOnce); 100])]);
    let (out, found) = confirm(&mut session, 1);
    assert_eq!((out[4..6].to_vec(), out[6..].to_vec()), (vec![0, 0], vec![0x80; 98]));
    assert_eq!((asked.len(), found.len()), (1, 2), "one subscription, two looks at the retained messages");
    let kept = || (0..3).map(|_| message("a", QoS::AtMostOnce)).collect();
    assert_eq!(session.send_retained(kept(), QoS::AtMostOnce), Ok(()));
    assert_eq!(session.send_retained(kept(), QoS::AtMostOnce), Err(Violation::TooMuchBacklog));
}

#[test]
fn the_brokers_own_probe_reaches_nobody() {
    let mut session = session();
    assert_eq!(feed(&mut session, vec![subscribe(&[("#", QoS::AtMostOnce)])]).2, Ok(Flow::GoesOn));
    let mut out = BytesMut::new();
    let delivered = session.deliver(arrived("tidegate-broker/probe", QoS::AtMostOnce, 1, 0), &mut out);
    assert_eq!((delivered.sent, out.len()), (false, 0));
}
