//! Power cuts in a recording, and the disks that each may leave behind.
//!
//! A cut may come behind every recorded call, and in the middle of one that syncs by itself. Of what may have reached the
//! disk then (see [`super::disk`]), the disks tried are: nothing, everything; every subset where there are few pieces;
//! else each call dropped and each call alone, the newest call torn at every sector, and random subsets by call, by
//! 4-KiB page and by sector. Disks that are the same byte for byte are tried once for the same promise.

use std::{
    collections::{BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{
    SECTOR_BYTES,
    disk::{Disk, Pending, Tree, Unit},
    trace::Step,
};

/// Every subset is tried of up to this many pieces.
const EVERY_SUBSET_OF: usize = 5;
/// The newest call is torn at this many places at most.
const TEARS: usize = 24;

#[derive(Clone, Copy, Debug)]
pub struct Thoroughness {
    /// Random subsets per cut, of each kind.
    pub random: usize,
    pub seed: u64,
    /// Cuts before this acknowledgement are passed over.
    pub after: u32,
    /// What the disk writes whole.
    pub sector_bytes: usize,
}

impl Default for Thoroughness {
    fn default() -> Self {
        Self { random: 2, seed: 1, after: 0, sector_bytes: SECTOR_BYTES }
    }
}

/// A disk that a power cut may leave, and what had been promised by then.
#[derive(Clone, Debug)]
pub struct Crash {
    pub tree: Tree,
    /// The last piece of work that was acknowledged; 0 before the first.
    pub acknowledged: u32,
    /// The last that was begun.
    pub begun: u32,
    /// Where the cut came and what had reached the disk, in words.
    pub story: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub writes: u64,
    pub written_bytes: u64,
    /// Writes that were synced by themselves.
    pub through: u64,
    pub syncs: u64,
    pub folder_syncs: u64,
    pub names: u64,
    pub acknowledged: u32,
    pub cuts: u64,
    pub disks: u64,
    pub distinct: u64,
}

/// Gives every disk to `each`, until it says stop.
pub fn enumerate(steps: &[Step], how: Thoroughness, mut each: impl FnMut(Crash) -> bool) -> Counts {
    let mut counts = Counts::default();
    let mut disk = Disk::new(how.sector_bytes);
    let (mut acknowledged, mut begun) = (0, 0);
    let mut random = Random(how.seed);
    let mut known = HashSet::new();
    for (at, step) in steps.iter().enumerate() {
        count(step, &mut counts);
        match step {
            Step::Begun(number) => begun = *number,
            Step::Acknowledged(number) => acknowledged = *number,
            _ => {}
        }
        let middle = middle_of(step);
        for (step, place) in middle.iter().map(|step| (step, "in")).chain([(step, "behind")]) {
            let mut after = std::borrow::Cow::Borrowed(&disk);
            after.to_mut().apply(step);
            let passed_over = acknowledged < how.after;
            counts.cuts += u64::from(!passed_over);
            let pending = if passed_over { Vec::new() } else { after.pending() };
            let tried = if passed_over { BTreeSet::new() } else { subsets(&pending, how, &mut random) };
            for reached in tried {
                counts.disks += 1;
                let tree = after.after_cut(&reached);
                if !known.insert((hash(&tree), acknowledged, begun)) {
                    continue;
                }
                counts.distinct += 1;
                let story = format!(
                    "cut {place} step {at} ({}), {} of {} pending pieces on the disk: {}",
                    name(step),
                    reached.len(),
                    pending.len(),
                    list(&reached)
                );
                if !each(Crash { tree, acknowledged, begun, story }) {
                    return counts;
                }
            }
            if place == "behind" {
                disk = after.into_owned();
            }
        }
    }
    counts
}

/// A call that syncs its own bytes may be cut before they are synced.
fn middle_of(step: &Step) -> Option<Step> {
    match step {
        Step::Write { path, offset, bytes, through: true } => {
            Some(Step::Write { path: path.clone(), offset: *offset, bytes: bytes.clone(), through: false })
        }
        _ => None,
    }
}

fn subsets(pending: &[Pending], how: Thoroughness, random: &mut Random) -> BTreeSet<Vec<Unit>> {
    let units = |chosen: &mut dyn FnMut(&Pending) -> bool| -> Vec<Unit> {
        pending.iter().filter(|piece| chosen(piece)).map(|piece| piece.unit).collect()
    };
    let mut found = BTreeSet::from([Vec::new(), units(&mut |_| true)]);
    let calls: BTreeSet<usize> = pending.iter().map(|piece| piece.call).collect();
    if pending.len() <= EVERY_SUBSET_OF {
        for mask in 0..1_u32 << pending.len() {
            let mut at = 0;
            found.insert(units(&mut |_| {
                at += 1;
                mask >> (at - 1) & 1 == 1
            }));
        }
        return found;
    }
    // The newest calls: older ones were dropped and kept alone at their own cuts.
    for call in calls.iter().rev().take(3) {
        found.insert(units(&mut |piece| piece.call != *call));
        found.insert(units(&mut |piece| piece.call == *call));
    }
    if let Some(newest) = calls.last() {
        let of_newest = pending.iter().filter(|piece| piece.call == *newest).count();
        for tear in (1..of_newest).step_by(of_newest.div_ceil(TEARS).max(1)) {
            for older in [false, true] {
                let mut at = 0;
                found.insert(units(&mut |piece| {
                    let is_newest = piece.call == *newest;
                    at += usize::from(is_newest);
                    if is_newest { at <= tear } else { older }
                }));
            }
        }
    }
    for round in 0..how.random {
        let percent = [50, 85, 15][round % 3];
        let salt = random.next();
        let kept = |parts: (usize, usize, usize)| Random::of(salt, parts) % 100 < percent;
        found.insert(units(&mut |piece| kept((piece.call, 0, 0))));
        found.insert(units(&mut |piece| kept((piece.call, piece.page + 1, 0))));
        let mut at = 0;
        found.insert(units(&mut |piece| {
            at += 1;
            kept((piece.call, piece.page, at))
        }));
    }
    found
}

fn count(step: &Step, counts: &mut Counts) {
    match step {
        Step::Write { bytes, through, .. } => {
            counts.writes += 1;
            counts.written_bytes += bytes.len() as u64;
            counts.through += u64::from(*through);
        }
        Step::Sync { .. } => counts.syncs += 1,
        Step::SyncFolder { .. } => counts.folder_syncs += 1,
        Step::Create { .. } | Step::MakeFolder { .. } | Step::Rename { .. } | Step::Remove { .. } => {
            counts.names += 1;
        }
        Step::Acknowledged(number) => counts.acknowledged = *number,
        _ => {}
    }
}

fn name(step: &Step) -> String {
    match step {
        Step::Write { path, offset, bytes, through } => {
            let how = if *through { "synced write" } else { "write" };
            format!("{how} of {} bytes at {offset} of {path}", bytes.len())
        }
        other => format!("{other:?}"),
    }
}

fn list(units: &[Unit]) -> String {
    let shown: Vec<String> = units.iter().take(6).map(|unit| format!("{unit:?}")).collect();
    format!("{}{}", shown.join(", "), if units.len() > shown.len() { ", …" } else { "" })
}

fn hash(tree: &Tree) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (path, bytes) in tree {
        path.hash(&mut hasher);
        bytes.len().hash(&mut hasher);
        hasher.write(bytes);
    }
    hasher.finish()
}

/// SplitMix64: the same subsets from the same seed, everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn of(salt: u64, (a, b, c): (usize, usize, usize)) -> u64 {
        Random(salt ^ (a as u64).rotate_left(40) ^ (b as u64).rotate_left(20) ^ c as u64).next()
    }
}
