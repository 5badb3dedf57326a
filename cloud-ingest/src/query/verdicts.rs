//! What gateways say is active, and where that differs.

use super::Query;
use crate::{
    core::lifecycle::AlarmKey,
    verdicts::{VerdictSelection, VerdictView, VerdictsView},
};

impl Query {
    /// As they were compared last, which is some seconds ago.
    pub fn verdicts(&self, selection: &VerdictSelection) -> VerdictsView {
        let compared = self.shown.compared();
        let is_asked = |key: &AlarmKey| selection.names.select(key.site, key.device, key.channel, &key.rule);
        let asked = compared.iter().filter(|one| is_asked(&one.key));
        let asked = asked.filter(|one| !selection.differing || one.difference.is_some());
        let mut verdicts: Vec<VerdictView> = asked.map(VerdictView::from).collect();
        verdicts.sort_by(|one, other| {
            let place = |view: &VerdictView| (view.site, view.device, view.channel, view.gateway);
            place(one).cmp(&place(other)).then_with(|| one.rule.cmp(&other.rule))
        });
        VerdictsView { verdicts }
    }

    pub(super) fn verdicts_on(&self, key: &AlarmKey) -> Vec<VerdictView> {
        self.shown.compared().iter().filter(|one| one.key == *key).map(VerdictView::from).collect()
    }
}
