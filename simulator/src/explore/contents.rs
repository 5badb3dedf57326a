//! What a block says, worked out once for all its copies.

use std::{collections::HashMap, rc::Rc};

use tidegate_protocol::{
    LossRecord, Origin, SeqRange,
    block::{Block, Decoder, HEADER_BYTES, Record, Tail, ranges_of},
};

#[derive(Debug, Default)]
pub struct Contents {
    pub block: Block,
    pub readings: Vec<(Origin, Vec<SeqRange>)>,
    pub losses: Vec<LossRecord>,
    pub measured: Vec<(Origin, u64)>,
    pub closed: Vec<(Origin, Tail)>,
    pub described: Vec<Origin>,
}

impl Contents {
    fn of(block: Block) -> Self {
        let mut contents = Self::default();
        for readings in &block.origins {
            contents.readings.push((readings.origin, ranges_of(&readings.readings)));
        }
        for record in &block.records {
            match record {
                Record::Loss(loss) => contents.losses.push(*loss),
                Record::Measured { origin, next } => contents.measured.push((*origin, *next)),
                Record::Closed { origin, tail } => contents.closed.push((*origin, *tail)),
                Record::Described(description) => contents.described.push(description.origin),
                _ => {}
            }
        }
        Self { block, ..contents }
    }

    /// The readings of an origin and what is declared lost of it.
    pub fn ranges_of(&self, origin: Origin) -> impl Iterator<Item = SeqRange> + '_ {
        let readings = self.readings.iter().filter(move |(of, _)| *of == origin);
        let losses = self.losses.iter().filter(move |loss| loss.origin == origin);
        readings.flat_map(|(_, ranges)| ranges.iter().copied()).chain(losses.map(|loss| loss.range))
    }
}

/// Decodes each block once, however often it is sent or stored: only the stamp in its header changes.
pub struct Library {
    decoder: Decoder,
    known: HashMap<Vec<u8>, Rc<Contents>>,
}

impl Library {
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { decoder: Decoder::new()?, known: HashMap::new() })
    }

    /// None when the bytes are no good block.
    pub fn contents(&mut self, block: &[u8]) -> Option<Rc<Contents>> {
        let body = block.get(HEADER_BYTES..)?;
        if let Some(known) = self.known.get(body) {
            return Some(Rc::clone(known));
        }
        let contents = Rc::new(Contents::of(self.decoder.decode(block).ok()?));
        self.known.insert(body.to_vec(), Rc::clone(&contents));
        Some(contents)
    }
}
