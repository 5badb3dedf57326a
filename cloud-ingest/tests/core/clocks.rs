//! Wall time is derived by the best anchor, whoever brought it and whenever; order never depends on it.

use proptest::prelude::*;
use tidegate_ingest::core::{Event, Snapshot, batch::OriginRecord};
use tidegate_protocol::{
    ClockQuality, Tick,
    block::{Record, Stamp, stamp},
    topic::Lane,
};

use crate::support::{Bench, described, encode, gateway, origin, readings};

const TRUE_MS: i64 = 1_795_300_000_000;

fn anchor(tick: u64, unix_ms: i64, error_ms: u32, quality: ClockQuality) -> Record {
    Record::Anchor { origin: origin("board", 1), tick: Tick(tick), unix_ms, error_ms, quality }
}

fn send_by(bench: &mut Bench, from: &str, number: u64, records: Vec<Record>, seqs: std::ops::Range<u64>) {
    let origins = if seqs.is_empty() { Vec::new() } else { vec![readings(origin("board", 1), seqs)] };
    let mut bytes = encode(records, origins);
    stamp(&mut bytes, Stamp { lane: Lane::Live, epoch: 9, number }).unwrap();
    let event =
        Event::Block { from: gateway(from), lane: Lane::Live, bytes: bytes.into(), arrival_unix_ms: 5 };
    bench.handle(event);
}

/// As it was last committed.
fn record(bench: &Bench) -> OriginRecord {
    let records = bench.batches.iter().flat_map(|batch| &batch.origins);
    records.last().map(|(_, record)| record.clone()).expect("the origin was written")
}

fn corrected(bench: &Bench) -> Vec<(u64, u64)> {
    record(bench).corrected.iter().map(|range| (range.start, range.end)).collect()
}

#[test]
fn readings_of_1970_are_corrected_and_those_after_are_not() {
    let mut bench = Bench::new(Snapshot::default());
    let unset = anchor(0, 1_000, u32::MAX, ClockQuality::Unsynced);
    send_by(&mut bench, "gw-a", 0, vec![described(origin("board", 1)), unset], 0..10);
    assert_eq!(corrected(&bench), []);
    assert!(bench.batches.last().unwrap().anchors_changed);
    let good = anchor(60_000, TRUE_MS + 60_000, 70, ClockQuality::Synced);
    send_by(&mut bench, "gw-a", 1, vec![good], 10..20);
    assert_eq!(corrected(&bench), [(0, 10)], "the same block's readings came with the better anchor");
    send_by(&mut bench, "gw-a", 2, Vec::new(), 20..30);
    // An anchor that is no better, and one that is but says nothing else.
    send_by(&mut bench, "gw-a", 3, vec![anchor(90_000, TRUE_MS + 99_000, 70, ClockQuality::Estimated)], 0..0);
    send_by(&mut bench, "gw-a", 4, vec![anchor(120_000, TRUE_MS + 120_020, 30, ClockQuality::Synced)], 0..0);
    assert_eq!(corrected(&bench), [(0, 10)]);
    assert_eq!(record(&bench).anchor.unwrap().unix_ms_at(Tick(0)), TRUE_MS + 20);
    let changed = bench.batches.iter().filter(|batch| batch.anchors_changed).count();
    assert_eq!(changed, 3);
}

#[test]
fn a_clock_that_was_wrong_by_more_than_it_said_corrects_too() {
    let mut bench = Bench::new(Snapshot::default());
    let wrong = anchor(0, TRUE_MS + 3_600_000, 10_050, ClockQuality::Estimated);
    send_by(&mut bench, "gw-a", 0, vec![described(origin("board", 1)), wrong], 0..10);
    send_by(&mut bench, "gw-a", 1, vec![anchor(500, TRUE_MS + 500, 1_050, ClockQuality::Estimated)], 10..12);
    assert_eq!(corrected(&bench), [(0, 10)]);
    assert_eq!(record(&bench).anchor.unwrap().unix_ms_at(Tick(0)), TRUE_MS);
}

#[derive(Clone, Debug)]
struct Word {
    from: &'static str,
    tick: u64,
    off_ms: i64,
    error_ms: u32,
    quality: ClockQuality,
}

fn word() -> impl Strategy<Value = Word> {
    use ClockQuality::{Estimated, Synced, Unsynced};
    let quality = prop::sample::select(vec![Unsynced, Estimated, Synced]);
    let from = prop::sample::select(vec!["gw-a", "gw-b"]);
    // Few values, so that many anchors are nearly equal.
    (from, 0..3_u64, 0..3_i64, 0..3_u32, quality).prop_map(|(from, tick, off_ms, error_ms, quality)| Word {
        from,
        tick,
        off_ms,
        error_ms,
        quality,
    })
}

proptest! {
    #[test]
    fn in_whatever_order_anchors_come_times_are_the_same(
        words in prop::collection::vec(word(), 1..8),
        keys in prop::collection::vec(any::<u32>(), 8),
    ) {
        let mut shuffled: Vec<Word> = words.clone();
        let mut keys = keys.into_iter().cycle();
        shuffled.sort_by_cached_key(|_| keys.next());
        let told = |words: &[Word]| {
            let mut bench = Bench::new(Snapshot::default());
            send_by(&mut bench, "gw-a", 0, vec![described(origin("board", 1))], 0..20);
            for (number, word) in (1..).zip(words) {
                let said = anchor(word.tick, TRUE_MS + word.off_ms, word.error_ms, word.quality);
                send_by(&mut bench, word.from, number, vec![said], 0..0);
            }
            record(&bench)
        };
        let (one, other) = (told(&words), told(&shuffled));
        prop_assert_eq!(one.anchor, other.anchor);
        prop_assert_eq!(one.ledger, other.ledger);
        prop_assert_eq!(one.settled, other.settled, "order comes from seqs");
    }
}
