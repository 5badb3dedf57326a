//! What will happen, by time; of two things at one time the one that was planned first comes first.

use std::{cmp::Reverse, collections::BinaryHeap};

#[derive(Debug)]
pub struct Agenda<T> {
    heap: BinaryHeap<Reverse<Planned<T>>>,
    counter: u64,
}

#[derive(Debug)]
struct Planned<T> {
    at_us: u64,
    counter: u64,
    what: T,
}

impl<T> PartialEq for Planned<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at_us, self.counter) == (other.at_us, other.counter)
    }
}

impl<T> Eq for Planned<T> {}

impl<T> PartialOrd for Planned<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Planned<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.counter).cmp(&(other.at_us, other.counter))
    }
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), counter: 0 }
    }
}

impl<T> Agenda<T> {
    pub fn plan(&mut self, at_us: u64, what: T) {
        self.counter += 1;
        self.heap.push(Reverse(Planned { at_us, counter: self.counter, what }));
    }

    pub fn next(&mut self) -> Option<(u64, T)> {
        let Reverse(Planned { at_us, what, .. }) = self.heap.pop()?;
        Some((at_us, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_by_time_and_then_by_the_order_of_planning() {
        let mut agenda = Agenda::default();
        for (at, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b'), (5, 'e')] {
            agenda.plan(at, what);
        }
        let order: Vec<char> = std::iter::from_fn(|| agenda.next()).map(|(_, what)| what).collect();
        assert_eq!(order, ['a', 'b', 'c', 'd', 'e']);
    }
}
