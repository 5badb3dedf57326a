//! Group rules: an alarm of a site, when a condition holds on so many of its devices. Members are evaluated live, as channels of any
//! rule are, and are no alarms of their own; with each change of one all of the site are counted again. The alarm is that of
//! a device and a channel named `group`; it is a notification, and settled history has no part in it.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_alarms::{
    AlarmKind, Rule, RuleId, TransitionKind,
    event::{Facts, Place, message_of},
    group::Tally,
    step::Point,
};
use tidegate_protocol::{ChannelName, DeviceId};

use super::{Core, batch::OriginNo, silence::ByClock};

const GROUP: &str = "group";

/// A member's condition began to hold, or ended.
#[derive(Clone, Debug)]
pub struct MemberChange {
    pub rule: Arc<Rule>,
    pub at: Point,
}

impl Core {
    pub(super) fn members_changed(
        &mut self,
        now_ms: u64,
        no: OriginNo,
        changes: Vec<MemberChange>,
        unix_ms: i64,
    ) {
        let newest: BTreeMap<RuleId, MemberChange> =
            changes.into_iter().map(|change| (change.rule.id().clone(), change)).collect();
        let Some(state) = self.origins.get(no) else { return };
        let (site, anchor) = (state.record.site, state.record.anchor);
        let (Ok(device), Ok(channel)) = (DeviceId::new(GROUP), ChannelName::new(GROUP)) else { return };
        for MemberChange { rule, at } in newest.into_values() {
            let Some(quorum) = rule.quorum() else { continue };
            let present = self.origins.iter().filter(|(no, state)| {
                state.record.site == site
                    && self.origins.current(site, state.record.origin.device) == Some(*no)
            });
            let members = present.flat_map(|(_, state)| {
                state.watch.members(rule.id()).map(|holds| (state.record.origin.device, holds))
            });
            let tally = Tally::of(members);
            let place = Place { site, device, channel, unit: "" };
            let Some(kind) = quorum.judge(self.stands(place, rule.id()), tally) else { continue };
            let facts = Facts::Group { tally, needed: quorum.needed(tally.selected) };
            let since_unix_ms = anchor.map_or(unix_ms, |anchor| anchor.unix_ms_at(at.tick));
            let message = message_of(&rule, &place, kind, &facts);
            let raise = kind == TransitionKind::Raise;
            let of = AlarmKind::Group;
            let what = ByClock { kind: of, rule: &rule, place, at, since_unix_ms, unix_ms, raise, message };
            self.by_clock(now_ms, what);
        }
    }
}
