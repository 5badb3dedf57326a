//! `tidegate watch --raw`: every reading of every block that passes the broker, before anyone stores it.
//!
//! What a block does not say (the names behind channel indices) is learned from descriptions that pass; of those the
//! last [`MAX_DESCRIPTIONS`] are kept, and an unknown channel is shown by its index. A block that does not decode is
//! named on standard error, and the next one is read.

use std::{
    collections::HashMap,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Packet, QoS, TlsConfiguration, Transport,
};
use secrecy::ExposeSecret;
use serde_json::json;
use tidegate_protocol::{
    Origin,
    block::{Block, Decoder, Description, MAX_BLOCK_BYTES, Record},
    reading::{Reading, Value},
    topic::{ALL_BLOCKS, GatewayPath, Lane, UpTopic},
};
use tidegate_trust::{ClientFiles, Failure, Side, files::OwnFiles, settings::is_this_machine};
use tokio::time::{sleep, timeout};

use super::watch::{Arguments, stream::Backoff};
use crate::error::CliError;

const MAX_DESCRIPTIONS: usize = 65_536;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Topic and MQTT header come on top of a block.
const MAX_PACKET: usize = MAX_BLOCK_BYTES + 1024;

pub async fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let mut printer = Printer { decoder: Decoder::new()?, channels: HashMap::new(), json: arguments.json };
    let mut backoff = Backoff::default();
    let mut stood = false;
    loop {
        let why = follow(arguments, &mut printer, &mut backoff, &mut stood).await?;
        if !stood {
            return Err(CliError::MqttRefused { address: arguments.mqtt.clone(), reason: why });
        }
        eprintln!(
            "tidegate: the connection to the broker at {} broke ({why}); connecting again",
            arguments.mqtt
        );
        sleep(backoff.next()).await;
    }
}

/// One connection: a fresh event loop, a clean session. Returns why it ended.
async fn follow(
    arguments: &Arguments,
    printer: &mut Printer,
    backoff: &mut Backoff,
    stood: &mut bool,
) -> Result<String, CliError> {
    let (client, mut events) = connect(arguments)?;
    loop {
        let limit = if *stood { KEEP_ALIVE * 3 } else { CONNECT_TIMEOUT };
        let packet = match timeout(limit, events.poll()).await {
            Ok(Ok(Event::Incoming(packet))) => packet,
            Ok(Ok(Event::Outgoing(_))) => continue,
            Ok(Err(error)) => return Ok(reason(&error)),
            Err(_) => return Ok("no answer in time".to_owned()),
        };
        match packet {
            Packet::ConnAck(_) => {
                // The channel has room for this one request, so it does not wait for the loop that we are.
                if let Err(error) = client.subscribe(ALL_BLOCKS, QoS::AtMostOnce).await {
                    return Ok(error.to_string());
                }
            }
            Packet::SubAck(granted)
                if granted.return_codes.contains(&rumqttc::SubscribeReasonCode::Failure) =>
            {
                return Ok("this user may not read blocks".to_owned());
            }
            Packet::SubAck(_) => {
                *stood = true;
                backoff.reset();
            }
            Packet::Publish(publish) => printer.block(&publish.topic, &publish.payload)?,
            _ => {}
        }
    }
}

fn connect(arguments: &Arguments) -> Result<(AsyncClient, EventLoop), CliError> {
    let malformed = || CliError::MqttAddress { address: arguments.mqtt.clone() };
    let (host, port) = arguments.mqtt.rsplit_once(':').ok_or_else(malformed)?;
    let port: u16 = port.parse().map_err(|_| malformed())?;
    let id = format!("tidegate-watch-{}-{}", std::process::id(), jiff::Timestamp::now().as_millisecond());
    let mut options = MqttOptions::new(id, host.trim_matches(['[', ']']), port);
    options.set_keep_alive(KEEP_ALIVE).set_clean_session(true).set_max_packet_size(MAX_PACKET, MAX_PACKET);
    if let Some(user) = &arguments.user {
        options.set_credentials(user, arguments.password.as_ref().map_or("", ExposeSecret::expose_secret));
    }
    match &arguments.mqtt_ca {
        Some(ca) => {
            let own =
                arguments.mqtt_identity.clone().map(|file| OwnFiles { certificate: file.clone(), key: file });
            let tls = ClientFiles { own, ..ClientFiles::believing(ca) };
            let config = tls.load()?.config;
            options.set_transport(Transport::Tls(TlsConfiguration::Rustls(config)));
        }
        None if arguments.insecure || is_this_machine(host) => {}
        None => return Err(CliError::MqttInClear { host: host.to_owned() }),
    }
    Ok(AsyncClient::new(options, 4))
}

fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => format!("{code:?}"),
        other => Failure::in_words(Side::Client, other),
    }
}

struct Printer {
    decoder: Decoder,
    channels: HashMap<(GatewayPath, Origin), Description>,
    json: bool,
}

impl Printer {
    fn block(&mut self, topic: &str, payload: &[u8]) -> io::Result<()> {
        let (path, lane) = match GatewayPath::parse_up(topic) {
            Ok((path, UpTopic::Block(lane))) => (path, lane),
            _ => return Ok(()),
        };
        let block = match self.decoder.decode(payload) {
            Ok(block) => block,
            Err(error) => {
                eprintln!("tidegate: a block on {topic} cannot be read: {error}");
                return Ok(());
            }
        };
        self.learn(path, &block);
        let mut out = io::stdout().lock();
        for of_origin in &block.origins {
            for reading in &of_origin.readings {
                writeln!(out, "{}", self.line(path, lane, of_origin.origin, reading))?;
            }
        }
        out.flush()
    }

    fn learn(&mut self, path: GatewayPath, block: &Block) {
        for record in &block.records {
            if let Record::Described(description) = record {
                if self.channels.len() >= MAX_DESCRIPTIONS {
                    self.channels.clear();
                }
                self.channels.insert((path, description.origin), description.clone());
            }
        }
    }

    fn line(&self, path: GatewayPath, lane: Lane, origin: Origin, reading: &Reading) -> String {
        let index = reading.channel.0;
        let declared =
            self.channels.get(&(path, origin)).and_then(|known| known.channels.get(usize::from(index)));
        let name = declared.map_or_else(|| format!("#{index}"), |channel| channel.name.to_string());
        let unit = declared.map(|channel| channel.unit.as_str()).unwrap_or_default();
        if !self.json {
            let (site, gateway) = (path.site, path.gateway);
            let quality = reading.quality.name();
            let at = format!("{site}/{gateway} {lane:<7} {origin} {:>8} +{}ms", reading.seq, reading.tick.0);
            return format!("{at}  {name} = {} {unit}  {quality}", reading.value);
        }
        json!({
            "site": path.site, "gateway": path.gateway, "lane": lane, "device": origin.device,
            "boot": origin.boot.to_string(), "seq": reading.seq, "tick_ms": reading.tick, "channel": name,
            "unit": unit, "value": json_value(reading.value), "quality": reading.quality,
        })
        .to_string()
    }
}

/// As the HTTP API has it: what JSON has no number for is null.
fn json_value(value: Value) -> serde_json::Value {
    match value {
        Value::Bool(truth) => json!(truth),
        number => json!(number.as_f64()),
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{
        BootId, ChannelIndex, ChannelName, DeviceId, GatewayId, Quality, Seq, SiteId, Tick, ValueKind,
        block::{Encoder, OriginReadings},
        channel::ChannelDecl,
    };

    use super::*;

    fn printer_and_block() -> (Printer, GatewayPath, Origin, Block) {
        let origin = Origin::new(DeviceId::new("b1").unwrap(), BootId(10));
        let channel = |name| ChannelDecl {
            name: ChannelName::new(name).unwrap(),
            unit: "Cel".to_owned(),
            kind: ValueKind::Decimal,
            scale: 2,
        };
        let channels = vec![channel("temperature")];
        let description = Description { origin, tag: String::new(), firmware: String::new(), channels };
        let reading = Reading {
            seq: Seq(7),
            channel: ChannelIndex(0),
            tick: Tick(1_500),
            value: Value::Decimal { mantissa: 2_150, scale: 2 },
            quality: Quality::Good,
        };
        let block = Block {
            records: vec![Record::Described(description)],
            origins: vec![OriginReadings { origin, readings: vec![reading] }],
        };
        let printer = Printer { decoder: Decoder::new().unwrap(), channels: HashMap::new(), json: false };
        let path = GatewayPath::new(SiteId::new("plant").unwrap(), GatewayId::new("gw-a").unwrap());
        (printer, path, origin, block)
    }

    #[test]
    fn a_reading_is_named_once_its_origin_was_described() {
        let (mut printer, path, origin, block) = printer_and_block();
        let reading = block.origins[0].readings[0];
        let line = printer.line(path, Lane::Live, origin, &reading);
        assert_eq!(line, "plant/gw-a live    b1/000000000000000a        7 +1500ms  #0 = 21.50   good");
        let encoded = Encoder::new().unwrap().encode(&block).unwrap();
        printer.block(&path.up(Lane::Live), &encoded).unwrap();
        let line = printer.line(path, Lane::Live, origin, &reading);
        assert!(line.ends_with("temperature = 21.50 Cel  good"), "{line}");
    }

    #[test]
    fn json_lines_carry_numbers() {
        let (mut printer, path, origin, block) = printer_and_block();
        printer.learn(path, &block);
        printer.json = true;
        let line = printer.line(path, Lane::Backlog, origin, &block.origins[0].readings[0]);
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((parsed["value"].as_f64(), parsed["lane"].as_str()), (Some(21.5), Some("backlog")));
    }
}
