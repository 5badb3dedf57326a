//! Every distinct filter and topic that the router has been told of since it started.
//!
//! The router keeps a log per filter and a table entry per topic for ever, so their number is bounded here. When a
//! bound is reached, a subscription with a new filter is refused (SUBACK 0x80) and a publish to a new topic ends the
//! connection; known ones go on. A restart of the router empties both.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

#[derive(Debug)]
pub struct Catalogue {
    filters: Known,
    topics: Known,
}

#[derive(Debug)]
struct Known {
    max: usize,
    names: Mutex<HashSet<String>>,
}

impl Catalogue {
    pub fn new(max_filters: usize, max_topics: usize) -> Self {
        Self { filters: Known::new(max_filters), topics: Known::new(max_topics) }
    }

    pub fn admits_filter(&self, filter: &str) -> bool {
        self.filters.admits(filter)
    }

    pub fn admits_topic(&self, topic: &str) -> bool {
        self.topics.admits(topic)
    }

    pub fn clear(&self) {
        self.filters.clear();
        self.topics.clear();
    }
}

impl Known {
    fn new(max: usize) -> Self {
        Self { max, names: Mutex::new(HashSet::new()) }
    }

    fn admits(&self, name: &str) -> bool {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.contains(name) || (names.len() < self.max && names.insert(name.to_owned()))
    }

    fn clear(&self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::Catalogue;

    #[test]
    fn known_names_stay_admitted_when_the_bound_is_reached() {
        let catalogue = Catalogue::new(1, 2);
        assert!(catalogue.admits_filter("a"));
        assert!(!catalogue.admits_filter("b"));
        assert!(catalogue.admits_filter("a"));
        assert!(catalogue.admits_topic("x") && catalogue.admits_topic("y"));
        assert!(!catalogue.admits_topic("z"));
        catalogue.clear();
        assert!(catalogue.admits_filter("b") && catalogue.admits_topic("z"));
    }
}
