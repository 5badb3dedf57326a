//! Who comes to the HTTP door, what they may do, and what they did.
//!
//! ```text
//! kept      users and tokens on disk        changes   the log of who changed what
//! caller    who asks                        sign_in   passwords, a few at a time
//! settings  the [auth] section, checked     command   users and tokens from the ingest's own machine
//! certificate  the listener's own, renewed while it runs
//! ```
//!
//! What is decided lies in the crate `tidegate-access`, which is pure.

pub mod caller;
pub mod certificate;
pub mod changes;
pub mod command;
pub mod kept;
pub mod settings;
mod sign_in;

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tidegate_access::{
    Book, BookError, Name, Token, TokenId, User, attempts::Attempts, book::TokenRefused,
    secrecy::SecretString, session::Sessions,
};
use tokio::sync::Semaphore;

pub use caller::{By, Caller};
pub use kept::KeptError;
pub use settings::Policy;
pub use sign_in::{SignInRefused, new_session};

use self::{changes::Changes, kept::Kept};
use crate::clock::Clock;

#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    #[error("users and tokens: {0}")]
    Kept(#[from] KeptError),
    #[error("the log of changes: {0}; give the ingest's user the folder access in data_dir")]
    Changes(io::Error),
    #[error("no random number is to be had: {0}")]
    Random(getrandom::Error),
}

/// Counts since the start, for metrics.
#[derive(Debug, Default)]
pub struct Counts {
    pub sign_ins: AtomicU64,
    pub wrong_passwords: AtomicU64,
    pub rate_limited: AtomicU64,
    pub sign_ins_busy: AtomicU64,
    pub without_credentials: AtomicU64,
    pub bad_credentials: AtomicU64,
    pub role_too_low: AtomicU64,
    pub not_our_page: AtomicU64,
    pub strangers: AtomicU64,
    pub by_token: AtomicU64,
    pub by_session: AtomicU64,
}

/// One more of something.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub struct Door {
    pub policy: Policy,
    pub counts: Counts,
    kept: Kept,
    pub changes: Changes,
    sessions: Mutex<Sessions>,
    attempts: Mutex<Attempts>,
    /// Each password that is looked at takes 19 MiB.
    hashing: Arc<Semaphore>,
    /// For those who wait for that, and those who do not any more.
    waiting: Arc<Semaphore>,
    clock: Clock,
}

/// Why somebody is not let in.
#[derive(Debug)]
pub enum Stranger {
    /// They show nothing.
    Nothing,
    /// What they show is no token, or no session that goes on.
    Wrong(String),
    /// It cannot be looked up.
    Failed(KeptError),
}

impl Door {
    /// In the data folder.
    pub fn open(data_dir: &Path, policy: Policy) -> Result<Self, DoorError> {
        let kept = Kept::open(data_dir)?;
        let changes = Changes::open(kept.folder()).map_err(DoorError::Changes)?;
        Ok(Self {
            sessions: Mutex::new(Sessions::new(policy.sessions)),
            policy,
            counts: Counts::default(),
            kept,
            changes,
            attempts: Mutex::default(),
            hashing: Arc::new(Semaphore::new(sign_in::AT_ONCE)),
            waiting: Arc::new(Semaphore::new(sign_in::INSIDE)),
            clock: Clock::start(),
        })
    }

    pub fn book(&self) -> Result<Arc<Book>, KeptError> {
        self.kept.book()
    }

    /// Blocks for as long as the disk takes.
    pub fn change<T>(&self, change: impl FnOnce(&mut Book) -> Result<T, BookError>) -> Result<T, KeptError> {
        self.kept.change(change)
    }

    pub fn sessions_open(&self) -> usize {
        self.sessions().count(self.clock.now_ms())
    }

    pub fn unix_ms(&self) -> i64 {
        self.clock.unix_ms()
    }

    /// Whose token it is.
    pub fn by_token(&self, shown: &Token) -> Result<Caller, Stranger> {
        let book = self.book().map_err(Stranger::Failed)?;
        let row = book.token(shown, self.unix_ms()).map_err(|refused| {
            tracing::info!(token = %shown.id(), reason = refused.name(), "a token was refused");
            Stranger::Wrong(match refused {
                TokenRefused::Unknown => "this token is unknown here".to_owned(),
                TokenRefused::Expired => "this token has expired; have another made".to_owned(),
                TokenRefused::Revoked => "this token was revoked".to_owned(),
            })
        })?;
        Ok(Caller::new(row.owner.to_string(), row.role, By::Token(row.id)))
    }

    /// Whose session it is.
    pub fn by_session(&self, shown: &SecretString) -> Result<Caller, Stranger> {
        let over = || Stranger::Wrong("the session is over; sign in again".to_owned());
        let (name, began_with) = self.sessions().of(shown, self.clock.now_ms()).ok_or_else(over)?;
        let book = self.book().map_err(Stranger::Failed)?;
        let user = user_since(&book, &name, began_with).ok_or_else(over)?;
        Ok(Caller::new(name.to_string(), user.role, By::Session(shown.clone())))
    }

    /// Whether who was let in would be let in now, with no smaller role.
    pub fn is_still_good(&self, caller: &Caller) -> bool {
        if caller.is_local() {
            return true;
        }
        let Ok(book) = self.book() else { return false };
        match &caller.by {
            By::Local => true,
            By::Token(id) => {
                let row = book.tokens().iter().find(|row| row.id == *id);
                row.is_some_and(|row| row.state(self.unix_ms()) == "valid")
            }
            By::Session(secret) => {
                let whose = self.sessions().whose(secret, self.clock.now_ms());
                let user = whose.and_then(|(name, began_with)| user_since(&book, &name, began_with));
                user.is_some_and(|user| user.role >= caller.role)
            }
        }
    }

    /// Notes that a token is used, where it is not noted yet for this hour. Blocks then.
    pub fn note_use(&self, id: TokenId) {
        let now = self.unix_ms();
        let Ok(Some(hour)) = self.book().map(|book| book.use_to_note(id, now)) else { return };
        let noted = self.change(|book| {
            book.note_use(id, hour);
            Ok(())
        });
        if let Err(error) = noted {
            tracing::warn!(%error, "when a token was used could not be noted");
        }
    }

    /// Whether [`Self::note_use`] has something to note.
    pub fn is_use_to_note(&self, id: TokenId) -> bool {
        self.book().is_ok_and(|book| book.use_to_note(id, self.unix_ms()).is_some())
    }

    pub fn sign_out(&self, session: &SecretString) {
        self.sessions().end(session);
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The user of a session that began with the password of that time: another password ends it.
fn user_since<'b>(book: &'b Book, name: &Name, began_with: i64) -> Option<&'b User> {
    book.user(name).filter(|user| user.password_unix_ms == began_with)
}

/// A token that nobody had before.
pub fn new_token() -> Result<Token, DoorError> {
    let (mut id, mut secret) = ([0; 8], [0; 32]);
    getrandom::fill(&mut id).and_then(|()| getrandom::fill(&mut secret)).map_err(DoorError::Random)?;
    Ok(Token::new(id, secret))
}
