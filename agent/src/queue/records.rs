//! What the entries of the queue look like. LMDB has no checksums, so each carries its own.
//!
//! ```text
//! queue       key u64 big-endian     → format u8 (0), 3 zero bytes, readings u32, committed unix ms i64, block
//! origins     device, 0, boot u64 be → postcard of OriginRecord, CRC-32C
//! quarantine  key u64 big-endian     → postcard of Reason, block
//! meta        "queue"                → postcard of Meta, CRC-32C
//!             "sent-today"           → postcard of SentToday, CRC-32C; may be missing, or without `ran_ms`
//!             "ledger"               → postcard of u32: how often the cloud was restored, CRC-32C; absent: never heard
//!             "settings"             → postcard of what the cloud wants of channels, CRC-32C; absent: nothing
//!             "rules"                → postcard of the alarm rules that the cloud brought, CRC-32C; absent: none
//!             "commits"              → postcard of u64: how many there were ever, CRC-32C; absent: agents of before did not count
//!             "account-due"          → CRC-32C of nothing: a repair took blocks out; absent: all is accounted for
//! ```
//! Integers are little-endian where not said otherwise. The block's checksums are its own.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tidegate_protocol::{
    Origin,
    block::{HEADER_BYTES, Header},
};

use crate::core::{ENTRY_HEAD_BYTES, Key, SentToday, Totals};

pub const FORMAT: u32 = 0;

/// What every queue has in the table `meta`.
pub const META: &str = "queue";
pub const COMMITS: &str = "commits";
/// Put by a repair, taken away with the account.
pub const ACCOUNT_DUE: &str = "account-due";

/// Committed with every batch.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Meta {
    pub format: u32,
    /// Above every key ever used, so that a key never comes back.
    pub next_key: Key,
    pub totals: Totals,
    pub next_quarantined: u64,
}

/// What the bytes under [`META`] are.
#[derive(Clone, Copy, Debug)]
pub enum MetaRead {
    Good(Meta),
    /// A newer agent wrote it; only its format number was read.
    Newer(u32),
    Damaged,
}

/// The format number comes first in every format, so that what follows need not be understood to refuse it.
pub fn read_meta(bytes: &[u8]) -> MetaRead {
    let format = unsealed(bytes).and_then(|body| postcard::take_from_bytes::<u32>(body).ok());
    match format {
        Some((format, _)) if format > FORMAT => MetaRead::Newer(format),
        Some(_) => unseal(bytes).map_or(MetaRead::Damaged, MetaRead::Good),
        None => MetaRead::Damaged,
    }
}

/// What was sent today; agents of before did not say how long the day had run.
pub fn read_sent_today(bytes: &[u8]) -> Option<SentToday> {
    let before = || unseal(bytes).map(|(day, bytes)| SentToday { day, bytes, ran_ms: 0 });
    unseal(bytes).or_else(before)
}

/// The number that a key of queue and quarantine is.
pub fn key_of(key: &[u8]) -> Option<Key> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// Why a block is in the quarantine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reason {
    pub reason: String,
    pub unix_ms: i64,
}

/// What stands before a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHead {
    pub readings: u32,
    pub unix_ms: i64,
}

impl EntryHead {
    pub fn write(self, block: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.readings.to_le_bytes());
        out.extend_from_slice(&self.unix_ms.to_le_bytes());
        out.extend_from_slice(block);
    }

    /// The head and the block behind it. A head that makes no sense still gives up its block, which is checked by
    /// itself; an entry too short for one gives an empty block, which fails that check.
    pub fn read(entry: &[u8]) -> (Self, &[u8]) {
        let (head, block) = entry.split_at_checked(ENTRY_HEAD_BYTES).unwrap_or_default();
        let readings = head.get(4..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
        let unix_ms = head.get(8..16).and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_le_bytes);
        (Self { readings, unix_ms }, block)
    }
}

pub fn origin_key(origin: Origin) -> Vec<u8> {
    let mut key = origin.device.as_str().as_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(&origin.boot.0.to_be_bytes());
    key
}

/// Postcard with a checksum behind it; None when a text in it is beyond postcard, which none is.
pub fn seal(value: &impl Serialize) -> Option<Vec<u8>> {
    let mut bytes = postcard::to_extend(value, Vec::new()).ok()?;
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    Some(bytes)
}

/// None when the checksum or the form is wrong.
pub fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(unsealed(bytes)?).ok()
}

/// Whether a record passes its checksum, whatever it says.
pub fn is_sealed(bytes: &[u8]) -> bool {
    unsealed(bytes).is_some()
}

fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    (crc32c::crc32c(body) == u32::from_le_bytes(*crc)).then_some(body)
}

/// A quarantined block with its reason before it.
pub fn quarantined(reason: &Reason, block: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = postcard::to_extend(reason, Vec::new()).ok()?;
    bytes.extend_from_slice(block);
    Some(bytes)
}

/// A quarantined block and why it is there; none when that cannot be read.
pub fn quarantine_entry(bytes: &[u8]) -> Option<(Reason, &[u8])> {
    postcard::take_from_bytes(bytes).ok()
}

/// The reason of a block of which only the directory is left.
pub const GIVEN_UP: &str = "given-up";
/// The reason of a block that failed its checksums in the queue.
const DAMAGED: &str = "damaged";

/// What stays in a full quarantine of an entry: which readings it held. None when they are declared lost already.
pub fn given_up(entry: &[u8]) -> Option<Vec<u8>> {
    let (reason, block) =
        quarantine_entry(entry).unwrap_or((Reason { reason: String::new(), unix_ms: 0 }, &[]));
    let is_named = Header::salvage_directory(block).is_ok();
    if reason.reason == DAMAGED && is_named {
        return None;
    }
    let directory_bytes = block.get(32..36).and_then(|len| len.try_into().ok()).map_or(0, u32::from_le_bytes);
    let named = block.get(..HEADER_BYTES + directory_bytes as usize).filter(|_| is_named);
    let reason = Reason { reason: GIVEN_UP.to_owned(), unix_ms: reason.unix_ms };
    quarantined(&reason, named.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_record_comes_back_and_a_damaged_one_does_not() {
        let meta = Meta { next_key: 7, ..Meta::default() };
        let sealed = seal(&meta).unwrap();
        assert_eq!(unseal::<Meta>(&sealed).unwrap().next_key, 7);
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(unseal::<Meta>(&damaged).is_none(), "byte {at}");
        }
    }

    #[test]
    fn an_entry_comes_back_and_a_short_one_is_an_empty_block() {
        let mut entry = Vec::new();
        let head = EntryHead { readings: 9, unix_ms: -5 };
        head.write(b"block", &mut entry);
        assert_eq!(EntryHead::read(&entry), (head, b"block".as_slice()));
        assert_eq!(EntryHead::read(&entry[..3]).1, b"");
    }

    #[test]
    fn what_was_sent_today_is_read_without_how_long_the_day_ran() {
        let now = SentToday { day: 20_833, bytes: [1, 2, 3, 4], ran_ms: 5 };
        assert_eq!(read_sent_today(&seal(&now).unwrap()), Some(now));
        let before = seal(&(20_833_i64, [1_u64, 2, 3, 4])).unwrap();
        assert_eq!(read_sent_today(&before), Some(SentToday { ran_ms: 0, ..now }));
    }
}
