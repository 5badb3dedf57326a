//! Sessions that are kept, ended, taken over and kept alive; client ids.

use crate::driver::{Client, Connect, Library, broker, live};
use crate::line::{Kind, Line, To};

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_session_is_there_again_with_what_came_meanwhile() {
    for library in Library::ALL {
        let broker = broker().await;
        let kept = Connect::kept(broker.mqtt.port(), "kept");
        let (mut client, is_present) = Client::connect(library, &kept);
        assert!(!is_present, "{library:?}: the first time");
        client.subscribe_granted(&[("home/#", 2), ("other/#", 1)]);
        client.unsubscribe(&["other/#"]);
        client.disconnect();

        let mut publisher = Client::new(library.another(), &broker, "p");
        let missed: Vec<_> = (0..20).map(|count| live("home/x", &count.to_string(), 1 + count % 2)).collect();
        for message in &missed {
            publisher.publish(&message.topic, &message.payload, message.qos);
        }
        publisher.publish("other/x", "unsubscribed", 1);

        let (mut client, is_present) = Client::connect(library, &kept);
        assert!(is_present, "{library:?}");
        let mut received: Vec<_> = missed.iter().map(|_| client.message()).collect();
        // A library may hand over QoS 2 later than QoS 1, as its exchange is longer.
        for qos in [1, 2] {
            let of = |messages: &[crate::driver::Received]| {
                messages.iter().filter(|message| message.qos == qos).cloned().collect::<Vec<_>>()
            };
            assert_eq!(of(&received), of(&missed), "{library:?}");
        }
        received.clear();
        publisher.publish("home/x", "end", 1);
        assert!(client.messages_until("end").is_empty(), "{library:?}: each once, and nothing else");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_session_ends_the_kept_one_and_leaves_nothing_behind() {
    for library in Library::ALL {
        let broker = broker().await;
        let port = broker.mqtt.port();
        let (mut client, _) = Client::connect(library, &Connect::kept(port, "same"));
        client.subscribe_granted(&[("home/#", 1)]);
        client.disconnect();
        let mut clean = Client::new(library, &broker, "same");
        clean.subscribe_granted(&[("clean/#", 1)]);
        clean.disconnect();

        let (mut client, is_present) = Client::connect(library, &Connect::kept(port, "same"));
        assert!(!is_present, "{library:?}");
        let mut publisher = Client::new(library.another(), &broker, "p");
        client.subscribe_granted(&[("end", 1)]);
        publisher.publish("home/x", "of the first session", 1);
        publisher.publish("clean/x", "of the second", 1);
        publisher.publish("end", "end", 1);
        assert!(client.messages_until("end").is_empty(), "{library:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_client_with_the_same_id_takes_the_first_ones_place() {
    for library in Library::ALL {
        let broker = broker().await;
        let mut first = Client::new(library, &broker, "same");
        let mut second = Client::new(library.another(), &broker, "same");
        first.until_cut_off();
        second.subscribe_granted(&[("home/x", 1)]);
        second.publish("home/x", "lives", 1);
        assert_eq!(second.message(), live("home/x", "lives", 1), "{library:?}");
    }
}

/// gmqtt never sends an empty id.
#[tokio::test(flavor = "multi_thread")]
async fn clients_with_a_clean_session_need_no_id_and_are_told_apart() {
    for library in [Library::Paho, Library::MqttJs] {
        let broker = broker().await;
        let mut nameless = [Client::new(library, &broker, ""), Client::new(library, &broker, "")];
        for client in &mut nameless {
            client.subscribe_granted(&[("home/x", 1)]);
        }
        nameless[0].publish("home/x", "to both", 1);
        for client in &mut nameless {
            assert_eq!(client.message(), live("home/x", "to both", 1), "{library:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_ids_that_the_standard_allows_are_taken_and_others_refused_with_code_2() {
    const LONGEST: &str = "0123456789abcdefXYZWVUT";
    for library in Library::ALL {
        let broker = broker().await;
        let port = broker.mqtt.port();
        for id in ["0", LONGEST, "ABCDEFGHIJKLMNOPQRSTUVW", "abcdefghijklmnopqrstuvw"] {
            Client::new(library, &broker, id).disconnect();
        }
        for id in ["a/b", "a+b", &"x".repeat(65)] {
            assert_eq!(Client::refused(library, &Connect::clean(port, id)), 2, "{library:?} {id}");
        }
        let stranger = Connect::clean(port, "s").user("stranger");
        assert_eq!(Client::refused(library, &stranger), 4, "{library:?}: bad user name or password");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_pings_is_answered_and_stays() {
    for library in Library::ALL {
        let broker = broker().await;
        let line = Line::to(&broker).await;
        let connect = Connect::clean(line.port, "idle").keep_alive_s(2);
        let (mut idle, _) = Client::connect(library, &connect);
        idle.subscribe_granted(&[("home/x", 1)]);
        line.so_far();
        // Longer than the keep-alive and a half, with nothing but pings.
        for _ in 0..2 {
            let passed = line.until(To::Client, Kind::PingResp);
            let pings = passed.iter().filter(|passed| passed.is(To::Broker, Kind::PingReq));
            assert_eq!((pings.count(), passed.len()), (1, 2), "{library:?}: an answer for each");
        }
        idle.publish("home/x", "still here", 1);
        assert_eq!(idle.message(), live("home/x", "still here", 1), "{library:?}");
    }
}
