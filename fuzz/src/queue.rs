//! What an agent reads back of its queue: records one by one, and LMDB's file as a whole.

use std::{cell::RefCell, fmt::Debug, fs, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use tempfile::TempDir;
use tidegate_agent::{
    core::{OriginRecord, Recovered},
    queue::{
        doctor::{self, Filter, Intent},
        records::{self, EntryHead, Meta, MetaRead, Reason},
    },
};
use tidegate_protocol::{
    block::{HEADER_BYTES, Header},
    frame::crc::crc32c,
};

/// The first byte says which record it is; the others are taken as they stand, and once more under a good checksum.
pub fn queue(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let signed = [bytes, &crc32c(bytes).to_le_bytes()].concat();
    for bytes in [bytes, &signed] {
        match which % 8 {
            0 => origin(bytes),
            1 => meta(bytes),
            2 => {
                let read = records::read_sent_today(bytes);
                assert!(read.is_none() || is_sealed(bytes));
            }
            3 => {
                same_again(bytes, |record| Recovered { ledger: record, ..Recovered::default() }.ledger);
            }
            4 => drop(same_again(bytes, |record| {
                Recovered { desired: record, ..Recovered::default() }.desired
            })),
            5 => drop(same_again(bytes, |record| Recovered { rules: record, ..Recovered::default() }.rules)),
            6 => quarantined(bytes),
            _ => entry(bytes),
        }
    }
}

/// What is read is written as the same; what has no good checksum is not read.
fn same_again<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8], typed: impl Fn(T) -> T) -> Option<T> {
    let read = records::unseal::<T>(bytes).map(typed)?;
    assert!(is_sealed(bytes));
    let again = records::seal(&read).expect("what was read is written");
    assert!(again.len() <= bytes.len(), "one form is the shortest");
    let read_again = records::unseal::<T>(&again).expect("what was written is read");
    // Not a number is not itself, so they are held against each other as they are shown.
    assert_eq!(format!("{read_again:?}"), format!("{read:?}"));
    Some(read)
}

fn is_sealed(bytes: &[u8]) -> bool {
    bytes.split_last_chunk::<4>().is_some_and(|(body, crc)| crc32c(body).to_le_bytes() == *crc)
}

fn origin(bytes: &[u8]) {
    let Some(record) = same_again(bytes, |record: OriginRecord| record) else { return };
    let key = records::origin_key(record.description.origin);
    assert!(key.len() > 9 && key.iter().filter(|byte| **byte == 0).count() >= 1);
}

fn meta(bytes: &[u8]) {
    match records::read_meta(bytes) {
        MetaRead::Good(meta) => {
            assert_eq!(meta.format, records::FORMAT);
            same_again(bytes, |record: Meta| record);
        }
        MetaRead::Newer(format) => assert!(format > records::FORMAT && is_sealed(bytes)),
        MetaRead::Damaged => {}
    }
}

fn quarantined(bytes: &[u8]) {
    let left = records::given_up(bytes);
    let Some((Reason { reason, unix_ms }, block)) = records::quarantine_entry(bytes) else {
        assert!(left.is_some(), "what cannot be read is given up with nothing but a reason");
        return;
    };
    let again = records::quarantined(&Reason { reason, unix_ms }, block).expect("what was read is written");
    assert_eq!(records::quarantine_entry(&again).map(|(_, block)| block), Some(block));
    let Some(left) = left else { return };
    let (reason, kept) = records::quarantine_entry(&left).expect("what is left can be read");
    assert_eq!((reason.reason.as_str(), reason.unix_ms), (records::GIVEN_UP, unix_ms));
    assert!(block.starts_with(kept), "the beginning of the block, or nothing");
    assert_eq!(kept.is_empty(), Header::salvage_directory(block).is_err());
    assert!(kept.is_empty() || kept.len() >= HEADER_BYTES);
}

fn entry(bytes: &[u8]) {
    let (head, block) = EntryHead::read(bytes);
    assert!(bytes.ends_with(block));
    let mut again = Vec::new();
    head.write(block, &mut again);
    assert_eq!(EntryHead::read(&again), (head, block));
    assert_eq!(records::key_of(bytes).is_some(), bytes.len() == 8);
}

/// A queue of format 0 with blocks of all lanes, as an agent left it.
const FILE: &[u8] = include_bytes!("../../agent/tests/fixtures/queue-v0/queue/data.mdb");

thread_local! {
    static DAMAGED: RefCell<TempDir> = RefCell::new(in_memory());
}

/// In memory where there is such a place: a queue is synced at each commit.
pub fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder")
}

/// A queue's file with some bytes turned over, cut short or made longer: what is damaged is said, and a repair leaves nothing that is.
///
/// Four bytes a change: the place (3, over the end: the file gets that length), and what stands there.
pub fn queue_file(bytes: &[u8]) {
    let mut file = FILE.to_vec();
    for change in bytes.chunks_exact(4).take(64) {
        let &[low, middle, high, byte] = change else { continue };
        let at = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
        match file.get_mut(at) {
            Some(place) => *place = byte,
            None => file.resize(at % (2 * FILE.len()), byte),
        }
    }
    DAMAGED.with_borrow_mut(|folder| {
        *folder = in_memory();
        checked(folder.path(), &file);
    });
}

fn checked(data_dir: &Path, file: &[u8]) {
    let queue = data_dir.join("queue");
    fs::create_dir(&queue).expect("a folder");
    fs::write(queue.join("data.mdb"), file).expect("it can be written");
    let quiet = |_, _| {};
    let found = doctor::verify(data_dir, &quiet);
    let Ok(verified) = found else {
        // Of a newer agent, or nothing at all: told, and left alone.
        let said = found.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains(&*data_dir.display().to_string()), "{said}");
        return;
    };
    let _ = doctor::inspect(data_dir, &quiet);
    let _ = doctor::blocks::<tidegate_agent::queue::QueueError>(data_dir, &Filter::default(), |_| Ok(()));
    let said = doctor::repair(data_dir, Intent::Say, 1, &quiet).expect("damage is no error of a repair");
    assert!(!said.written && fs::read(queue.join("data.mdb")).is_ok_and(|now| now == file));
    if verified.findings.is_empty() {
        assert!(!said.is_needed(), "what is whole needs no repair: {said:?}");
        return;
    }
    doctor::repair(data_dir, Intent::Write, 1, &quiet).expect("what is damaged can be repaired");
    let after = doctor::verify(data_dir, &quiet).expect("a repaired queue can be read");
    assert!(after.findings.is_empty(), "{:?}", after.findings);
}

pub fn seeds() -> Vec<(String, Vec<u8>)> {
    use tidegate_agent::core::{SentToday, Totals};
    use tidegate_protocol::{BootId, DeviceId, Origin, SeqRange, block::Description};
    let origin = Origin::new(DeviceId::new("board-7").expect("a slug"), BootId(5));
    let description =
        Description { origin, tag: "TT-101A".to_owned(), firmware: "1.0".to_owned(), channels: Vec::new() };
    let record = OriginRecord {
        description,
        safe: vec![SeqRange::new(0, 9), SeqRange::new(12, 300)],
        floor: 0,
        next: 301,
        described: true,
        closed: false,
        local: false,
    };
    let totals = Totals { blocks: 3, readings: 3_000, bytes: 12_288 };
    let meta = Meta { format: records::FORMAT, next_key: 41, totals, next_quarantined: 1 };
    let sent = SentToday { day: 20_833, bytes: [1, 2, 3, 4], ran_ms: 5 };
    let block = super::golden().into_iter().find(|(name, _)| name == "block-board").expect("it is there").1;
    let reason = Reason { reason: "boot-conflict".to_owned(), unix_ms: 5 };
    let mut entry = Vec::new();
    EntryHead { readings: 9, unix_ms: 5 }.write(&block, &mut entry);
    let sealed = |record: Option<Vec<u8>>| record.expect("it is written");
    [
        ("origin", 0, sealed(records::seal(&record))),
        ("meta", 1, sealed(records::seal(&meta))),
        ("sent-today", 2, sealed(records::seal(&sent))),
        ("ledger", 3, sealed(records::seal(&7_u32))),
        ("desired", 4, sealed(records::seal(&Recovered::default().desired))),
        ("quarantined", 6, sealed(records::quarantined(&reason, &block))),
        ("entry", 7, entry),
    ]
    .map(|(name, which, bytes)| (name.to_owned(), [&[which][..], &bytes].concat()))
    .into()
}

/// A byte of each page's head, a cut, and bytes in the middle of pages.
pub fn file_seeds() -> Vec<(String, Vec<u8>)> {
    let change = |at: usize, byte: u8| [at as u8, (at >> 8) as u8, (at >> 16) as u8, byte];
    let mut seeds =
        vec![("whole".to_owned(), Vec::new()), ("short".to_owned(), change(0xe0_5000, 0).to_vec())];
    for page in 0..FILE.len() / 4096 {
        seeds.push((format!("page-{page:02}"), change(page * 4096 + 12, 3).to_vec()));
    }
    seeds.push(("both-metas".to_owned(), [change(16, 1), change(4096 + 17, 1)].concat()));
    seeds.push(("values".to_owned(), [change(0x2800, 9), change(0x5f00, 9), change(0x9c01, 9)].concat()));
    seeds
}
