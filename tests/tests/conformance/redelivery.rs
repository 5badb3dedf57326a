//! A connection is cut just when an acknowledgement is on its way, which is lost. The client comes back to its session, and
//! both ends repeat what the other may not have: at QoS 1 a message may come twice, at QoS 2 it comes once.

use tidegate_broker::Running;

use crate::driver::{Client, Connect, Library, Received, broker, live};
use crate::line::{Kind, Line, Passed, To};

struct Story {
    broker: Running,
    line: Line,
    /// With a kept session, over the line.
    client: Client,
    /// Straight to the broker.
    other: Client,
}

async fn story(library: Library) -> Story {
    let broker = broker().await;
    let line = Line::to(&broker).await;
    let (client, _) = Client::connect(library, &Connect::kept(line.port, "kept"));
    let other = Client::new(library.another(), &broker, "other");
    Story { broker, line, client, other }
}

/// `home/x` reaches the client, but what it answers is lost at `cut`. Gives what it was told, and what passed after its
/// return.
async fn delivered_despite(library: Library, qos: u8, cut: (To, Kind)) -> (Vec<Received>, Vec<Passed>) {
    let Story { broker: _broker, line, mut client, mut other } = story(library).await;
    client.subscribe_granted(&[("home/x", qos)]);
    line.cut_at(cut.0, cut.1);
    other.publish("home/x", "once", qos);
    line.until_cut();
    assert!(client.connected(), "{library:?}: the session is there");
    other.publish("home/x", "end", qos);
    let received = client.messages_until("end");
    (received, line.so_far())
}

/// The client's `home/x` reaches the broker, but the exchange is interrupted at `cut`. Gives what a subscriber was told, and
/// what passed from the client's return to the end of the exchange.
async fn taken_despite(
    library: Library,
    qos: u8,
    cut: (To, Kind),
    last: Kind,
) -> (Vec<Received>, Vec<Passed>) {
    let Story { broker: _broker, line, mut client, mut other } = story(library).await;
    other.subscribe_granted(&[("home/x", qos)]);
    line.cut_at(cut.0, cut.1);
    client.start_publish("home/x", "once", qos, false);
    line.until_cut();
    assert!(client.connected(), "{library:?}: the session is there");
    let passed = line.until(To::Client, last);
    other.publish("home/x", "end", qos);
    (other.messages_until("end"), passed)
}

fn publishes(passed: &[Passed], to: To) -> Vec<&Passed> {
    passed.iter().filter(|passed| passed.is(to, Kind::Publish)).collect()
}

/// Topic, id and payload: all but the first byte.
fn again(published: &Passed) -> &[u8] {
    &published.packet[1..]
}

const ONCE_WITH_ID_1: &[u8] = b"\x0e\0\x06home/x\0\x01once";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_puback_was_lost_is_sent_again_as_a_duplicate() {
    for library in Library::ALL {
        let (received, passed) = delivered_despite(library, 1, (To::Broker, Kind::PubAck)).await;
        let first = live("home/x", "once", 1);
        let second = Received { dup: true, ..first.clone() };
        assert_eq!(received, [first, second], "{library:?}");
        let sent = publishes(&passed, To::Client);
        assert!(sent[0].is_marked_duplicate() && again(sent[0]) == ONCE_WITH_ID_1, "{library:?}: {sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_pubrec_was_lost_is_sent_again_and_handed_over_once() {
    for library in Library::ALL {
        let (received, passed) = delivered_despite(library, 2, (To::Broker, Kind::PubRec)).await;
        let sent = publishes(&passed, To::Client);
        assert!(sent[0].is_marked_duplicate() && again(sent[0]) == ONCE_WITH_ID_1, "{library:?}: {sent:?}");
        // gmqtt hands every PUBLISH over as it comes, which the standard forbids it.
        let expected = if library == Library::Gmqtt { 2 } else { 1 };
        assert_eq!(received.len(), expected, "{library:?}: {received:?}");
    }
}

/// Once there was a PUBREC, only PUBREL is repeated, whichever of the two was lost with the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_received_is_released_again_and_never_sent_again() {
    for library in Library::ALL {
        for cut in [(To::Client, Kind::PubRel), (To::Broker, Kind::PubComp)] {
            let (received, passed) = delivered_despite(library, 2, cut).await;
            assert_eq!(received.len(), 1, "{library:?} {cut:?}: {received:?}");
            let sent = publishes(&passed, To::Client);
            let is_the_end = |passed: &&Passed| passed.packet.ends_with(b"end");
            assert!(sent.iter().all(is_the_end), "{library:?} {cut:?}: {sent:?}");
            let released = passed.iter().find(|passed| passed.is(To::Client, Kind::PubRel));
            let released = released.map(|passed| passed.packet.as_slice());
            assert_eq!(released, Some(&[0x62, 2, 0, 1][..]), "{library:?} {cut:?}: with its own id");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_repeated_because_its_puback_was_lost_is_one_more_and_no_duplicate_to_subscribers() {
    for library in Library::ALL {
        let (received, passed) = taken_despite(library, 1, (To::Client, Kind::PubAck), Kind::PubAck).await;
        assert_eq!(publishes(&passed, To::Broker).len(), 1, "{library:?}: it was repeated");
        let message = live("home/x", "once", 1);
        assert_eq!(received, [message.clone(), message], "{library:?}");
    }
}

/// Whichever packet of the exchange was lost, the client begins again where it was, and the message goes on once.
#[tokio::test(flavor = "multi_thread")]
async fn a_qos_2_publish_goes_on_once_wherever_its_exchange_was_cut() {
    let cuts = [
        (To::Broker, Kind::Publish),
        (To::Client, Kind::PubRec),
        (To::Broker, Kind::PubRel),
        (To::Client, Kind::PubComp),
    ];
    for library in Library::ALL {
        for cut in cuts {
            let (received, _) = taken_despite(library, 2, cut, Kind::PubComp).await;
            assert_eq!(received, [live("home/x", "once", 2)], "{library:?} {cut:?}");
        }
    }
}
