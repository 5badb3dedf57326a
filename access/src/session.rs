//! Who has signed in, and until when. Kept in memory, under the hash of what the browser holds: nothing of a session is on a disk,
//! and the end of the program ends them all.
//!
//! A session ends when nothing was asked in it for a while, and after a while in any case. There are at most
//! [`MAX_SESSIONS`], of one user [`MAX_OF_ONE_USER`]: then the one goes that was longest without a question.

use std::collections::HashMap;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::book::Name;

pub const MAX_SESSIONS: usize = 4_096;
pub const MAX_OF_ONE_USER: usize = 16;
pub const SECRET_BYTES: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub idle_ms: u64,
    pub whole_ms: u64,
}

type Key = [u8; 32];

#[derive(Clone, Debug)]
struct Session {
    user: Name,
    /// The user's password is of this time.
    password_unix_ms: i64,
    began_ms: u64,
    asked_ms: u64,
}

/// Times are milliseconds of a clock that only goes on.
#[derive(Clone, Debug)]
pub struct Sessions {
    limits: Limits,
    open: HashMap<Key, Session>,
}

/// What a browser holds of a session, in hexadecimal digits.
pub fn secret(random: [u8; SECRET_BYTES]) -> SecretString {
    hex(&random).into()
}

/// What a form of a session carries: whoever only has the browser send it does not know it.
pub fn form_secret(session: &SecretString) -> SecretString {
    hex(&digest(b"tidegate form\0", session)).into()
}

/// Takes equally long whatever is given.
pub fn is_same(expected: &SecretString, given: &SecretString) -> bool {
    expected.expose_secret().as_bytes().ct_eq(given.expose_secret().as_bytes()).into()
}

impl Sessions {
    pub fn new(limits: Limits) -> Self {
        Self { limits, open: HashMap::new() }
    }

    pub fn begin(&mut self, secret: &SecretString, user: Name, password_unix_ms: i64, now_ms: u64) {
        let limits = self.limits;
        self.open.retain(|_, session| session.goes_on(limits, now_ms));
        let of_the_user = self.open.values().filter(|session| session.user == user).count();
        if of_the_user >= MAX_OF_ONE_USER {
            self.end_the_quietest(|session| session.user == user);
        } else if self.open.len() >= MAX_SESSIONS {
            self.end_the_quietest(|_| true);
        }
        let session = Session { user, password_unix_ms, began_ms: now_ms, asked_ms: now_ms };
        self.open.insert(key(secret), session);
    }

    /// Whose it is, and of when the password was that it began with. Asking keeps it.
    pub fn of(&mut self, secret: &SecretString, now_ms: u64) -> Option<(Name, i64)> {
        let (key, limits) = (key(secret), self.limits);
        let session = self.open.get_mut(&key)?;
        if !session.goes_on(limits, now_ms) {
            self.open.remove(&key);
            return None;
        }
        session.asked_ms = now_ms;
        Some((session.user.clone(), session.password_unix_ms))
    }

    /// The same; asking so does not keep it.
    pub fn whose(&self, secret: &SecretString, now_ms: u64) -> Option<(Name, i64)> {
        let session = self.open.get(&key(secret)).filter(|session| session.goes_on(self.limits, now_ms))?;
        Some((session.user.clone(), session.password_unix_ms))
    }

    pub fn end(&mut self, secret: &SecretString) {
        self.open.remove(&key(secret));
    }

    /// How many go on.
    pub fn count(&mut self, now_ms: u64) -> usize {
        let limits = self.limits;
        self.open.retain(|_, session| session.goes_on(limits, now_ms));
        self.open.len()
    }

    fn end_the_quietest(&mut self, counts: impl Fn(&Session) -> bool) {
        let quietest = self.open.iter().filter(|(_, session)| counts(session));
        let quietest = quietest.min_by_key(|(_, session)| session.asked_ms).map(|(key, _)| *key);
        quietest.map(|key| self.open.remove(&key));
    }
}

impl Session {
    const fn goes_on(&self, limits: Limits, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.asked_ms) < limits.idle_ms
            && now_ms.saturating_sub(self.began_ms) < limits.whole_ms
    }
}

fn key(secret: &SecretString) -> Key {
    digest(b"tidegate session\0", secret)
}

fn digest(purpose: &[u8], secret: &SecretString) -> [u8; 32] {
    Sha256::new().chain_update(purpose).chain_update(secret.expose_secret()).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { idle_ms: 100, whole_ms: 250 };

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn some(n: u8) -> SecretString {
        secret([n; SECRET_BYTES])
    }

    #[test]
    fn a_session_ends_when_it_is_idle_when_it_is_old_and_when_it_is_ended() {
        let mut sessions = Sessions::new(LIMITS);
        for n in 1..=3 {
            sessions.begin(&some(n), name("eva"), 7, 0);
        }
        assert_eq!(sessions.of(&some(1), 99), Some((name("eva"), 7)));
        assert_eq!(sessions.of(&some(2), 100), None, "idle");
        assert_eq!(sessions.of(&some(1), 198), Some((name("eva"), 7)), "asking kept it");
        assert_eq!(sessions.count(198), 1);
        assert_eq!(sessions.of(&some(1), 249), Some((name("eva"), 7)));
        assert_eq!(sessions.of(&some(1), 250), None, "old");
        sessions.begin(&some(4), name("eva"), 7, 300);
        assert!(sessions.whose(&some(4), 399).is_some() && sessions.whose(&some(4), 400).is_none());
        sessions.end(&some(4));
        assert_eq!(sessions.of(&some(4), 300), None);
        assert_eq!(sessions.of(&some(9), 300), None, "nobody's");
    }

    #[test]
    fn of_one_user_the_quietest_goes_and_nobody_else_s() {
        let mut sessions = Sessions::new(LIMITS);
        sessions.begin(&some(200), name("tom"), 0, 0);
        for n in 0..MAX_OF_ONE_USER as u8 {
            sessions.begin(&some(n), name("eva"), 0, u64::from(n) + 1);
        }
        assert!(sessions.of(&some(0), 50).is_some());
        sessions.begin(&some(100), name("eva"), 0, 60);
        assert!(sessions.of(&some(1), 60).is_none());
        for left in [0, 2, 100, 200] {
            assert!(sessions.of(&some(left), 60).is_some(), "{left}");
        }
    }

    #[test]
    fn there_is_a_bound() {
        let mut sessions = Sessions::new(LIMITS);
        for n in 0..=MAX_SESSIONS {
            let mut random = [0; SECRET_BYTES];
            random[..8].copy_from_slice(&n.to_be_bytes());
            sessions.begin(&secret(random), name(&format!("user-{n}")), 0, 0);
        }
        assert_eq!(sessions.count(0), MAX_SESSIONS);
    }

    #[test]
    fn a_form_s_secret_is_of_its_session_and_does_not_give_it_away() {
        let [one, other] = [1, 2].map(|n| form_secret(&some(n)));
        assert!(is_same(&one, &form_secret(&some(1))));
        assert!(!is_same(&one, &other) && !is_same(&one, &some(1)) && !is_same(&one, &"".into()));
    }
}
