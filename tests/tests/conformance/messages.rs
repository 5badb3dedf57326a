//! QoS, order, overlapping subscriptions, and the end of subscriptions, from both ends of each library.

use crate::driver::{Client, Connect, Library, broker, live};

fn payloads(received: &[crate::driver::Received]) -> Vec<&str> {
    received.iter().map(|message| message.payload.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_library_gets_every_qos_once_at_the_lower_of_both() {
    for library in Library::ALL {
        let broker = broker().await;
        let mut subscriber = Client::new(library, &broker, "s");
        let mut publisher = Client::new(library.another(), &broker, "p");
        for granted in 0..3 {
            subscriber.subscribe_granted(&[(&format!("home/{granted}/#"), granted)]);
            for sent in 0..3 {
                let topic = format!("home/{granted}/{sent}");
                publisher.publish(&topic, "once", sent);
                assert_eq!(subscriber.message(), live(&topic, "once", sent.min(granted)), "{library:?}");
            }
        }
        publisher.publish("home/0/end", "end", 0);
        assert!(subscriber.messages_until("end").is_empty(), "{library:?}: nothing twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_one_topic_and_qos_keep_their_order() {
    const COUNT: usize = 200;
    for library in Library::ALL {
        let broker = broker().await;
        let mut subscriber = Client::new(library, &broker, "s");
        let mut publisher = Client::new(library.another(), &broker, "p");
        subscriber.subscribe_granted(&[("home/+", 2)]);
        for qos in 0..3 {
            for count in 0..COUNT {
                publisher.start_publish("home/x", &count.to_string(), qos, false);
            }
            let expected: Vec<_> = (0..COUNT).map(|count| live("home/x", &count.to_string(), qos)).collect();
            let received: Vec<_> = (0..COUNT).map(|_| subscriber.message()).collect();
            assert_eq!(received, expected, "{library:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_of_any_size_come_through_as_they_are() {
    let large = "ü€𝄞 ".repeat(25_000);
    for library in Library::ALL {
        let broker = broker().await;
        let mut subscriber = Client::new(library, &broker, "s");
        let mut publisher = Client::new(library.another(), &broker, "p");
        subscriber.subscribe_granted(&[("home/#", 2)]);
        for (qos, payload) in [(0, ""), (1, &large), (2, ""), (2, &large)] {
            publisher.publish("home/x", payload, qos);
            assert_eq!(subscriber.message(), live("home/x", payload, qos), "{library:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_subscriptions_bring_a_copy_each_at_its_own_qos() {
    for library in Library::ALL {
        let broker = broker().await;
        let mut subscriber = Client::new(library, &broker, "s");
        let mut publisher = Client::new(library.another(), &broker, "p");
        subscriber.subscribe_granted(&[("home/#", 0), ("home/+", 1), ("home/a", 2)]);
        for payload in ["first", "second"] {
            publisher.publish("home/a", payload, 2);
        }
        let received: Vec<_> = (0..6).map(|_| subscriber.message()).collect();
        for payload in ["first", "second"] {
            let copies = received.iter().filter(|message| message.payload == payload);
            let mut levels: Vec<u8> = copies.map(|message| message.qos).collect();
            levels.sort_unstable();
            assert_eq!(levels, [0, 1, 2], "{library:?}: one is of the highest QoS, none twice");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_subscribed_again_is_replaced_and_not_doubled() {
    for library in Library::ALL {
        let broker = broker().await;
        let mut subscriber = Client::new(library, &broker, "s");
        let mut publisher = Client::new(library.another(), &broker, "p");
        for qos in [2, 0, 1] {
            subscriber.subscribe_granted(&[("home/x", qos)]);
            publisher.publish("home/x", "once", 2);
            assert_eq!(subscriber.message(), live("home/x", "once", qos), "{library:?}");
        }
        publisher.publish("home/x", "end", 0);
        assert!(subscriber.messages_until("end").is_empty(), "{library:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_on_a_filter_that_was_unsubscribed_and_the_others_go_on() {
    for library in Library::ALL {
        let broker = broker().await;
        let mut subscriber = Client::new(library, &broker, "s");
        let mut publisher = Client::new(library.another(), &broker, "p");
        subscriber.subscribe_granted(&[("home/a", 1), ("home/b", 1), ("home/+/c", 1)]);
        // Filters are compared as they are written: "home/+" ends neither of the first two.
        subscriber.unsubscribe(&["home/+", "never/subscribed"]);
        for topic in ["home/a", "home/b"] {
            publisher.publish(topic, "still", 1);
            assert_eq!(subscriber.message(), live(topic, "still", 1), "{library:?}");
        }
        subscriber.unsubscribe(&["home/a", "home/+/c"]);
        for topic in ["home/a", "home/x/c"] {
            publisher.publish(topic, "not any more", 1);
        }
        publisher.publish("home/b", "end", 1);
        assert!(subscriber.messages_until("end").is_empty(), "{library:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_has_its_own_code_and_a_refused_one_hinders_no_other() {
    for library in Library::ALL {
        let broker = broker().await;
        let port = broker.mqtt.port();
        let (mut viewer, _) = Client::connect(library, &Connect::clean(port, "v").user("viewer"));
        let filters = [("tidegate/v1/x/#", 1), ("home/#", 1), ("$share/g/home/#", 0), ("tidegate/v1/#", 2)];
        assert_eq!(viewer.subscribe(&filters), [1, 0x80, 0x80, 2], "{library:?}");
        // It is still there, and hears nothing of what it was refused.
        let mut publisher = Client::new(library.another(), &broker, "p");
        publisher.publish("home/x", "not for viewers", 1);
        assert_eq!(viewer.subscribe(&filters), [1, 0x80, 0x80, 2], "{library:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_is_not_allowed_ends_the_connection_and_reaches_nobody() {
    for library in Library::ALL {
        let broker = broker().await;
        let mut witness = Client::new(library.another(), &broker, "w");
        witness.subscribe_granted(&[("#", 1)]);
        let (mut viewer, _) =
            Client::connect(library, &Connect::clean(broker.mqtt.port(), "v").user("viewer"));
        viewer.start_publish("home/x", "not allowed", 1, false);
        viewer.until_cut_off();
        witness.publish("home/x", "end", 1);
        assert_eq!(payloads(&witness.messages_until("end")), [""; 0], "{library:?}");
    }
}
