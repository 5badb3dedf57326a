//! Out of the queue: in full blocks, bounded in memory, damage declared.

use tidegate_protocol::{
    LossReason, SeqRange,
    block::{Decoder, HEADER_BYTES, Record},
};

use super::bench::{Bench, Disk, origin, settings};
use crate::core::{BacklogOrder, CoreSettings, Event, Policy, footprint};

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
    assert_eq!((batch.quarantine.len(), batch.deletes.len()), (1, 0));
    assert_eq!(bench.disk.quarantine[0].0, "damaged");
    bench.loaded();
    bench.pass_ms(100);
    // Of what was in it the directory tells; the account says that nothing else is missing.
    assert_eq!(losses(&bench), [(LossReason::Corrupt, 10, 20), (LossReason::Unaccounted, 10, 20)]);
}

/// The losses of the board that are on their way.
fn losses(bench: &Bench) -> Vec<(LossReason, u64, u64)> {
    let mut losses: Vec<_> = (bench.records().into_iter())
        .filter_map(|record| match record {
            Record::Loss(loss) if loss.origin == origin("board", 7) => {
                Some((loss.reason, loss.range.start, loss.range.end))
            }
            _ => None,
        })
        .collect();
    losses.sort_by_key(|(reason, start, _)| (reason.code(), *start));
    losses.dedup();
    losses
}

#[test]
fn one_account_is_given_of_all_damage_that_is_found_on_the_way() {
    let mut disk = with_handfuls(600);
    for key in [1, 500] {
        *disk.blocks.get_mut(&key).unwrap().1.last_mut().unwrap() ^= 1;
    }
    let mut bench = Bench::on(settings(), disk);
    bench.link_up();
    for _ in 0..10_000 {
        if bench.load.is_some() {
            bench.loaded();
        } else if bench.batch.is_some() {
            bench.commit();
        } else if bench.disk.blocks.is_empty() {
            break;
        }
        (0..bench.published.len() as u64).for_each(|number| bench.durable(number));
        bench.pass_ms(100);
    }
    assert!(bench.disk.blocks.is_empty(), "what was found is not loaded again");
    assert_eq!(bench.disk.quarantine.len(), 2);
    assert_eq!(bench.core.view(bench.now.at).counters.blocks_damaged, 2);
    let corrupt: Vec<_> =
        losses(&bench).into_iter().filter(|(reason, ..)| *reason == LossReason::Corrupt).collect();
    assert_eq!(corrupt, [(LossReason::Corrupt, 10, 20), (LossReason::Corrupt, 5_000, 5_010)]);
}

#[test]
fn a_damaged_block_takes_no_declaration_with_it() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.event(Event::Flush);
    bench.commit();
    bench.lost(1, 10..30, 10, 30);
    bench.event(Event::Flush);
    bench.commit();
    assert_eq!(bench.last_ack(1), Some(30), "the board has let go of it");
    let mut disk = bench.disk;
    *disk.blocks.get_mut(&1).unwrap().1.last_mut().unwrap() ^= 1;
    let mut bench = Bench::on(settings(), disk);
    bench.link_up();
    bench.loaded();
    assert!(bench.disk.quarantine.is_empty(), "it stays in the queue until it is accounted for");
    bench.commit();
    assert_eq!(bench.disk.quarantine.len(), 1);
    bench.loaded();
    bench.pass_ms(100);
    assert_eq!(losses(&bench), [(LossReason::Unaccounted, 10, 30)]);
}

#[test]
fn what_a_repair_took_is_accounted_for_at_the_next_start() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.event(Event::Flush);
    bench.commit();
    bench.readings(1, 10..30);
    bench.event(Event::Flush);
    bench.commit();
    let mut disk = bench.disk;
    let (readings, block) = disk.blocks.remove(&1).unwrap();
    disk.totals.blocks -= 1;
    disk.totals.readings -= u64::from(readings);
    disk.totals.bytes -= footprint(block.len());
    disk.account_due = true;
    let mut bench = Bench::on(settings(), disk);
    bench.link_up();
    bench.loaded();
    bench.commit();
    assert!(!bench.disk.account_due, "once is enough");
    while bench.load.is_some() {
        bench.loaded();
    }
    bench.pass_ms(100);
    assert_eq!(losses(&bench), [(LossReason::Unaccounted, 10, 30)]);
}

#[test]
fn what_an_end_declared_is_told_again_when_its_block_is_damaged() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.readings(1, 15..20);
    bench.event(Event::Flush);
    bench.commit();
    bench.hello(1, "board", Some(8), 0, 0);
    bench.event(Event::Flush);
    bench.commit();
    *bench.disk.blocks.get_mut(&1).unwrap().1.last_mut().unwrap() ^= 1;
    bench.link_up();
    bench.loaded();
    bench.commit();
    bench.loaded();
    bench.pass_ms(100);
    assert_eq!(losses(&bench), [(LossReason::Unaccounted, 10, 15)]);
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
    bench.loaded();
    bench.pass_ms(100);
    assert_eq!(losses(&bench), [(LossReason::Unaccounted, 0, 10)]);
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

fn newest_first() -> CoreSettings {
    CoreSettings { backlog_order: BacklogOrder::NewestFirst, ..settings() }
}

/// Sends the whole backlog, answering everything at once; the seqs in the order in which they left.
fn drained(bench: &mut Bench) -> Vec<u64> {
    let mut answered = 0;
    while !bench.core.is_drained() {
        if bench.load.is_some() {
            bench.loaded();
        }
        while answered < bench.published.len() {
            bench.durable(bench.published[answered].number);
            answered += 1;
        }
        if bench.batch.is_some() {
            bench.commit();
        }
        bench.pass_ms(200);
        assert!(bench.now.at.0 < 600_000_000, "it does not drain: {:?}", bench.core.view(bench.now.at).link);
    }
    bench.published.iter().flat_map(|published| published.seqs()).collect()
}

#[test]
fn newest_first_sends_the_newest_first_and_all_of_it_once() {
    let mut oldest = Bench::on(settings(), with_handfuls(1_500));
    oldest.link_up();
    let in_order: Vec<u64> = (0..15_000).collect();
    assert_eq!(drained(&mut oldest), in_order);
    let mut newest = Bench::on(newest_first(), with_handfuls(1_500));
    newest.link_up();
    let mut sent = drained(&mut newest);
    assert!(sent[..100].iter().all(|seq| *seq >= 14_000), "{:?}", &sent[..10]);
    sent.sort_unstable();
    assert_eq!(sent, in_order);
}

#[test]
fn newest_first_does_not_starve_the_oldest() {
    let mut bench = Bench::on(newest_first(), with_handfuls(20));
    bench.link_up();
    // One block at a time is asked for, and there is always a newer one.
    let mut backlog = crate::core::backlog::Backlog::new(
        vec![SeqRange::new(0, 3)],
        bench.core.view(bench.now.at).link.backlog_order,
    );
    let mut taken = Vec::new();
    for newer in 3..50 {
        backlog.insert(newer);
        taken.extend(backlog.next_to_send(1));
    }
    for oldest in 0..3 {
        assert!(taken.contains(&oldest), "{oldest} waits for ever: {taken:?}");
    }
}

#[test]
fn newest_first_still_evicts_the_oldest() {
    let tight = CoreSettings { policy: Policy::DropOldest, quota_bytes: 16 * 1024, ..newest_first() };
    let mut bench = Bench::on(tight, with_handfuls(60));
    let before = bench.disk.blocks.keys().next().copied();
    bench.hello(1, "board", Some(7), 0, 600);
    for at in 60..200 {
        bench.readings(1, at * 10..at * 10 + 10);
        bench.event(Event::Flush);
        for _ in 0..3 {
            if bench.load.is_some() {
                bench.loaded();
            }
            if bench.batch.is_some() {
                bench.commit();
            }
        }
    }
    let after = bench.disk.blocks.iter().find(|(_, (readings, _))| *readings > 0).map(|(key, _)| *key);
    assert!(after > before.map(|key| key + 20), "{before:?} {after:?}");
    let lost = bench.core.view(bench.now.at).counters.losses["evicted"];
    assert!(lost > 0 && lost.is_multiple_of(10), "{lost}");
    let newest = bench.disk.blocks.values().rev().find(|(readings, _)| *readings > 0);
    let newest = Decoder::new().unwrap().decode(&newest.expect("not all of it was evicted").1).unwrap();
    assert_eq!(newest.origins[0].readings.last().map(|reading| reading.seq.0), Some(1_999));
}
