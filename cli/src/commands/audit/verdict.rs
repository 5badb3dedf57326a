//! Is anything missing? A pure function of the ledger, the time and the patience of whoever asks.
//!
//! A reading is accounted for when it is stored or declared lost with a reason. What is neither is outstanding: on
//! its way as long as its origin was heard within the grace, missing after that. One look cannot tell a hole that is
//! about to fill from one that never will while its device goes on talking (a block that sits in an agent's
//! quarantine). Two looks, the grace apart, can: a hole that has not shrunk meanwhile is missing. A conflict (one seq
//! with two contents) is never accounted for: no delivery will mend it.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::ledger::{Audit, OriginAudit};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every reading that was heard of is stored or declared lost.
    Complete,
    /// Some are outstanding, and their origins were heard within the grace.
    InFlight,
    Missing,
}

/// What is wrong with one origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub site: String,
    pub device: String,
    pub boot: String,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum What {
    Outstanding {
        count: u64,
        ranges: Vec<(u64, u64)>,
        silent_ms: i64,
    },
    /// The device talks on, and a hole that is older than the grace stays.
    Stuck {
        count: u64,
        ranges: Vec<(u64, u64)>,
    },
    Conflicts {
        count: u64,
        /// The first of them.
        ranges: Vec<(u64, u64)>,
    },
    /// Only a problem to whoever asks with `--strict`.
    Lost {
        count: u64,
        reasons: BTreeMap<String, u64>,
    },
}

/// What whoever asks puts up with.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub grace: Duration,
    /// Declared losses count as missing.
    pub strict: bool,
}

/// Judges the whole ledger; the findings say why it is [`Verdict::Missing`]. `earlier` is a look that was taken at
/// least the grace ago.
pub fn judge(
    audit: &Audit,
    earlier: Option<&Audit>,
    now_unix_ms: i64,
    patience: Patience,
) -> (Verdict, Vec<Finding>) {
    let mut verdict = Verdict::Complete;
    let mut findings = Vec::new();
    for origin in &audit.origins {
        let before = findings.len();
        let then = earlier.and_then(|earlier| earlier.origins.iter().find(|then| same(then, origin)));
        findings.extend(problems(origin, then, now_unix_ms, patience).map(|what| Finding {
            site: origin.site.clone(),
            device: origin.device.clone(),
            boot: origin.boot.clone(),
            what,
        }));
        let of_origin = match (findings.len() > before, origin.outstanding > 0) {
            (true, _) => Verdict::Missing,
            (false, true) => Verdict::InFlight,
            (false, false) => Verdict::Complete,
        };
        verdict = verdict.max(of_origin);
    }
    (verdict, findings)
}

fn same(a: &OriginAudit, b: &OriginAudit) -> bool {
    (&a.site, &a.device, &a.boot) == (&b.site, &b.device, &b.boot)
}

fn problems(
    origin: &OriginAudit,
    then: Option<&OriginAudit>,
    now_unix_ms: i64,
    patience: Patience,
) -> impl Iterator<Item = What> {
    // A clock that ran back makes an origin look heard in the future: it was heard just now.
    let silent_ms = now_unix_ms.saturating_sub(origin.last_arrival_unix_ms).max(0);
    // Without any grace nothing is on its way, however coarse the ingest's clock.
    let overdue =
        patience.grace.is_zero() || u128::from(silent_ms.unsigned_abs()) > patience.grace.as_millis();
    let outstanding = match then {
        _ if origin.outstanding == 0 => None,
        _ if overdue => Some(What::Outstanding {
            count: origin.outstanding,
            ranges: origin.outstanding_ranges.clone(),
            silent_ms,
        }),
        Some(then) => stuck(then, origin),
        None => None,
    };
    let conflicts = (origin.conflicts > 0)
        .then(|| What::Conflicts { count: origin.conflicts, ranges: origin.conflict_ranges.clone() });
    let count: u64 = origin.lost.values().sum();
    let lost = (patience.strict && count > 0).then(|| What::Lost { count, reasons: origin.lost.clone() });
    [outstanding, conflicts, lost].into_iter().flatten()
}

/// The holes of the earlier look, if not one reading of them has come since.
fn stuck(then: &OriginAudit, now: &OriginAudit) -> Option<What> {
    let known = then.measured.count;
    let below = |origin: &OriginAudit| -> Vec<(u64, u64)> {
        let cut = origin.outstanding_ranges.iter().map(|&(start, end)| (start, end.min(known)));
        cut.filter(|(start, end)| start < end).collect()
    };
    let (before, ranges) = (below(then), below(now));
    let count = ranges.iter().map(|(start, end)| end - start).sum();
    (!ranges.is_empty() && before == ranges).then_some(What::Stuck { count, ranges })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn origin(change: impl FnOnce(&mut OriginAudit)) -> OriginAudit {
        let mut origin =
            OriginAudit { device: "b".into(), last_arrival_unix_ms: NOW - 100_000, ..Default::default() };
        change(&mut origin);
        origin
    }

    fn check(origins: Vec<OriginAudit>, grace_s: u64, strict: bool) -> (Verdict, Vec<What>) {
        let audit = Audit { origins, ..Default::default() };
        let (verdict, findings) =
            judge(&audit, None, NOW, Patience { grace: Duration::from_secs(grace_s), strict });
        (verdict, findings.into_iter().map(|finding| finding.what).collect())
    }

    #[test]
    fn an_empty_ledger_and_a_settled_one_are_complete() {
        assert_eq!(check(vec![], 60, true), (Verdict::Complete, vec![]));
        let settled = origin(|o| (o.measured.count, o.stored) = (5, 5));
        assert_eq!(check(vec![settled], 0, true), (Verdict::Complete, vec![]));
    }

    #[test]
    fn outstanding_readings_are_in_flight_up_to_and_including_the_grace() {
        let late = || origin(|o| (o.outstanding, o.outstanding_ranges) = (3, vec![(2, 5)]));
        assert_eq!(check(vec![late()], 100, false), (Verdict::InFlight, vec![]));
        let missing = What::Outstanding { count: 3, ranges: vec![(2, 5)], silent_ms: 100_000 };
        assert_eq!(check(vec![late()], 99, false), (Verdict::Missing, vec![missing]));
    }

    #[test]
    fn a_clock_that_ran_back_makes_nothing_overdue() {
        let future = origin(|o| (o.outstanding, o.last_arrival_unix_ms) = (1, NOW + 500_000));
        assert_eq!(check(vec![future.clone()], 1, false).0, Verdict::InFlight);
        assert_eq!(check(vec![future], 0, false).0, Verdict::Missing, "there is no grace at all");
    }

    #[test]
    fn one_missing_origin_among_good_ones_is_named() {
        let good = origin(|_| {});
        let flying = origin(|o| (o.outstanding, o.last_arrival_unix_ms) = (1, NOW));
        let bad = origin(|o| (o.device, o.outstanding) = ("bad".into(), 1));
        let audit = Audit { origins: vec![good, bad, flying], ..Default::default() };
        let patience = Patience { grace: Duration::from_secs(60), strict: false };
        let (verdict, findings) = judge(&audit, None, NOW, patience);
        assert_eq!(verdict, Verdict::Missing);
        assert_eq!(findings.iter().map(|f| f.device.as_str()).collect::<Vec<_>>(), ["bad"]);
    }

    #[test]
    fn a_conflict_is_missing_however_fresh() {
        let ranges = vec![(4, 6)];
        let conflict = origin(|o| {
            (o.conflicts, o.last_arrival_unix_ms, o.conflict_ranges) = (2, NOW, ranges.clone());
        });
        let found = vec![What::Conflicts { count: 2, ranges }];
        assert_eq!(check(vec![conflict], 60, false), (Verdict::Missing, found));
    }

    #[test]
    fn declared_losses_are_accounted_for_unless_asked_strictly() {
        let lost =
            || origin(|o| o.lost = BTreeMap::from([("evicted".into(), 4), ("ring-overflow".into(), 1)]));
        assert_eq!(check(vec![lost()], 60, false), (Verdict::Complete, vec![]));
        let what = What::Lost { count: 5, reasons: lost().lost };
        assert_eq!(check(vec![lost()], 60, true), (Verdict::Missing, vec![what]));
    }

    #[test]
    fn a_hole_that_stays_while_its_device_talks_on_is_missing_at_the_second_look() {
        let look = |measured, ranges: &[(u64, u64)]| {
            let origins = vec![origin(|o| {
                o.measured.count = measured;
                o.outstanding = ranges.iter().map(|(start, end)| end - start).sum();
                o.outstanding_ranges = ranges.to_vec();
                o.last_arrival_unix_ms = NOW;
            })];
            Audit { origins, ..Default::default() }
        };
        let patience = Patience { grace: Duration::from_secs(60), strict: false };
        let earlier = look(100, &[(10, 20), (99, 100)]);
        let verdict = |ranges| judge(&look(200, ranges), Some(&earlier), NOW, patience);
        // What was in flight then has come; the hole has not.
        let shrunk: &[(u64, u64)] = &[(10, 20)];
        assert_eq!(verdict(shrunk).0, Verdict::InFlight, "something came: it is being delivered");
        let (stays, findings) = verdict(&[(10, 20), (99, 100), (190, 200)]);
        let what = What::Stuck { count: 11, ranges: vec![(10, 20), (99, 100)] };
        assert_eq!((stays, findings.into_iter().map(|f| f.what).collect()), (Verdict::Missing, vec![what]));
        assert_eq!(verdict(&[(190, 200)]).0, Verdict::InFlight, "only new ones are outstanding");
        assert_eq!(judge(&earlier, None, NOW, patience).0, Verdict::InFlight, "one look cannot tell");
    }
}
