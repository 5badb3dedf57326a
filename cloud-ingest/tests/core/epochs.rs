//! Processes under one gateway's name: which are clones, and which a gateway that was started again.

use tidegate_alarms::TransitionKind;
use tidegate_ingest::core::Event;
use tidegate_protocol::{
    block::{Stamp, stamp},
    topic::{GatewayPath, Lane},
};

use crate::{
    support::{Bench, described, encode, gateway, origin, readings},
    system::{QUIET_MS, at, bench, later, told},
};

/// A block with one new reading, from a process, says how many alarms were told.
fn speak(bench: &mut Bench, from: GatewayPath, epoch: u64, number: u64) -> usize {
    say(bench, from, epoch, number, bench.batches.len() as u64)
}

fn say(bench: &mut Bench, from: GatewayPath, epoch: u64, number: u64, seq: u64) -> usize {
    let board = origin("board-a", 1);
    let mut bytes = encode(vec![described(board)], vec![readings(board, [seq])]);
    stamp(&mut bytes, Stamp { lane: Lane::Live, epoch, number }).expect("a block");
    let arrival_unix_ms = bench.unix_ms;
    bench.handle(Event::Block { from, lane: Lane::Live, bytes: bytes.into(), arrival_unix_ms });
    told(bench).len()
}

/// What an ended process had under way comes no later.
const LATE_MS: u64 = 10_000;

fn message(bench: &Bench) -> String {
    let events = bench.batches.iter().flat_map(|batch| &batch.events);
    events.last().map(|event| event.message.clone()).expect("an event")
}

#[test]
fn processes_that_speak_by_turns_are_clones() {
    let mut bench = bench();
    let from = gateway("gw-a");
    speak(&mut bench, from, 1, 0);
    at(&mut bench, LATE_MS + 1);
    speak(&mut bench, from, 2, 0);
    at(&mut bench, 2 * LATE_MS + 1);
    assert_eq!(speak(&mut bench, from, 1, 1), 0, "the rest of what was sent");
    // Another gateway's processes are its own.
    at(&mut bench, 2 * LATE_MS + 2);
    assert_eq!(speak(&mut bench, gateway("gw-b"), 1, 2), 0);
    assert_eq!(speak(&mut bench, from, 1, 2), 1, "it goes on, though another began");
    let raised = ("gateway-cloned".into(), "plant/gw-a/identity".into(), TransitionKind::Raise);
    assert_eq!(told(&bench), [raised]);
    let said = message(&bench);
    assert!(said.contains("0000000000000001") && said.contains("0000000000000002"), "{said}");
    // The other is gone: it ends, however much this one says.
    for ms in (30_000..QUIET_MS).step_by(600_000) {
        at(&mut bench, ms);
        assert_eq!(speak(&mut bench, from, 1, 3 + ms), 1, "once");
    }
    at(&mut bench, QUIET_MS + 2 * LATE_MS + 2);
    assert_eq!(told(&bench)[1].2, TransitionKind::Clear);
    speak(&mut bench, from, 2, 1);
    at(&mut bench, QUIET_MS + 4 * LATE_MS);
    speak(&mut bench, from, 1, QUIET_MS);
    assert_eq!(told(&bench)[2].2, TransitionKind::Raise, "it was there all the time");
}

/// A gateway that is started again and again, each time with a rest of what it had sent before: late, doubled, out of order.
#[test]
fn restarts_and_late_copies_are_no_clones() {
    let mut bench = bench();
    let from = gateway("gw-a");
    let say = |bench: &mut Bench, ms: u64, epoch: u64, number: u64| {
        at(bench, ms);
        assert_eq!(say(bench, from, epoch, number, epoch * 1_000 + number), 0, "{ms}: {epoch} {number}");
    };
    for epoch in 1..40 {
        let start = epoch * 30_000;
        for number in 1..20 {
            say(&mut bench, start + number * 1_000, epoch, 2 * number);
        }
        // The next has begun, and what this one had under way comes in between, by two lanes.
        let next = start + 30_000;
        for (late_ms, number) in [(0, 60), (300, 50), (600, 41), (900, 70)] {
            say(&mut bench, next + late_ms, epoch + 1, 100 + number);
            say(&mut bench, next + late_ms, epoch, number);
        }
        // A copy may come at any time.
        for (late_ms, number) in [(1_000, 60), (25_000, 36), (25_001, 41)] {
            say(&mut bench, next + late_ms, epoch, number);
        }
        for number in [101, 102] {
            say(&mut bench, next + 26_000, epoch + 1, number);
        }
    }
}

/// Blocks that waited here behind others are no later than they came.
#[test]
fn a_block_that_waited_long_in_the_inbox_is_no_clones() {
    let mut bench = bench();
    let from = gateway("gw-a");
    speak(&mut bench, from, 1, 0);
    at(&mut bench, 60_000);
    for round in 0..20 {
        speak(&mut bench, from, 2, round);
        bench.now_ms += 1_000;
    }
    assert_eq!(speak(&mut bench, from, 1, 1), 0);
}

/// Who makes numbers up need not let them ascend.
#[test]
fn a_clone_is_found_whichever_numbers_it_chooses() {
    let constant: fn(u64) -> u64 = |_| 7;
    let falling: fn(u64) -> u64 = |turn| u64::MAX - 1_000 * turn;
    for numbers in [constant, falling, |turn| turn] {
        // The clone may have begun before its original was started, or after.
        for first in [1, 2] {
            let mut bench = bench();
            let from = gateway("gw-a");
            let mut found = 0;
            for turn in 0..5 {
                for epoch in [first, 3 - first] {
                    let number = if epoch == 1 { turn } else { numbers(turn) };
                    later(&mut bench, LATE_MS + 1);
                    found = say(&mut bench, from, epoch, number, 100 * epoch + turn);
                }
            }
            assert_eq!(found, 1, "{first} began");
        }
    }
}

#[test]
fn a_clone_with_many_epochs_does_not_have_its_original_forgotten() {
    let mut bench = bench();
    let from = gateway("gw-a");
    let mut found = 0;
    for turn in 0..3 {
        later(&mut bench, 500_000);
        found = speak(&mut bench, from, 1, turn);
        for fresh in 0..300 {
            later(&mut bench, 1_000);
            assert_eq!(speak(&mut bench, from, 1_000 * (turn + 1) + fresh, 0), found);
        }
    }
    assert_eq!(found, 1);
    assert!(message(&bench).contains("and 0000000000000001 speak by turns"), "{}", message(&bench));
}

#[test]
fn more_processes_than_can_be_started_are_no_restarts() {
    for (every_ms, expected) in [(500, 1), (1_100, 0)] {
        let mut bench = bench();
        let mut found = 0;
        for epoch in 0..1_100 {
            later(&mut bench, every_ms);
            found = speak(&mut bench, gateway("gw-a"), epoch, 0);
        }
        assert_eq!(found, expected, "one every {every_ms} ms");
    }
}

#[test]
fn a_number_with_two_contents_is_of_two_processes() {
    let mut bench = bench();
    let from = gateway("gw-a");
    for number in 0..100 {
        say(&mut bench, from, 1, number, number);
    }
    assert_eq!(say(&mut bench, from, 1, 50, 50), 0, "a copy");
    assert_eq!(say(&mut bench, from, 1, 50, 51), 1);
    assert!(message(&bench).contains("two different things as its block 50"), "{}", message(&bench));
}
