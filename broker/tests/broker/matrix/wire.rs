//! A broker is asked: SUBSCRIBE, UNSUBSCRIBE and PUBLISH of each identity, over TCP with passwords and over TLS with
//! certificates. A witness hears all that is published, so that what was refused is seen not to arrive.

use std::collections::{BTreeSet, HashSet};

use tidegate_broker::{Config, Role};

use super::client::{Door, PACKET_ID, config, publish, subscribe, unsubscribe};
use super::oracle::Who;
use super::topics::{self, Class};
use crate::raw::Raw;
use crate::support::broker_with;
use crate::trusted::Trusted;

/// Each bend with each pattern of who may do what, once.
pub fn covering() -> Vec<Class> {
    let mut seen = HashSet::new();
    let outcome = |name: &[u8]| Who::ALL.map(|who| (who.may_publish(name), who.may_subscribe(name)));
    topics::all()
        .into_iter()
        .filter(|class| seen.insert((class.bend.clone(), outcome(&class.name))))
        .collect()
}

fn is_text(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|text| !text.contains('\0'))
}

/// Each QoS where the topic is one of the catalogue, else one of them in turn.
fn variants<const N: usize, T: Copy>(class: &Class, turn: usize, all: [T; N]) -> Vec<T> {
    if class.bend == "as it is" { all.to_vec() } else { vec![all[turn % N]] }
}

async fn subscribes_what_is_its_own(door: &Door<'_>, who: &Who, classes: &[Class]) {
    let mut raw = door.enter(&who.id()).await;
    for (turn, class) in classes.iter().enumerate() {
        for qos in variants(class, turn, [0, 1, 2]) {
            let cell = format!("{who:?} subscribes {} at QoS {qos}", class.shown());
            raw.send(&subscribe(&class.name, qos)).await;
            if !is_text(&class.name) {
                assert!(raw.is_cut_off().await, "{cell}");
                raw = door.enter(&who.id()).await;
                continue;
            }
            let code = if who.may_subscribe(&class.name) { qos } else { 0x80 };
            let answer = raw.packet().await;
            assert_eq!(answer, Some([&[0x90, 3][..], &PACKET_ID, &[code]].concat()), "{cell}");
            // Of what it never had, too.
            raw.send(&unsubscribe(&class.name)).await;
            assert_eq!(raw.packet().await, Some([&[0xb0, 2][..], &PACKET_ID].concat()), "un{cell}");
        }
    }
    let odd = classes.iter().find(|class| !is_text(&class.name)).expect("one that is no text");
    raw.send(&unsubscribe(&odd.name)).await;
    assert!(raw.is_cut_off().await, "{who:?} unsubscribes {}", odd.shown());
}

/// Hears everything that anybody publishes, until it is told to stop.
pub struct Witness {
    raw: Raw,
}

const THE_END: &[u8] = b"that is all";

impl Witness {
    pub async fn new(door: &Door<'_>) -> Self {
        let mut raw = door.enter("witness").await;
        raw.send(&subscribe(b"#", 0)).await;
        assert_eq!(raw.packet().await, Some([&[0x90, 3][..], &PACKET_ID, &[0]].concat()));
        Self { raw }
    }

    /// The topics and payloads of all up to now, each as a text.
    pub async fn heard(&mut self, operator: &mut Raw) -> BTreeSet<String> {
        operator.send(&publish(b"the/end", 0, false, &String::from_utf8_lossy(THE_END))).await;
        let mut heard = BTreeSet::new();
        loop {
            let packet = self.raw.packet().await.expect("the witness is not cut off");
            if packet.ends_with(THE_END) {
                return heard;
            }
            // Retained, from before this witness came.
            if packet[0] & 1 == 1 {
                continue;
            }
            // A QoS 0 PUBLISH: what follows the remaining length, which is below 2^14 here, and the topic's.
            assert_eq!(packet[0] >> 4, 3, "{packet:02x?}");
            let body = if packet[1] & 0x80 == 0 { &packet[2..] } else { &packet[3..] };
            assert!(heard.insert(body[2..].escape_ascii().to_string()), "nothing arrives twice");
        }
    }
}

/// What the witness hears of a publish.
pub fn as_heard(topic: &[u8], payload: &str) -> String {
    format!("{}{payload}", topic.escape_ascii())
}

/// Whether the broker took a PUBLISH to its end; `false` if it closed instead.
async fn is_taken(raw: &mut Raw, qos: u8) -> bool {
    let [high, low] = PACKET_ID;
    match qos {
        0 => return raw.is_alive().await,
        1 => raw.packet().await.map(|answer| assert_eq!(answer, [0x40, 2, high, low])).is_some(),
        _ => {
            let Some(answer) = raw.packet().await else { return false };
            assert_eq!(answer, [0x50, 2, high, low]);
            raw.send(&[0x62, 2, high, low]).await;
            raw.packet().await.map(|answer| assert_eq!(answer, [0x70, 2, high, low])).is_some()
        }
    }
}

const PUBLISHES: [(u8, bool); 6] = [(0, false), (1, true), (2, false), (0, true), (1, false), (2, true)];

/// Gives what should have arrived.
async fn publishes_what_is_its_own(door: &Door<'_>, who: &Who, classes: &[Class]) -> BTreeSet<String> {
    let mut raw = door.enter(&who.id()).await;
    let mut arrives = BTreeSet::new();
    for (turn, class) in classes.iter().enumerate() {
        for (qos, retain) in variants(class, turn, PUBLISHES) {
            let payload = format!(" {} {qos} {retain}", who.user());
            raw.send(&publish(&class.name, qos, retain, &payload)).await;
            let taken = is_taken(&mut raw, qos).await;
            let cell = || format!("{who:?} publishes {} at QoS {qos}, retained {retain}", class.shown());
            assert_eq!(taken, who.may_publish(&class.name), "{}", cell());
            if taken {
                arrives.insert(as_heard(&class.name, &payload));
            } else {
                raw = door.enter(&who.id()).await;
            }
        }
    }
    arrives
}

/// Who enters, how, and with which classes.
type Case<'a> = (Who, Door<'a>, Vec<Class>);

async fn check(cases: &[Case<'_>], operator: &Door<'_>) {
    // First, while nothing is retained that would be sent on a subscription.
    for (who, door, classes) in cases {
        subscribes_what_is_its_own(door, who, classes).await;
    }
    for (who, door, classes) in cases {
        let mut witness = Witness::new(operator).await;
        let arrives = publishes_what_is_its_own(door, who, classes).await;
        let heard = witness.heard(&mut operator.enter("the-end").await).await;
        // The probe of the broker's health is heard by nobody.
        assert_eq!(heard, arrives, "{who:?}");
    }
}

#[tokio::test]
async fn with_passwords_the_broker_does_what_the_matrix_says() {
    let classes = covering();
    let broker = broker_with(config(None)).await;
    let cases = Who::ALL.map(|who| (who, Door::password(&broker, &who), classes.clone()));
    check(&cases, &Door::password(&broker, &Who::Operator)).await;
}

#[tokio::test]
async fn with_certificates_the_broker_does_what_the_matrix_says() {
    // A handshake costs more: every third class, other ones for each identity.
    let classes = covering();
    let trusted = Trusted::new();
    let broker = broker_with(Config { tls: trusted.config().tls, ..config(None) }).await;
    let case = |(turn, who): (usize, Who)| {
        let of_turn = |(place, class): &(usize, &Class)| place % 3 == turn % 3 || !is_text(&class.name);
        let classes = classes.iter().enumerate().filter(of_turn).map(|(_, class)| class.clone()).collect();
        (who, Door::certificate(&broker, &trusted, &who.uri()), classes)
    };
    let cases: Vec<Case<'_>> = Who::ALL.into_iter().enumerate().map(case).collect();
    check(&cases, &Door::certificate(&broker, &trusted, &Who::Operator.uri())).await;
}

#[tokio::test]
async fn without_credentials_the_broker_does_what_the_settings_say() {
    for (anonymous, who) in [(Role::Observer, Who::Observer), (Role::Operator, Who::Operator)] {
        let broker = broker_with(config(Some(anonymous))).await;
        let case = (who, Door::anonymous(&broker), covering());
        check(&[case], &Door::password(&broker, &Who::Operator)).await;
    }
    let broker = broker_with(config(None)).await;
    let mut refused = Door::anonymous(&broker).knock("anyone", None).await;
    assert_eq!(refused.packet().await.as_deref(), Some(&[0x20, 2, 0, 5][..]));
    assert!(refused.is_cut_off().await);
}

#[tokio::test]
async fn nobody_unsubscribes_for_another() {
    let broker = broker_with(config(Some(Role::Observer))).await;
    let filter = b"tidegate/v1/4b/plant/gw1/down/#";
    let mut gateway = Door::password(&broker, &Who::GW1).enter("plant.gw1").await;
    gateway.send(&subscribe(filter, 0)).await;
    assert_eq!(gateway.packet().await.map(|answer| answer[4]), Some(0));
    let anonymous = [Door::anonymous(&broker)];
    let doors = Who::ALL.iter().map(|who| Door::password(&broker, who)).chain(anonymous);
    for (number, door) in doors.enumerate() {
        // Empty: the broker makes one up.
        let mut other = door.enter("").await;
        other.send(&subscribe(filter, 0)).await;
        other.packet().await.expect("a SUBACK");
        other.send(&unsubscribe(filter)).await;
        assert_eq!(other.packet().await, Some([&[0xb0, 2][..], &PACKET_ID].concat()));
        drop(other);
        let mut ingest = Door::password(&broker, &Who::Ingest).enter("ingest").await;
        ingest.send(&publish(b"tidegate/v1/4b/plant/gw1/down/ack", 0, false, &number.to_string())).await;
        let heard = gateway.packet().await.expect("an acknowledgement");
        assert!(heard.ends_with(number.to_string().as_bytes()), "{number}");
    }
}
