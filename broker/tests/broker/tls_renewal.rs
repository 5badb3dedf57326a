//! Certificates, keys and revocation lists that change while the broker runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_broker::{Running, StartError};
use tidegate_trust::Reason;
use tidegate_trust::authority::{When, replace};

use crate::raw::{connect_with, subscribe};
use crate::service::{get, until_metric};
use crate::support::{broker_with, gateway_path};
use crate::trusted::{GW1, GW2, Trusted};

async fn certificate(trusted: &Trusted, broker: &Running) -> Vec<u8> {
    let (_, certificate) = trusted.open(broker, Some(&trusted.client(GW1))).await.expect("let through");
    certificate.to_vec()
}

#[tokio::test]
async fn renewed_files_are_taken_over_when_told_and_those_who_are_connected_stay() {
    let trusted = Trusted::new();
    let broker = broker_with(trusted.config_at_rest()).await;
    let mut gateway = trusted.let_in(&broker, &trusted.client(GW1), "plant.gw1").await;
    let before = certificate(&trusted, &broker).await;
    trusted.renew();
    assert_eq!(certificate(&trusted, &broker).await, before, "nobody has told it");
    broker.reload().await;
    assert_ne!(certificate(&trusted, &broker).await, before);
    assert!(gateway.is_alive().await);
    until_metric(&broker, "tidegate_broker_certificate_reloads_total 1").await;
}

#[tokio::test]
async fn changed_files_are_noticed_and_broken_ones_change_nothing() {
    let trusted = Trusted::new();
    let broker = broker_with(trusted.config()).await;
    let before = certificate(&trusted, &broker).await;
    until_metric(&broker, "tidegate_broker_certificate_expiry_timestamp_seconds 4733510400").await;

    let mut gateway = trusted.let_in(&broker, &trusted.client(GW1), "plant.gw1").await;
    replace(&trusted.path("broker.pem"), "no certificate\n", 0o644);
    until_metric(&broker, "tidegate_broker_certificate_reload_failures_total 1").await;
    assert_eq!(certificate(&trusted, &broker).await, before);
    replace(&trusted.path("crl.pem"), "no list\n", 0o644);
    until_metric(&broker, "tidegate_broker_certificate_reload_failures_total 2").await;
    trusted.revoke(&[]);
    until_metric(&broker, "tidegate_broker_certificate_reload_failures_total 3").await;
    // A certificate without its key, as between two steps of a renewal.
    replace(
        &trusted.path("broker.pem"),
        &trusted.authority.server(&["127.0.0.1"], When::Now).certificate,
        0o644,
    );
    until_metric(&broker, "tidegate_broker_certificate_reload_failures_total 4").await;
    assert_eq!(certificate(&trusted, &broker).await, before);
    assert!(gateway.is_alive().await);
    assert!(get(&broker, "/metrics").await.contains("tidegate_broker_certificate_reloads_total 0\n"));

    trusted.renew();
    until_metric(&broker, "tidegate_broker_certificate_reloads_total 1").await;
    assert_ne!(certificate(&trusted, &broker).await, before);
    assert!(gateway.is_alive().await);
}

#[tokio::test]
async fn who_is_revoked_while_connected_is_cut_off_and_kept_out_and_nobody_else() {
    let trusted = Trusted::new();
    let broker = broker_with(trusted.config()).await;
    let (gw1, gw2) = (trusted.client(GW1), trusted.client(GW2));
    let mut watching = trusted.let_in(&broker, &trusted.client("tidegate:role/operator"), "o").await;
    let status = gateway_path("gw1").status();
    watching.send(&subscribe(1, &[(&status, 0)])).await;
    watching.packet().await.expect("SUBACK");
    let mut bad = trusted.open(&broker, Some(&gw1)).await.expect("let through").0;
    bad.send(&with_will(&status)).await;
    assert_eq!(bad.packet().await.as_deref(), Some(&[0x20, 2, 0, 0][..]));
    let mut good = trusted.let_in(&broker, &gw2, "plant.gw2").await;

    trusted.revoke(&[&gw1]);
    assert!(bad.is_cut_off().await);
    let will = watching.packet().await.expect("the will");
    assert!(will.ends_with(b"gone"), "{will:?}");
    until_metric(&broker, "tidegate_broker_connections_ended_total{reason=\"distrusted\"} 1").await;
    assert!(good.is_alive().await && watching.is_alive().await);
    assert_eq!(trusted.refused(&broker, Some(&gw1)).await, Reason::Revoked);

    trusted.revoke(&[]);
    until_metric(&broker, "tidegate_broker_certificate_reloads_total 2").await;
    trusted.let_in(&broker, &gw1, "plant.gw1").await;
}

#[tokio::test]
async fn whose_certificate_ends_while_connected_is_cut_off_though_no_file_changes() {
    /// Long enough to get in.
    const LASTS_S: u64 = 5;
    let trusted = Trusted::new();
    let config = trusted.config_with(Duration::from_secs(3600), Duration::from_millis(20));
    let broker = broker_with(config).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let ending = trusted.authority.client(&[GW1], When::Until(now + LASTS_S));
    let mut ending = trusted.let_in(&broker, &ending, "plant.gw1").await;
    let mut lasting = trusted.let_in(&broker, &trusted.client(GW2), "plant.gw2").await;
    assert!(ending.is_cut_off().await);
    until_metric(&broker, "tidegate_broker_connections_ended_total{reason=\"distrusted\"} 1").await;
    assert!(lasting.is_alive().await);
}

#[tokio::test]
async fn who_was_revoked_during_the_connect_does_not_stay() {
    let trusted = Trusted::new();
    let broker = broker_with(trusted.config_at_rest()).await;
    let gw1 = trusted.client(GW1);
    let mut raw = trusted.open(&broker, Some(&gw1)).await.expect("let through").0;
    // The handshake is over at the broker too once it has asked for the CONNECT of another.
    trusted.let_in(&broker, &trusted.client(GW2), "plant.gw2").await;
    trusted.revoke(&[&gw1]);
    broker.reload().await;
    raw.send(&crate::trusted::connect("plant.gw1")).await;
    while raw.packet().await.is_some() {}
}

#[tokio::test]
async fn another_authority_takes_over_from_those_who_trusted_the_old_one() {
    let trusted = Trusted::new();
    let broker = broker_with(trusted.config_at_rest()).await;
    let mut old = trusted.let_in(&broker, &trusted.client(GW1), "plant.gw1").await;
    let new = tidegate_trust::authority::Authority::new("new");
    replace(&trusted.path("clients.pem"), &new.pem(), 0o644);
    // Both, and then the new one alone.
    let both = trusted.authority.pem() + &new.pem();
    replace(&trusted.path("crl.pem"), &(trusted.authority.revoke(&[]) + &new.revoke(&[])), 0o644);
    replace(&trusted.path("ca.pem"), &both, 0o644);
    broker.reload().await;
    assert!(old.is_alive().await);
    let renewed = new.client(&[GW2], When::Now);
    let mut young = trusted.let_in(&broker, &renewed, "plant.gw2").await;
    replace(&trusted.path("ca.pem"), &new.pem(), 0o644);
    broker.reload().await;
    assert!(old.is_cut_off().await);
    assert!(young.is_alive().await);
}

#[tokio::test]
async fn a_broker_with_wrong_files_does_not_start() {
    let trusted = Trusted::new();
    replace(&trusted.path("broker.key"), "no key\n", 0o600);
    let refused = tidegate_broker::start(trusted.config()).await.expect_err("it has no key");
    assert!(matches!(refused, StartError::Tls(_)) && refused.to_string().contains("broker.key"), "{refused}");
}

/// A CONNECT as gateway gw1 with a will on `topic`; user and password do not count.
fn with_will(topic: &str) -> Vec<u8> {
    let plain = connect_with(0xc6, "x", "plant.gw1", 60);
    // The will stands between the client id and the user.
    let at = 2 + 10 + 2 + "plant.gw1".len();
    let mut body = plain[2..at].to_vec();
    for text in [topic, "gone", "x", "x"] {
        body.extend((text.len() as u16).to_be_bytes());
        body.extend(text.as_bytes());
    }
    crate::raw::packet(0x10, &body)
}
