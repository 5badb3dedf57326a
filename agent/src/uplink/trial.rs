//! One connection to the broker that changes nothing there: beside a running agent, and with no will. For people who set a
//! gateway up.

use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectionError, Event as Polled, MqttOptions, Packet, QoS, StateError, SubscribeReasonCode,
    Transport,
};
use secrecy::ExposeSecret;
use tidegate_protocol::topic::GatewayPath;
use tidegate_trust::{
    ClientTls, Failure, Identity, Side,
    certificate::{Certificate, date},
};

use super::link;
use crate::{clock::ShellClock, config::Broker};

/// A subscription and a goodbye.
const REQUESTS: usize = 4;
const GOODBYE: Duration = Duration::from_secs(1);
/// No ping, since it is over before.
const MAX_PACKET_BYTES: usize = 1 << 20;

/// Tries it, and says line by line what was found. An error says why it does not work.
pub async fn run(broker: &Broker, path: GatewayPath, say: &mut impl FnMut(&str)) -> Result<(), String> {
    let place = format!("{}:{}", broker.host, broker.port);
    let transport = match &broker.tls {
        None => {
            say(&format!("broker {place}: in clear, without TLS"));
            Transport::Tcp
        }
        Some(files) => {
            let loaded = link::load(files).await?;
            say(&format!("broker {place}: with TLS, {}", own(&loaded, path)?));
            if let Some(wrong) = loaded.certificate.as_ref().and_then(|own| clock(own, unix_now())) {
                say(&wrong);
            }
            link::over_tls(&loaded)
        }
    };
    // Of the gateway's own ids, one that the running agent does not use.
    let mut options =
        MqttOptions::new(format!("{}.{}.check", path.site, path.gateway), &broker.host, broker.port);
    options.set_clean_session(true).set_keep_alive(broker.keep_alive).set_transport(transport);
    options.set_max_packet_size(MAX_PACKET_BYTES, MAX_PACKET_BYTES);
    if let Some((user, password)) = &broker.credentials {
        options.set_credentials(user, password.expose_secret());
    }
    let (client, mut polled) = AsyncClient::new(options, REQUESTS);
    polled.set_network_options(link::network());
    client.try_subscribe(path.down_filter(), QoS::AtLeastOnce).map_err(|error| error.to_string())?;
    loop {
        match polled.poll().await.map_err(|error| why(&error, broker.tls.is_some()))? {
            Polled::Incoming(Packet::ConnAck(_)) => say("broker: lets this gateway in"),
            Polled::Incoming(Packet::SubAck(ack)) => {
                if ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                    return Err(link::SUBSCRIPTION_REFUSED.to_owned());
                }
                break;
            }
            _ => {}
        }
    }
    say("broker: gives this gateway what comes down for it");
    if client.try_disconnect().is_ok() {
        // The goodbye leaves, and the broker closes.
        let left = async { while polled.poll().await.is_ok() {} };
        let _late = tokio::time::timeout(GOODBYE, left).await;
    }
    Ok(())
}

/// What our certificate says, which must not be that we are somebody else.
fn own(loaded: &ClientTls, path: GatewayPath) -> Result<String, String> {
    let (Some(certificate), Some(own)) = (&loaded.certificate, loaded.own_der()) else {
        return Ok("without a certificate of its own".to_owned());
    };
    let until = date(certificate.not_after);
    match Identity::of(own) {
        Ok(Identity::Gateway { site, gateway }) if (site, gateway) == (path.site, path.gateway) => {
            Ok(format!("as tidegate://{site}/{gateway}, until {until}"))
        }
        Ok(other) => Err(format!(
            "the certificate is for {other}, and this is tidegate://{}/{}; correct `site` and `gateway`, or have another made",
            path.site, path.gateway
        )),
        // Another broker may know its clients in other ways.
        Err(problem) => Ok(format!("until {until}; Tidegate's broker would refuse this one: {problem}")),
    }
}

/// It is no reason not to connect, and readings are dated by it.
fn clock(own: &Certificate, now: i64) -> Option<String> {
    (now < own.not_before).then(|| {
        format!(
            "clock: it says {}, and the certificate is valid from {} on; the broker is believed as of then, and no reading is dated right until the clock is set (NTP, or a clock with a battery)",
            date(now),
            date(own.not_before)
        )
    })
}

fn unix_now() -> i64 {
    ShellClock::start().now().unix_ms / 1_000
}

fn why(error: &ConnectionError, is_tls: bool) -> String {
    let said = link::in_words(error);
    let is_strange = matches!(
        error,
        ConnectionError::MqttState(StateError::Deserialization(_) | StateError::ConnectionAborted)
            | ConnectionError::NotConnAck(_)
    );
    let hint = "; if it speaks TLS on this port, set up [broker.tls]";
    match is_strange && !is_tls && Failure::of(Side::Client, error).is_none() {
        true => format!("the broker does not answer in MQTT ({said}){hint}"),
        false => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_from_before_the_certificate_is_told() {
        let own = Certificate {
            not_before: 1_790_000_000,
            not_after: 1_800_000_000,
            uris: Vec::new(),
            hosts: Vec::new(),
        };
        let said = clock(&own, 12).expect("it is wrong");
        assert!(said.contains("1970-01-01") && said.contains("2026-09-21"), "{said}");
        assert_eq!(clock(&own, own.not_before), None);
    }
}
