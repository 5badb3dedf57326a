//! Retained messages: set, replaced, cleared, and who gets them with which flag.

use crate::driver::{Client, Library, broker, live, retained};

#[tokio::test(flavor = "multi_thread")]
async fn the_last_one_of_each_topic_waits_for_who_subscribes_later() {
    for library in Library::ALL {
        let broker = broker().await;
        let mut present = Client::new(library, &broker, "present");
        present.subscribe_granted(&[("home/#", 2)]);
        let mut publisher = Client::new(library.another(), &broker, "p");
        for (topic, payload, qos) in [("home/a", "old", 2), ("home/a", "new", 1), ("home/b", "other", 2)] {
            publisher.publish_retained(topic, payload, qos);
            assert_eq!(
                present.message(),
                live(topic, payload, qos),
                "{library:?}: live, so without the flag"
            );
        }
        // Without the flag it neither replaces nor removes.
        publisher.publish("home/a", "passing", 1);
        assert_eq!(present.message(), live("home/a", "passing", 1));

        let mut late = Client::new(library, &broker, "late");
        for granted in 0..3 {
            // A filter subscribed again brings them again.
            late.subscribe_granted(&[("home/+", granted)]);
            let mut received = [late.message(), late.message()];
            received.sort_by(|one, other| one.topic.cmp(&other.topic));
            let expected = [retained("home/a", "new", granted.min(1)), retained("home/b", "other", granted)];
            assert_eq!(received, expected, "{library:?}");
        }
        publisher.publish("home/c", "end", 0);
        assert!(late.messages_until("end").is_empty(), "{library:?}: each once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_one_clears_its_topic_and_is_not_kept() {
    for library in Library::ALL {
        let broker = broker().await;
        let mut present = Client::new(library, &broker, "present");
        let mut late = Client::new(library, &broker, "late");
        let mut publisher = Client::new(library.another(), &broker, "p");
        for qos in 0..3 {
            let topic = |last: &str| format!("home/{qos}/{last}");
            let filter = topic("#");
            present.subscribe_granted(&[(&filter, 2)]);
            for (last, payload) in [("a", "kept"), ("b", "stays"), ("a", "")] {
                publisher.publish_retained(&topic(last), payload, qos);
                assert_eq!(present.message(), live(&topic(last), payload, qos), "{library:?}");
            }
            late.subscribe_granted(&[(&filter, 2)]);
            publisher.publish(&topic("c"), "end", qos);
            assert!(present.messages_until("end").is_empty(), "{library:?}");
            assert_eq!(late.messages_until("end"), [retained(&topic("b"), "stays", qos)], "{library:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_message_outlives_the_session_that_published_it() {
    for library in Library::ALL {
        let broker = broker().await;
        let mut publisher = Client::new(library, &broker, "p");
        publisher.publish_retained("home/a", "kept", 0);
        publisher.disconnect();
        let mut again = Client::new(library, &broker, "p");
        again.subscribe_granted(&[("home/#", 1)]);
        assert_eq!(again.message(), retained("home/a", "kept", 0), "{library:?}");
    }
}
