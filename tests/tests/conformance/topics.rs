//! Which topic a filter asks for: the standard's own examples, and corners.

use crate::driver::{Client, Library, broker};

const TOPICS: [&str; 17] = [
    "sport",
    "sport/",
    "sport/tennis",
    "sport/tennis/player1",
    "sport/tennis/player1/ranking",
    "Sport/tennis",
    "/finance",
    "/",
    "//",
    "a//b",
    "a b/c",
    "home/é",
    "é/x",
    "日本/温度",
    "\u{feff}bom/x",
    "e\u{301}/x",
    "\u{1}é/x",
];

/// A filter and those of [`TOPICS`] that it asks for.
const FILTERS: [(&str, &[&str]); 20] = [
    ("#", &TOPICS),
    ("sport/#", &["sport", "sport/", "sport/tennis", "sport/tennis/player1", "sport/tennis/player1/ranking"]),
    ("sport/tennis/player1/#", &["sport/tennis/player1", "sport/tennis/player1/ranking"]),
    ("sport/tennis/+", &["sport/tennis/player1"]),
    ("sport/+", &["sport/", "sport/tennis"]),
    ("sport/+/player1", &["sport/tennis/player1"]),
    ("sport/+/#", &["sport/", "sport/tennis", "sport/tennis/player1", "sport/tennis/player1/ranking"]),
    ("+", &["sport"]),
    (
        "+/+",
        &[
            "sport/",
            "sport/tennis",
            "Sport/tennis",
            "/finance",
            "/",
            "a b/c",
            "home/é",
            "é/x",
            "日本/温度",
            "\u{feff}bom/x",
            "e\u{301}/x",
            "\u{1}é/x",
        ],
    ),
    ("/+", &["/finance", "/"]),
    ("/#", &["/finance", "/", "//"]),
    ("/", &["/"]),
    ("//", &["//"]),
    ("+/+/+", &["sport/tennis/player1", "//", "a//b"]),
    ("a/+/b", &["a//b"]),
    ("a b/+", &["a b/c"]),
    ("+/é", &["home/é"]),
    // No normalisation: é in one character is another one than e with an accent.
    ("é/#", &["é/x"]),
    ("日本/+", &["日本/温度"]),
    ("\u{feff}bom/x", &["\u{feff}bom/x"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn filters_ask_for_just_the_topics_that_the_standard_says() {
    for library in Library::ALL {
        let broker = broker().await;
        let mut subscriber = Client::new(library, &broker, "s");
        let mut publisher = Client::new(library.another(), &broker, "p");
        for (filter, expected) in FILTERS {
            subscriber.subscribe_granted(&[(filter, 0)]);
            for topic in TOPICS {
                publisher.publish(topic, "here", 1);
            }
            let last = expected.last().expect("each filter asks for something");
            publisher.publish(last, "end", 1);
            let received = subscriber.messages_until("end");
            let topics: Vec<&str> = received.iter().map(|message| message.topic.as_str()).collect();
            assert_eq!(topics, expected, "{library:?} {filter:?}");

            subscriber.unsubscribe(&[filter]);
        }
    }
}

/// Topics that begin with `$` are nobody's, so that no wildcard can match them.
#[tokio::test(flavor = "multi_thread")]
async fn topics_that_begin_with_a_dollar_sign_are_refused_and_reach_nobody() {
    for library in Library::ALL {
        let broker = broker().await;
        let mut witness = Client::new(library.another(), &broker, "w");
        let filters = [("#", 0), ("+/monitor", 0), ("$SYS/#", 0), ("$SYS/monitor", 0)];
        assert_eq!(witness.subscribe(&filters), [0, 0, 0x80, 0x80], "{library:?}");
        let mut publisher = Client::new(library, &broker, "p");
        publisher.start_publish("$SYS/monitor", "nobody's", 1, true);
        publisher.until_cut_off();
        witness.publish("home/x", "end", 1);
        assert!(witness.messages_until("end").is_empty(), "{library:?}");
    }
}
