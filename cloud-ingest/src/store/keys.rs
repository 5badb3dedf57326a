//! Keys and values as bytes. Numbers in keys are big-endian; texts end with a zero byte, which no name has. Values
//! are postcard, but events, which are JSON as they go out. The format's version is in `meta`; a store of another
//! version is refused, not guessed at.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tidegate_alarms::{EventId, RuleId};
use tidegate_protocol::{
    ChannelIndex, ChannelName, DeviceId, GatewayId, RangeSet, SeqRange, SiteId, topic::GatewayPath,
};

use super::StoreError;
use crate::core::{
    batch::{EntryHead, Occurrence, OriginNo},
    desired::ChannelKey,
    lifecycle::AlarmKey,
    seal::SealedRecord,
};

/// Raised with every change of what is below.
pub const FORMAT: u32 = 6;

pub const META_FORMAT: &[u8] = b"format";
/// The next journal position.
pub const META_POSITION: &[u8] = b"position";
/// A roll to the lake that was begun and not ended.
pub const META_INTENT: &[u8] = b"intent";
/// How often this ledger was rolled back by a restore, u32; absent: never.
pub const META_LEDGER: &[u8] = b"ledger";
/// How often the rules were changed, u64; absent: never.
pub const META_RULES_EDITION: &[u8] = b"rules-edition";
/// Event cursors that are given from now on are above this number, 8 bytes; absent: 0.
pub const META_CURSOR_BASE: &[u8] = b"cursor-base";

/// Begins the keys under which `meta` notes what came to quarantine; then the content's SHA-256. Not there in stores of before.
const META_QUARANTINED: &[u8] = b"quarantined/";

pub fn quarantined(content: &[u8; 32]) -> Vec<u8> {
    [META_QUARANTINED, content].concat()
}

/// Where a run of readings is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    pub len: u64,
    pub place: Place,
    pub ticks: (u64, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In the journal entry of this position.
    Journal(u64),
    /// In the lake file that begins with this position.
    Lake(u64),
}

/// A Parquet file that holds the accepted readings of the journal's `[from, to)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LakeFile {
    pub from: u64,
    pub to: u64,
    /// Relative to the lake's folder.
    pub path: String,
    pub rows: u64,
    pub bytes: u64,
}

/// A sealed origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedRow {
    pub record: SealedRecord,
    /// Which of its device's channel lists is its; a device's boots mostly share one.
    pub channels: Option<u32>,
    /// Readings that were stored while only a worse anchor was known. Last, as in the origin's record.
    pub corrected: RangeSet,
}

/// What a roll set out to do. Its file's name follows from it, so that doing it again makes the same file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub from: u64,
    pub to: u64,
    /// `YYYY-MM-DD`, in UTC, of the entries' arrival.
    pub arrived: String,
}

pub fn number(value: u64) -> [u8; 8] {
    value.to_be_bytes()
}

pub fn read_number(key: &[u8]) -> Result<u64, StoreError> {
    key.try_into().map(u64::from_be_bytes).map_err(|_| StoreError::Damaged("a key has the wrong length"))
}

pub fn origin(no: OriginNo) -> [u8; 4] {
    no.0.to_be_bytes()
}

pub fn read_origin(key: &[u8]) -> Result<OriginNo, StoreError> {
    let bytes = key.first_chunk().ok_or(StoreError::Damaged("a key has the wrong length"))?;
    Ok(OriginNo(u32::from_be_bytes(*bytes)))
}

/// The key right behind all keys of an origin.
pub fn after_origin(no: OriginNo) -> [u8; 4] {
    no.0.saturating_add(1).to_be_bytes()
}

pub fn index(no: OriginNo, seq: u64) -> [u8; 12] {
    let mut key = [0; 12];
    let (origin_part, seq_part) = key.split_at_mut(4);
    origin_part.copy_from_slice(&no.0.to_be_bytes());
    seq_part.copy_from_slice(&seq.to_be_bytes());
    key
}

pub fn read_index(key: &[u8]) -> Result<(OriginNo, u64), StoreError> {
    let (origin_part, seq_part) =
        key.split_at_checked(4).ok_or(StoreError::Damaged("an index key is short"))?;
    Ok((read_origin(origin_part)?, read_number(seq_part)?))
}

/// What the summaries of one channel that one gateway made have in common.
pub fn series(no: OriginNo, channel: ChannelIndex, gateway: GatewayId) -> Vec<u8> {
    [origin(no).as_slice(), &[channel.0], gateway.as_str().as_bytes(), &[0]].concat()
}

pub fn read_series_gateway(key: &[u8]) -> Result<GatewayId, StoreError> {
    let name = key.get(5..).and_then(|rest| rest.split(|byte| *byte == 0).next());
    let name = name.and_then(|name| std::str::from_utf8(name).ok()).and_then(|name| name.parse().ok());
    name.ok_or(StoreError::Damaged("a summary's key has no gateway"))
}

pub fn event_id(id: EventId) -> [u8; 16] {
    id.0.to_be_bytes()
}

fn texts(parts: &[&str]) -> Vec<u8> {
    let mut key = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for part in parts {
        key.extend_from_slice(part.as_bytes());
        key.push(0);
    }
    key
}

pub fn gateway(path: GatewayPath) -> Vec<u8> {
    texts(&[path.site.as_str(), path.gateway.as_str()])
}

pub fn read_gateway(key: &[u8]) -> Result<GatewayPath, StoreError> {
    let (site, gateway) = two_names(key)?;
    let damaged = |_| StoreError::Damaged("a gateway's key is no name");
    Ok(GatewayPath::new(site.parse().map_err(damaged)?, gateway.parse().map_err(damaged)?))
}

pub fn device(site: SiteId, device: DeviceId) -> Vec<u8> {
    texts(&[site.as_str(), device.as_str()])
}

pub fn read_device(key: &[u8]) -> Result<(SiteId, DeviceId), StoreError> {
    let (site, device) = two_names(key)?;
    let damaged = |_| StoreError::Damaged("a device's key is no name");
    Ok((site.parse().map_err(damaged)?, device.parse().map_err(damaged)?))
}

pub fn channel(key: ChannelKey) -> Vec<u8> {
    texts(&[key.site.as_str(), key.device.as_str(), key.channel.as_str()])
}

pub fn read_channel(key: &[u8]) -> Result<ChannelKey, StoreError> {
    let damaged = |_| StoreError::Damaged("a channel's key is no name");
    let text = std::str::from_utf8(key).map_err(|_| StoreError::Damaged("a key is no text"))?;
    match text.split_terminator('\0').collect::<Vec<_>>()[..] {
        [site, device, channel] => Ok(ChannelKey {
            site: site.parse().map_err(damaged)?,
            device: device.parse().map_err(damaged)?,
            channel: channel.parse().map_err(damaged)?,
        }),
        _ => Err(StoreError::Damaged("a key has the wrong parts")),
    }
}

pub fn channel_list(site: SiteId, device: DeviceId, number: u32) -> Vec<u8> {
    let mut key = self::device(site, device);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

fn two_names(key: &[u8]) -> Result<(&str, &str), StoreError> {
    let text = std::str::from_utf8(key).map_err(|_| StoreError::Damaged("a key is no text"))?;
    let mut names = text.split_terminator('\0');
    match (names.next(), names.next(), names.next()) {
        (Some(first), Some(second), None) => Ok((first, second)),
        _ => Err(StoreError::Damaged("a key has the wrong parts")),
    }
}

pub fn alarm(site: SiteId, device: DeviceId, channel: ChannelName, rule: &RuleId) -> Vec<u8> {
    texts(&[site.as_str(), device.as_str(), channel.as_str(), rule.as_str()])
}

pub fn rule(id: &RuleId) -> Vec<u8> {
    texts(&[id.as_str()])
}

pub fn alarm_of(key: &AlarmKey) -> Vec<u8> {
    alarm(key.site, key.device, key.channel, &key.rule)
}

pub fn read_alarm(key: &[u8]) -> Result<AlarmKey, StoreError> {
    let damaged = |_| StoreError::Damaged("an alarm's key is no name");
    let text = std::str::from_utf8(key).map_err(|_| StoreError::Damaged("a key is no text"))?;
    match text.split_terminator('\0').collect::<Vec<_>>()[..] {
        [site, device, channel, rule] => Ok(AlarmKey {
            site: site.parse().map_err(damaged)?,
            device: device.parse().map_err(damaged)?,
            channel: channel.parse().map_err(damaged)?,
            rule: RuleId::new(rule),
        }),
        _ => Err(StoreError::Damaged("a key has the wrong parts")),
    }
}

pub fn receiver(id: &str) -> Vec<u8> {
    texts(&[id])
}

pub fn read_receiver(key: &[u8]) -> Result<&str, StoreError> {
    let id = key.strip_suffix(&[0]).and_then(|id| std::str::from_utf8(id).ok());
    id.ok_or(StoreError::Damaged("a receiver's key is no name"))
}

pub fn outbox(receiver: &str, cursor: u64) -> Vec<u8> {
    let mut key = self::receiver(receiver);
    key.extend_from_slice(&number(cursor));
    key
}

/// The key right behind all rows of a receiver.
pub fn after_receiver(id: &str) -> Vec<u8> {
    [id.as_bytes(), &[1]].concat()
}

pub fn read_outbox(key: &[u8]) -> Result<(&str, u64), StoreError> {
    let short = StoreError::Damaged("an outbox key is short");
    let (id, cursor) = key.split_last_chunk::<8>().ok_or(short)?;
    Ok((read_receiver(id)?, u64::from_be_bytes(*cursor)))
}

pub fn occurrence(no: OriginNo, occurrence: &Occurrence) -> Vec<u8> {
    raised(no, occurrence.raised.seq.0, occurrence.channel, &occurrence.rule)
}

/// The key of the occurrence that a rule raised there.
pub fn raised(no: OriginNo, seq: u64, channel: ChannelName, rule: &RuleId) -> Vec<u8> {
    let mut key = index(no, seq).to_vec();
    key.extend(texts(&[channel.as_str(), rule.as_str()]));
    key
}

pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_stdvec(value).map_err(|_| StoreError::Damaged("a record does not encode"))
}

pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|_| StoreError::Damaged("a record does not decode"))
}

/// A journal entry's value into `out`.
pub fn encode_entry(head: &EntryHead, block: &[u8], out: &mut Vec<u8>) -> Result<(), StoreError> {
    out.clear();
    out.extend_from_slice(&[0; 4]);
    *out = postcard::to_extend(head, std::mem::take(out))
        .map_err(|_| StoreError::Damaged("a journal entry does not encode"))?;
    let len = (out.len() - 4) as u32;
    if let Some(place) = out.first_chunk_mut::<4>() {
        *place = len.to_be_bytes();
    }
    out.extend_from_slice(block);
    Ok(())
}

pub fn decode_entry(bytes: &[u8]) -> Result<(EntryHead, &[u8]), StoreError> {
    let short = StoreError::Damaged("a journal entry is short");
    let Some((len, rest)) = bytes.split_first_chunk::<4>() else { return Err(short) };
    let (head, block) = rest.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or(short)?;
    // What follows the head would have been a part of it.
    match postcard::take_from_bytes(head) {
        Ok((head, [])) => Ok((head, block)),
        _ => Err(StoreError::Damaged("a journal entry's head does not decode")),
    }
}

/// The part of an index entry's run that starts at `start` which lies in `wanted`.
pub fn part_of(start: u64, len: u64, wanted: SeqRange) -> SeqRange {
    SeqRange::new(start, start.saturating_add(len)).intersection(wanted)
}
