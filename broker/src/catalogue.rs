//! Every distinct filter and topic that the router has been told of since it started.
//!
//! The router keeps a log per filter and a table entry per topic for ever, so their number is bounded here. When a
//! bound is reached, a subscription with a new filter is refused (SUBACK 0x80) and a publish to a new topic ends the
//! connection; known ones go on. Guests, who may choose among any number of them, get half at most, so that there are always
//! some for gateways and the ingest. A restart of the router empties both.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

#[derive(Debug)]
pub struct Catalogue {
    filters: Known,
    topics: Known,
}

/// Who wants one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// A gateway, which has few, or the ingest.
    Own,
    /// An observer or an operator.
    Guest,
}

#[derive(Debug)]
struct Known {
    max: usize,
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    all: HashSet<String>,
    /// How many of them guests brought.
    of_guests: usize,
}

impl Catalogue {
    pub fn new(max_filters: usize, max_topics: usize) -> Self {
        Self { filters: Known::new(max_filters), topics: Known::new(max_topics) }
    }

    pub fn admits_filter(&self, filter: &str, claim: Claim) -> bool {
        self.filters.admits(filter, claim)
    }

    pub fn admits_topic(&self, topic: &str, claim: Claim) -> bool {
        self.topics.admits(topic, claim)
    }

    pub fn clear(&self) {
        self.filters.clear();
        self.topics.clear();
    }
}

impl Known {
    fn new(max: usize) -> Self {
        Self { max, names: Mutex::default() }
    }

    fn admits(&self, name: &str, claim: Claim) -> bool {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.all.contains(name) {
            return true;
        }
        let is_guest = claim == Claim::Guest;
        if names.all.len() >= self.max || (is_guest && names.of_guests >= self.max.div_ceil(2)) {
            return false;
        }
        names.of_guests += usize::from(is_guest);
        names.all.insert(name.to_owned())
    }

    fn clear(&self) {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = Names::default();
    }
}

#[cfg(test)]
mod tests {
    use super::{Catalogue, Claim::*};

    #[test]
    fn known_names_stay_admitted_when_the_bound_is_reached() {
        let catalogue = Catalogue::new(1, 2);
        assert!(catalogue.admits_filter("a", Own));
        assert!(!catalogue.admits_filter("b", Own));
        assert!(catalogue.admits_filter("a", Own));
        assert!(catalogue.admits_topic("x", Own) && catalogue.admits_topic("y", Own));
        assert!(!catalogue.admits_topic("z", Own));
        catalogue.clear();
        assert!(catalogue.admits_filter("b", Own) && catalogue.admits_topic("z", Own));
    }

    #[test]
    fn guests_get_half_and_leave_the_rest() {
        let catalogue = Catalogue::new(4, 3);
        assert!(catalogue.admits_filter("a", Guest) && catalogue.admits_filter("b", Guest));
        assert!(!catalogue.admits_filter("c", Guest));
        assert!(catalogue.admits_filter("c", Own) && catalogue.admits_filter("c", Guest));
        assert!(catalogue.admits_filter("d", Own));
        assert!(!catalogue.admits_filter("e", Own));
        catalogue.clear();
        assert!(catalogue.admits_filter("e", Guest));
    }
}
