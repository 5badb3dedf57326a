//! Wills: published for who vanishes, never for who says goodbye.

use crate::driver::{Client, Connect, Library, broker, live, retained};

#[tokio::test(flavor = "multi_thread")]
async fn the_will_of_a_client_that_vanishes_is_published_as_it_said() {
    for library in Library::ALL {
        let broker = broker().await;
        let port = broker.mqtt.port();
        let mut witness = Client::new(library.another(), &broker, "w");
        witness.subscribe_granted(&[("will/#", 2)]);
        for (qos, retain) in [(0, false), (1, false), (2, false), (0, true), (1, true), (2, true)] {
            let topic = format!("will/{qos}/{retain}");
            let connect = Connect::clean(port, "mortal").will(&topic, "gone", qos, retain);
            Client::connect(library, &connect).0.kill();
            assert_eq!(witness.message(), live(&topic, "gone", qos), "{library:?}");
        }
        let mut late = Client::new(library.another(), &broker, "late");
        late.subscribe_granted(&[("will/#", 2)]);
        let mut kept: Vec<_> = (0..3).map(|_| late.message()).collect();
        kept.sort_by_key(|message| message.qos);
        let expected: Vec<_> = (0..3).map(|qos| retained(&format!("will/{qos}/true"), "gone", qos)).collect();
        assert_eq!(kept, expected, "{library:?}");
        witness.publish("will/x", "end", 1);
        assert!(late.messages_until("end").is_empty(), "{library:?}: the others were not retained");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_goodbye_or_has_no_will_leaves_none() {
    for library in Library::ALL {
        let broker = broker().await;
        let port = broker.mqtt.port();
        let mut witness = Client::new(library.another(), &broker, "w");
        witness.subscribe_granted(&[("#", 2)]);
        let with_will = Connect::kept(port, "polite").will("will/x", "gone", 1, true);
        Client::connect(library, &with_will).0.disconnect();
        Client::connect(library, &Connect::clean(port, "none")).0.kill();
        // A will of before is not that of the next connection, though the session is the same.
        let (without, is_present) = Client::connect(library, &Connect::kept(port, "polite"));
        assert!(is_present);
        without.kill();
        // It takes the place of the killed one, so that one's end was seen.
        let _next = Client::connect(library, &Connect::kept(port, "polite"));
        witness.publish("will/x", "end", 1);
        assert!(witness.messages_until("end").is_empty(), "{library:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_falls_silent_is_cut_off_and_its_will_published() {
    for library in Library::ALL {
        let broker = broker().await;
        let connect =
            Connect::clean(broker.mqtt.port(), "silent").keep_alive_s(1).will("will/x", "silent", 1, false);
        let mut witness = Client::new(library.another(), &broker, "w");
        witness.subscribe_granted(&[("will/#", 1)]);
        let (mut silent, _) = Client::connect(library, &connect);
        silent.freeze();
        assert_eq!(witness.message(), live("will/x", "silent", 1), "{library:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_the_rules_leaves_its_will() {
    for library in Library::ALL {
        let broker = broker().await;
        let mut witness = Client::new(library.another(), &broker, "w");
        witness.subscribe_granted(&[("will/#", 1)]);
        let connect = Connect::clean(broker.mqtt.port(), "rude").will("will/x", "cut off", 1, false);
        let (mut rude, _) = Client::connect(library, &connect);
        rude.start_publish("tidegate/v1/not/its/own", "x", 1, false);
        rude.until_cut_off();
        assert_eq!(witness.message(), live("will/x", "cut off", 1), "{library:?}");
    }
}
