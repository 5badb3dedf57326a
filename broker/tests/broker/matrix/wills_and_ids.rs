//! CONNECTs: with a will on each class of topic, with another's client id, and with a certificate that names nobody.

use std::collections::BTreeSet;

use tidegate_broker::{Config, Role};

use super::client::{Door, WELCOME, Will, config};
use super::oracle::Who;
use super::topics::{self, Class};
use super::wire::{Witness, as_heard, covering};
use crate::support::broker_with;
use crate::trusted::Trusted;

const NOT_AUTHORISED: [u8; 4] = [0x20, 2, 0, 5];

/// Gives what should have arrived.
async fn leaves_wills_on_what_is_its_own(door: &Door<'_>, who: &Who, classes: &[Class]) -> BTreeSet<String> {
    let mut arrives = BTreeSet::new();
    for (turn, class) in classes.iter().enumerate() {
        let payload = format!(" {} is gone", who.user());
        let (qos, retain) = ((turn % 3) as u8, turn % 2 == 0);
        let will = Will { topic: &class.name, payload: &payload, qos, retain };
        let mut raw = door.knock(&who.id(), Some(&will)).await;
        let cell = format!("{who:?} leaves a will on {}", class.shown());
        let answer = raw.packet().await;
        if who.may_publish(&class.name) {
            assert_eq!(answer.as_deref(), Some(&WELCOME[..]), "{cell}");
            arrives.insert(as_heard(&class.name, &payload));
        } else {
            // What is no topic name at all is answered with nothing, as is a CONNECT that is too long.
            let is_name = std::str::from_utf8(&class.name).is_ok_and(|name| {
                !name.is_empty() && !name.contains(['+', '#', '\0']) && name.len() < 15_000
            });
            let expected = is_name.then_some(&NOT_AUTHORISED[..]);
            assert_eq!(answer.as_deref(), expected, "{cell}");
            assert!(raw.is_cut_off().await, "{cell}");
        }
        // Without a DISCONNECT, so that a will counts.
        drop(raw);
    }
    arrives
}

#[tokio::test]
async fn wills_are_where_the_matrix_says() {
    let classes = covering();
    let broker = broker_with(config(None)).await;
    let operator = Door::password(&broker, &Who::Operator);
    for who in Who::ALL {
        let mut witness = Witness::new(&operator).await;
        let door = Door::password(&broker, &who);
        let arrives = leaves_wills_on_what_is_its_own(&door, &who, &classes).await;
        // Its place is free once its last will is out.
        drop(door.enter(&who.id()).await);
        let heard = witness.heard(&mut operator.enter("the-end").await).await;
        assert_eq!(heard, arrives, "{who:?}");
    }
}

#[tokio::test]
async fn wills_of_the_certified_are_where_the_matrix_says() {
    let classes: Vec<Class> = covering().into_iter().step_by(7).collect();
    let trusted = Trusted::new();
    let tls = trusted.config().tls;
    let broker = broker_with(Config { tls, ..config(None) }).await;
    let operator = Door::certificate(&broker, &trusted, &Who::Operator.uri());
    for who in Who::ALL {
        let mut witness = Witness::new(&operator).await;
        let door = Door::certificate(&broker, &trusted, &who.uri());
        let arrives = leaves_wills_on_what_is_its_own(&door, &who, &classes).await;
        drop(door.enter(&who.id()).await);
        let heard = witness.heard(&mut operator.enter("the-end").await).await;
        assert_eq!(heard, arrives, "{who:?}");
    }
}

#[tokio::test]
async fn nobody_takes_the_place_of_another() {
    let trusted = Trusted::new();
    let in_clear = broker_with(config(Some(Role::Operator))).await;
    let encrypted = broker_with(Config { tls: trusted.config().tls, ..config(None) }).await;
    for by_certificate in [false, true] {
        let mut doors: Vec<(String, String, Door<'_>)> = Vec::new();
        for who in Who::ALL {
            let door = if by_certificate {
                Door::certificate(&encrypted, &trusted, &who.uri())
            } else {
                Door::password(&in_clear, &who)
            };
            doors.push((format!("{who:?}"), who.id(), door));
        }
        if by_certificate {
            // Whose role is the same is not the same.
            for uri in ["tidegate:role/observer", "tidegate:role/observer/adam", "tidegate:role/ingest/two"] {
                doors.push((
                    uri.into(),
                    uri.replace([':', '/'], "-"),
                    Door::certificate(&encrypted, &trusted, uri),
                ));
            }
        } else {
            doors.push(("anonymous".into(), "anyone".into(), Door::anonymous(&in_clear)));
        }
        for (holder, id, door) in &doors {
            let mut held = door.enter(id).await;
            for (other, _, theirs) in doors.iter().filter(|(other, ..)| other != holder) {
                let mut raw = theirs.knock(id, None).await;
                let answer = raw.packet().await.unwrap_or_default();
                assert!(matches!(answer[..], [0x20, 2, 0, 2 | 5]), "{other} as {id}: {answer:02x?}");
                assert!(raw.is_cut_off().await, "{other} as {id}");
                assert!(held.is_alive().await, "{other} pushed {holder} off");
            }
            let mut again = door.enter(id).await;
            assert!(held.is_cut_off().await && again.is_alive().await, "{holder} takes its own place");
        }
    }
}

#[tokio::test]
async fn the_ingests_name_waits_for_an_ingest_whoever_comes_first() {
    let trusted = Trusted::new();
    let in_clear = broker_with(config(Some(Role::Operator))).await;
    let encrypted = broker_with(Config { tls: trusted.config().tls, ..config(None) }).await;
    let mut doors = vec![(Door::anonymous(&in_clear), 2)];
    for who in Who::ALL.iter().filter(|who| **who != Who::Ingest) {
        doors.push((Door::password(&in_clear, who), 2));
        doors.push((Door::certificate(&encrypted, &trusted, &who.uri()), 5));
    }
    for id in ["tidegate-ingest", "tidegate-ingest-2"] {
        for (door, code) in &doors {
            let mut raw = door.knock(id, None).await;
            assert_eq!(raw.packet().await.as_deref(), Some(&[0x20, 2, 0, *code][..]), "{id}");
        }
        let ingest = Who::Ingest;
        let by_password = Door::password(&in_clear, &ingest).enter(id).await;
        let certified = Door::certificate(&encrypted, &trusted, &ingest.uri()).enter(id).await;
        for mut ingest in [by_password, certified] {
            assert!(ingest.is_alive().await);
        }
    }
}

#[tokio::test]
async fn client_ids_are_granted_as_the_matrix_says() {
    let trusted = Trusted::new();
    let in_clear = broker_with(config(None)).await;
    let encrypted = broker_with(Config { tls: trusted.config().tls, ..config(None) }).await;
    let listed =
        |site: &str, gateway: &str| matches!((site, gateway), ("plant", "gw1" | "gw2") | ("default", "gw1"));
    let named = |site: &str, gateway: &str| topics::named(site) && topics::named(gateway);
    // An empty one is made up, as clean sessions are asked for; a NUL ends the connection.
    let ids = topics::client_ids().into_iter().filter(|id| !id.is_empty() && !id.contains('\0'));
    for (turn, id) in ids.enumerate() {
        for (place, who) in Who::ALL.iter().enumerate() {
            let (door, allowed) = match (turn + place) % 12 {
                0..4 => (Door::password(&in_clear, who), who.may_be_called(&id, &listed)),
                4 => (Door::certificate(&encrypted, &trusted, &who.uri()), who.may_be_called(&id, &named)),
                _ => continue,
            };
            let mut raw = door.knock(&id, None).await;
            let answer = raw.packet().await.unwrap_or_default();
            assert_eq!(answer == WELCOME, allowed, "{who:?} as {id:?}: {answer:02x?}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_names_nobody_is_good_for_nothing() {
    let trusted = Trusted::new();
    let broker = broker_with(Config { tls: trusted.config().tls, ..config(None) }).await;
    let ids = Who::ALL.map(|who| who.id());
    for uri in ["https://example.org/gw1", "tidegate://plant", "tidegate://Plant/gw1", "tidegate:role/admin"]
    {
        let door = Door::certificate(&broker, &trusted, uri);
        for id in ids.iter().map(String::as_str).chain(["", "nobody"]) {
            let will = Will { topic: b"tidegate/v1/4b/plant/gw1/status", payload: "", qos: 1, retain: true };
            for will in [None, Some(&will)] {
                let mut raw = door.knock(id, will).await;
                assert_eq!(raw.packet().await.as_deref(), Some(&NOT_AUTHORISED[..]), "{uri} as {id}");
                assert!(raw.is_cut_off().await, "{uri} as {id}");
            }
        }
    }
}
