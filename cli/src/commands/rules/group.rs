//! Group rules on what was measured: the episodes of their members, laid over each other.

use tidegate_alarms::{Rule, TransitionKind, group::Tally};
use tidegate_protocol::{DeviceId, SiteId};

use super::backtest::Occurrence;

/// One channel that a group rule selects, and when its condition held.
pub struct Member {
    pub device: DeviceId,
    pub occurrences: Vec<Occurrence>,
}

pub fn run(rule: &Rule, site: SiteId, members: &[Member]) -> Vec<Occurrence> {
    let Some(quorum) = rule.quorum() else { return Vec::new() };
    // At one moment, what ends comes before what begins.
    let mut changes: Vec<(i64, bool, usize)> = Vec::new();
    for (index, member) in members.iter().enumerate() {
        for occurrence in &member.occurrences {
            changes.push((occurrence.raised, true, index));
            changes.extend(occurrence.cleared.map(|cleared| (cleared, false, index)));
        }
    }
    changes.sort_unstable();
    let mut holds = vec![false; members.len()];
    let mut found: Vec<Occurrence> = Vec::new();
    for (moment, begins, index) in changes {
        if let Some(member) = holds.get_mut(index) {
            *member = begins;
        }
        let tally = Tally::of(members.iter().map(|member| member.device).zip(holds.iter().copied()));
        let open = found.last_mut().filter(|open| open.cleared.is_none());
        let transition = quorum.judge(open.is_some(), tally);
        match (transition, open) {
            (Some(TransitionKind::Raise), _) => found.push(Occurrence {
                rule: rule.id().clone(),
                priority: rule.priority(),
                site,
                device: String::new(),
                channel: String::new(),
                onset: moment,
                raised: moment,
                cleared: None,
                peak: f64::from(tally.holding),
                peak_text: peak_text(tally),
            }),
            (Some(TransitionKind::Clear), Some(open)) => open.cleared = Some(moment),
            (None, Some(open)) if f64::from(tally.holding) > open.peak => {
                (open.peak, open.peak_text) = (f64::from(tally.holding), peak_text(tally));
            }
            _ => {}
        }
    }
    found
}

fn peak_text(tally: Tally) -> String {
    format!("{} of {}", tally.holding, tally.selected)
}
