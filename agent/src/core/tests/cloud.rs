//! A cloud for one core: it commits what arrived, asks for descriptions, and checks that a seq is one reading.

use std::collections::BTreeMap;

use tidegate_protocol::{
    LossReason, Origin, RangeSet, Reading, Summary,
    ack::{BlockAck, BlockOutcome, Credit, Outcome, RejectReason},
    block::{Decoder, Record},
};

/// What the cloud holds of one origin.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub stored: BTreeMap<u64, Reading>,
    pub lost: BTreeMap<LossReason, RangeSet>,
    pub described: bool,
    pub closed: bool,
    pub summaries: Vec<Summary>,
}

#[derive(Clone, Debug, Default)]
pub struct Cloud {
    pub ledger: BTreeMap<Origin, Ledger>,
    pub incarnation: u64,
    credit_seq: u64,
    /// How often it was restored from a backup.
    pub rolled_back: u32,
    /// Arrived and not committed: a kill loses it.
    pub arrived: Vec<(u64, u64, Vec<u8>)>,
    pub duplicates: u64,
}

impl Cloud {
    /// Commits what arrived; the outcomes by epoch.
    pub fn commit(&mut self, decoder: &mut Decoder) -> Vec<BlockAck> {
        let mut outcomes: BTreeMap<u64, Vec<BlockOutcome>> = BTreeMap::new();
        for (epoch, number, bytes) in std::mem::take(&mut self.arrived) {
            let outcome = self.take(&bytes, decoder);
            outcomes.entry(epoch).or_default().push(BlockOutcome { number, outcome });
        }
        outcomes.into_iter().map(|(epoch, outcomes)| self.ack(epoch, outcomes)).collect()
    }

    pub fn ack(&mut self, epoch: u64, outcomes: Vec<BlockOutcome>) -> BlockAck {
        self.credit_seq += 1;
        let credit = Credit { seq: self.credit_seq, window_bytes: 64 * 1024 };
        BlockAck { incarnation: self.incarnation, epoch, outcomes, credit, ledger: self.rolled_back }
    }

    fn take(&mut self, bytes: &[u8], decoder: &mut Decoder) -> Outcome {
        let block = decoder.decode(bytes).expect("the agent sends good blocks");
        for record in &block.records {
            if let Record::Described(_) = record {
                self.ledger.entry(record.origin()).or_default().described = true;
            }
        }
        let undescribed = |origin: &&tidegate_protocol::block::OriginReadings| {
            !self.ledger.get(&origin.origin).is_some_and(|ledger| ledger.described)
        };
        if block.origins.iter().find(undescribed).is_some() {
            return Outcome::Rejected { reason: RejectReason::Undescribed, parts: Vec::new() };
        }
        for origin in block.origins {
            let ledger = self.ledger.entry(origin.origin).or_default();
            for reading in origin.readings {
                if let Some(before) = ledger.stored.insert(reading.seq.0, reading) {
                    assert_eq!(before, reading, "one seq, two readings");
                    self.duplicates += 1;
                }
            }
        }
        for record in block.records {
            let ledger = self.ledger.entry(record.origin()).or_default();
            match record {
                Record::Loss(loss) => ledger.lost.entry(loss.reason).or_default().insert(loss.range),
                Record::Closed { .. } => ledger.closed = true,
                Record::Summary(summary) => ledger.summaries.push(summary),
                _ => {}
            }
        }
        Outcome::Durable
    }
}
