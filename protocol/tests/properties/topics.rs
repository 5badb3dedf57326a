//! Topics.

use proptest::prelude::*;
use tidegate_protocol::{
    GatewayId, SiteId,
    topic::{ALL_BLOCKS, ALL_STATUS, Down, GatewayPath, Lane, UpTopic},
};

/// MQTT 3.1.1 §4.7, as far as `+` goes.
fn matches(filter: &str, topic: &str) -> bool {
    filter.split('/').count() == topic.split('/').count()
        && filter.split('/').zip(topic.split('/')).all(|(want, level)| want == "+" || want == level)
}

proptest! {
    #[test]
    fn what_a_gateway_publishes_is_parsed_and_matched(site in "[a-z0-9-]{1,32}", gateway in "[a-z0-9-]{1,32}") {
        let path = GatewayPath::new(SiteId::new(&site).unwrap(), GatewayId::new(&gateway).unwrap());
        for lane in Lane::ALL {
            let topic = path.up(lane);
            prop_assert_eq!(GatewayPath::parse_up(&topic), Ok((path, UpTopic::Block(lane))));
            prop_assert!(matches(ALL_BLOCKS, &topic) && !matches(ALL_STATUS, &topic));
        }
        prop_assert_eq!(GatewayPath::parse_up(&path.up_settings()), Ok((path, UpTopic::Settings)));
        prop_assert!(matches(ALL_BLOCKS, &path.up_settings()));
        prop_assert_eq!(GatewayPath::parse_up(&path.status()), Ok((path, UpTopic::Status)));
        prop_assert!(matches(ALL_STATUS, &path.status()));
        for what in [Down::Ack, Down::Settings] {
            prop_assert!(path.down(what).starts_with(path.down_filter().trim_end_matches('#')));
            prop_assert!(GatewayPath::parse_up(&path.down(what)).is_err());
        }
    }

    #[test]
    fn any_text_is_a_topic_or_an_error(text in "\\PC{0,60}", tail in "[a-z0-9/+#-]{0,40}") {
        // What parses is a topic that the path itself writes: no two spellings of one place.
        for topic in [text, format!("tidegate/v1/{tail}")] {
            if let Ok((path, what)) = GatewayPath::parse_up(&topic) {
                let written = match what {
                    UpTopic::Block(lane) => path.up(lane),
                    UpTopic::Settings => path.up_settings(),
                    UpTopic::Rules => path.up_rules(),
                    UpTopic::Verdicts => path.up_verdicts(),
                    UpTopic::Status => path.status(),
                };
                prop_assert_eq!(written, topic);
            }
        }
    }
}
