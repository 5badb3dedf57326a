//! What the agent knows of one origin: which of its readings it has had, which are safe, and what waits in memory.

use tidegate_protocol::{
    BootId, Origin, RangeSet, Reading, SeqRange,
    block::Description,
    frame::{BoardCounters, Down},
    topic::Lane,
};

use tidegate_service::Mutant;

use super::{
    clock::Anchored,
    event::{Key, LinkId, OriginRecord},
    parcel::Content,
    pending::Pending,
    watch::Watch,
};

/// An origin's place in the table; never used again within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// How many separate ranges of received readings one origin may have. A board whose link tears more holes than
/// this is not read further until its resends close some: the frame is not acknowledged, so nothing is lost.
pub const MAX_RANGES: usize = 1024;

#[derive(Debug)]
pub struct OriginState {
    pub description: Description,
    /// The cloud has the description, durably.
    pub described: bool,
    /// A source of this machine, and how long its readings may be unsafe.
    pub local_flush_ms: Option<u64>,
    /// What this gateway was given: readings and declared losses. Resends are recognised by it.
    pub received: RangeSet,
    /// What of it is committed here or in the cloud.
    pub safe: RangeSet,
    /// Losses the board declared that are not safe yet. Acknowledgements wait for them, since one that passes a
    /// lost range tells the board to forget its declaration too.
    pub unsafe_losses: RangeSet,
    /// What its present link brought since the Hello. Acknowledgements pass nothing else: what another link brought may be another
    /// board's.
    pub heard: RangeSet,
    /// Taken once more, and not safe yet.
    pub again: RangeSet,
    /// Two boards have it: nobody goes on under it.
    pub contested: bool,
    pub floor: u64,
    pub next: u64,
    /// The `next` that the cloud was told or is being told.
    pub told_next: u64,
    /// What waits for a live block.
    pub live: Pending,
    /// What came after newer readings, or was measured before its board was welcomed: it never holds up what is live.
    pub late: Pending,
    /// Readings from here on are live.
    live_from: u64,
    /// What its readings are held against; none until the first.
    pub watch: Option<Watch>,
    pub link: Option<LinkId>,
    pub ack_due: bool,
    pub acked: u64,
    /// Free places in the board's ring, and the board's `next` when it said so.
    pub ring: Option<(u32, u64)>,
    /// What the board last said went wrong on its side.
    pub troubles: BoardCounters,
    /// The last moment at which its tick was known.
    pub anchored: Option<Anchored>,
    pub closed: bool,
    /// How often it was closed: a boot that was taken for ended may go on.
    closings: u32,
    /// The last closing and the losses declared with it are safe; only then may a restart rely on it.
    pub closing_safe: bool,
    /// The number of the last block in the queue that may hold anything of this origin.
    pub last_number: Option<u64>,
    /// Its board has spoken in this run.
    pub met: bool,
    /// What must survive a restart has changed since it was last written.
    pub unrecorded: bool,
}

impl OriginState {
    pub fn new(description: Description) -> Self {
        Self {
            description,
            described: false,
            local_flush_ms: None,
            received: RangeSet::default(),
            safe: RangeSet::default(),
            unsafe_losses: RangeSet::default(),
            heard: RangeSet::default(),
            again: RangeSet::default(),
            contested: false,
            floor: 0,
            next: 0,
            told_next: 0,
            live: Pending::default(),
            late: Pending::default(),
            live_from: 0,
            watch: None,
            link: None,
            ack_due: false,
            acked: 0,
            ring: None,
            troubles: BoardCounters::default(),
            anchored: None,
            closed: false,
            closings: 0,
            closing_safe: false,
            last_number: None,
            met: false,
            unrecorded: true,
        }
    }

    pub fn recovered(record: OriginRecord, next_key: Key) -> Self {
        let safe = RangeSet::from_iter(record.safe);
        Self {
            described: record.described,
            received: safe.clone(),
            safe,
            floor: record.floor,
            next: record.next,
            closed: record.closed,
            closing_safe: record.closed,
            last_number: next_key.checked_sub(1),
            unrecorded: false,
            ..Self::new(record.description)
        }
    }

    /// It measures no more; returns the number of this closing.
    pub const fn close(&mut self) -> u32 {
        self.closed = true;
        self.unrecorded = true;
        self.closings += 1;
        self.closings
    }

    /// It was taken for ended and goes on: its Hello was late, or its board uses it again. It has to be closed anew.
    pub const fn reopen(&mut self) {
        if self.closed {
            self.closed = false;
            self.closing_safe = false;
            self.unrecorded = true;
        }
    }

    /// Whether the closing that holds is inside, not one that was taken back.
    pub fn is_closed_by(&self, content: &Content) -> bool {
        self.closed && content.closes == Some(self.closings)
    }

    pub const fn live_from(&self) -> u64 {
        self.live_from
    }

    pub fn record(&self) -> OriginRecord {
        OriginRecord {
            description: self.description.clone(),
            safe: self.safe.ranges().to_vec(),
            floor: self.floor,
            next: self.next,
            described: self.described,
            closed: self.closing_safe,
            local: self.local_flush_ms.is_some(),
        }
    }

    pub fn origin(&self) -> Origin {
        self.description.origin
    }

    pub fn boot(&self) -> BootId {
        self.description.origin.boot
    }

    /// What a frame says of the board's ring; neither value goes back.
    pub fn reports(&mut self, floor: u64, next: u64) {
        self.floor = self.floor.max(floor);
        self.next = self.next.max(next);
    }

    /// Its board says Hello: what it measured before is not live any more, and what came before may have been another's.
    pub fn greets(&mut self, floor: u64, next: u64) {
        self.reports(floor, next);
        self.heard = RangeSet::default();
        self.live_from = self.live_from.max(next);
    }

    pub const fn pending(&mut self, lane: Lane) -> &mut Pending {
        match lane {
            Lane::Alarm | Lane::Live => &mut self.live,
            Lane::Backlog | Lane::Bulk => &mut self.late,
        }
    }

    /// Takes readings in, without those already had but for `again`; returns the lane in which they wait, and how many were taken.
    /// `readings` are consecutive.
    pub fn take(&mut self, readings: Vec<Reading>, again: Vec<SeqRange>) -> (Lane, usize) {
        let (Some(first), Some(last)) = (readings.first(), readings.last()) else { return (Lane::Live, 0) };
        let range = SeqRange::new(first.seq.0, last.seq.0.saturating_add(1));
        let lane = if last.seq.0 < self.live_from { Lane::Backlog } else { Lane::Live };
        self.live_from = self.live_from.max(range.end);
        self.heard.insert(range);
        again.iter().for_each(|&range| self.again.insert(range));
        let mut gaps = self.received.missing(range);
        gaps.extend(again);
        if gaps.is_empty() {
            return (lane, 0);
        }
        self.received.insert(range);
        (lane, self.pending(lane).take(readings, range, &gaps))
    }

    /// Whether the readings from `first` can be noted without tearing more holes than [`MAX_RANGES`]: at the bound
    /// only what goes on from a known range is taken.
    pub fn has_room_for(&mut self, first: u64) -> bool {
        let floor = self.floor;
        [&mut self.received, &mut self.heard].into_iter().all(|known| {
            known.ranges().len() < MAX_RANGES
                || known.run_end(first) > first
                || first.checked_sub(1).is_some_and(|before| known.run_end(before) > before)
                || known.forget_gaps_below(floor, MAX_RANGES - 1)
        })
    }

    pub fn made_safe(&mut self, ranges: &[SeqRange], lost: &[SeqRange]) {
        for &range in ranges {
            self.safe.insert(range);
            self.again.remove(range);
        }
        for &range in lost {
            self.safe.insert(range);
            self.unsafe_losses.remove(range);
            self.again.remove(range);
        }
        // Where gaps are forgotten they are below the floor: someone else's custody.
        self.safe.forget_gaps_below(self.floor, MAX_RANGES);
        self.ack_due = true;
    }

    /// The acknowledgement that is due now: the end of the safe run that starts at the floor, as far as this link brought it.
    pub fn take_ack(&mut self) -> Option<(LinkId, Down)> {
        let due = std::mem::take(&mut self.ack_due);
        let link = self.link.filter(|_| due)?;
        if !self.unsafe_losses.is_empty() {
            return None;
        }
        let mut up_to = self.safe.run_end(self.floor).min(self.heard.run_end(self.floor));
        // What is below the floor its board does not hold any more.
        let again = self.again.iter().find(|range| range.end > self.floor);
        up_to = again.map_or(up_to, |range| up_to.min(range.start.max(self.floor)));
        if Mutant::AckBeforeCommit.is_on() {
            up_to = self.received.run_end(self.floor);
        } else if Mutant::AckAcrossHole.is_on() {
            up_to = self.safe.end();
        }
        if up_to == 0 {
            return None;
        }
        self.acked = self.acked.max(up_to);
        Some((link, Down::Ack { boot: self.boot(), up_to: tidegate_protocol::Seq(up_to) }))
    }

    /// Readings that the board has reported and that nobody can deliver once it has a new boot.
    pub fn unclean_tail(&self) -> Vec<SeqRange> {
        self.received.missing(SeqRange::new(self.floor, self.next))
    }

    /// The board may soon overflow: it took in more than half of what was free when it last said.
    pub fn ring_is_tight(&self) -> bool {
        self.ring.is_some_and(|(free, at)| self.next.saturating_sub(at) >= u64::from(free / 2))
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{ChannelIndex, DeviceId, Quality, Seq, Tick, Value};

    use super::*;

    fn state() -> OriginState {
        let origin = Origin::new(DeviceId::new("board").unwrap(), BootId(1));
        let mut state = OriginState::new(Description {
            origin,
            tag: String::new(),
            firmware: String::new(),
            channels: Vec::new(),
        });
        state.link = Some(LinkId(1));
        state.heard.insert(SeqRange::new(0, 20));
        state
    }

    fn readings(seqs: std::ops::Range<u64>) -> Vec<Reading> {
        seqs.map(|seq| Reading {
            seq: Seq(seq),
            channel: ChannelIndex(0),
            tick: Tick(seq),
            value: Value::Bool(true),
            quality: Quality::Good,
        })
        .collect()
    }

    fn up_to(state: &mut OriginState) -> Option<u64> {
        match state.take_ack() {
            Some((_, Down::Ack { up_to, .. })) => Some(up_to.0),
            _ => None,
        }
    }

    fn seqs(pending: &mut Pending) -> Vec<u64> {
        pending.draw(usize::MAX).iter().map(|reading| reading.seq.0).collect()
    }

    #[test]
    fn what_was_had_is_not_taken_again() {
        let mut state = state();
        assert_eq!(state.take(readings(0..5), Vec::new()), (Lane::Live, 5));
        assert_eq!(state.take(readings(8..10), Vec::new()), (Lane::Live, 2));
        assert_eq!(state.take(readings(6..11), Vec::new()), (Lane::Live, 3));
        assert_eq!(state.take(readings(2..9), Vec::new()), (Lane::Backlog, 1));
        assert_eq!(state.take(readings(0..11), Vec::new()), (Lane::Backlog, 0));
        assert_eq!(seqs(&mut state.live), [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]);
        assert_eq!(seqs(&mut state.late), [5]);
    }

    #[test]
    fn what_was_measured_before_the_hello_is_late_and_waits_in_order() {
        let mut state = state();
        state.greets(0, 20);
        assert_eq!(state.take(readings(20..22), Vec::new()), (Lane::Live, 2));
        assert_eq!(state.take(readings(10..20), Vec::new()), (Lane::Backlog, 10));
        assert_eq!(state.take(readings(0..10), Vec::new()), (Lane::Backlog, 10));
        assert_eq!(state.late.draw_range(SeqRange::new(3, 5)).len(), 2);
        assert_eq!(state.late.draw(4).iter().map(|reading| reading.seq.0).collect::<Vec<_>>(), [0, 1, 2, 5]);
        assert_eq!(seqs(&mut state.late), (6..20).collect::<Vec<_>>());
        assert_eq!(state.take(readings(22..23), Vec::new()), (Lane::Live, 1));
    }

    #[test]
    fn an_ack_is_the_end_of_the_safe_run_from_the_floor() {
        let mut state = state();
        state.reports(3, 20);
        state.made_safe(&[SeqRange::new(5, 9)], &[]);
        assert_eq!(up_to(&mut state), Some(3), "4 is not safe");
        state.made_safe(&[SeqRange::new(3, 5)], &[]);
        assert_eq!(up_to(&mut state), Some(9));
        assert_eq!(up_to(&mut state), None, "said once");
    }

    #[test]
    fn no_ack_passes_what_this_link_did_not_bring_or_what_is_to_be_safe_once_more() {
        let mut state = state();
        state.made_safe(&[SeqRange::new(0, 20)], &[]);
        state.greets(3, 20);
        assert_eq!(up_to(&mut state), Some(3), "below the floor it is someone else's");
        state.take(readings(3..12), vec![SeqRange::new(8, 10)]);
        state.take(readings(15..20), Vec::new());
        state.ack_due = true;
        assert_eq!(up_to(&mut state), Some(8));
        state.made_safe(&[SeqRange::new(8, 10)], &[]);
        assert_eq!(up_to(&mut state), Some(12));
    }

    #[test]
    fn no_ack_passes_a_declared_loss_that_is_not_safe() {
        let mut state = state();
        state.reports(6, 10);
        state.unsafe_losses.insert(SeqRange::new(2, 6));
        state.made_safe(&[SeqRange::new(6, 8)], &[]);
        assert_eq!(up_to(&mut state), None);
        state.made_safe(&[], &[SeqRange::new(2, 6)]);
        assert_eq!(up_to(&mut state), Some(8));
    }

    #[test]
    fn holes_are_bounded() {
        let mut state = state();
        for hole in 0..MAX_RANGES as u64 {
            assert!(state.has_room_for(hole * 2));
            state.take(readings(hole * 2..hole * 2 + 1), Vec::new());
        }
        let beyond = MAX_RANGES as u64 * 2 + 7;
        assert!(!state.has_room_for(beyond));
        assert!(state.has_room_for(5), "goes on from a known range");
        state.take(readings(beyond..beyond + 1), Vec::new());
        assert!(!state.has_room_for(beyond - 3), "tears a hole below the end");
        state.reports(50, beyond);
        assert!(state.has_room_for(beyond), "gaps below the floor are someone else's");
    }
}
