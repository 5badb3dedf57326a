//! Series out of a running ingest, page by page.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Number, Value as Json};
use tidegate_alarms::{ReadingAt, RuleBook};
use tidegate_protocol::{BootId, ChannelName, DeviceId, Quality, Seq, SiteId, Tick, Value};

use super::series::{Sample, Samples, Series};
use crate::{
    client::{Client, ClientError},
    commands::decode,
    error::CliError,
    instant::Moment,
    view::{Device, Devices, Readings},
};

/// As many as an ingest gives at once.
const PAGE: u64 = 10_000;

/// Which series are wanted.
#[derive(Debug)]
pub struct Wanted<'a> {
    pub since: Moment,
    pub until: Option<Moment>,
    pub site: Option<&'a str>,
    pub device: Option<&'a str>,
    pub channel: Option<&'a str>,
}

/// A reading as far as rules look at it.
#[derive(Deserialize)]
struct Reading {
    boot: String,
    seq: u64,
    tick_ms: u64,
    time_unix_ms: Option<i64>,
    value: Json,
    quality: String,
}

/// The channels that any rule watches, with their readings.
pub async fn read(client: &Client, book: &RuleBook, wanted: &Wanted<'_>) -> Result<Vec<Series>, CliError> {
    let devices = client.get::<Devices>("/api/v1/devices", &[]).await?.body.devices;
    let devices: Vec<Device> = decode(client, &devices)?;
    let asked = |name: &str, only: Option<&str>| only.is_none_or(|only| only == name);
    let selected =
        |device: &&Device| asked(&device.device, wanted.device) && asked(&device.site, wanted.site);
    let selected: Vec<&Device> = devices.iter().filter(selected).collect();
    if let (Some(device), true) = (wanted.device, selected.is_empty()) {
        return Err(CliError::UnknownDevice { device: device.to_owned() });
    }
    let mut all = Vec::new();
    for device in selected {
        for channel in device.channels.iter().filter(|channel| asked(&channel.name, wanted.channel)) {
            let unit = channel.unit.clone().unwrap_or_default();
            let Some(empty) = series(device, &channel.name, unit) else { continue };
            let Series { site, device, channel, unit, tag, .. } = &empty;
            if book.matching(*site, *device, *channel, unit, tag).is_empty() {
                continue;
            }
            let samples = samples(client, &empty, wanted).await?;
            if !samples.is_empty() {
                all.push(Series { samples: Samples::Stored(samples), ..empty });
            }
        }
    }
    Ok(all)
}

/// `None` for names that no rule can select.
fn series(device: &Device, channel: &str, unit: String) -> Option<Series> {
    Some(Series {
        site: SiteId::new(&device.site).ok()?,
        device: DeviceId::new(&device.device).ok()?,
        channel: ChannelName::new(channel).ok()?,
        unit,
        tag: device.tag.clone().unwrap_or_default(),
        is_anybodys: false,
        samples: Samples::Stored(Vec::new()),
    })
}

async fn samples(client: &Client, series: &Series, wanted: &Wanted<'_>) -> Result<Vec<Sample>, CliError> {
    let now = Timestamp::now();
    let mut query = vec![
        ("site", series.site.to_string()),
        ("device", series.device.to_string()),
        ("channel", series.channel.to_string()),
        ("since", wanted.since.unix_ms(now).to_string()),
        ("limit", PAGE.to_string()),
    ];
    query.extend(wanted.until.map(|until| ("until", until.unix_ms(now).to_string())));
    let mut samples = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut page = query.clone();
        page.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let answer = client.get::<Readings>("/api/v1/readings", &page).await?.body;
        for reading in decode::<Reading>(client, &answer.readings)? {
            samples.push(sample(client, &reading)?);
        }
        match answer.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    in_order(&mut samples);
    Ok(samples)
}

fn sample(client: &Client, reading: &Reading) -> Result<Sample, ClientError> {
    let strange = |what: String| ClientError::NotAnIngest { url: client.url().to_owned(), reason: what };
    let boot: BootId = reading.boot.parse().map_err(|_| strange(format!("`{}` is no boot", reading.boot)))?;
    let quality = match reading.quality.as_str() {
        "good" => Quality::Good,
        "uncertain" => Quality::Uncertain,
        _ => Quality::Bad,
    };
    let value = match &reading.value {
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => value(number),
        _ => Value::F64(f64::NAN),
    };
    let at = ReadingAt { boot, seq: Seq(reading.seq), tick: Tick(reading.tick_ms), value, quality };
    Ok(Sample { at, unix_ms: reading.time_unix_ms })
}

/// What is just a single-precision number was one: rules compare it as such.
fn value(number: &Number) -> Value {
    let double = number.as_f64().unwrap_or(f64::NAN);
    let single = double as f32;
    if number.is_f64() && f64::from(single) == double { Value::F32(single) } else { Value::F64(double) }
}

/// Boots by when they began, readings by their seq.
fn in_order(samples: &mut [Sample]) {
    let mut began = std::collections::HashMap::new();
    for sample in samples.iter() {
        let first = began.entry(sample.at.boot).or_insert(i64::MAX);
        *first = sample.moment().min(*first);
    }
    samples.sort_by_key(|sample| (began.get(&sample.at.boot).copied(), sample.at.boot, sample.at.seq));
}
