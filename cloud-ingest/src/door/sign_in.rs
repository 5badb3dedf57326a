//! Passwords: looked at off the async threads, a few at a time, so that many who sign in at once take neither all memory nor all
//! processors. Whoever waits behind [`WAITING`] others is told to come again.

use std::{net::IpAddr, sync::Arc};

use tidegate_access::{
    Name,
    password::{self, PasswordError, PasswordRecord, SALT_BYTES},
    secrecy::SecretString,
    session::{self, SECRET_BYTES},
};

use super::{Door, DoorError, KeptError, count};

/// How many passwords are looked at at the same time.
pub const AT_ONCE: usize = 2;
/// How many wait for their turn at most.
const WAITING: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum SignInRefused {
    /// Which of the two is nobody's business.
    #[error("the name or the password is wrong")]
    Wrong,
    #[error("too many attempts; wait, and try again")]
    TooMany { retry_after_s: u32 },
    #[error("too many sign in at this moment; try again")]
    Busy,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Kept(#[from] KeptError),
    #[error(transparent)]
    Door(#[from] DoorError),
    #[error("the password could not be looked at: {0}")]
    Ended(#[from] tokio::task::JoinError),
}

impl Door {
    /// What the browser is to hold of the session that begins.
    pub async fn sign_in(
        &self,
        account: &str,
        password: SecretString,
        address: IpAddr,
    ) -> Result<SecretString, SignInRefused> {
        let begun = self.attempts().begin(account, address, self.clock.now_ms());
        if let Err(many) = begun {
            count(&self.counts.rate_limited);
            let retry_after_s = u32::try_from(many.retry_after_ms.div_ceil(1_000)).unwrap_or(u32::MAX);
            return Err(SignInRefused::TooMany { retry_after_s });
        }
        let book = self.book()?;
        let user = account.parse::<Name>().ok().and_then(|name| book.user(&name).cloned());
        let record = user.as_ref().map(|user| user.password.clone());
        let is_right = self.hashing(move || password::verify(record.as_ref(), &password)).await?;
        let Some(user) = user.filter(|_| is_right) else {
            count(&self.counts.wrong_passwords);
            tracing::info!(%address, "a wrong name or password");
            return Err(SignInRefused::Wrong);
        };
        self.attempts().succeeded(account);
        let secret = new_session()?;
        self.sessions().begin(&secret, user.name.clone(), user.password_unix_ms, self.clock.now_ms());
        count(&self.counts.sign_ins);
        tracing::info!(%address, user = %user.name, role = %user.role, "signed in");
        Ok(secret)
    }

    pub async fn hash_password(&self, password: SecretString) -> Result<PasswordRecord, SignInRefused> {
        let salt = new_salt()?;
        Ok(self.hashing(move || password::hash(&password, salt)).await??)
    }

    /// Done to its end though whoever waits goes away: its turn goes with it.
    async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, SignInRefused> {
        let Ok(_waits) = Arc::clone(&self.waiting).try_acquire_owned() else {
            count(&self.counts.sign_ins_busy);
            return Err(SignInRefused::Busy);
        };
        let turn = Arc::clone(&self.hashing).acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        Ok(done.await?)
    }

    fn attempts(&self) -> std::sync::MutexGuard<'_, super::Attempts> {
        self.attempts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// How many may be in [`Door::hashing`] at all.
pub const INSIDE: usize = AT_ONCE + WAITING;

pub fn new_salt() -> Result<[u8; SALT_BYTES], DoorError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(DoorError::Random)?;
    Ok(salt)
}

/// 256 random bits, for a session or a form.
pub fn new_session() -> Result<SecretString, DoorError> {
    let mut random = [0; SECRET_BYTES];
    getrandom::fill(&mut random).map_err(DoorError::Random)?;
    Ok(session::secret(random))
}
