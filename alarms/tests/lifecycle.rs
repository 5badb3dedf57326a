//! The life cycle as a table: every state, every action.

use tidegate_alarms::{
    AlarmState::{self, *},
    EventId, Lifecycle,
    lifecycle::{Action, MAX_SHELF_MS, Refusal, Seen},
};

const NOW: i64 = 1_000_000;
const LATER: i64 = NOW + 60_000;

fn seen(occurrence: u128, transition: u128) -> Seen {
    Seen { occurrence: EventId(occurrence), transition: EventId(transition) }
}

fn raised(latching: bool) -> Lifecycle {
    let mut life = Lifecycle::default();
    life.raise(EventId(1), latching);
    life
}

fn cleared(latching: bool) -> Lifecycle {
    let mut life = raised(latching);
    life.clear(seen(1, 2));
    life
}

fn after(life: Lifecycle, action: Action) -> Lifecycle {
    life.act(action, NOW).unwrap()
}

fn acknowledged(life: Lifecycle) -> Lifecycle {
    let latest = life.latest.unwrap();
    after(life, Action::Acknowledge(latest))
}

fn shelve() -> Action {
    Action::Shelve { until_unix_ms: LATER }
}

/// One alarm in each state, those that are kept from people being active and unacknowledged.
fn in_state(state: AlarmState) -> Lifecycle {
    let life = match state {
        Normal => Lifecycle::default(),
        Unacknowledged => raised(false),
        Acknowledged => acknowledged(raised(false)),
        RtnUnacknowledged => cleared(false),
        LatchedUnacknowledged => cleared(true),
        LatchedAcknowledged => acknowledged(cleared(true)),
        Shelved => after(raised(false), shelve()),
        SuppressedByDesign => after(raised(false), Action::Suppress),
        OutOfService => after(raised(false), Action::OutOfService),
    };
    assert_eq!(life.state(), state);
    life
}

fn actions(life: &Lifecycle) -> [Action; 9] {
    [
        Action::Acknowledge(life.latest.unwrap_or(seen(0, 0))),
        shelve(),
        Action::Unshelve,
        Action::Suppress,
        Action::Unsuppress,
        Action::OutOfService,
        Action::InService,
        Action::Reset,
        Action::Comment,
    ]
}

#[test]
fn every_state_and_every_action() {
    type Outcome = Result<AlarmState, Refusal>;
    let no = Err::<AlarmState, Refusal>;
    let (nothing, not_shelved, not_suppressed, in_service, not_latched) = (
        no(Refusal::NothingToAcknowledge),
        no(Refusal::NotShelved),
        no(Refusal::NotSuppressed),
        no(Refusal::InServiceAlready),
        no(Refusal::NotLatched),
    );
    let (shelved, by_design, out) = (Ok(Shelved), Ok(SuppressedByDesign), Ok(OutOfService));
    // acknowledge, shelve, unshelve, suppress, unsuppress, out-of-service, in-service, reset, comment
    #[rustfmt::skip]
    let table: [(AlarmState, [Outcome; 9]); 9] = [
        (Normal, [nothing, shelved, not_shelved, by_design, not_suppressed, out, in_service, not_latched, Ok(Normal)]),
        (Unacknowledged, [Ok(Acknowledged), shelved, not_shelved, by_design, not_suppressed, out, in_service, not_latched, Ok(Unacknowledged)]),
        (Acknowledged, [nothing, shelved, not_shelved, by_design, not_suppressed, out, in_service, not_latched, Ok(Acknowledged)]),
        (RtnUnacknowledged, [Ok(Normal), shelved, not_shelved, by_design, not_suppressed, out, in_service, not_latched, Ok(RtnUnacknowledged)]),
        (LatchedUnacknowledged, [Ok(LatchedAcknowledged), shelved, not_shelved, by_design, not_suppressed, out, in_service, no(Refusal::NotAcknowledged), Ok(LatchedUnacknowledged)]),
        (LatchedAcknowledged, [nothing, shelved, not_shelved, by_design, not_suppressed, out, in_service, Ok(Normal), Ok(LatchedAcknowledged)]),
        (Shelved, [shelved, shelved, Ok(Unacknowledged), by_design, not_suppressed, out, in_service, not_latched, shelved]),
        (SuppressedByDesign, [by_design, by_design, not_shelved, no(Refusal::AlreadySuppressed), Ok(Unacknowledged), out, in_service, not_latched, by_design]),
        (OutOfService, [out, out, not_shelved, out, not_suppressed, no(Refusal::AlreadyOutOfService), Ok(Unacknowledged), not_latched, out]),
    ];
    assert_eq!(table.map(|(state, _)| state), AlarmState::ALL);
    for (state, outcomes) in table {
        let life = in_state(state);
        for (action, expected) in actions(&life).into_iter().zip(outcomes) {
            let found = life.act(action, NOW).map(|next| next.state());
            assert_eq!(found, expected, "{} and {action:?}", state.name());
        }
    }
}

/// Over all combinations of the axes: an action moves its own axis and no other, and never what evaluation says.
#[test]
fn an_action_moves_its_own_axis_only() {
    for bits in 0..64_u32 {
        let bit = |at: u32| bits & (1 << at) != 0;
        let active = bit(0);
        let life = Lifecycle {
            active,
            acknowledged: bit(1),
            latched: bit(2) && !active,
            latching: bit(2),
            shelved_until_unix_ms: bit(3).then_some(LATER),
            suppressed_by_design: bit(4),
            out_of_service: bit(5),
            latest: Some(seen(1, 2)),
        };
        assert_eq!(life.is_suppressed(), bit(3) || bit(4) || bit(5));
        for action in actions(&life) {
            let Ok(next) = life.act(action, NOW) else { continue };
            let mut undone = next.clone();
            match action {
                Action::Acknowledge(_) => undone.acknowledged = life.acknowledged,
                Action::Shelve { .. } | Action::Unshelve => {
                    undone.shelved_until_unix_ms = life.shelved_until_unix_ms;
                }
                Action::Suppress | Action::Unsuppress => {
                    undone.suppressed_by_design = life.suppressed_by_design
                }
                Action::OutOfService | Action::InService => undone.out_of_service = life.out_of_service,
                Action::Reset => undone.latched = life.latched,
                Action::Comment => {}
            }
            assert_eq!(undone, life, "{action:?}");
        }
    }
}

#[test]
fn an_acknowledgement_of_what_has_moved_on_is_superseded() {
    let life = cleared(false);
    for stale in [seen(1, 1), seen(9, 2), seen(9, 9)] {
        assert_eq!(life.act(Action::Acknowledge(stale), NOW), Err(Refusal::Superseded));
    }
    let mut again = life;
    again.raise(EventId(3), false);
    assert_eq!(again.act(Action::Acknowledge(seen(1, 2)), NOW), Err(Refusal::Superseded));
    assert_eq!(acknowledged(again).state(), Acknowledged);
}

#[test]
fn a_latching_alarm_is_held_until_it_is_acknowledged_and_reset() {
    let mut life = acknowledged(raised(true));
    assert_eq!(life.act(Action::Reset, NOW), Err(Refusal::NotLatched), "it is active");
    life.clear(seen(1, 2));
    assert_eq!(life.state(), LatchedAcknowledged);
    let mut again = life.clone();
    again.raise(EventId(3), true);
    assert_eq!((again.state(), again.latched), (Unacknowledged, false));
    assert_eq!(after(life, Action::Reset).state(), Normal);
}

#[test]
fn what_is_suppressed_goes_on_being_evaluated_and_what_clears_there_needs_nobody() {
    let mut life = after(Lifecycle::default(), shelve());
    life.raise(EventId(1), false);
    assert_eq!((life.state(), life.active), (Shelved, true));
    assert_eq!(after(life.clone(), Action::Unshelve).state(), Unacknowledged, "it is told after all");
    life.clear(seen(1, 2));
    assert_eq!(after(life, Action::Unshelve).state(), Normal);
}

#[test]
fn a_shelf_has_a_time_that_is_to_come_and_not_too_far() {
    let life = raised(false);
    let shelved = |until_unix_ms| life.act(Action::Shelve { until_unix_ms }, NOW).map(|next| next.state());
    assert_eq!(shelved(NOW), Err(Refusal::ShelfOver));
    assert_eq!(shelved(NOW + MAX_SHELF_MS), Ok(Shelved));
    assert_eq!(shelved(NOW + MAX_SHELF_MS + 1), Err(Refusal::ShelfTooLong));
    let shelved = after(life, shelve());
    assert_eq!((shelved.shelf_is_over(LATER - 1), shelved.shelf_is_over(LATER)), (false, true));
}
