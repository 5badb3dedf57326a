//! Block acknowledgements: outcomes gathered per gateway, and the credit that goes with each.

use std::collections::BTreeMap;

use tidegate_protocol::{
    Origin, SeqRange,
    ack::{BlockAck, BlockOutcome, Credit, MAX_OUTCOMES, Outcome, RejectReason},
    topic::GatewayPath,
};

/// With more parts than this a rejection names none: the whole block is then out of custody, and sent again.
pub const MAX_PARTS: usize = 256;
/// Bounds one acknowledgement's parts, so that its bytes stay below the wire's bound (a part is at most 63 bytes).
const MAX_PARTS_PER_ACK: usize = 768;

/// Outcomes that are committed and may be sent.
#[derive(Debug, Default)]
pub struct Outbox {
    ready: BTreeMap<(GatewayPath, u64), Vec<BlockOutcome>>,
}

/// What a rejected block was rejected for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: RejectReason,
    /// What is not in custody; the whole block where this is empty.
    pub parts: Vec<(Origin, SeqRange)>,
}

impl Outbox {
    pub fn push(&mut self, to: GatewayPath, epoch: u64, number: u64, rejection: Option<Rejection>) {
        let outcome = match rejection {
            None => Outcome::Durable,
            Some(Rejection { reason, parts }) if parts.len() > MAX_PARTS => {
                Outcome::Rejected { reason, parts: Vec::new() }
            }
            Some(Rejection { reason, parts }) => Outcome::Rejected { reason, parts },
        };
        self.ready.entry((to, epoch)).or_default().push(BlockOutcome { number, outcome });
    }

    /// Takes all that is ready, split into messages that the wire carries.
    pub fn take(&mut self) -> impl Iterator<Item = (GatewayPath, u64, Vec<BlockOutcome>)> + use<> {
        std::mem::take(&mut self.ready).into_iter().flat_map(|((to, epoch), outcomes)| {
            split(outcomes).into_iter().map(move |outcomes| (to, epoch, outcomes))
        })
    }
}

fn split(outcomes: Vec<BlockOutcome>) -> Vec<Vec<BlockOutcome>> {
    let mut messages: Vec<Vec<BlockOutcome>> = Vec::new();
    let mut parts_so_far = 0;
    for outcome in outcomes {
        let parts = match &outcome.outcome {
            Outcome::Durable => 0,
            Outcome::Rejected { parts, .. } => parts.len(),
        };
        match messages.last_mut() {
            Some(last) if last.len() < MAX_OUTCOMES && parts_so_far + parts <= MAX_PARTS_PER_ACK => {
                parts_so_far += parts;
                last.push(outcome);
            }
            _ => {
                parts_so_far = parts;
                messages.push(vec![outcome]);
            }
        }
    }
    messages
}

/// How much the agents may have in flight. The sum over the gateways that are heard stays at the total, so that what
/// waits in the broker does, too; alarms are not counted by the agents. A window may be smaller than a block: an agent
/// sends one block at a time then.
///
/// Windows are told with acknowledgements, so a gateway that is quiet keeps the one it was told. The total is therefore
/// shared by a quarter more gateways than there are; when more come, all are told at once of their smaller share.
#[derive(Debug)]
pub struct Credits {
    total_bytes: u32,
    seq: u64,
    /// How many gateways the shares that were told are good for.
    sharing: usize,
    /// How often the ledger was rolled back: agents that were acknowledged before must hear of it.
    pub ledger: u32,
}

impl Credits {
    pub fn new(total_bytes: u32) -> Self {
        Self { total_bytes, seq: 0, sharing: 1, ledger: 0 }
    }

    /// So many gateways are heard; true when all of them must be told of a smaller share.
    pub fn shared_by(&mut self, gateways: usize) -> bool {
        let gateways = gateways.max(1);
        let wanted = gateways + gateways / 4;
        let are_more = gateways > self.sharing;
        if are_more || wanted < self.sharing {
            self.sharing = wanted;
        }
        are_more
    }

    /// A message for a gateway; one that is not `heard` gets a window for one block, so that the shares of the
    /// others stay theirs.
    pub fn message(
        &mut self,
        incarnation: u64,
        epoch: u64,
        outcomes: Vec<BlockOutcome>,
        heard: bool,
        full: bool,
    ) -> BlockAck {
        self.seq += 1;
        let share = self.total_bytes / u32::try_from(self.sharing).unwrap_or(u32::MAX);
        let window_bytes = match (full, heard) {
            (true, _) => 0,
            (false, true) => share.max(1),
            (false, false) => 1,
        };
        let credit = Credit { seq: self.seq, window_bytes };
        BlockAck { incarnation, epoch, outcomes, credit, ledger: self.ledger }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{BootId, DeviceId, GatewayId, SiteId, ack::MAX_ACK_BYTES};

    use super::*;

    #[test]
    fn no_message_outgrows_the_wire() {
        let to = GatewayPath::new(SiteId::new("plant").unwrap(), GatewayId::new("gw-a").unwrap());
        let device = DeviceId::new(&"d".repeat(32)).unwrap();
        let part = (Origin::new(device, BootId(u64::MAX)), SeqRange::new(u64::MAX - 1, u64::MAX));
        let mut outbox = Outbox::default();
        for number in 0..5_000 {
            let rejection = Rejection { reason: RejectReason::BootConflict, parts: vec![part; number % 300] };
            outbox.push(to, u64::MAX, u64::MAX - number as u64, Some(rejection));
        }
        let mut credits = Credits::new(8 << 20);
        let mut sent = 0;
        for (_, epoch, outcomes) in outbox.take() {
            sent += outcomes.len();
            let bytes = credits.message(u64::MAX, epoch, outcomes, true, false).encode().expect("it fits");
            assert!(bytes.len() <= MAX_ACK_BYTES);
        }
        assert_eq!(sent, 5_000);
        assert_eq!(outbox.take().count(), 0);
    }

    #[test]
    fn gateways_share_the_window_and_a_full_store_closes_it() {
        let mut credits = Credits::new(8 << 20);
        let mut window = |gateways, full| {
            credits.shared_by(gateways);
            credits.message(1, 1, Vec::new(), true, full).credit
        };
        assert_eq!(window(2, false).window_bytes, 4 << 20);
        assert_eq!(window(1_000, false).window_bytes, (8 << 20) / 1_250);
        assert_eq!(window(2, true).window_bytes, 0);
        assert_eq!(window(2, false).seq, 4, "each message has a later number");
        assert_eq!(credits.message(1, 1, Vec::new(), false, false).credit.window_bytes, 1);
    }

    #[test]
    fn however_gateways_come_the_sum_of_what_they_were_told_stays_at_the_total() {
        let mut credits = Credits::new(8 << 20);
        let mut told: Vec<u64> = Vec::new();
        let mut messages = 0;
        for gateways in (1..=1_000).chain((500..1_000).rev()).chain(500..=1_500) {
            told.resize(gateways, 0);
            let all = credits.shared_by(gateways);
            let last = gateways - 1;
            for (_, window) in told.iter_mut().enumerate().filter(|(at, _)| all || *at == last) {
                *window = u64::from(credits.message(1, 0, Vec::new(), true, false).credit.window_bytes);
                messages += 1;
            }
            assert!(told.iter().sum::<u64>() <= 8 << 20, "{gateways} gateways");
        }
        assert!(messages < 25_000, "{messages}: a few for each that comes");
    }
}
