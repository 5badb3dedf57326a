//! Boots that are over leave nothing behind, however many there were; what the cloud has sealed is kept aside.

use tidegate_protocol::{
    BootId, LossReason, LossRecord, SeqRange,
    ack::{Outcome, RejectReason},
    block::{Decoder, Encoder, Record},
};

use super::bench::{Bench, Disk, origin, settings};
use crate::core::CoreSettings;

const BOARDS: u64 = 200;
const DAYS: u64 = 365;

/// Until everything that is sent is answered, and written, and for a while nothing is left to do.
fn settle(bench: &mut Bench) {
    let mut idle = 0;
    while idle < 8 {
        idle = if bench.core.is_drained() { idle + 1 } else { 0 };
        for sent in std::mem::take(&mut bench.published) {
            bench.durable(sent.number);
        }
        if bench.batch.is_some() {
            bench.commit();
        }
        if bench.load.is_some() {
            bench.loaded();
        }
        bench.pass_ms(1_100);
    }
}

#[test]
fn a_year_of_daily_restarts_of_200_boards_leaves_one_record_for_each_board() {
    let mut bench = Bench::new(CoreSettings { max_origins: 512, ..settings() });
    bench.link_up();
    let (mut most, mut heard) = (0, 0);
    for day in 0..DAYS {
        bench.frames.clear();
        for board in 0..BOARDS {
            let boot = BootId((day * BOARDS + board + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let name = format!("board-{board}");
            assert_eq!(bench.hello(board + 1, &name, Some(boot.0), 0, 0), boot, "there is always a place");
            bench.readings(board + 1, 0..3);
            heard += 1;
        }
        settle(&mut bench);
        most = most.max(bench.disk.origins.len());
        assert_eq!(bench.disk.blocks.len(), 0, "day {day}: the cloud has everything");
        // Every hundred days the agent is started anew: it goes on with what it wrote.
        if day % 100 == 99 {
            let disk = std::mem::take(&mut bench.disk);
            bench = Bench::on(CoreSettings { max_origins: 512, ..settings() }, disk);
            bench.link_up();
        }
    }
    assert_eq!(heard, BOARDS * DAYS);
    assert!(most <= 2 * BOARDS as usize, "{most} records at a time");
    assert!(bench.disk.origins.len() <= BOARDS as usize, "{} are left", bench.disk.origins.len());
}

#[test]
fn what_comes_too_late_for_the_cloud_is_kept_aside_and_nothing_waits_behind_it() {
    let mut bench = Bench::on(settings(), Disk::default());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    let parts = vec![(origin("board", 7), SeqRange::new(0, 10))];
    let number = bench.published.last().expect("it was sent").number;
    bench.answer(number, Outcome::Rejected { reason: RejectReason::Sealed, parts });
    settle(&mut bench);
    let kept: Vec<_> = bench.disk.quarantine.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(kept, ["sealed"], "the readings are still there, for people to look at");
    assert_eq!(bench.last_ack(1), Some(10), "the board need not keep them");
    bench.hello(1, "board", Some(8), 0, 0);
    bench.readings(1, 0..5);
    settle(&mut bench);
    assert_eq!(bench.last_ack(1), Some(5));
    assert_eq!(bench.disk.quarantine.len(), 1);
}

#[test]
fn a_word_of_an_origin_that_is_forgotten_does_not_keep_the_rest_of_its_block_from_being_described() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.pass_ms(16_000);
    bench.commit();
    let mut disk = bench.disk;
    for (_, bytes) in disk.blocks.values_mut() {
        let mut block = Decoder::new().unwrap().decode(bytes).unwrap();
        let (origin, range) = (origin("gone", 3), SeqRange::new(0, 5));
        block.records.push(Record::Loss(LossRecord { origin, range, reason: LossReason::UncleanTail }));
        *bytes = Encoder::new().unwrap().encode(&block).unwrap();
    }
    let mut bench = Bench::on(settings(), disk);
    bench.link_up();
    bench.loaded();
    let number = bench.published.last().expect("it was sent").number;
    bench.published.clear();
    bench.answer(number, Outcome::Rejected { reason: RejectReason::Undescribed, parts: Vec::new() });
    let again = bench.published.last().expect("it is sent again");
    assert_eq!(again.seqs(), (0..10).collect::<Vec<_>>());
    let records = &again.block.records;
    assert!(records.iter().any(|record| matches!(record, Record::Loss(_))), "the word stays in it");
    let is_described =
        |record: &Record| matches!(record, Record::Described(known) if known.origin == origin("board", 7));
    assert!(records.iter().any(is_described));
}
