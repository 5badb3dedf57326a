//! How many connections a door holds at once: in all, and from one address, so that who comes from one place cannot take all.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The places of one door. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Places {
    most: usize,
    most_of_address: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// No address that has none.
    of_address: HashMap<IpAddr, usize>,
}

/// One place; dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    taken: Arc<Mutex<Taken>>,
    address: IpAddr,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("too many connections")]
    All,
    #[error("too many connections from one address")]
    OfAddress,
}

impl Places {
    pub fn new(most: usize, most_of_address: usize) -> Self {
        Self { most, most_of_address, taken: Arc::default() }
    }

    pub fn enter(&self, address: IpAddr) -> Result<Place, Full> {
        let address = network_of(address);
        let mut taken = lock(&self.taken);
        if taken.all >= self.most {
            return Err(Full::All);
        }
        if taken.of_address.get(&address).is_some_and(|count| *count >= self.most_of_address) {
            return Err(Full::OfAddress);
        }
        taken.all += 1;
        *taken.of_address.entry(address).or_default() += 1;
        Ok(Place { taken: Arc::clone(&self.taken), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all = taken.all.saturating_sub(1);
        if let Some(count) = taken.of_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.of_address.remove(&self.address);
            }
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What counts as one address: of IPv6 the network of 64 bits, in which whoever has one address has as many as they like.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn no_more_than_may_be_in_all_and_from_one_address_and_places_come_back() {
        let places = Places::new(3, 2);
        let (one, other) = (address("10.0.0.1"), address("10.0.0.2"));
        let first = places.enter(one).unwrap();
        let _second = places.enter(one).unwrap();
        assert_eq!(places.enter(one).unwrap_err(), Full::OfAddress);
        let _third = places.enter(other).unwrap();
        assert_eq!(places.enter(other).unwrap_err(), Full::All);
        drop(first);
        drop(places.enter(one).unwrap());
        assert_eq!(lock(&places.taken).of_address.len(), 2);
        drop((_second, _third));
        assert!(lock(&places.taken).of_address.is_empty());
        assert_eq!(lock(&places.taken).all, 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_ipv4_is_itself_however_it_is_written() {
        assert_eq!(network_of(address("2001:db8:1:2:3:4:5:6")), network_of(address("2001:db8:1:2::9")));
        assert_ne!(network_of(address("2001:db8:1:2::1")), network_of(address("2001:db8:1:3::1")));
        assert_eq!(network_of(address("::ffff:10.0.0.1")), address("10.0.0.1"));
        assert_ne!(network_of(address("10.0.0.1")), network_of(address("10.0.0.2")));
    }
}
