//! Who is connected: counts per address, one connection per client id, and the kept sessions of clients that are
//! away.
//!
//! Bounds: connections in total and per address, and fewer of those that have not said who they are; kept sessions, of which the oldest goes when there are too many,
//! and each after its expiry. A kept session holds its place in the router's logs and no messages beyond its window.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::Identity;
use crate::router::Link;
use crate::session::Session;

#[derive(Debug, Clone, Copy)]
pub struct RegistryLimits {
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub max_handshakes: usize,
    pub max_handshakes_per_address: usize,
    pub max_kept_sessions: usize,
    pub kept_session_expiry: Duration,
}

#[derive(Debug)]
pub struct Registry {
    limits: RegistryLimits,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    connections: Connections,
    per_address: HashMap<IpAddr, Connections>,
    seats: HashMap<String, Seat>,
    /// Seats were taken so often.
    taken: u64,
}

#[derive(Debug, Default)]
struct Connections {
    open: usize,
    /// Of those, the ones that have not said who they are.
    strangers: usize,
}

#[derive(Debug)]
enum Seat {
    Taken { number: u64, user: Arc<str>, takeover: CancellationToken, left: CancellationToken },
    Kept(Box<Kept>),
}

/// The session of a client that is away.
#[derive(Debug)]
pub struct Kept {
    user: Arc<str>,
    since: Instant,
    pub session: Session,
    pub link: Link,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmissionRefused {
    Total,
    PerAddress,
    Handshakes,
    HandshakesPerAddress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatRefused {
    /// The id is in use by another user.
    Foreign,
    /// The connection that holds the id did not end in time.
    Busy,
}

enum Attempt {
    Taken(Held, Option<Box<Kept>>),
    Occupied { left: CancellationToken },
}

impl Registry {
    pub fn new(limits: RegistryLimits) -> Self {
        Self { limits, tables: Mutex::default() }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn connections(&self) -> usize {
        self.tables().connections.open
    }

    pub fn kept_sessions(&self) -> usize {
        self.tables().seats.values().filter(|seat| matches!(seat, Seat::Kept(_))).count()
    }

    /// Counts a connection for as long as the result lives, as a stranger's until it says otherwise.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admission, AdmissionRefused> {
        let limits = &self.limits;
        let mut tables = self.tables();
        if tables.connections.open >= limits.max_connections {
            return Err(AdmissionRefused::Total);
        }
        if tables.connections.strangers >= limits.max_handshakes {
            return Err(AdmissionRefused::Handshakes);
        }
        if let Some(of_address) = tables.per_address.get(&address) {
            if of_address.open >= limits.max_connections_per_address {
                return Err(AdmissionRefused::PerAddress);
            }
            if of_address.strangers >= limits.max_handshakes_per_address {
                return Err(AdmissionRefused::HandshakesPerAddress);
            }
        }
        tables.connections.enter();
        tables.per_address.entry(address).or_default().enter();
        Ok(Admission { registry: Arc::clone(self), address, is_stranger: true })
    }

    /// Takes the place of `client_id`, after the connection that may hold it has been told to leave and has left.
    /// With it comes the kept session, if there is one.
    pub async fn take_seat(
        self: &Arc<Self>,
        client_id: &str,
        identity: &Identity,
        patience: Duration,
    ) -> Result<(Held, Option<Box<Kept>>), SeatRefused> {
        let deadline = Instant::now() + patience;
        loop {
            let previous_left = match self.try_take(client_id, identity)? {
                Attempt::Taken(held, kept) => return Ok((held, kept)),
                Attempt::Occupied { left } => left,
            };
            tokio::time::timeout_at(deadline, previous_left.cancelled())
                .await
                .map_err(|_| SeatRefused::Busy)?;
        }
    }

    fn try_take(self: &Arc<Self>, client_id: &str, identity: &Identity) -> Result<Attempt, SeatRefused> {
        let mut tables = self.tables();
        let owner = tables.seats.get(client_id).map(|seat| match seat {
            Seat::Taken { user, takeover, left, .. } => (user, Some((takeover, left))),
            Seat::Kept(kept) => (&kept.user, None),
        });
        match owner {
            Some((user, _)) if **user != *identity.user => return Err(SeatRefused::Foreign),
            Some((_, Some((takeover, left)))) => {
                takeover.cancel();
                return Ok(Attempt::Occupied { left: left.clone() });
            }
            _ => {}
        }
        let (takeover, left) = (CancellationToken::new(), CancellationToken::new());
        let user = Arc::clone(&identity.user);
        tables.taken += 1;
        let number = tables.taken;
        let seat = Seat::Taken { number, user, takeover: takeover.clone(), left: left.clone() };
        let kept = match tables.seats.insert(client_id.to_owned(), seat) {
            Some(Seat::Kept(kept)) => Some(kept),
            _ => None,
        };
        let held =
            Held { registry: Arc::clone(self), client_id: client_id.to_owned(), number, takeover, left };
        Ok(Attempt::Taken(held, kept))
    }

    /// Ends kept sessions whose time is over. Gives their number.
    pub fn expire(&self, now: Instant) -> usize {
        // Taken out first: dropping a link talks to the router, which must not happen under the lock.
        let expired: Vec<Seat> = {
            let mut tables = self.tables();
            let old = |kept: &Kept| now.duration_since(kept.since) >= self.limits.kept_session_expiry;
            tables
                .seats
                .extract_if(|_, seat| matches!(seat, Seat::Kept(kept) if old(kept)))
                .map(|(_, seat)| seat)
                .collect()
        };
        expired.len()
    }
}

impl Connections {
    fn enter(&mut self) {
        self.open += 1;
        self.strangers += 1;
    }

    fn known(&mut self) {
        self.strangers = self.strangers.saturating_sub(1);
    }

    fn leave(&mut self, is_stranger: bool) {
        self.open = self.open.saturating_sub(1);
        if is_stranger {
            self.known();
        }
    }
}

/// One counted connection.
#[derive(Debug)]
pub struct Admission {
    registry: Arc<Registry>,
    address: IpAddr,
    is_stranger: bool,
}

impl Admission {
    /// It has said who it is, and was let in.
    pub fn known(&mut self) {
        if !std::mem::take(&mut self.is_stranger) {
            return;
        }
        let mut tables = self.registry.tables();
        tables.connections.known();
        if let Some(of_address) = tables.per_address.get_mut(&self.address) {
            of_address.known();
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut tables = self.registry.tables();
        tables.connections.leave(self.is_stranger);
        if let Some(of_address) = tables.per_address.get_mut(&self.address) {
            of_address.leave(self.is_stranger);
            if of_address.open == 0 {
                tables.per_address.remove(&self.address);
            }
        }
    }
}

/// A client id that is held by one connection.
#[derive(Debug)]
pub struct Held {
    registry: Arc<Registry>,
    client_id: String,
    number: u64,
    takeover: CancellationToken,
    left: CancellationToken,
}

impl Held {
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Cancelled when another connection wants the id.
    pub fn takeover(&self) -> &CancellationToken {
        &self.takeover
    }

    /// Leaves the session behind for the client's return.
    pub fn keep(self, session: Session, link: Link) {
        let limits = self.registry.limits;
        let mut evicted = None;
        if limits.max_kept_sessions > 0 {
            let mut tables = self.registry.tables();
            let kept_since = |(id, seat): (&String, &Seat)| match seat {
                Seat::Kept(kept) => Some((kept.since, id.clone())),
                Seat::Taken { .. } => None,
            };
            let kept: Vec<_> = tables.seats.iter().filter_map(kept_since).collect();
            if kept.len() >= limits.max_kept_sessions
                && let Some((_, oldest)) = kept.into_iter().min()
            {
                evicted = tables.seats.remove(&oldest);
            }
            let user = Arc::clone(&session.identity().user);
            let kept = Box::new(Kept { user, since: Instant::now(), session, link });
            tables.seats.insert(self.client_id.clone(), Seat::Kept(kept));
        }
        drop(evicted);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut tables = self.registry.tables();
        // Once the session was kept, the seat may be another's already.
        let own = |seat: &Seat| matches!(seat, Seat::Taken { number, .. } if *number == self.number);
        if tables.seats.get(&self.client_id).is_some_and(own) {
            tables.seats.remove(&self.client_id);
        }
        drop(tables);
        self.left.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;

    const ROOMY: RegistryLimits = RegistryLimits {
        max_connections: 9,
        max_connections_per_address: 9,
        max_handshakes: 9,
        max_handshakes_per_address: 9,
        max_kept_sessions: 9,
        kept_session_expiry: Duration::from_secs(9),
    };

    #[test]
    fn each_bound_of_connections_holds_and_gives_back_what_is_left() {
        let [here, there] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
        // The bound, of whom it is, and whether it is of strangers alone.
        for (limits, refused, of_address, of_strangers) in [
            (RegistryLimits { max_connections: 2, ..ROOMY }, AdmissionRefused::Total, false, false),
            (
                RegistryLimits { max_connections_per_address: 2, ..ROOMY },
                AdmissionRefused::PerAddress,
                true,
                false,
            ),
            (RegistryLimits { max_handshakes: 2, ..ROOMY }, AdmissionRefused::Handshakes, false, true),
            (
                RegistryLimits { max_handshakes_per_address: 2, ..ROOMY },
                AdmissionRefused::HandshakesPerAddress,
                true,
                true,
            ),
        ] {
            let registry = Arc::new(Registry::new(limits));
            let admit = |address| registry.admit(address).map_err(|found| assert_eq!(found, refused));
            let mut first = admit(here).expect("there is room");
            let second = admit(here).expect("there is room");
            assert!(admit(here).is_err(), "{refused:?}");
            assert_eq!(admit(there).is_ok(), of_address, "{refused:?}");
            first.known();
            assert_eq!(admit(here).is_ok(), of_strangers, "{refused:?}");
            drop(first);
            assert!(admit(here).is_ok(), "{refused:?}");
            drop(second);
            assert_eq!((registry.connections(), registry.tables().per_address.len()), (0, 0));
        }
    }

    #[test]
    fn who_left_does_not_empty_the_seat_of_who_came_after() {
        let registry = Arc::new(Registry::new(ROOMY));
        let eva = Identity { user: "eva".into(), role: Arc::new(Role::Operator) };
        let take = || match registry.try_take("one", &eva) {
            Ok(Attempt::Taken(held, _)) => Some(held),
            _ => None,
        };
        let first = take().expect("it is free");
        // Its session was kept, and taken up again before all of it is gone.
        registry.tables().seats.remove("one");
        let second = take().expect("it is free");
        drop(first);
        assert!(take().is_none(), "two would be there at once");
        assert!(second.takeover().is_cancelled());
        drop(second);
        assert!(take().is_some());
    }
}
