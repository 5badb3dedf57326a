//! What an ingest reads back of its store: keys, records, and journal entries with their blocks.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};
use tidegate_alarms::RuleId;
use tidegate_ingest::{
    core::{
        batch::{
            Accepted, EntryHead, GatewayRecord, LiveRecord, Occurrence, OriginNo, OriginRecord, Quarantined,
            RuleState, SettledRecord,
        },
        desired::SettingsRecord,
    },
    delivery::core::OutboxRow,
    entries::{accepted_of, within},
    store::keys::{self, IndexEntry, Intent, LakeFile, SealedRow},
};
use tidegate_protocol::{
    BootId, ChannelIndex, ChannelName, DeviceId, GatewayId, Origin, RangeSet, SeqRange, SiteId,
    ack::RejectReason,
    block::{Decoder, Description},
    summary::Summary,
    topic::{GatewayPath, Lane},
};

/// The first byte says which record the others are.
pub fn store(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 16 {
        0 => key(bytes),
        1 => {
            let ranges = |record: &OriginRecord| record.ledger.stored().clone();
            same_again::<OriginRecord>(bytes).iter().map(ranges).for_each(|set| ascending(&set));
        }
        2 => drop(same_again::<GatewayRecord>(bytes)),
        3 => drop(same_again::<LiveRecord>(bytes)),
        4 => drop(same_again::<Vec<RuleState>>(bytes)),
        5 => drop(same_again::<SettledRecord>(bytes)),
        6 => drop(same_again::<Occurrence>(bytes)),
        7 => drop(same_again::<Quarantined>(bytes)),
        8 => drop(same_again::<SettingsRecord>(bytes)),
        9 => drop(same_again::<OutboxRow>(bytes)),
        10 => index_entry(bytes),
        11 => {
            same_again::<SealedRow>(bytes).iter().for_each(|row| ascending(&row.corrected));
        }
        12 => drop((same_again::<LakeFile>(bytes), same_again::<Intent>(bytes))),
        13 => drop((same_again::<Description>(bytes), same_again::<Summary>(bytes))),
        14 => same_again::<RangeSet>(bytes).iter().for_each(ranges),
        _ => journal(bytes),
    }
}

/// What is read is written as the same.
fn same_again<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) -> Option<T> {
    let read = keys::decode::<T>(bytes).ok()?;
    let again = keys::encode(&read).expect("what was read is written");
    let read_again = keys::decode::<T>(&again).expect("what was written is read");
    // Not a number is not itself, so they are held against each other as they are shown.
    assert_eq!(format!("{read_again:?}"), format!("{read:?}"));
    Some(read)
}

/// A key is read as what it was made of, or not at all.
fn key(bytes: &[u8]) {
    if let Ok(number) = keys::read_number(bytes) {
        assert_eq!(keys::number(number), bytes);
    }
    if let Ok(no) = keys::read_origin(bytes) {
        assert!(bytes.starts_with(&keys::origin(no)));
        assert!(keys::after_origin(no) >= keys::origin(no));
    }
    if let Ok((no, seq)) = keys::read_index(bytes) {
        assert_eq!(keys::index(no, seq), bytes);
    }
    if let Ok(path) = keys::read_gateway(bytes) {
        assert_eq!(keys::gateway(path), ended(bytes));
    }
    if let Ok((site, device)) = keys::read_device(bytes) {
        assert_eq!(keys::device(site, device), ended(bytes));
    }
    if let Ok(channel) = keys::read_channel(bytes) {
        assert_eq!(keys::channel(channel), ended(bytes));
    }
    if let Ok(alarm) = keys::read_alarm(bytes) {
        assert_eq!(keys::alarm_of(&alarm), ended(bytes));
    }
    if let Ok(id) = keys::read_receiver(bytes) {
        assert_eq!(keys::receiver(id), bytes);
    }
    if let Ok((id, cursor)) = keys::read_outbox(bytes) {
        assert_eq!(keys::outbox(id, cursor), bytes);
    }
    let _ = keys::read_series_gateway(bytes);
}

/// The last text of a key may have lost its end, and is the same.
fn ended(bytes: &[u8]) -> Vec<u8> {
    let mut key = bytes.to_vec();
    if key.last() != Some(&0) {
        key.push(0);
    }
    key
}

fn index_entry(bytes: &[u8]) {
    let Some((seq, bytes)) = bytes.split_first_chunk::<8>() else { return };
    let (start, Some(entry)) = (u64::from_le_bytes(*seq), same_again::<IndexEntry>(bytes)) else { return };
    let wanted = SeqRange::new(start.saturating_add(3), start.saturating_add(9));
    let part = keys::part_of(start, entry.len, wanted);
    assert!(
        part.is_empty() || part.start >= wanted.start && part.end <= wanted.end && part.len() <= entry.len
    );
}

/// Ranges ascend, never touch, are never empty: all arithmetic on them takes it for granted.
fn ascending(set: &RangeSet) {
    let mut before = None;
    for range in set.iter() {
        assert!(!range.is_empty() && before.is_none_or(|end| end < range.start), "{set:?}");
        before = Some(range.end);
    }
}

fn ranges(set: &RangeSet) {
    ascending(set);
    let (first, end) = (set.first().unwrap_or_default(), set.end());
    let whole = SeqRange::new(first, end);
    let missing = set.missing(whole);
    let gaps = missing.iter().fold(0_u64, |sum, range| sum.saturating_add(range.len()));
    assert_eq!(set.count().saturating_add(gaps), whole.len());
    let mut filled = set.clone();
    missing.iter().for_each(|range| filled.insert(*range));
    assert_eq!(filled.count(), whole.len());
    let mut emptied = set.clone();
    emptied.remove(whole);
    assert!(emptied.is_empty());
}

/// A journal entry: its head, the block behind it, and what of the block the head says is accepted.
fn journal(bytes: &[u8]) {
    let (head, block) = match keys::decode_entry(bytes) {
        Ok(entry) => entry,
        Err(error) => return assert!(error.to_string().contains("damaged")),
    };
    let mut again = Vec::new();
    keys::encode_entry(&head, block, &mut again).expect("what was read is written");
    let (read, same) = keys::decode_entry(&again).expect("what was written is read");
    assert_eq!((format!("{read:?}"), same), (format!("{head:?}"), block));
    let Ok(block) = Decoder::new().expect("memory").decode(block) else { return };
    for (accepted, origin, readings) in accepted_of(&head, &block) {
        assert!(readings.iter().all(|reading| accepted.range.contains(reading.seq.0)), "{origin}");
        assert!(readings.len() as u64 <= accepted.range.len());
    }
    for of in &block.origins {
        assert_eq!(within(&of.readings, SeqRange::new(0, u64::MAX)).len(), of.readings.len());
    }
}

pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let (site, device) = (SiteId::new("plant").expect("a slug"), DeviceId::new("board-7").expect("a slug"));
    let from = GatewayPath::new(site, GatewayId::new("gw-a").expect("a slug"));
    let channel = ChannelName::new("temperature").expect("a name");
    let (no, rule) = (OriginNo(7), RuleId::new("hot"));
    let ranges: RangeSet = [SeqRange::new(0, 9), SeqRange::new(12, 300)].into_iter().collect();
    let accepted = [SeqRange::new(0, 20), SeqRange::new(30, 48)].map(|range| Accepted {
        origin: no,
        entry: 0,
        range,
        ticks: (5_000, 60_000),
    });
    let head = EntryHead { from, lane: Lane::Live, arrival_unix_ms: 5, accepted: accepted.into() };
    let entry = |name: &str| {
        let block = super::golden().into_iter().find(|(golden, _)| golden == name).expect("it is there").1;
        let mut entry = Vec::new();
        keys::encode_entry(&head, &block, &mut entry).expect("it is written");
        entry
    };
    let place = keys::Place::Journal(4);
    let index = written(&IndexEntry { len: 48, place, ticks: (5_000, 60_000) });
    let gateway = GatewayRecord {
        online: true,
        version: "0.1.0".to_owned(),
        last_block_unix_ms: Some(5),
        ..GatewayRecord::default()
    };
    let quarantined = Quarantined {
        from,
        arrival_unix_ms: 5,
        reason: RejectReason::Corrupt,
        because: "its checksum".to_owned(),
        bytes: vec![7; 60],
    };
    let mut origin = OriginRecord::new(site, Origin::new(device, BootId(5)));
    origin.heard(9);
    let seeds: Vec<(&str, u8, Vec<u8>)> = vec![
        ("key-number", 0, keys::number(41).to_vec()),
        ("key-index", 0, keys::index(no, 300).to_vec()),
        ("key-gateway", 0, keys::gateway(from)),
        ("key-device", 0, keys::device(site, device)),
        ("key-alarm", 0, keys::alarm(site, device, channel, &rule)),
        ("key-outbox", 0, keys::outbox("ops", 41)),
        ("key-series", 0, keys::series(no, ChannelIndex(3), from.gateway)),
        ("origin", 1, written(&origin)),
        ("gateway", 2, written(&gateway)),
        ("live", 3, written(&LiveRecord { current: no, channels: Vec::new() })),
        ("settled", 5, written(&SettledRecord::default())),
        ("quarantined", 7, written(&quarantined)),
        ("index", 10, [&9_u64.to_le_bytes()[..], &index].concat()),
        (
            "lake-file",
            12,
            written(&LakeFile { from: 0, to: 4, path: "a.parquet".to_owned(), rows: 9, bytes: 4 }),
        ),
        ("intent", 12, written(&Intent { from: 4, to: 8, arrived: "2026-11-01".to_owned() })),
        ("ranges", 14, written(&ranges)),
        ("entry-minute", 15, entry("block-minute")),
        ("entry-records", 15, entry("block-records")),
    ];
    seeds.into_iter().map(|(name, which, bytes)| (name.to_owned(), [&[which][..], &bytes].concat())).collect()
}

fn written(record: &impl Serialize) -> Vec<u8> {
    keys::encode(record).expect("it is written")
}
