//! Blocks of which a part came before: it is compared, and what is new beside it waits for that.

use tidegate_ingest::core::Event;
use tidegate_protocol::{
    Origin, SeqRange,
    ack::{Outcome, RejectReason},
    block::OriginReadings,
    topic::Lane,
};

use crate::{
    support::{Bench, described, encode, origin, readings},
    system::{bench, told},
};

/// Sends a block; says its number.
fn send(bench: &mut Bench, of: Vec<OriginReadings>) -> u64 {
    bench.send(Lane::Live, encode(Vec::new(), of))
}

fn stored(bench: &Bench, of: Origin) -> u64 {
    let records = bench.batches.iter().rev().flat_map(|batch| batch.origins.iter().rev());
    let record = records.map(|(_, record)| record).find(|record| record.origin == of);
    record.map_or(0, |record| record.ledger.stored().count())
}

/// What is new beside a second content is the clone's as well, as far as anybody can tell.
#[test]
fn beside_another_content_nothing_new_of_the_same_origin_is_taken() {
    let (board, other) = (origin("board-a", 1), origin("board-b", 1));
    let mut bench = bench();
    let whole = |of| encode(vec![described(of)], vec![readings(of, 0..10)]);
    bench.send(Lane::Live, whole(board));
    bench.send(Lane::Live, whole(other));
    let number = send(&mut bench, vec![readings(board, 5..20), readings(other, 8..12)]);
    assert_eq!((stored(&bench, board), stored(&bench, other)), (10, 10), "it is compared first");
    let [(ticket, job)] = bench.verify.as_slice() else { panic!("one look, not {:?}", bench.verify) };
    let asked: Vec<_> = job.ranges.iter().map(|(_, of, range)| (*of, *range)).collect();
    assert_eq!(asked, [(board, SeqRange::new(5, 10)), (other, SeqRange::new(8, 10))]);
    let differing = Some(vec![(board, SeqRange::new(6, 7))]);
    bench.handle(Event::Verified { ticket: *ticket, differing });
    let parts = vec![(board, SeqRange::new(6, 7)), (board, SeqRange::new(10, 20))];
    assert_eq!(bench.outcome(number), Some(Outcome::Rejected { reason: RejectReason::BootConflict, parts }));
    assert_eq!((stored(&bench, board), stored(&bench, other)), (10, 12), "the others have no part in it");
    // Whoever it was then brings its own.
    send(&mut bench, vec![readings(board, 10..20)]);
    assert_eq!(stored(&bench, board), 20);
}

#[test]
fn what_is_new_beside_copies_is_taken_once_they_were_compared() {
    let board = origin("board-a", 1);
    let mut bench = bench();
    bench.send(Lane::Live, encode(vec![described(board)], vec![readings(board, 0..10)]));
    let number = send(&mut bench, vec![readings(board, 5..20)]);
    // Meanwhile another brings a part of it, which is to be compared as well.
    send(&mut bench, vec![readings(board, 10..15)]);
    assert_eq!(stored(&bench, board), 15);
    let first = bench.verify.last().expect("a look").0;
    bench.handle(Event::Verified { ticket: first, differing: Some(Vec::new()) });
    assert_eq!((bench.outcome(number), stored(&bench, board)), (None, 15));
    let (second, job) = bench.verify.last().cloned().expect("a look");
    assert_ne!(second, first);
    assert_eq!(job.ranges.iter().map(|(.., range)| *range).collect::<Vec<_>>(), [SeqRange::new(10, 15)]);
    bench.handle(Event::Verified { ticket: second, differing: Some(Vec::new()) });
    assert_eq!((bench.outcome(number), stored(&bench, board)), (Some(Outcome::Durable), 20));
    let record = bench.snapshot().origins.pop().expect("an origin").1;
    assert_eq!((record.duplicates, record.conflicts.count()), (10, 0), "each copy is counted once");
    assert!(told(&bench).is_empty());
}

#[test]
fn an_unreadable_store_leaves_what_is_half_known_for_the_next_time() {
    let board = origin("board-a", 1);
    let mut bench = bench();
    bench.send(Lane::Live, encode(vec![described(board)], vec![readings(board, 0..10)]));
    let number = send(&mut bench, vec![readings(board, 5..20)]);
    let ticket = bench.verify[0].0;
    bench.handle(Event::Verified { ticket, differing: None });
    assert_eq!((bench.outcome(number), stored(&bench, board)), (None, 10));
    let number = send(&mut bench, vec![readings(board, 5..20)]);
    let ticket = bench.verify[1].0;
    bench.handle(Event::Verified { ticket, differing: Some(Vec::new()) });
    assert_eq!((bench.outcome(number), stored(&bench, board)), (Some(Outcome::Durable), 20));
}
