//! Identity, authorisation, client ids.

use rumqttc::{ConnectReturnCode, MqttOptions, QoS, SubscribeReasonCode};
use tidegate_broker::{Config, Role, Users};

use crate::raw::{Raw, connect, connect_with};
use crate::service::until_metric;
use crate::support::{Client, broker, broker_with, config, gateway_path, options, will};

const GRANTED: SubscribeReasonCode = SubscribeReasonCode::Success(QoS::AtLeastOnce);

#[tokio::test]
async fn the_right_password_is_let_in_and_a_wrong_one_is_told_so() {
    let broker = broker().await;
    Client::new(&broker, "viewer", "v").await.goodbye().await;
    for (user, password) in [("viewer", "wrong"), ("nobody", "viewer"), ("viewer", "")] {
        let mut options = options(&broker, user, "v");
        options.set_credentials(user, password);
        assert_eq!(Client::connect(options).await.err(), Some(ConnectReturnCode::BadUserNamePassword));
    }
}

#[tokio::test]
async fn without_credentials_one_gets_the_anonymous_role_or_nothing() {
    let open = broker().await;
    let anonymous = |broker: &tidegate_broker::Running| {
        MqttOptions::new("a", broker.mqtt.ip().to_string(), broker.mqtt.port())
    };
    let mut client = Client::connect(anonymous(&open)).await.expect("observers are let in");
    assert_eq!(client.subscribe("tidegate/v1/#", QoS::AtLeastOnce).await, GRANTED);
    client.publish_refused("home/x").await;

    let closed = broker_with(Config { users: Users::new(Vec::new(), None), ..config() }).await;
    assert_eq!(Client::connect(anonymous(&closed)).await.err(), Some(ConnectReturnCode::NotAuthorized));
}

#[tokio::test]
async fn each_role_publishes_what_is_its_own_and_is_cut_off_for_anything_else() {
    let broker = broker().await;
    let (gw1, gw2) = (gateway_path("gw1").root(), gateway_path("gw2").root());
    let cases = [
        ("gw1", format!("{gw1}/up/live"), true),
        ("gw1", format!("{gw1}/up/settings"), true),
        ("gw1", format!("{gw1}/up/rules"), true),
        ("gw1", format!("{gw1}/up/verdicts"), true),
        ("gw1", format!("{gw1}/status"), true),
        ("gw1", format!("{gw1}/down/ack"), false),
        ("gw1", format!("{gw1}/up/other"), false),
        ("gw1", format!("{gw2}/up/live"), false),
        ("gw1", format!("{gw2}/up/settings"), false),
        ("gw1", format!("{gw2}/up/verdicts"), false),
        ("gw1", format!("{gw1}/down/settings"), false),
        ("gw1", format!("{gw1}/down/rules"), false),
        ("gw1", "tidegate/v1/alarms/plant/d/c/r".into(), false),
        ("ingest", format!("{gw1}/down/ack"), true),
        ("ingest", format!("{gw1}/down/settings"), true),
        ("ingest", format!("{gw1}/down/rules"), true),
        ("ingest", "tidegate/v1/alarms/plant/d/c/r".into(), true),
        ("ingest", format!("{gw1}/up/live"), false),
        ("ingest", "home/x".into(), false),
        ("viewer", "home/x".into(), false),
        ("operator", "home/x".into(), true),
        ("operator", format!("{gw1}/down/ack"), false),
        ("operator", "$SYS/x".into(), false),
    ];
    for (user, topic, allowed) in cases {
        let id = if user == "gw1" { "plant.gw1" } else { user };
        let mut client = Client::new(&broker, user, id).await;
        if allowed {
            client.publish(&topic, "x", QoS::AtLeastOnce, false).await;
        } else {
            client.publish_refused(&topic).await;
        }
    }
}

#[tokio::test]
async fn refused_subscriptions_get_0x80_and_the_connection_goes_on() {
    let broker = broker().await;
    let (gw1, gw2) = (gateway_path("gw1").root(), gateway_path("gw2").root());
    let cases = [
        ("gw1", vec![(format!("{gw1}/down/#"), true), (format!("{gw2}/down/#"), false), ("#".into(), false)]),
        ("ingest", vec![("tidegate/v1/+/+/+/up/+".into(), true), ("tidegate/v1/+/+/+/status".into(), true)]),
        ("ingest", vec![("tidegate/v1/#".into(), false), (format!("{gw1}/down/#"), false)]),
        ("viewer", vec![("tidegate/v1/#".into(), true), ("#".into(), false), ("home/#".into(), false)]),
        ("viewer", vec![("$share/group/tidegate/v1/#".into(), false)]),
        ("operator", vec![("#".into(), true), ("$SYS/#".into(), false), ("tidegate-broker/#".into(), false)]),
    ];
    for (user, filters) in cases {
        let id = if user == "gw1" { "plant.gw1" } else { user };
        let mut client = Client::new(&broker, user, id).await;
        for (filter, allowed) in filters {
            let expected = if allowed { GRANTED } else { SubscribeReasonCode::Failure };
            assert_eq!(client.subscribe(&filter, QoS::AtLeastOnce).await, expected, "{user} {filter}");
        }
    }
}

#[tokio::test]
async fn a_will_follows_the_rule_for_publishes() {
    let broker = broker().await;
    let mut options = options(&broker, "gw1", "plant.gw1");
    will(&mut options, &gateway_path("gw2").status(), "gone", true);
    assert_eq!(Client::connect(options.clone()).await.err(), Some(ConnectReturnCode::NotAuthorized));
    will(&mut options, &gateway_path("gw1").status(), "gone", true);
    assert!(Client::connect(options).await.is_ok());
}

/// One code for everything that is wrong with a client id: "identifier rejected".
const ID_REJECTED: [u8; 4] = [0x20, 2, 0, 2];

#[tokio::test]
async fn bad_client_ids_are_rejected_each_time_and_harm_nobody() {
    let broker = broker().await;
    for _ in 0..2 {
        for id in ["a+b", "a#b", "a/b", "$share", "a\u{7f}b", &"x".repeat(65), "plant.gw1"] {
            let mut raw = Raw::open(&broker).await;
            raw.send(&connect("viewer", id, 60)).await;
            assert_eq!(raw.packet().await.as_deref(), Some(&ID_REJECTED[..]), "{id:?}");
            assert!(raw.is_cut_off().await);
        }
    }
    let mut honest = Client::new(&broker, "operator", "honest").await;
    honest.subscribe("home/x", QoS::AtLeastOnce).await;
    honest.publish("home/x", "1", QoS::AtLeastOnce, false).await;
    assert_eq!(honest.message().await, "home/x 1");
}

#[tokio::test]
async fn a_gateways_client_id_is_its_name() {
    let broker = broker().await;
    for (id, accepted) in
        [("plant.gw1", true), ("plant.gw1.test", true), ("gw1", false), ("plant.gw2", false)]
    {
        let result = Client::connect(options(&broker, "gw1", id)).await;
        assert_eq!(result.is_ok(), accepted, "{id}");
    }
}

#[tokio::test]
async fn nobody_takes_the_ingests_place_before_it_comes() {
    const KEPT: u8 = 0xc0;
    let broker = broker().await;
    for user in ["viewer", "operator", "gw1", ""] {
        for id in ["tidegate-ingest", "tidegate-ingest-2"] {
            let mut raw = Raw::open(&broker).await;
            let hello = match user {
                "" => crate::trusted::connect(id),
                user => connect_with(KEPT, user, id, 0),
            };
            raw.send(&hello).await;
            assert_eq!(raw.packet().await.as_deref(), Some(&ID_REJECTED[..]), "{user:?} as {id}");
            assert!(raw.is_cut_off().await);
        }
    }
    until_metric(&broker, "tidegate_broker_connections_refused_total{reason=\"client-id\"} 8").await;
    for id in ["tidegate-ingest", "tidegate-ingest-2", "another"] {
        Raw::connect(&broker, "ingest", id, 0).await;
    }
}

#[tokio::test]
async fn an_empty_client_id_needs_a_clean_session() {
    let broker = broker().await;
    for (flags, accepted) in [(0xc2, true), (0xc0, false)] {
        let mut raw = Raw::open(&broker).await;
        raw.send(&connect_with(flags, "viewer", "", 60)).await;
        let expected = if accepted { [0x20, 2, 0, 0] } else { ID_REJECTED };
        assert_eq!(raw.packet().await.as_deref(), Some(&expected[..]));
    }
    let (mut first, mut second) =
        (Raw::connect(&broker, "viewer", "", 60).await, Raw::connect(&broker, "viewer", "", 60).await);
    assert!(first.is_alive().await && second.is_alive().await, "generated ids differ");
}

#[tokio::test]
async fn another_user_cannot_take_a_client_id_over() {
    let mut config = config();
    let viewer2 = tidegate_broker::User::new("viewer2", "viewer2", Role::Observer);
    let viewer = tidegate_broker::User::new("viewer", "viewer", Role::Observer);
    config.users = Users::new(vec![viewer, viewer2], None);
    let broker = broker_with(config).await;
    let mut holder = Raw::connect(&broker, "viewer", "same", 60).await;
    let mut other = Raw::open(&broker).await;
    other.send(&connect("viewer2", "same", 60)).await;
    assert_eq!(other.packet().await.as_deref(), Some(&ID_REJECTED[..]));
    assert!(holder.is_alive().await);
}
