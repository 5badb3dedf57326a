//! A queue that is younger than it was is told; whatever else a gateway and a broker do is not.

use tidegate_alarms::TransitionKind;
use tidegate_ingest::core::{Event, Snapshot, batch::GatewayRecord, set_back::SetBack};
use tidegate_protocol::status::{GatewayStatus, QueueAge};

use super::system::{QUIET_MS, at, bench, told};
use crate::support::{Bench, gateway};

/// What a process says that opened its queue by one commit and has made others since.
fn status(epoch: u64, opened: u64, commits: u64) -> GatewayStatus {
    let queue = Some(QueueAge { opened, commits });
    GatewayStatus { online: true, epoch: format!("{epoch:016x}"), queue, ..GatewayStatus::default() }
}

fn say(bench: &mut Bench, status: GatewayStatus) {
    bench.handle(Event::Status { from: gateway("gw-a"), status, unix_ms: bench.unix_ms });
}

fn will(of: GatewayStatus) -> GatewayStatus {
    GatewayStatus { online: false, ..of }
}

fn set_back(transition: TransitionKind) -> (String, String, TransitionKind) {
    ("gateway-set-back".into(), "plant/gw-a/identity".into(), transition)
}

/// As it is stored.
fn record(bench: &Bench) -> GatewayRecord {
    let written = bench.batches.iter().flat_map(|batch| &batch.gateways);
    written.last().expect("a gateway is written").1.clone()
}

/// A bench that starts from what another one stored.
fn started_again(before: &Bench) -> Bench {
    let gateways = vec![(gateway("gw-a"), record(before))];
    let mut bench = Bench::new(Snapshot { gateways, ..Snapshot::default() });
    at(&mut bench, 0);
    bench
}

#[test]
fn starts_reconnects_goodbyes_and_wills_of_one_queue_are_no_alarm() {
    let mut bench = bench();
    say(&mut bench, status(1, 1, 1));
    say(&mut bench, status(1, 1, 50));
    say(&mut bench, will(status(1, 1, 60)));
    say(&mut bench, status(2, 61, 61));
    // The will of the one before is late, and has what that said when it connected.
    say(&mut bench, will(status(1, 1, 50)));
    say(&mut bench, status(2, 61, 900));
    // One of whose whole life nothing else was heard.
    say(&mut bench, will(status(3, 901, 905)));
    say(&mut bench, will(status(9, 55, 59)));
    say(&mut bench, status(4, 906, 906));
    // An agent of before does not tell.
    say(&mut bench, GatewayStatus { queue: None, ..status(5, 0, 0) });
    say(&mut bench, status(6, 907, 907));
    assert_eq!(told(&bench), []);
    assert_eq!(record(&bench).queue.set_back, None);
}

#[test]
fn a_broker_that_brings_what_an_ended_process_said_is_no_alarm() {
    let mut bench = bench();
    say(&mut bench, status(1, 1, 10));
    say(&mut bench, status(2, 11, 40));
    let mut bench = started_again(&bench);
    say(&mut bench, status(1, 1, 10));
    say(&mut bench, status(2, 11, 41));
    say(&mut bench, status(3, 42, 42));
    assert_eq!(told(&bench), [], "the process is known, and long over");
}

#[test]
fn an_older_copy_is_an_alarm_also_of_an_ingest_that_was_started_meanwhile() {
    let mut first = bench();
    say(&mut first, status(1, 1, 4_711));
    assert_eq!(told(&first), []);
    let mut bench = started_again(&first);
    at(&mut bench, 5_000);
    say(&mut bench, status(2, 17, 19));
    assert_eq!(told(&bench), [set_back(TransitionKind::Raise)]);
    let event = bench.batches.iter().flat_map(|batch| &batch.events).next().expect("an event");
    for named in ["gw-a", "4711 commits", "one of 17", "tidegate audit"] {
        assert!(event.message.contains(named), "{}", event.message);
    }
    let expected = SetBack { times: 1, last_unix_ms: bench.unix_ms, had_commits: 4_711, has_commits: 17 };
    assert_eq!(record(&bench).queue.set_back, Some(expected));

    // It goes on as it is, and ends by itself.
    say(&mut bench, status(2, 17, 30));
    say(&mut bench, status(3, 31, 31));
    at(&mut bench, 5_000 + QUIET_MS);
    assert_eq!(told(&bench)[1..], [set_back(TransitionKind::Clear)]);
    assert_eq!(record(&bench).queue.set_back, Some(expected), "the audit goes on to say it");
    say(&mut bench, status(4, 1, 1));
    assert_eq!(told(&bench)[2..], [set_back(TransitionKind::Raise)], "an empty one in its place, too");
    let times = record(&bench).queue.set_back.map(|set_back| set_back.times);
    assert_eq!(times, Some(2));
}

/// Copied while it was stopped, and started once from each: both open the queue by the same commit.
#[test]
fn two_on_copies_of_one_queue_are_an_alarm_when_the_second_comes() {
    let mut bench = bench();
    say(&mut bench, status(1, 1, 80));
    say(&mut bench, will(status(1, 1, 100)));
    say(&mut bench, status(2, 101, 101));
    assert_eq!(told(&bench), []);
    say(&mut bench, status(3, 101, 400));
    assert_eq!(told(&bench), [set_back(TransitionKind::Raise)]);
    // They push each other out of the broker: that is another alarm's.
    say(&mut bench, status(2, 101, 120));
    say(&mut bench, status(3, 101, 500));
    assert_eq!(record(&bench).queue.set_back.map(|set_back| set_back.times), Some(1));
}

/// By what was heard last of the one that is over, also where that was by its goodbye alone.
#[test]
fn a_copy_of_just_before_the_last_goodbye_is_an_alarm() {
    let mut bench = bench();
    say(&mut bench, status(1, 1, 10));
    say(&mut bench, will(status(1, 1, 25)));
    say(&mut bench, status(2, 25, 25));
    assert_eq!(told(&bench), [set_back(TransitionKind::Raise)]);
}

#[test]
fn the_alarm_outlives_the_commit_that_failed_with_it() {
    let mut bench = bench();
    say(&mut bench, status(1, 1, 100));
    let committed = vec![(gateway("gw-a"), record(&bench))];
    bench.hold_commits = true;
    say(&mut bench, status(2, 50, 50));
    let batch = bench.held.take().expect("it is on its way to the store");
    bench.handle(Event::CommitFailed { batch });
    bench.batches.clear();
    bench.hold_commits = false;
    let snapshot = Box::new(Snapshot { gateways: committed, ..Snapshot::default() });
    bench.handle(Event::Reloaded { snapshot, incarnation: 2 });
    let due = bench.core.next_wakeup().expect("it tries again");
    at(&mut bench, due);
    assert_eq!(told(&bench), [set_back(TransitionKind::Raise)]);
    assert_eq!(record(&bench).queue.set_back.map(|set_back| set_back.times), Some(1));
    say(&mut bench, status(2, 50, 51));
    assert_eq!(told(&bench).len(), 1);
}

#[test]
fn numbers_of_any_size_and_epochs_that_are_none_do_no_harm() {
    let mut bench = bench();
    say(&mut bench, GatewayStatus { epoch: "not a number".into(), ..status(0, 5, 5) });
    say(&mut bench, status(1, u64::MAX, 0));
    say(&mut bench, status(2, u64::MAX, u64::MAX));
    assert_eq!(told(&bench), [set_back(TransitionKind::Raise)], "nothing is above it");
    for epoch in 3..100 {
        say(&mut bench, status(u64::MAX - epoch, 0, epoch));
    }
    let bytes = postcard::to_allocvec(&record(&bench)).expect("it is written").len();
    assert!(bytes < 256, "{bytes} bytes");
}
