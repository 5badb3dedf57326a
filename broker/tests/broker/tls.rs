//! Who gets through the handshake and the CONNECT, and whom that holds up.

use std::time::Duration;

use tidegate_broker::{Config, StartError};
use tidegate_trust::Reason;
use tidegate_trust::authority::{Authority, When};

use crate::raw::{Raw, connect as connect_as, publish, subscribe};
use crate::service::until_metric;
use crate::support::{broker_with, config, gateway_path};
use crate::trusted::{GW1, GW2, Trusted};

const NOT_AUTHORISED: [u8; 4] = [0x20, 2, 0, 5];

fn failed(reason: &str) -> String {
    format!("tidegate_broker_tls_handshakes_failed_total{{reason=\"{reason}\"}} 1")
}

#[tokio::test]
async fn a_gateway_is_known_by_its_certificate_and_speaks_for_itself_only() {
    let trusted = Trusted::new();
    let broker = broker_with(trusted.config()).await;
    let gw1 = trusted.client(GW1);
    let mut gateway = trusted.let_in(&broker, &gw1, "plant.gw1").await;
    let root = gateway_path("gw1").root();
    gateway.send(&publish(0x32, &format!("{root}/up/live"), 7, b"x")).await;
    assert_eq!(gateway.packet().await, Some(vec![0x40, 2, 0, 7]));
    gateway.send(&subscribe(1, &[(&format!("{root}/down/#"), 1), ("tidegate/v1/#", 1)])).await;
    assert_eq!(gateway.packet().await, Some(vec![0x90, 4, 0, 1, 1, 0x80]));
    let root = gateway_path("gw2").root();
    gateway.send(&publish(0x32, &format!("{root}/up/live"), 8, b"x")).await;
    assert!(gateway.is_cut_off().await);

    let mut ingest =
        trusted.let_in(&broker, &trusted.client("tidegate:role/ingest"), "tidegate-ingest").await;
    ingest.send(&publish(0x32, &format!("{root}/down/ack"), 7, b"x")).await;
    assert_eq!(ingest.packet().await, Some(vec![0x40, 2, 0, 7]));
    let eva = trusted.client("tidegate:role/observer/eva");
    let mut observer = trusted.let_in(&broker, &eva, "eva").await;
    observer.send(&publish(0x32, "home/x", 7, b"x")).await;
    assert!(observer.is_cut_off().await);
}

#[tokio::test]
async fn who_has_no_good_certificate_is_turned_away_and_told_why() {
    let trusted = Trusted::new();
    let revoked = trusted.client(GW1);
    trusted.revoke(&[&revoked]);
    let broker = broker_with(trusted.config()).await;
    let stranger = Authority::new("plant").client(&[GW1], When::Now);
    let past = trusted.authority.client(&[GW1], When::Past);
    let future = trusted.authority.client(&[GW1], When::Future);
    for (issued, told, counted) in [
        (None, Reason::NoCertificate, "no-certificate"),
        (Some(&revoked), Reason::Revoked, "revoked"),
        (Some(&past), Reason::Expired, "expired"),
        (Some(&future), Reason::Expired, "not-yet-valid"),
    ] {
        assert_eq!(trusted.refused(&broker, issued).await, told, "{counted}");
        until_metric(&broker, &failed(counted)).await;
    }
    // An authority by the same name has another key: TLS says that in one way or another.
    assert!(matches!(
        trusted.refused(&broker, Some(&stranger)).await,
        Reason::Authority | Reason::Certificate
    ));
    until_metric(&broker, &failed("authority")).await;
    until_metric(&broker, "tidegate_broker_connections_refused_total{reason=\"tls\"} 5").await;
    trusted.let_in(&broker, &trusted.client(GW1), "plant.gw1").await;
}

#[tokio::test]
async fn a_client_id_that_is_not_the_certificates_is_not_authorised() {
    let trusted = Trusted::new();
    let broker = broker_with(trusted.config()).await;
    let (gw1, eva) = (trusted.client(GW1), trusted.client("tidegate:role/observer/eva"));
    let nobody = trusted.client("https://example.org/gw1");
    let both = trusted.authority.client(&[GW1, GW2], When::Now);
    for (issued, id) in [
        (&gw1, "plant.gw2"),
        (&gw1, "plant.gw11"),
        (&gw1, "gw1"),
        (&gw1, "eva"),
        (&eva, "plant.gw1"),
        (&eva, "elsewhere.gw7"),
        (&eva, "eva.x"),
        (&eva, "elsewhere.gw7.x"),
        (&nobody, "plant.gw1"),
        (&nobody, "nobody"),
        (&both, "plant.gw1"),
    ] {
        let mut raw = trusted.connect(&broker, issued, id).await;
        assert_eq!(raw.packet().await.as_deref(), Some(&NOT_AUTHORISED[..]), "{id}");
        assert!(raw.is_cut_off().await);
    }
    for (issued, id) in [(&gw1, "plant.gw1"), (&gw1, "plant.gw1.test"), (&eva, "eva"), (&eva, "eva.")] {
        trusted.let_in(&broker, issued, id).await;
    }
    until_metric(&broker, "tidegate_broker_connections_refused_total{reason=\"certificate\"} 3").await;
}

#[tokio::test]
async fn the_certificate_counts_and_not_the_user_that_a_client_names() {
    let trusted = Trusted::new();
    let broker = broker_with(trusted.config()).await;
    let (mut raw, _) = trusted.open(&broker, Some(&trusted.client(GW1))).await.expect("it has a certificate");
    raw.send(&connect_as("operator", "operator", 60)).await;
    assert_eq!(raw.packet().await.as_deref(), Some(&NOT_AUTHORISED[..]));
    let (mut raw, _) = trusted.open(&broker, Some(&trusted.client(GW1))).await.expect("it has a certificate");
    raw.send(&connect_as("operator", "plant.gw1", 60)).await;
    assert_eq!(raw.packet().await.as_deref(), Some(&[0x20, 2, 0, 0][..]));
    raw.send(&publish(0x32, "home/x", 7, b"x")).await;
    assert!(raw.is_cut_off().await, "an operator could have published that");
}

#[tokio::test]
async fn passwords_count_where_certificates_are_not_required() {
    let trusted = Trusted::new();
    let mut config = trusted.config();
    let clients = config.tls.as_mut().and_then(|tls| tls.files.clients.as_mut());
    clients.expect("they are asked").required = false;
    let broker = broker_with(config).await;
    let (mut raw, _) = trusted.open(&broker, None).await.expect("it is let through");
    raw.send(&connect_as("viewer", "v", 60)).await;
    assert_eq!(raw.packet().await.as_deref(), Some(&[0x20, 2, 0, 0][..]));
    trusted.let_in(&broker, &trusted.client(GW1), "plant.gw1").await;
}

#[tokio::test]
async fn who_says_nothing_holds_nobody_up_and_is_cut_off() {
    let trusted = Trusted::new();
    let mut config = trusted.config();
    // Far more than the honest one takes, on a busy machine too.
    config.limits.connect_timeout = Duration::from_secs(3);
    let broker = broker_with(config).await;
    let gw1 = trusted.client(GW1);
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Raw::open(&broker).await);
    }
    // One stops in the middle of the handshake, one after it.
    silent[0].send(&[0x16, 3, 1, 2, 0, 1, 0]).await;
    let (mut mute, _) = trusted.open(&broker, Some(&gw1)).await.expect("it has a certificate");
    let mut gateway = trusted.let_in(&broker, &gw1, "plant.gw1").await;
    assert!(gateway.is_alive().await);
    for raw in &mut silent {
        assert!(raw.is_cut_off().await);
    }
    assert!(mute.is_cut_off().await);
    until_metric(&broker, "tidegate_broker_tls_handshakes_failed_total{reason=\"timeout\"} 20").await;
    until_metric(&broker, "tidegate_broker_connections_refused_total{reason=\"connect-timeout\"} 1").await;
    assert!(gateway.is_alive().await);
}

#[tokio::test]
async fn strangers_take_no_more_places_than_they_may_and_give_them_back() {
    let trusted = Trusted::new();
    for (in_all, of_address, reason) in [(2, 9, "max-handshakes"), (9, 2, "max-handshakes-per-address")] {
        let mut config = trusted.config();
        config.limits.connect_timeout = Duration::from_secs(600);
        config.limits.max_handshakes = in_all;
        config.limits.max_handshakes_per_address = of_address;
        let broker = broker_with(config).await;
        // Those who are known take no place of strangers.
        let mut known = Vec::new();
        for id in ["plant.gw1.a", "plant.gw1.b", "plant.gw1.c"] {
            known.push(trusted.let_in(&broker, &trusted.client(GW1), id).await);
        }
        let (first, _second) = (Raw::open(&broker).await, Raw::open(&broker).await);
        until_metric(&broker, "tidegate_broker_connections 5").await;
        assert!(Raw::open(&broker).await.is_cut_off().await);
        until_metric(&broker, &format!("tidegate_broker_connections_refused_total{{reason=\"{reason}\"}} 1"))
            .await;
        drop(first);
        until_metric(&broker, "tidegate_broker_connections 4").await;
        trusted.let_in(&broker, &trusted.client(GW2), "plant.gw2").await;
        drop(known);
    }
}

#[tokio::test]
async fn mqtt_in_clear_is_not_heard_where_tls_is_spoken() {
    let trusted = Trusted::new();
    let broker = broker_with(trusted.config()).await;
    let mut raw = Raw::open(&broker).await;
    // More than is looked at: a reset on its account could take the alert away from who is to read it.
    raw.send(&[connect_as("operator", "o", 60), vec![0; 32_000]].concat()).await;
    assert_eq!(raw.byte().await.ok(), Some(0x15), "an alert of TLS");
    let end = loop {
        if let Err(end) = raw.byte().await {
            break end.kind();
        }
    };
    assert_eq!(end, std::io::ErrorKind::UnexpectedEof, "an orderly end");
    until_metric(&broker, &failed("plaintext")).await;
}

#[tokio::test]
async fn a_broker_speaks_in_clear_to_other_machines_only_where_that_is_wanted() {
    let listen = ([0, 0, 0, 0], 0).into();
    let refused = tidegate_broker::start(Config { listen, ..config() }).await.expect_err("it would leak");
    assert!(
        matches!(refused, StartError::Plaintext { .. }) && refused.to_string().contains("insecure = true")
    );
    let wanted = broker_with(Config { listen, insecure: true, ..config() }).await;
    assert!(wanted.mqtt.ip().is_unspecified());
    let trusted = Trusted::new();
    broker_with(Config { listen, ..trusted.config() }).await;
}
