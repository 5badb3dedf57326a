//! Acknowledgements.

use proptest::{collection::vec, prelude::*, sample::select};
use tidegate_protocol::ack::{AckError, BlockAck, BlockOutcome, Credit, MAX_OUTCOMES, Outcome, RejectReason};

use super::given;

fn outcome() -> impl Strategy<Value = Outcome> {
    let reasons = vec![
        RejectReason::Undescribed,
        RejectReason::Sealed,
        RejectReason::BootConflict,
        RejectReason::Corrupt,
        RejectReason::Unsupported,
    ];
    prop_oneof![
        3 => Just(Outcome::Durable),
        1 => (select(reasons), vec((given::origin(), given::range()), 0..4))
            .prop_map(|(reason, parts)| Outcome::Rejected { reason, parts }),
    ]
}

pub fn ack() -> impl Strategy<Value = BlockAck> {
    let outcome = (given::number(), outcome()).prop_map(|(number, outcome)| BlockOutcome { number, outcome });
    (given::number(), given::number(), vec(outcome, 0..20), given::number(), any::<u32>(), any::<u32>())
        .prop_map(|(incarnation, epoch, outcomes, seq, window_bytes, ledger)| BlockAck {
            incarnation,
            epoch,
            outcomes,
            credit: Credit { seq, window_bytes },
            ledger,
        })
}

proptest! {
    #[test]
    fn acks_round_trip(ack in ack()) {
        prop_assert_eq!(BlockAck::decode(&ack.encode().unwrap()), Ok(ack));
    }
}

#[test]
fn as_many_outcomes_as_the_bound_and_no_more() {
    let durable = |number| BlockOutcome { number, outcome: Outcome::Durable };
    let credit = Credit { seq: 0, window_bytes: 0 };
    let mut ack = BlockAck {
        incarnation: 1,
        epoch: 2,
        outcomes: (0..MAX_OUTCOMES as u64).map(durable).collect(),
        credit,
        ledger: 0,
    };
    assert_eq!(BlockAck::decode(&ack.encode().unwrap()), Ok(ack.clone()));
    ack.outcomes.push(durable(0));
    assert_eq!(ack.encode(), Err(AckError::TooMany));
}
