//! Two boards with one identity: what a board sends that came before, before this Hello of it.
//!
//! A board is one board from a Hello to the next: what it repeats meanwhile is what it said. What came before, on another link or
//! in another run, may have been another's, flashed with the same image. So it is not taken for known by its number alone.
//! What is still in memory is compared here. What is not is taken once more and sent to the cloud, which compares it with what is stored
//! (rule b); its board is acknowledged only then. [`OriginState::take_ack`] passes nothing that this link did not bring.
//!
//! What differs is sent as well, by itself, so that the cloud puts it into quarantine and raises `identity-conflict`. From then on
//! nobody goes on under that boot: each of the two gets one of its own, and brings under it all that it still holds. A former
//! boot cannot be exchanged for another; what differs of it stays with its board until the first content is safe, and is compared
//! by the cloud then: an acknowledgement could not tell which of the two it is for.

use tidegate_protocol::{
    Origin, Reading, SeqRange,
    block::{Block, OriginReadings, Record, ranges_of},
    frame::Down,
    topic::Lane,
};
use tidegate_service::Mutant;

use super::{
    Core,
    event::{Effect, LinkId},
    origin::{OriginState, Slot},
    parcel::{Content, Custody, Parcel},
};

impl OriginState {
    /// What was received of the range, and not by what its link brought since the Hello.
    fn known_before(&self, range: SeqRange) -> Vec<SeqRange> {
        if self.received.end() <= range.start || Mutant::ResendAckedEarly.is_on() {
            return Vec::new();
        }
        let (mut known, mut new) = (Vec::new(), Vec::new());
        self.received.split(range, &mut known, &mut new);
        known.into_iter().flat_map(|part| self.heard.missing(part)).collect()
    }
}

impl Core {
    /// Holds a frame's readings against what came before this Hello; returns what of them is to be taken once more. None: it is of another
    /// board, and not to be taken.
    pub(super) fn before(&mut self, slot: Slot, link: LinkId, readings: &[Reading]) -> Option<Vec<SeqRange>> {
        let (first, last) = (readings.first()?, readings.last()?);
        let range = SeqRange::new(first.seq.0, last.seq.0.saturating_add(1));
        let state = self.origins.get(slot)?;
        if state.contested && self.origins.former(link) != Some(slot) {
            self.identify(link);
            return None;
        }
        let known = state.known_before(range);
        if known.is_empty() {
            return Some(Vec::new());
        }
        let copies = self.in_memory(slot, &known);
        let (mut again, mut differing) = (Vec::new(), Vec::new());
        for reading in
            readings.iter().filter(|reading| known.iter().any(|range| range.contains(reading.seq.0)))
        {
            let mut same_seq = copies.iter().filter(|copy| copy.seq == reading.seq).peekable();
            if same_seq.peek().is_none() {
                again.push(*reading);
            } else if !same_seq.any(|copy| copy == reading) {
                differing.push(*reading);
            }
        }
        if differing.is_empty() {
            let again = ranges_of(&again);
            self.counters.readings_again += again.iter().map(SeqRange::len).sum::<u64>();
            return Some(again);
        }
        if self.origins.former(link) != Some(slot) {
            self.keep_apart(slot, &differing);
            self.contest(slot);
        }
        None
    }

    /// The readings of these ranges that wait for a block, or are in one that nobody has yet.
    fn in_memory(&mut self, slot: Slot, ranges: &[SeqRange]) -> Vec<Reading> {
        let Some(state) = self.origins.get(slot) else { return Vec::new() };
        let origin = state.origin();
        let is_asked = |reading: &&Reading| ranges.iter().any(|range| range.contains(reading.seq.0));
        let mut found: Vec<Reading> =
            state.live.iter().chain(state.late.iter()).filter(is_asked).copied().collect();
        for block in self.outbox.blocks_with(slot, ranges) {
            let Ok(block) = self.decoder.decode(&block) else { continue };
            let of_it = block.origins.iter().filter(|of| of.origin == origin).flat_map(|of| &of.readings);
            found.extend(of_it.filter(is_asked));
        }
        found
    }

    /// What differs goes to the cloud in a block of its own, where it meets what is stored.
    fn keep_apart(&mut self, slot: Slot, differing: &[Reading]) {
        let due = self.due_in(0, 0);
        let Some(state) = self.origins.get_mut(slot) else { return };
        let (origin, ranges) = (state.origin(), ranges_of(differing));
        ranges.iter().for_each(|range| state.again.insert(*range));
        let of = OriginReadings { origin, readings: differing.to_vec() };
        let records = vec![Record::Described(state.description.clone())];
        let block = Block { records, origins: vec![of] };
        match self.packer.encode(&block) {
            Ok(bytes) => {
                let count = differing.len() as u32;
                let mut parcel = Parcel::new(Lane::Backlog, bytes.into(), count, Custody::Ram(due));
                parcel.contents = vec![Content { ranges, ..Content::of(slot) }];
                self.add_to_outbox(parcel);
            }
            // Not acknowledged either: its board keeps it.
            Err(error) => tracing::error!(%error, "readings of a second board cannot be encoded"),
        }
        self.counters.readings_differing += differing.len() as u64;
        tracing::error!(
            device = %origin.device,
            boot = %origin.boot,
            readings = differing.len(),
            "two boards are this device in this boot: what came now is not what came before under the same numbers. Both are sent; \
             give each board a name of its own"
        );
    }

    /// Two boards have this boot: nobody goes on under it. Whoever speaks for it is asked who it is, and acknowledged what it brought.
    fn contest(&mut self, slot: Slot) {
        let Some(state) = self.origins.get_mut(slot).filter(|state| state.local_flush_ms.is_none()) else {
            return;
        };
        state.contested = true;
        if let Some(link) = state.link.filter(|link| self.origins.linked(*link) == Some(slot)) {
            self.effects.push_back(Effect::Send { link, frame: Down::Identify });
        }
    }

    /// The cloud has another content of these. Only where they were taken once more is it of two boards here; else the second may be
    /// behind another gateway.
    pub(super) fn contest_compared(&mut self, parts: &[(Origin, SeqRange)]) {
        for (origin, range) in parts {
            let Some(slot) = self.origins.slot(*origin) else { continue };
            let again = self.origins.get(slot).map(|state| state.again.missing(*range));
            if again.is_some_and(|others| others != [*range]) {
                self.contest(slot);
            }
        }
    }
}
