//! Which events a receiver gets.

use tidegate_alarms::{AlarmEvent, Glob, Priority, TransitionKind};

#[derive(Clone, Debug)]
pub struct Filter {
    pub min_priority: Priority,
    pub site: Glob,
    pub device: Glob,
    pub channel: Glob,
    pub rule: Glob,
    /// `None`: all, and those that are invented later; but no amendments, which only correct how something began.
    pub transitions: Option<Vec<TransitionKind>>,
}

impl Filter {
    /// Nobody is told of what is suppressed, nor again of an occurrence that was told already.
    pub fn takes(&self, event: &AlarmEvent) -> bool {
        let is_wanted = match &self.transitions {
            None => !matches!(
                event.transition,
                TransitionKind::Amend | TransitionKind::Disagree | TransitionKind::Agree
            ),
            Some(wanted) => wanted.contains(&event.transition),
        };
        let is_silent = event.suppressed && event.transition.is_of_process();
        is_wanted
            && !is_silent
            && event.continues.is_none()
            && event.priority >= self.min_priority
            && self.rule.matches(event.rule.as_str())
            && self.channel.matches(event.channel.as_str())
            && self.device.matches(event.device.as_str())
            && self.site.matches(event.site.as_str())
    }
}

/// Every receiver's, by its id.
#[derive(Clone, Debug, Default)]
pub struct Filters(Vec<(String, Filter)>);

impl Filters {
    pub fn new(filters: impl IntoIterator<Item = (String, Filter)>) -> Self {
        Self(filters.into_iter().collect())
    }

    pub fn ids(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(id, _)| id)
    }

    /// The receivers that get this event.
    pub fn takers<'a>(&'a self, event: &'a AlarmEvent) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(|(_, filter)| filter.takes(event)).map(|(id, _)| id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use tidegate_alarms::EventId;

    use super::*;
    use crate::delivery::core::test_support::event;

    #[test]
    fn nobody_is_told_of_what_is_suppressed_or_was_told_already() {
        let all = Glob::new("*");
        let filter = Filter {
            min_priority: Priority::Low,
            site: all.clone(),
            device: all.clone(),
            channel: all.clone(),
            rule: all,
            transitions: None,
        };
        let raise = event("plant", "board-a", 1);
        assert!(filter.takes(&raise));
        assert!(!filter.takes(&AlarmEvent { suppressed: true, ..raise.clone() }));
        assert!(!filter.takes(&AlarmEvent { continues: Some(EventId(7)), ..raise.clone() }));
        let unshelved =
            AlarmEvent { transition: TransitionKind::ShelfExpired, suppressed: true, ..raise.clone() };
        assert!(filter.takes(&unshelved), "what people did is told");
        let amended = AlarmEvent { transition: TransitionKind::Amend, ..raise };
        assert!(!filter.takes(&amended));
        let asked = Filter { transitions: Some(vec![TransitionKind::Amend]), ..filter };
        assert!(asked.takes(&amended));
    }
}
