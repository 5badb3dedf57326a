//! Stale rules on what was measured: a gap between two readings is the silence that would have been. What came after the
//! last reading is not known.

use tidegate_alarms::RevisedRule;

use super::{
    backtest::{Occurrence, occurrence},
    series::Series,
};

pub fn run(revised: &RevisedRule, series: &Series) -> Vec<Occurrence> {
    let observed = series.samples.interval_ms();
    let mut found = Vec::new();
    let mut before: Option<i64> = None;
    series.samples.for_each(|sample| {
        let now = sample.moment();
        let last = before.replace(now).filter(|last| *last < now);
        let Some((rule, last)) = revised.at(sample.unix_ms).zip(last) else { return };
        let Some(stale) = rule.stale() else { return };
        let verdict = stale.judge(false, last, observed, now);
        if let (Some(_), Some(silence)) = (verdict.transition, stale.silence_ms(observed)) {
            let raised = last.saturating_add_unsigned(silence);
            let mut occurrence = occurrence(rule, series, last, raised, (now - last) as f64);
            occurrence.cleared = Some(now);
            found.push(occurrence);
        }
    });
    found
}
