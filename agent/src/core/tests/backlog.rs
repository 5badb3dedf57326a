//! Out of the queue: in full blocks, bounded in memory, damage declared.

use tidegate_protocol::{
    LossReason, SeqRange,
    block::{HEADER_BYTES, Record},
};

use super::bench::{Bench, Disk, origin, settings};
use crate::core::Event;

/// A disk with many small blocks.
fn with_handfuls(blocks: u64) -> Disk {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    for at in 0..blocks {
        bench.readings(1, at * 10..at * 10 + 10);
        bench.event(Event::Flush);
        bench.commit();
    }
    assert_eq!(bench.disk.totals.blocks, blocks);
    bench.disk
}

#[test]
fn small_blocks_travel_together_and_one_answer_deletes_them_all() {
    let mut bench = Bench::on(settings(), with_handfuls(25));
    bench.link_up();
    bench.loaded();
    let sizes: Vec<usize> = bench.published.iter().map(|published| published.block.reading_count()).collect();
    assert_eq!(sizes, [100, 100, 50]);
    bench.durable(bench.published[0].number);
    bench.pass_ms(1_100);
    assert_eq!(bench.commit().deletes.len(), 10);
}

#[test]
fn a_lost_link_gives_blocks_back_to_the_queue() {
    let mut bench = Bench::on(settings(), with_handfuls(25));
    bench.link_up();
    bench.loaded();
    bench.event(Event::UplinkDown);
    assert_eq!(bench.core.view(bench.now.at).link.backlog_blocks, 25);
    assert_eq!(bench.core.view(bench.now.at).ram.block_bytes, 0);
    bench.event(Event::UplinkUp);
    bench.loaded();
    let seqs: Vec<u64> = bench.published[3..].iter().flat_map(|published| published.seqs()).collect();
    assert_eq!(seqs, (0..250).collect::<Vec<_>>());
}

#[test]
fn a_load_that_ends_after_the_link_did_gives_its_keys_back() {
    let mut bench = Bench::on(settings(), with_handfuls(5));
    bench.link_up();
    bench.event(Event::UplinkDown);
    bench.loaded();
    bench.event(Event::UplinkUp);
    bench.loaded();
    assert_eq!(bench.published[0].block.reading_count(), 50);
}

#[test]
fn a_damaged_block_is_quarantined_and_its_readings_declared_in_one_transaction() {
    let mut disk = with_handfuls(3);
    let block = &mut disk.blocks.get_mut(&1).unwrap().1;
    *block.last_mut().unwrap() ^= 1;
    let mut bench = Bench::on(settings(), disk);
    bench.link_up();
    bench.loaded();
    let seqs: Vec<u64> = bench.published.iter().flat_map(|published| published.seqs()).collect();
    assert_eq!(seqs, (0..10).chain(20..30).collect::<Vec<_>>(), "it does not stop what follows");
    let batch = bench.commit();
    assert_eq!((batch.quarantine.len(), batch.puts.len()), (1, 1));
    assert_eq!(bench.disk.quarantine[0].0, "damaged");
    bench.loaded();
    bench.pass_ms(100);
    let lost = bench.records().into_iter().find_map(|record| match record {
        Record::Loss(loss) => Some(loss),
        _ => None,
    });
    let lost = lost.expect("the loss is on its way");
    assert_eq!((lost.origin, lost.range), (origin("board", 7), SeqRange::new(10, 20)));
    assert_eq!(lost.reason, LossReason::Corrupt);
}

#[test]
fn a_block_whose_directory_is_gone_too_is_quarantined_and_stops_nothing() {
    let mut disk = with_handfuls(2);
    disk.blocks.get_mut(&0).unwrap().1[HEADER_BYTES + 2] ^= 1;
    let mut bench = Bench::on(settings(), disk);
    bench.link_up();
    bench.loaded();
    bench.commit();
    assert_eq!(bench.published[0].seqs(), (10..20).collect::<Vec<_>>());
    assert_eq!(bench.disk.quarantine.len(), 1);
}

#[test]
fn memory_ahead_of_the_link_is_bounded() {
    let mut bench = Bench::on(settings(), with_handfuls(3_000));
    bench.link_up();
    while bench.load.is_some() {
        bench.loaded();
    }
    let view = bench.core.view(bench.now.at);
    assert!(view.ram.block_bytes < 512 * 1024, "{}", view.ram.block_bytes);
}
