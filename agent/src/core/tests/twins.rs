//! Two boards flashed with one image, whose boots are called the same: nothing of either is lost or taken for the other's.

use std::ops::Range;

use tidegate_protocol::{
    BootId, Reading, SeqRange, Value,
    ack::{Outcome, RejectReason},
    block::Decoder,
    frame::{Down, Standing},
};

use super::bench::{Bench, origin, reading, settings};
use crate::core::{BoardFrame, Event, LinkId};

/// What the other board measured under the same number.
fn other(seq: u64) -> Reading {
    Reading { value: Value::F64(-1.0 - seq as f64), ..reading(seq) }
}

fn others(bench: &mut Bench, link: u64, seqs: Range<u64>) {
    say(bench, link, seqs.map(other).collect());
}

fn say(bench: &mut Bench, link: u64, readings: Vec<Reading>) {
    let next = readings.last().expect("some").seq.0 + 1;
    let frame = BoardFrame::Readings { boot: bench.tag(link), floor: 0, next, readings };
    bench.event(Event::Board { link: LinkId(link), arrived: bench.now.at, frames: vec![frame] });
}

/// All that was published of the boot, in order.
fn published(bench: &Bench, boot: u64) -> Vec<Reading> {
    let blocks = bench.published.iter().flat_map(|published| &published.block.origins);
    blocks.filter(|of| of.origin == origin("board", boot)).flat_map(|of| of.readings.clone()).collect()
}

fn held(blocks: impl Iterator<Item = Vec<u8>>) -> Vec<Reading> {
    let mut decoder = Decoder::new().expect("a decoder");
    let blocks = blocks.map(|block| decoder.decode(&block).expect("a good block"));
    blocks.flat_map(|block| block.origins).flat_map(|of| of.readings).collect()
}

fn on_disk(bench: &Bench) -> Vec<Reading> {
    held(bench.disk.blocks.values().map(|(_, block)| block.clone()))
}

fn is_asked(bench: &Bench, link: u64) -> bool {
    bench.frames.contains(&(LinkId(link), Down::Identify))
}

/// A board that has delivered 0..100 and is gone.
fn first_delivered() -> Bench {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..100);
    bench.durable(0);
    assert_eq!(bench.last_ack(1), Some(100));
    bench.event(Event::LinkClosed(LinkId(1)));
    bench.published.clear();
    bench
}

#[test]
fn what_a_second_board_holds_is_sent_and_compared_before_it_may_forget_it() {
    let mut bench = first_delivered();
    assert_eq!(bench.hello(2, "board", Some(7), 0, 500), BootId(7), "nothing shows yet whose it is");
    others(&mut bench, 2, 500..510);
    bench.pass_ms(10);
    let fresh = bench.published.last().expect("live leaves at once").number;
    bench.durable(fresh);
    assert_eq!(bench.last_ack(2), None, "0..100 are the first's, and this one has not said them");
    bench.published.clear();
    others(&mut bench, 2, 0..100);
    bench.pass_ms(100);
    assert_eq!(published(&bench, 7), (0..100).map(other).collect::<Vec<_>>(), "the cloud is to see them");
    assert_eq!(bench.last_ack(2), None, "it has not spoken");

    let parts = vec![(origin("board", 7), SeqRange::new(0, 100))];
    let number = bench.published.last().expect("a block").number;
    bench.answer(number, Outcome::Rejected { reason: RejectReason::BootConflict, parts });
    assert!(is_asked(&bench, 2), "nobody goes on under a boot of two");
    bench.event(Event::Flush);
    bench.settle();
    let kept = held(bench.disk.quarantine.iter().map(|(_, block)| block.clone()));
    assert_eq!(kept, (0..100).map(other).collect::<Vec<_>>());
    assert_ne!(bench.hello(2, "board", Some(7), 0, 510), BootId(7));
    assert_ne!(bench.hello(1, "board", Some(7), 100, 600), BootId(7), "nor does the first");
    assert_eq!(bench.core.view(bench.now.at).counters.readings_again, 100);
}

/// The second content may be behind another gateway, and this board has nothing to do with it.
#[test]
fn a_conflict_with_what_came_first_here_leaves_its_board_alone() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.frames.clear();
    let parts = vec![(origin("board", 7), SeqRange::new(0, 10))];
    bench.answer(0, Outcome::Rejected { reason: RejectReason::BootConflict, parts });
    assert!(!is_asked(&bench, 1));
    bench.readings(1, 10..12);
    assert_eq!(bench.core.view(bench.now.at).counters.readings_received, 12);
    assert_eq!(bench.hello(1, "board", Some(7), 0, 12), BootId(7));
}

#[test]
fn what_was_delivered_before_a_restart_of_the_gateway_is_not_known_by_its_number_either() {
    let mut bench = first_delivered();
    bench.event(Event::Flush);
    bench.settle();
    let mut bench = Bench::on(settings(), bench.disk);
    bench.link_up();
    assert_eq!(bench.hello(2, "board", Some(7), 0, 500), BootId(7));
    others(&mut bench, 2, 0..50);
    bench.pass_ms(100);
    assert_eq!(bench.last_ack(2), None);
    assert_eq!(published(&bench, 7), (0..50).map(other).collect::<Vec<_>>());
}

#[test]
fn a_second_content_in_memory_is_sent_by_itself_and_both_boards_get_a_boot_of_their_own() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..20);
    bench.hello(2, "board", Some(7), 0, 30);
    bench.frames.clear();
    let mut mixed: Vec<Reading> = (0..10).map(reading).collect();
    mixed[4] = other(4);
    say(&mut bench, 2, mixed);
    assert!(is_asked(&bench, 2));
    bench.settle();
    let disk = on_disk(&bench);
    assert!(disk.contains(&other(4)), "kept for the cloud to see: {disk:?}");
    assert_eq!(disk.iter().filter(|kept| kept.seq.0 != 4).count(), 19, "and nothing else of it");
    assert_eq!(bench.last_ack(2), None);
    // Its next frames are of nobody.
    others(&mut bench, 2, 20..30);
    bench.event(Event::Flush);
    bench.settle();
    assert_eq!(on_disk(&bench).len(), 21);
    let given = bench.hello(2, "board", Some(7), 0, 30);
    assert_ne!(given, BootId(7));
    bench.hello(2, "board", Some(given.0), 0, 30);
    others(&mut bench, 2, 0..30);
    bench.event(Event::Flush);
    bench.settle();
    assert_eq!(bench.last_ack(2), Some(30), "all that it has is its own");
    let of_first = bench.hello(1, "board", Some(7), 0, 40);
    assert!(of_first != BootId(7) && of_first != given);
    let counters = bench.core.view(bench.now.at).counters;
    assert_eq!((counters.readings_differing, counters.hellos_gone_back), (1, 2));
}

/// When the link is back, what differs goes in a block of its own: in one it would take the place of what came first.
#[test]
fn both_contents_leave_the_queue() {
    // What the first had measured before its Hello is late, and waits among the small blocks that become one.
    for first_next in [0, 20] {
        let mut bench = Bench::new(settings());
        bench.hello(1, "board", Some(7), 0, first_next);
        bench.readings(1, 0..20);
        bench.hello(2, "board", Some(7), 0, 30);
        others(&mut bench, 2, 0..20);
        bench.event(Event::Flush);
        bench.settle();
        bench.link_up();
        bench.settle();
        bench.pass_ms(1_000);
        let sent = published(&bench, 7);
        for seq in 0..20 {
            assert!(sent.contains(&reading(seq)) && sent.contains(&other(seq)), "{seq}: {sent:?}");
        }
    }
}

#[test]
fn one_link_speaks_for_a_boot() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..5);
    bench.hello(2, "board", Some(7), 0, 9);
    bench.frames.clear();
    bench.readings(1, 5..6);
    assert!(is_asked(&bench, 1), "it may be another board");
    assert_eq!(bench.core.view(bench.now.at).counters.readings_received, 5);
    assert_ne!(bench.hello(1, "board", Some(7), 0, 6), BootId(7), "it is: the other was beyond that");
}

#[test]
fn a_board_that_holds_again_what_it_had_let_go_is_another() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.heartbeat(1, 6, 12, 100);
    assert_ne!(bench.hello(2, "board", Some(7), 5, 20), BootId(7), "its floor fell");
    assert_ne!(bench.hello(2, "board", Some(7), 6, 11), BootId(7), "it said 12 before");
    assert_eq!(bench.hello(2, "board", Some(7), 6, 12), BootId(7));
    assert_eq!(bench.core.view(bench.now.at).counters.hellos_gone_back, 2);
    assert_eq!(bench.hello_as(Standing::Former, 2, "board", Some(7), 0, 9), BootId(7), "a former boot may");
}

#[test]
fn what_differs_of_a_former_boot_is_acknowledged_once_it_is_safe_itself() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 0..10);
    bench.event(Event::LinkClosed(LinkId(1)));
    bench.hello_as(Standing::Keeping, 2, "board", Some(8), 0, 0);
    bench.hello_as(Standing::Former, 2, "board", Some(7), 0, 10);
    bench.frames.clear();
    others(&mut bench, 2, 0..10);
    assert!(!is_asked(&bench, 2), "it cannot be given another");
    bench.event(Event::Flush);
    bench.settle();
    assert_eq!(bench.last_ack(2), None, "safe is what came first, and not this");
    others(&mut bench, 2, 0..10);
    assert_eq!(bench.last_ack(2), None);
    bench.event(Event::Flush);
    bench.settle();
    assert_eq!(bench.last_ack(2), Some(10));
    let disk = on_disk(&bench);
    assert!((0..10).all(|seq| disk.contains(&reading(seq)) && disk.contains(&other(seq))), "{disk:?}");
}

#[test]
fn a_board_that_comes_back_costs_nothing_while_what_it_sent_is_in_memory() {
    let mut bench = Bench::new(settings());
    bench.hello(1, "board", Some(7), 0, 0);
    // Some in a block that was sent, some in none.
    bench.link_up();
    bench.readings(1, 0..12);
    bench.readings(1, 12..20);
    bench.event(Event::UplinkDown);
    bench.event(Event::LinkClosed(LinkId(1)));
    bench.hello(2, "board", Some(7), 0, 25);
    bench.readings(2, 0..25);
    bench.event(Event::Flush);
    bench.settle();
    assert_eq!(bench.last_ack(2), Some(25));
    assert_eq!(on_disk(&bench), (0..25).map(reading).collect::<Vec<_>>(), "once");
    let counters = bench.core.view(bench.now.at).counters;
    assert_eq!((counters.readings_duplicate, counters.readings_again), (20, 0));
}

#[test]
fn a_lost_acknowledgement_is_said_again_when_the_cloud_has_seen_that_it_is_the_same() {
    let mut bench = first_delivered();
    bench.hello(2, "board", Some(7), 0, 100);
    bench.readings(2, 0..100);
    bench.pass_ms(100);
    assert_eq!(bench.last_ack(2), None);
    let number = bench.published.last().expect("it is sent again").number;
    bench.durable(number);
    assert_eq!(bench.last_ack(2), Some(100));
    // On the same link it is the same board: nothing is sent, and the answer comes at once.
    bench.published.clear();
    bench.readings(2, 0..100);
    bench.pass_ms(100);
    assert_eq!((bench.last_ack(2), published(&bench, 7).len()), (Some(100), 0));
    assert_eq!(bench.core.view(bench.now.at).counters.readings_again, 100);
}

/// What was taken once more is in memory, and is not taken a third time: one seq twice in a block could not be sent at all.
#[test]
fn a_restored_cloud_does_not_have_taken_again_what_waits_to_be_sent_once_more() {
    let mut bench = Bench::new(settings());
    bench.link_up();
    bench.hello(1, "board", Some(7), 0, 0);
    bench.readings(1, 5..10);
    bench.durable(0);
    bench.event(Event::LinkClosed(LinkId(1)));
    bench.hello(2, "board", Some(7), 0, 10);
    say(&mut bench, 2, (5..10).map(reading).collect());
    bench.ledger += 1;
    bench.announce(1, 2, 1 << 20);
    bench.settle();
    bench.event(Event::LinkClosed(LinkId(2)));
    bench.published.clear();

    bench.hello(3, "board", Some(7), 0, 10);
    say(&mut bench, 3, (0..10).map(reading).collect());
    for _ in 0..4 {
        bench.pass_ms(2_000);
        let sent: Vec<u64> = bench.published.iter().map(|block| block.number).collect();
        sent.into_iter().for_each(|number| bench.durable(number));
        bench.settle();
    }
    let mut sent = published(&bench, 7);
    sent.sort_by_key(|reading| reading.seq);
    assert_eq!(sent, (0..10).map(reading).collect::<Vec<_>>());
    assert_eq!(bench.last_ack(3), Some(10));
}
