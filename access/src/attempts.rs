//! How often it was tried to sign in, by account and by address.
//!
//! An attempt is counted before it is judged, so that many at a time are not more than one after the other. One that succeeds
//! forgives those of its account. Of either, so many are allowed in [`WINDOW_MS`]; then the next is told how long to wait.
//! At most [`MAX_KNOWN`] accounts and addresses are remembered: then whoever is not among them waits too, until some are
//! forgotten; no more than that can be done with many names from many addresses, and tokens work all the while.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
};

pub const WINDOW_MS: u64 = 5 * 60_000;
pub const OF_AN_ACCOUNT: usize = 10;
pub const OF_AN_ADDRESS: usize = 30;
pub const MAX_KNOWN: usize = 20_000;
/// What is longer is no account.
const MAX_ACCOUNT_BYTES: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    Account(String),
    /// Of IPv6 the network: one machine has as many addresses there as it likes.
    Address(IpAddr),
}

#[derive(Clone, Debug, Default)]
pub struct Attempts {
    known: HashMap<Who, VecDeque<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    pub retry_after_ms: u64,
}

impl Attempts {
    /// Counts an attempt, or says when there may be one again.
    pub fn begin(&mut self, account: &str, address: IpAddr, now_ms: u64) -> Result<(), TooMany> {
        let asked = [(account_of(account), OF_AN_ACCOUNT), (address_of(address), OF_AN_ADDRESS)];
        if self.known.len() + asked.len() > MAX_KNOWN {
            self.forget(now_ms);
        }
        let mut wait_ms = 0;
        for (who, most) in &asked {
            let Some(times) = self.known.get_mut(who) else { continue };
            forget(times, now_ms);
            if times.len() >= *most
                && let Some(oldest) = times.front()
            {
                wait_ms = wait_ms.max((oldest + WINDOW_MS).saturating_sub(now_ms));
            }
        }
        let unknown = asked.iter().filter(|(who, _)| !self.known.contains_key(who)).count();
        if self.known.len() + unknown > MAX_KNOWN {
            wait_ms = wait_ms.max(WINDOW_MS);
        }
        if wait_ms > 0 {
            return Err(TooMany { retry_after_ms: wait_ms });
        }
        for (who, _) in asked {
            self.known.entry(who).or_default().push_back(now_ms);
        }
        Ok(())
    }

    /// It was the right password.
    pub fn succeeded(&mut self, account: &str) {
        self.known.remove(&account_of(account));
    }

    fn forget(&mut self, now_ms: u64) {
        self.known.retain(|_, times| {
            forget(times, now_ms);
            !times.is_empty()
        });
    }
}

fn forget(times: &mut VecDeque<u64>, now_ms: u64) {
    while times.front().is_some_and(|oldest| oldest + WINDOW_MS <= now_ms) {
        times.pop_front();
    }
}

fn account_of(account: &str) -> Who {
    let end = account.char_indices().map(|(at, _)| at).take_while(|at| *at <= MAX_ACCOUNT_BYTES).last();
    let short = account.get(..end.unwrap_or(0)).filter(|_| account.len() > MAX_ACCOUNT_BYTES);
    Who::Account(short.unwrap_or(account).to_owned())
}

fn address_of(address: IpAddr) -> Who {
    Who::Address(match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> IpAddr {
        [10, 0, 0, n].into()
    }

    #[test]
    fn an_account_is_tried_so_often_from_wherever() {
        let mut attempts = Attempts::default();
        for n in 0..OF_AN_ACCOUNT as u8 {
            assert_eq!(attempts.begin("eva", address(n), u64::from(n)), Ok(()));
        }
        let refused = Err(TooMany { retry_after_ms: WINDOW_MS - 50 });
        assert_eq!(attempts.begin("eva", address(99), 50), refused);
        assert_eq!(attempts.begin("tom", address(99), 50), Ok(()), "another account");
        assert_eq!(attempts.begin("eva", address(99), WINDOW_MS), Ok(()), "the first is forgotten");
        assert!(attempts.begin("eva", address(99), WINDOW_MS).is_err(), "the second is not");
    }

    #[test]
    fn an_address_tries_so_often_whichever_account() {
        let mut attempts = Attempts::default();
        for n in 0..OF_AN_ADDRESS {
            assert_eq!(attempts.begin(&format!("user-{n}"), address(1), 0), Ok(()));
        }
        assert!(attempts.begin("another", address(1), 0).is_err());
        assert!(
            attempts.begin("another", "::ffff:10.0.0.1".parse().unwrap(), 0).is_err(),
            "the same in IPv6"
        );
        assert_eq!(attempts.begin("another", address(2), 0), Ok(()));
        let v6 = |n: u128| IpAddr::from(((0x2001_0db8_u128 << 96) + n).to_be_bytes());
        for n in 0..OF_AN_ADDRESS {
            attempts.begin(&format!("user-{n}"), v6(n as u128), WINDOW_MS).unwrap();
        }
        assert!(attempts.begin("more", v6(1 << 63), WINDOW_MS).is_err(), "one network is one address");
        assert_eq!(attempts.begin("more", v6(1 << 64), WINDOW_MS), Ok(()));
    }

    #[test]
    fn the_right_password_forgives_the_account_and_not_the_address() {
        let mut attempts = Attempts::default();
        for _ in 0..OF_AN_ADDRESS / OF_AN_ACCOUNT {
            for _ in 0..OF_AN_ACCOUNT {
                attempts.begin("eva", address(1), 0).unwrap();
            }
            attempts.succeeded("eva");
        }
        assert!(attempts.begin("eva", address(1), 0).is_err());
        assert_eq!(attempts.begin("eva", address(2), 0), Ok(()));
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_is_forgotten_in_time() {
        let mut attempts = Attempts::default();
        for n in 0..(MAX_KNOWN / 2) as u32 {
            attempts.begin(&format!("user-{n}"), IpAddr::from(n.to_be_bytes()), 0).unwrap();
        }
        assert_eq!(attempts.known.len(), MAX_KNOWN);
        assert_eq!(attempts.begin("new", address(1), 5), Err(TooMany { retry_after_ms: WINDOW_MS }));
        assert_eq!(attempts.begin("user-1", IpAddr::from(1_u32.to_be_bytes()), 5), Ok(()), "who is known");
        attempts.begin("new", address(1), WINDOW_MS + 5).unwrap();
        assert!(attempts.known.len() < 5);
    }

    #[test]
    fn a_long_account_is_cut_at_a_character() {
        for account in ["é".repeat(1_000), "x".repeat(64), "x".repeat(65), String::new()] {
            let Who::Account(kept) = account_of(&account) else { panic!("an account") };
            assert!(kept.len() <= MAX_ACCOUNT_BYTES && account.starts_with(&kept), "{kept}");
            assert!(account.is_empty() || kept.len() >= MAX_ACCOUNT_BYTES - 3);
        }
    }
}
