//! Alarms of the system itself: one content too many, one process too many, one certificate too old.

use tidegate_alarms::{AlarmKind, AlarmState, TransitionKind};
use tidegate_ingest::{
    core::{Event, Snapshot, SystemSettings, system::Certified},
    store::{LmdbStore, Store},
};
use tidegate_protocol::{
    Origin, SeqRange,
    ack::{Outcome, RejectReason},
    block::{Stamp, stamp},
    status::GatewayStatus,
    topic::Lane,
};

use crate::support::{Bench, described, encode, gateway, origin, readings};

const START_MS: i64 = 1_800_000_000_000;
pub const QUIET_MS: u64 = 3_600_000;
const DAY_S: i64 = 86_400;

pub fn bench() -> Bench {
    let mut bench = Bench::new(Snapshot::default());
    at(&mut bench, 0);
    bench
}

/// The time comes, and all that is due by then is done.
pub fn at(bench: &mut Bench, until: u64) {
    while let Some(due) = bench.core.next_wakeup().filter(|due| *due < until) {
        wake(bench, due.max(bench.now_ms));
    }
    wake(bench, until);
}

pub fn later(bench: &mut Bench, ms: u64) {
    let until = bench.now_ms + ms;
    at(bench, until);
}

fn wake(bench: &mut Bench, now_ms: u64) {
    bench.now_ms = now_ms;
    bench.unix_ms = START_MS + now_ms as i64;
    bench.handle(Event::Time { unix_ms: bench.unix_ms });
    bench.handle(Event::Wakeup);
}

/// What was told: rule, place, transition.
pub fn told(bench: &Bench) -> Vec<(String, String, TransitionKind)> {
    let events = bench.batches.iter().flat_map(|batch| &batch.events);
    let place =
        |event: &tidegate_alarms::AlarmEvent| format!("{}/{}/{}", event.site, event.device, event.channel);
    events
        .inspect(|event| assert_eq!(event.kind, AlarmKind::System))
        .map(|event| (event.rule.to_string(), place(event), event.transition))
        .collect()
}

fn conflict(place: &str, transition: TransitionKind) -> (String, String, TransitionKind) {
    ("identity-conflict".into(), format!("plant/{place}/identity"), transition)
}

/// Sends five readings of a board, and then says that what came again differs.
fn send_another_content(bench: &mut Bench, board: Origin, seqs: std::ops::Range<u64>) -> u64 {
    let range = SeqRange::new(seqs.start, seqs.end);
    let number = bench.send(Lane::Live, encode(Vec::new(), vec![readings(board, seqs)]));
    let ticket = bench.verify.last().expect("it is compared").0;
    bench.handle(Event::Verified { ticket, differing: Some(vec![(board, range)]) });
    number
}

#[test]
fn a_flood_of_conflicts_is_one_alarm_and_ends_when_it_was_quiet() {
    let (board, other) = (origin("board-a", 1), origin("board-b", 1));
    let mut bench = bench();
    for board in [board, other] {
        bench.send(Lane::Live, encode(vec![described(board)], vec![readings(board, 0..100)]));
    }
    for round in 0..50 {
        let number = send_another_content(&mut bench, board, round..round + 1);
        let parts = vec![(board, SeqRange::new(round, round + 1))];
        let rejected = Outcome::Rejected { reason: RejectReason::BootConflict, parts };
        assert_eq!(bench.outcome(number), Some(rejected), "its gateway is told");
    }
    assert_eq!(told(&bench), [conflict("board-a", TransitionKind::Raise)], "one, however many readings");
    send_another_content(&mut bench, other, 0..5);
    assert_eq!(told(&bench).len(), 2, "and one for each device");
    let message = &bench.batches.iter().flat_map(|batch| &batch.events).next().expect("an event").message;
    for named in ["board-a", "readings 0 to 0", "0000000000000001", "gw-a"] {
        assert!(message.contains(named), "{message}");
    }

    at(&mut bench, QUIET_MS - 1);
    send_another_content(&mut bench, other, 5..6);
    at(&mut bench, QUIET_MS);
    assert_eq!(told(&bench)[2..], [conflict("board-a", TransitionKind::Clear)], "the other goes on");
    at(&mut bench, 2 * QUIET_MS);
    assert_eq!(told(&bench)[3..], [conflict("board-b", TransitionKind::Clear)]);
    send_another_content(&mut bench, board, 7..8);
    assert_eq!(told(&bench)[4..], [conflict("board-a", TransitionKind::Raise)], "and it comes back");
    let mut ids: Vec<_> =
        bench.batches.iter().flat_map(|batch| &batch.events).map(|event| event.id).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "each event is one of its own: the store leaves out what it has");
}

#[test]
fn what_is_rejected_is_quarantined_with_what_it_is_and_stays_out_of_the_ledger() {
    let board = origin("board-a", 1);
    let mut bench = bench();
    bench.send(Lane::Live, encode(vec![described(board)], vec![readings(board, 0..10)]));
    send_another_content(&mut bench, board, 2..5);
    let kept: Vec<_> = bench.batches.iter().flat_map(|batch| &batch.quarantine).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].from, kept[0].reason), (gateway("gw-a"), RejectReason::BootConflict));
    assert_eq!(kept[0].arrival_unix_ms, START_MS);
    assert!(kept[0].because.contains("board-a boot 0000000000000001 readings 2 to 4"), "{}", kept[0].because);
    let snapshot = bench.snapshot();
    let record = &snapshot.origins.last().expect("an origin").1;
    assert_eq!((record.ledger.stored().count(), record.conflicts.count()), (10, 3));
    assert_eq!(record.duplicates, 0, "another content is no copy");
    assert_eq!(bench.core.counters().readings_conflicting, 3);
}

/// Who is told that a block is rejected forgets it: until then it is to be found in the quarantine.
#[test]
fn a_rejection_is_told_only_once_what_is_rejected_is_kept() {
    let board = origin("board-a", 1);
    let mut bench = bench();
    bench.send(Lane::Live, encode(vec![described(board)], vec![readings(board, 0..10)]));
    let number = bench.send(Lane::Live, encode(Vec::new(), vec![readings(board, 2..5)]));
    let ticket = bench.verify.last().expect("it is compared").0;
    bench.hold_commits = true;
    let differing = Some(vec![(board, SeqRange::new(2, 5))]);
    bench.handle(Event::Verified { ticket, differing });
    let batch = bench.held.expect("the quarantine is being written");
    assert_eq!(bench.batches.last().map(|batch| batch.quarantine.len()), Some(1));
    assert_eq!(bench.outcome(number), None);
    bench.handle(Event::Committed { batch, used_bytes: 0 });
    assert!(matches!(bench.outcome(number), Some(Outcome::Rejected { .. })), "{:?}", bench.outcome(number));
}

#[test]
fn an_alarm_of_before_a_restart_ends_by_time_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = LmdbStore::open(folder.path(), 1 << 24).expect("a store");
    let board = origin("board-a", 1);
    let mut first = bench();
    first.send(Lane::Live, encode(vec![described(board)], vec![readings(board, 0..10)]));
    send_another_content(&mut first, board, 0..1);
    for batch in &first.batches {
        store.commit(batch).expect("it commits");
    }
    let mut again = Bench::new(store.snapshot().expect("a snapshot"));
    at(&mut again, 5);
    at(&mut again, QUIET_MS - 1);
    assert!(told(&again).is_empty(), "its whole time anew");
    at(&mut again, QUIET_MS + 10);
    assert_eq!(told(&again), [conflict("board-a", TransitionKind::Clear)]);
    let state =
        again.batches.iter().flat_map(|batch| &batch.events).next_back().and_then(|event| event.state);
    assert_eq!(state, Some(AlarmState::RtnUnacknowledged), "an operator has to see it");
}

#[test]
fn a_board_heard_under_one_name_by_two_gateways_is_named_with_both() {
    let board = origin("board-a", 1);
    let mut bench = bench();
    bench.send(Lane::Live, encode(vec![described(board)], vec![readings(board, 0..5)]));
    // The twin behind the other gateway.
    let mut bytes = encode(vec![described(board)], vec![readings(board, 0..5)]);
    stamp(&mut bytes, Stamp { lane: Lane::Live, epoch: 9, number: 0 }).expect("a block");
    let from = gateway("gw-b");
    bench.handle(Event::Block {
        from,
        lane: Lane::Live,
        bytes: bytes.into(),
        arrival_unix_ms: bench.unix_ms,
    });
    let ticket = bench.verify[0].0;
    bench.handle(Event::Verified { ticket, differing: Some(vec![(board, SeqRange::new(0, 5))]) });
    let events: Vec<_> = bench.batches.iter().flat_map(|batch| &batch.events).collect();
    assert_eq!(events.len(), 1);
    assert!(events[0].message.contains("by gateway gw-b") && events[0].message.contains("gw-a"));
    let kept: Vec<_> = bench.batches.iter().flat_map(|batch| &batch.quarantine).collect();
    assert_eq!(kept[0].from, from);
}

fn show(bench: &mut Bench, whose: Certified, days: Option<i64>) {
    let now_s = bench.unix_ms / 1_000;
    let expires_unix_s = days.map(|days| now_s + days * DAY_S);
    bench.handle(Event::CertificateShown { whose, expires_unix_s });
}

fn expiry(rule: &str, place: &str, transition: TransitionKind) -> (String, String, TransitionKind) {
    (format!("certificate-expiry-{rule}"), place.into(), transition)
}

#[test]
fn a_certificate_warns_at_30_days_and_is_critical_at_7_until_it_is_renewed() {
    use TransitionKind::{Clear, Raise};
    const PLACE: &str = "cloud/ingest/certificate";
    let mut bench = bench();
    show(&mut bench, Certified::Ingest, Some(31));
    assert!(told(&bench).is_empty());
    show(&mut bench, Certified::Ingest, Some(30));
    show(&mut bench, Certified::Ingest, Some(8));
    assert_eq!(told(&bench), [expiry("warning", PLACE, Raise)]);
    show(&mut bench, Certified::Ingest, Some(7));
    show(&mut bench, Certified::Ingest, Some(-1));
    assert_eq!(told(&bench)[1..], [expiry("critical", PLACE, Raise)]);
    at(&mut bench, 10);
    show(&mut bench, Certified::Ingest, Some(365));
    assert_eq!(told(&bench)[2..], [expiry("warning", PLACE, Clear), expiry("critical", PLACE, Clear)]);
    at(&mut bench, 20);
    show(&mut bench, Certified::Ingest, Some(1));
    show(&mut bench, Certified::Ingest, None);
    assert_eq!(told(&bench).len(), 8, "without a certificate there is none to renew");
}

#[test]
fn each_certificate_of_the_cloud_has_an_alarm_of_its_own() {
    let mut bench = bench();
    for (whose, place) in
        [(Certified::Ingest, "ingest"), (Certified::Broker, "broker"), (Certified::Api, "api")]
    {
        bench.batches.clear();
        show(&mut bench, whose, Some(8));
        assert_eq!(
            told(&bench),
            [expiry("warning", &format!("cloud/{place}/certificate"), TransitionKind::Raise)]
        );
    }
}

#[test]
fn limits_are_those_of_the_settings() {
    let mut bench = bench();
    let (certificate_warning_s, certificate_critical_s) = (3 * DAY_S, DAY_S);
    let settings = SystemSettings { quiet_ms: 60_000, certificate_warning_s, certificate_critical_s };
    bench.core = bench.core.with_system(settings);
    show(&mut bench, Certified::Ingest, Some(4));
    assert!(told(&bench).is_empty());
    show(&mut bench, Certified::Ingest, Some(2));
    assert_eq!(told(&bench).len(), 1);
    let board = origin("board-a", 1);
    bench.send(Lane::Live, encode(vec![described(board)], vec![readings(board, 0..5)]));
    send_another_content(&mut bench, board, 0..5);
    at(&mut bench, 59_999);
    assert_eq!(told(&bench).len(), 2);
    at(&mut bench, 60_000);
    assert_eq!(told(&bench).len(), 3);
}

#[test]
fn a_gateway_says_itself_when_its_certificate_ends() {
    let mut bench = bench();
    let from = gateway("gw-a");
    let status = |online, days: Option<i64>| GatewayStatus {
        online,
        certificate_expires_unix_s: days.map(|days| START_MS / 1_000 + days * DAY_S),
        ..GatewayStatus::default()
    };
    bench.handle(Event::Status { from, status: status(true, Some(20)), unix_ms: bench.unix_ms });
    let raised = expiry("warning", "plant/gw-a/certificate", TransitionKind::Raise);
    assert_eq!(told(&bench), [raised]);
    // Its last will says nothing of it.
    bench.handle(Event::Status { from, status: status(false, None), unix_ms: bench.unix_ms });
    assert_eq!(told(&bench).len(), 1);
    // Days go by; the hourly look at the ingest's own is when all are looked at.
    at(&mut bench, 14 * 86_400_000);
    show(&mut bench, Certified::Ingest, None);
    assert_eq!(told(&bench)[1], expiry("critical", "plant/gw-a/certificate", TransitionKind::Raise));
    bench.handle(Event::Status { from, status: status(true, Some(400)), unix_ms: bench.unix_ms });
    assert_eq!(told(&bench).len(), 4);
}
