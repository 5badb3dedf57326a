//! Which events a receiver gets.

use tidegate_alarms::{AlarmEvent, Glob, Priority, TransitionKind};

#[derive(Clone, Debug)]
pub struct Filter {
    pub min_priority: Priority,
    pub site: Glob,
    pub device: Glob,
    pub channel: Glob,
    pub rule: Glob,
    /// `None`: all, and those that are invented later.
    pub transitions: Option<Vec<TransitionKind>>,
}

impl Filter {
    pub fn takes(&self, event: &AlarmEvent) -> bool {
        event.priority >= self.min_priority
            && self.transitions.as_ref().is_none_or(|wanted| wanted.contains(&event.transition))
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
