//! A block against the ledger: what of it is new, known, or cannot be taken.
//!
//! Of a block with readings of origins that are not described, the described origins' readings are accepted and only
//! the others are rejected (`undescribed`, with their ranges); what an origin brings beside readings that are known waits
//! until those were compared, and is not taken where they differ (`again`); so is what would tear more holes into an origin than are
//! kept of one (`corrupt`, with its ranges). A block that does not decode is rejected as a whole and
//! kept in quarantine; one whose stamp cannot be read has no number to answer to, so it is only kept and counted. One of another
//! version of the wire is not kept here: its agent has it, and sends it again. One with more new origins than there is room
//! for (`room`) gets no answer either; what it brings of others is taken.

use bytes::Bytes;
use tidegate_protocol::{
    GatewayId, Origin, RangeSet, Reading, SeqRange, WIRE_VERSION,
    ack::RejectReason,
    block::{BlockError, OriginReadings, Stamp, content_checksums, ranges_of, read_stamp},
    topic::{GatewayPath, Lane},
};
use tidegate_service::Mutant;

use super::{
    Core, Mode, VerifyJob,
    acks::Rejection,
    alarming,
    batch::{Accepted, Entry, EntryHead, MAX_GATEWAYS_PER_ORIGIN, OriginNo, Quarantined},
    current::is_live,
    ledger::Split,
    origins::OriginState,
};

/// A block whose outcome waits.
#[derive(Debug)]
pub(super) struct Fate {
    pub to: GatewayPath,
    pub epoch: u64,
    pub number: u64,
    pub block: Bytes,
    /// The journal entries that hold what was new of it.
    pub entries: Vec<u64>,
    /// The batch that must be committed first.
    pub barrier: u64,
    pub rejection: Option<Rejection>,
    pub verify: Option<VerifyJob>,
    /// All that is to be compared of it, and what was: its outcome relies on that until it has left.
    pub compared: Vec<(OriginNo, Origin, SeqRange)>,
    /// What is to be taken of it once that was compared.
    pub again: Option<Again>,
}

/// What waits of a block until readings beside it were compared.
#[derive(Debug)]
pub(super) struct Again {
    lane: Lane,
    unix_ms: i64,
    /// Of the origins in the block.
    places: Vec<u32>,
}

/// A block as it came, and what has become of it so far.
struct Sent {
    epoch: u64,
    number: u64,
    block: Bytes,
    entries: Vec<u64>,
    rejection: Option<Rejection>,
}

/// One block on its way through.
struct Arrival {
    from: GatewayPath,
    lane: Lane,
    unix_ms: i64,
    accepted: Vec<Accepted>,
    known: Vec<(OriginNo, Origin, SeqRange)>,
    undescribed: Vec<(Origin, SeqRange)>,
    /// What would tear more holes into an origin than are kept.
    torn: Vec<(Origin, SeqRange)>,
    /// What came too late.
    sealed: Vec<(Origin, SeqRange)>,
    /// Origins by their place in the block, of which something is new beside what is to be compared first.
    half_known: Vec<u32>,
    /// What was compared already.
    compared: Vec<(OriginNo, Origin, SeqRange)>,
    /// Origins that came with another content.
    differing: Vec<Origin>,
    /// What of those is new: nobody knows whose it is.
    contested: Vec<(Origin, SeqRange)>,
    /// No further origin finds room: what is new stays with the gateway, and so does its block.
    is_crowded: bool,
}

impl Arrival {
    fn new(from: GatewayPath, lane: Lane, unix_ms: i64) -> Self {
        Self {
            from,
            lane,
            unix_ms,
            accepted: Vec::new(),
            known: Vec::new(),
            undescribed: Vec::new(),
            torn: Vec::new(),
            sealed: Vec::new(),
            half_known: Vec::new(),
            compared: Vec::new(),
            differing: Vec::new(),
            contested: Vec::new(),
            is_crowded: false,
        }
    }

    /// What of these is not compared yet.
    fn uncompared(&self, no: OriginNo, known: Vec<SeqRange>) -> Vec<SeqRange> {
        if self.compared.is_empty() {
            return known;
        }
        let mut known: RangeSet = known.into_iter().collect();
        let compared = self.compared.iter().filter(|(of, ..)| *of == no);
        compared.for_each(|(.., range)| known.remove(*range));
        known.ranges().to_vec()
    }
}

impl Core {
    pub(super) fn block(&mut self, now_ms: u64, from: GatewayPath, lane: Lane, bytes: Bytes, unix_ms: i64) {
        self.counters.blocks_received += 1;
        self.counters.bytes_received += bytes.len() as u64;
        if self.mode != Mode::Taking {
            return;
        }
        if self.is_above_quota() && lane != Lane::Alarm {
            self.counters.blocks_refused_full += 1;
            return;
        }
        let stamp = read_stamp(&bytes).ok();
        let decoded = self.decoder.decode(&bytes);
        self.heard(from, unix_ms);
        let (Some(stamp), Ok(block)) = (stamp, &decoded) else {
            let error = decoded.err().unwrap_or(BlockError::Truncated);
            return self.refuse(now_ms, from, stamp, error, bytes, unix_ms);
        };
        self.epoch_heard(now_ms, from, stamp, content_checksums(&bytes), unix_ms);
        let mut arrival = Arrival::new(from, lane, unix_ms);
        arrival.is_crowded = !self.has_room_for(now_ms, from, unix_ms, &block.records);
        let takes_new = !arrival.is_crowded;
        let news = self.records(from, unix_ms, &block.records, takes_new, &mut arrival.sealed);
        for (entry, readings) in block.origins.iter().enumerate() {
            self.origin_readings(now_ms, &mut arrival, entry as u32, readings);
        }
        let Stamp { epoch, number, .. } = stamp;
        let sent = Sent { epoch, number, block: bytes, entries: Vec::new(), rejection: None };
        self.keep(now_ms, arrival, sent, news);
    }

    fn heard(&mut self, from: GatewayPath, unix_ms: i64) {
        let gateway = self.gateways.entry(from).or_default();
        gateway.heard = true;
        gateway.dirty = true;
        gateway.record.last_block_unix_ms = Some(unix_ms);
    }

    /// Each version is said once of a gateway, whatever else it sends: who has its certificate chooses what that is.
    fn unreadable(&mut self, GatewayPath { site, gateway }: GatewayPath, version: u8) {
        let state = self.gateways.entry(GatewayPath { site, gateway }).or_default();
        if state.other_versions.insert(version) {
            tracing::error!(
                %site, %gateway,
                "the gateway's blocks have wire version {version}, and this ingest reads version {WIRE_VERSION}: update the older of \
                 the two; the gateway keeps what it has"
            );
        }
    }

    fn refuse(
        &mut self,
        now_ms: u64,
        from: GatewayPath,
        stamp: Option<Stamp>,
        error: BlockError,
        bytes: Bytes,
        arrival_unix_ms: i64,
    ) {
        let reason = if let BlockError::Version(version) = error {
            // It stays with its agent, which sends it until somebody here can read it.
            self.counters.blocks_rejected_unsupported += 1;
            self.unreadable(from, version);
            RejectReason::Unsupported
        } else {
            self.counters.blocks_rejected_corrupt += 1;
            let because = error.to_string();
            let reason = RejectReason::Corrupt;
            let kept = Quarantined { from, arrival_unix_ms, reason, because, bytes: bytes.to_vec() };
            self.building.quarantine.push(kept);
            self.building_bytes += bytes.len();
            self.touch_batch(now_ms);
            reason
        };
        if let Some(Stamp { epoch, number, .. }) = stamp {
            let rejection = Some(Rejection { reason, parts: Vec::new() });
            let barrier = self.barrier();
            self.fates.push_back(Fate {
                to: from,
                epoch,
                number,
                block: bytes,
                entries: Vec::new(),
                barrier,
                rejection,
                verify: None,
                compared: Vec::new(),
                again: None,
            });
            self.release_fates();
        }
    }

    /// One origin's readings: accepted, known, or undescribed.
    fn origin_readings(&mut self, now_ms: u64, arrival: &mut Arrival, entry: u32, readings: &OriginReadings) {
        let OriginReadings { origin, readings } = readings;
        let ranges = ranges_of(readings);
        let site = arrival.from.site;
        if let Some(no) = self.origins.sealed(site, *origin) {
            let count = ranges.iter().map(SeqRange::len).sum();
            self.counters.readings_refused_sealed += count;
            self.building.refused.push((no, count));
            arrival.sealed.extend(ranges.into_iter().map(|range| (*origin, range)));
            return;
        }
        let described = self
            .origins
            .number(site, *origin)
            .filter(|no| self.origins.get(*no).is_some_and(|state| state.describes(readings)));
        let Some(no) = described else {
            arrival.undescribed.extend(ranges.into_iter().map(|range| (*origin, range)));
            return;
        };
        let Some(state) = self.origins.get_mut(no) else { return };
        let mut all = Split::default();
        ranges.iter().for_each(|range| state.record.ledger.classify(*range, &mut all));
        all.known = arrival.uncompared(no, all.known);
        let known: u64 = all.known.iter().map(SeqRange::len).sum();
        state.record.duplicates += known;
        self.counters.readings_duplicate += known;
        let is_half_known = !all.known.is_empty() && !all.new.is_empty();
        arrival.known.extend(all.known.into_iter().map(|part| (no, *origin, part)));
        if arrival.differing.contains(origin) {
            arrival.contested.extend(all.new.into_iter().map(|part| (*origin, part)));
            return;
        }
        if is_half_known {
            return arrival.half_known.push(entry);
        }
        let mut new = Vec::new();
        let mut rest = readings.as_slice();
        let frontier = state.frontier();
        let mut changed: Option<SeqRange> = None;
        for range in ranges {
            let (run, others) = rest.split_at_checked(range.len() as usize).unwrap_or((rest, &[]));
            rest = others;
            let mut split = Split::default();
            state.record.ledger.classify(range, &mut split);
            for part in split.new {
                if !state.record.ledger.has_room_to_store(part) {
                    self.counters.ranges_refused += 1;
                    arrival.torn.push((*origin, part));
                    continue;
                }
                let recovered = state.record.ledger.store(part);
                if recovered > 0 && part.start < frontier {
                    let known = changed.unwrap_or(part);
                    changed = Some(SeqRange::new(known.start.min(part.start), known.end.max(part.end)));
                }
                self.counters.readings_stored += part.len();
                new.push((part, part_of(run, range, part)));
            }
        }
        state.arrived(arrival.from.gateway, arrival.unix_ms);
        for (range, run) in &new {
            let ticks = state.take_run(run);
            arrival.accepted.push(Accepted { origin: no, entry, range: *range, ticks });
        }
        self.mark_dirty(no);
        if let Some(changed) = changed {
            self.retell_from(no, changed);
        }
        self.evaluate(now_ms, no, arrival.lane, arrival.unix_ms, &new);
    }

    /// Rules over what was just accepted of an origin.
    fn evaluate(
        &mut self,
        now_ms: u64,
        no: OriginNo,
        lane: Lane,
        unix_ms: i64,
        runs: &[(SeqRange, &[Reading])],
    ) {
        if runs.is_empty() {
            return;
        }
        let live = self.make_current(now_ms, no, lane);
        if is_live(lane) {
            self.watch_where_it_is(now_ms, no, unix_ms, runs);
        }
        let Some(state) = self.origins.get_mut(no) else { return };
        if state.watch.any() {
            let mut out = alarming::Outcome::default();
            for (range, run) in runs {
                let at = state.record.ledger.lost_run_end(state.record.settled);
                let settle = at == range.start && state.retelling.is_none();
                state.feed(run, live.then_some(now_ms), settle, &mut out);
            }
            let (spoke, members) = (std::mem::take(&mut out.spoke), std::mem::take(&mut out.members));
            self.emit(no, out);
            self.spoke(now_ms, no, &spoke, unix_ms);
            self.members_changed(now_ms, no, members, unix_ms);
        }
        self.settle_on(no);
    }

    /// What of a block is refused. With a description the agent can still bring the rest of it, so that comes first.
    fn rejection(
        &mut self,
        undescribed: Vec<(Origin, SeqRange)>,
        sealed: Vec<(Origin, SeqRange)>,
        torn: Vec<(Origin, SeqRange)>,
        before: Option<Rejection>,
    ) -> Option<Rejection> {
        let (reason, counted) = match (undescribed.is_empty(), sealed.is_empty(), torn.is_empty()) {
            (true, true, true) => return before,
            (false, ..) => (RejectReason::Undescribed, &mut self.counters.blocks_rejected_undescribed),
            (_, false, _) => (RejectReason::Sealed, &mut self.counters.blocks_rejected_sealed),
            _ => (RejectReason::Corrupt, &mut self.counters.blocks_rejected_corrupt),
        };
        *counted += 1;
        let mut parts = [undescribed, sealed, torn].concat();
        match before {
            // What is wrong with its identity is the graver.
            Some(mut before) => {
                before.parts.append(&mut parts);
                Some(before)
            }
            None => Some(Rejection { reason, parts }),
        }
    }

    /// What waited until the rest was compared; where that differs, nothing of the same origin is taken.
    pub(super) fn take_compared(
        &mut self,
        now_ms: u64,
        fate: Fate,
        again: Again,
        differing: &[(Origin, SeqRange)],
    ) {
        let Fate { to, epoch, number, block, entries, rejection, compared, .. } = fate;
        let Ok(decoded) = self.decoder.decode(&block) else { return };
        let Again { lane, unix_ms, places } = again;
        let mut arrival = Arrival::new(to, lane, unix_ms);
        arrival.compared = compared;
        arrival.differing = differing.iter().map(|(origin, _)| *origin).collect();
        for place in places {
            if let Some(readings) = decoded.origins.get(place as usize) {
                self.origin_readings(now_ms, &mut arrival, place, readings);
            }
        }
        self.keep(now_ms, arrival, Sent { epoch, number, block, entries, rejection }, false);
    }

    /// Journal entry and outcome of a block that was taken apart.
    fn keep(&mut self, now_ms: u64, arrival: Arrival, sent: Sent, news: bool) {
        let Arrival { from, lane, unix_ms, accepted, known, undescribed, torn, sealed, .. } = arrival;
        let Arrival { half_known, mut compared, contested, is_crowded, .. } = arrival;
        let Sent { epoch, number, block, mut entries, rejection } = sent;
        let len = block.len();
        if news || !accepted.is_empty() {
            let position = self.next_position;
            let head = EntryHead { from, lane, arrival_unix_ms: unix_ms, accepted };
            self.next_position += 1;
            entries.push(position);
            self.building.entries.push(Entry { position, head, block: block.clone() });
            self.building_bytes += len;
            self.urgent |= lane == Lane::Alarm;
            self.touch_batch(now_ms);
        }
        if is_crowded {
            return;
        }
        let rejection = rejection.map(|mut rejection| {
            rejection.parts.extend(contested);
            rejection
        });
        let rejection = self.rejection(undescribed, sealed, torn, rejection);
        compared.extend(&known);
        let again = (!half_known.is_empty()).then_some(Again { lane, unix_ms, places: half_known });
        let verify = (!known.is_empty()).then(|| VerifyJob { block: block.clone(), ranges: known });
        // What is known may be in the batch being written, or in the one being filled.
        let barrier = self.barrier();
        let early =
            Mutant::BlockAckedEarly.is_on() || (verify.is_some() && Mutant::DuplicateAckedEarly.is_on());
        let barrier = if early { 0 } else { barrier };
        let verify = verify.filter(|_| !early);
        let to = from;
        let fate = Fate { to, epoch, number, block, entries, barrier, rejection, verify, compared, again };
        self.fates.push_back(fate);
        self.release_fates();
    }
}

/// The readings of `part`, which lies inside the run of `range`.
fn part_of(run: &[Reading], range: SeqRange, part: SeqRange) -> &[Reading] {
    let from = (part.start - range.start) as usize;
    run.get(from..from + part.len() as usize).unwrap_or_default()
}

impl OriginState {
    fn arrived(&mut self, gateway: GatewayId, unix_ms: i64) {
        self.record.last_arrival_unix_ms = self.record.last_arrival_unix_ms.max(unix_ms);
        self.record.heard(unix_ms);
        self.brought_by = Some(gateway);
        let gateways = &mut self.record.gateways;
        if !gateways.contains(&gateway) && gateways.len() < MAX_GATEWAYS_PER_ORIGIN {
            gateways.push(gateway);
        }
    }

    /// Notes the newest values of a run, and says its lowest and highest tick.
    fn take_run(&mut self, run: &[Reading]) -> (u64, u64) {
        let mut ticks = (u64::MAX, 0);
        for reading in run {
            ticks = (ticks.0.min(reading.tick.0), ticks.1.max(reading.tick.0));
            self.seen_latest(reading);
        }
        ticks
    }

    pub(super) fn seen_latest(&mut self, reading: &Reading) {
        if let Some(latest) = self.latest.get_mut(usize::from(reading.channel.0))
            && latest.as_ref().is_none_or(|known| known.seq <= reading.seq)
        {
            *latest = Some(*reading);
            self.latest_changed = true;
        }
    }
}
