//! The ledger beside a model that keeps a state for every single seq.

use proptest::prelude::*;

use super::*;

const SEQS: u64 = 48;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Lost(LossReason),
    Stored,
}

/// The same rules, seq by seq.
struct Naive {
    states: Vec<State>,
    next: u64,
    recovered: u64,
}

impl Naive {
    fn store(&mut self, range: SeqRange) {
        for seq in range.start..range.end {
            let state = &mut self.states[seq as usize];
            self.recovered += u64::from(matches!(state, State::Lost(_)));
            *state = State::Stored;
            self.next = self.next.max(seq + 1);
        }
    }

    fn lose(&mut self, range: SeqRange, reason: LossReason) {
        for seq in range.start..range.end {
            let state = &mut self.states[seq as usize];
            *state = match *state {
                State::Stored => State::Stored,
                State::Lost(before) => State::Lost(before.min(reason)),
                State::Unknown => State::Lost(reason),
            };
            self.next = self.next.max(seq + 1);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Store(SeqRange),
    Lose(SeqRange, LossReason),
    Report(u64),
    Close(Tail),
}

fn range() -> impl Strategy<Value = SeqRange> {
    (0..SEQS - 10, 1_u64..10).prop_map(|(start, len)| SeqRange::new(start, start + len))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => range().prop_map(Step::Store),
        3 => (range(), 0..LossReason::ALL.len()).prop_map(|(range, at)| Step::Lose(range, LossReason::ALL[at])),
        1 => (0..SEQS).prop_map(Step::Report),
        1 => (any::<bool>(), 0..SEQS).prop_map(|(known, next)| Step::Close(if known { Tail::Known(next) } else { Tail::AtLeast(next) })),
    ]
}

fn apply(ledger: &mut Ledger, step: &Step) {
    match *step {
        Step::Store(range) => {
            let mut split = Split::default();
            ledger.classify(range, &mut split);
            for part in split.new {
                ledger.store(part);
            }
        }
        Step::Lose(range, reason) => {
            ledger.lose(range, reason);
        }
        Step::Report(next) => {
            ledger.report(next);
        }
        Step::Close(tail) => {
            ledger.close(tail);
        }
    }
}

fn check(ledger: &Ledger, naive: &Naive) -> Result<(), TestCaseError> {
    prop_assert_eq!(ledger.next(), naive.next);
    for seq in 0..SEQS {
        let lost = ledger.lost().find(|(_, ranges)| ranges.contains(seq)).map(|(reason, _)| reason);
        let state = match (ledger.stored().contains(seq), lost) {
            (true, None) => State::Stored,
            (false, Some(reason)) => State::Lost(reason),
            (false, None) => State::Unknown,
            (true, Some(_)) => return Err(TestCaseError::fail("stored and lost at once")),
        };
        prop_assert_eq!(state, naive.states[seq as usize], "seq {}", seq);
        let open = state == State::Unknown && seq < naive.next;
        prop_assert_eq!(ledger.outstanding().contains(seq), open);
        let known = |at: &u64| naive.states.get(*at as usize).is_none_or(|state| *state == State::Unknown);
        prop_assert_eq!(ledger.settled_end(seq), (seq..).find(known).unwrap_or_default());
    }
    prop_assert_eq!(ledger.recovered(), naive.recovered);
    let states = |of: fn(&State) -> bool| naive.states.iter().filter(|state| of(state)).count() as u64;
    prop_assert_eq!(ledger.stored().count(), states(|state| *state == State::Stored));
    prop_assert_eq!(ledger.lost_count(), states(|state| matches!(state, State::Lost(_))));
    Ok(())
}

proptest! {
    #[test]
    fn ranges_agree_with_a_state_per_seq(steps in prop::collection::vec(step(), 0..40)) {
        let mut ledger = Ledger::default();
        let mut naive = Naive { states: vec![State::Unknown; SEQS as usize], next: 0, recovered: 0 };
        for step in &steps {
            apply(&mut ledger, step);
            match *step {
                Step::Store(range) => naive.store(range),
                Step::Lose(range, reason) => naive.lose(range, reason),
                Step::Report(next) => naive.next = naive.next.max(next),
                Step::Close(tail) => naive.next = naive.next.max(tail.next()),
            }
            check(&ledger, &naive)?;
        }
    }

    /// Order and repetition do not matter to what is known of each seq.
    #[test]
    fn any_order_and_any_repetition_give_the_same_ledger(
        steps in prop::collection::vec(step(), 0..20),
        shuffled in any::<prop::sample::Index>(),
    ) {
        let (mut forward, mut other) = (Ledger::default(), Ledger::default());
        steps.iter().for_each(|step| apply(&mut forward, step));
        let turn = if steps.is_empty() { 0 } else { shuffled.index(steps.len()) };
        steps.iter().rev().cycle().skip(turn).take(steps.len() * 2).for_each(|step| apply(&mut other, step));
        let known = |ledger: &Ledger| {
            let lost: Vec<_> = ledger.lost().map(|(_, ranges)| ranges.clone()).collect();
            (ledger.stored().clone(), lost, ledger.next(), ledger.tail(), ledger.outstanding())
        };
        prop_assert_eq!(known(&forward), known(&other));
    }
}

#[test]
fn a_lost_reading_that_arrives_is_stored_and_counted() {
    let mut ledger = Ledger::default();
    assert!(ledger.lose(SeqRange::new(5, 10), LossReason::Evicted));
    assert_eq!(ledger.store(SeqRange::new(7, 12)), 3);
    assert_eq!((ledger.recovered(), ledger.lost_count(), ledger.stored().count()), (3, 2, 5));
    assert!(
        !ledger.lose(SeqRange::new(7, 12), LossReason::RingOverflow),
        "stored readings are never lost again"
    );
}
