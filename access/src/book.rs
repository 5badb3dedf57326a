//! All users and tokens, and what may be changed in it. Times are unix milliseconds, told by whoever asks.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Role,
    password::PasswordRecord,
    token::{Token, TokenHash, TokenId},
};

pub const MAX_USERS: usize = 1_024;
pub const MAX_TOKENS: usize = 4_096;
pub const MAX_NOTE_CHARS: usize = 100;
pub const DAY_MS: i64 = 86_400_000;
/// How long a token lasts when nobody says.
pub const TOKEN_LIFE_MS: i64 = 90 * DAY_MS;
pub const MAX_TOKEN_LIFE_MS: i64 = 366 * DAY_MS;
/// Tokens that ended are listed for so long.
pub const ENDED_KEPT_MS: i64 = 90 * DAY_MS;
/// When a token was last used is noted to the hour: a file is not written at each request.
pub const USE_NOTED_EVERY_MS: i64 = 3_600_000;
const MAX_NAME_CHARS: usize = 64;

/// Of a user, or of whoever a token is for. Small letters only, so that no two look alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to {MAX_NAME_CHARS} of a to z, 0 to 9 and . _ @ -, and begins with a letter or digit")]
pub struct NoName;

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = (1..=MAX_NAME_CHARS).contains(&text.len())
            && text.bytes().all(|byte| is_plain(byte) || b"._@-".contains(&byte))
            && text.bytes().next().is_some_and(is_plain);
        if fits { Ok(Self(text.to_owned())) } else { Err(NoName) }
    }
}

impl TryFrom<String> for Name {
    type Error = NoName;

    fn try_from(text: String) -> Result<Self, NoName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub name: Name,
    pub role: Role,
    pub password: PasswordRecord,
    pub added_unix_ms: i64,
    /// Sessions that began before are over.
    pub password_unix_ms: i64,
}

/// What is kept of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRow {
    pub id: TokenId,
    /// Who it is for: what it does is done in this name.
    pub owner: Name,
    pub role: Role,
    /// What it is for; may be empty.
    pub note: String,
    pub hash: TokenHash,
    pub created_unix_ms: i64,
    pub created_by: String,
    pub expires_unix_ms: i64,
    pub revoked_unix_ms: Option<i64>,
    /// To the hour.
    pub last_used_unix_ms: Option<i64>,
}

impl TokenRow {
    /// `valid`, `expired` or `revoked`
    pub const fn state(&self, now_unix_ms: i64) -> &'static str {
        match (self.revoked_unix_ms, self.expires_unix_ms > now_unix_ms) {
            (Some(_), _) => "revoked",
            (None, false) => "expired",
            (None, true) => "valid",
        }
    }
}

/// What a token is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub owner: Name,
    pub role: Role,
    pub note: String,
    pub life_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    #[error("there is a user {0} already; `users passwd` gives another password")]
    UserExists(Name),
    #[error("there is no user {0}")]
    UnknownUser(Name),
    #[error("{0} is the only admin: make another first")]
    LastAdmin(Name),
    #[error("{MAX_USERS} users are the most; remove some")]
    TooManyUsers,
    #[error("there is no token {0}")]
    UnknownToken(TokenId),
    #[error("{MAX_TOKENS} tokens are the most; revoke some (what has ended leaves after 90 days)")]
    TooManyTokens,
    #[error("a token lasts 1 ms to 366 days")]
    Life,
    #[error("what a token is for is said in up to {MAX_NOTE_CHARS} characters on one line")]
    Note,
    #[error("that token was made before; ask again")]
    SameToken,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefused {
    Unknown,
    Expired,
    Revoked,
}

impl TokenRefused {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    users: Vec<User>,
    tokens: Vec<TokenRow>,
}

impl Book {
    pub fn users(&self) -> &[User] {
        &self.users
    }

    pub fn tokens(&self) -> &[TokenRow] {
        &self.tokens
    }

    pub fn user(&self, name: &Name) -> Option<&User> {
        self.users.iter().find(|user| user.name == *name)
    }

    /// Whoever shows the right secret may hear why it does not count; whoever does not hears that it is unknown.
    pub fn token(&self, shown: &Token, now_unix_ms: i64) -> Result<&TokenRow, TokenRefused> {
        let found = self.tokens.iter().find(|row| row.id == shown.id());
        let row = found.filter(|row| row.hash.is_of(shown)).ok_or(TokenRefused::Unknown)?;
        match row.state(now_unix_ms) {
            "revoked" => Err(TokenRefused::Revoked),
            "expired" => Err(TokenRefused::Expired),
            _ => Ok(row),
        }
    }

    pub fn add_user(
        &mut self,
        name: Name,
        role: Role,
        password: PasswordRecord,
        now_unix_ms: i64,
    ) -> Result<(), BookError> {
        if self.user(&name).is_some() {
            return Err(BookError::UserExists(name));
        }
        if self.users.len() >= MAX_USERS {
            return Err(BookError::TooManyUsers);
        }
        let (added_unix_ms, password_unix_ms) = (now_unix_ms, now_unix_ms);
        self.users.push(User { name, role, password, added_unix_ms, password_unix_ms });
        Ok(())
    }

    /// Ends the user's sessions too.
    pub fn set_password(
        &mut self,
        name: &Name,
        password: PasswordRecord,
        now_unix_ms: i64,
    ) -> Result<(), BookError> {
        let user = self.users.iter_mut().find(|user| user.name == *name);
        let user = user.ok_or_else(|| BookError::UnknownUser(name.clone()))?;
        // Later than before, also where the clock went back or stood: a session knows it by this.
        user.password_unix_ms = now_unix_ms.max(user.password_unix_ms.saturating_add(1));
        user.password = password;
        Ok(())
    }

    /// With all tokens that are theirs.
    pub fn remove_user(&mut self, name: &Name, now_unix_ms: i64) -> Result<(), BookError> {
        let user = self.user(name).ok_or_else(|| BookError::UnknownUser(name.clone()))?;
        let admins = self.users.iter().filter(|user| user.role == Role::Admin).count();
        if user.role == Role::Admin && admins == 1 {
            return Err(BookError::LastAdmin(name.clone()));
        }
        self.users.retain(|user| user.name != *name);
        for row in self.tokens.iter_mut().filter(|row| row.owner == *name) {
            row.revoked_unix_ms.get_or_insert(now_unix_ms);
        }
        Ok(())
    }

    pub fn create_token(
        &mut self,
        token: &Token,
        wanted: Wanted,
        created_by: &str,
        now_unix_ms: i64,
    ) -> Result<&TokenRow, BookError> {
        let Wanted { owner, role, note, life_ms } = wanted;
        if !(1..=MAX_TOKEN_LIFE_MS).contains(&life_ms) {
            return Err(BookError::Life);
        }
        if note.chars().count() > MAX_NOTE_CHARS || note.chars().any(char::is_control) {
            return Err(BookError::Note);
        }
        if self.tokens.iter().any(|row| row.id == token.id()) {
            return Err(BookError::SameToken);
        }
        let ended = |row: &TokenRow| row.revoked_unix_ms.unwrap_or(i64::MAX).min(row.expires_unix_ms);
        self.tokens.retain(|row| ended(row) > now_unix_ms.saturating_sub(ENDED_KEPT_MS));
        if self.tokens.len() >= MAX_TOKENS {
            return Err(BookError::TooManyTokens);
        }
        self.tokens.push(TokenRow {
            id: token.id(),
            owner,
            role,
            note,
            hash: token.hash(),
            created_unix_ms: now_unix_ms,
            created_by: created_by.to_owned(),
            expires_unix_ms: now_unix_ms.saturating_add(life_ms),
            revoked_unix_ms: None,
            last_used_unix_ms: None,
        });
        self.tokens.last().ok_or(BookError::UnknownToken(token.id()))
    }

    /// A token that was revoked before stays so.
    pub fn revoke_token(&mut self, id: TokenId, now_unix_ms: i64) -> Result<&TokenRow, BookError> {
        let row = self.tokens.iter_mut().find(|row| row.id == id).ok_or(BookError::UnknownToken(id))?;
        row.revoked_unix_ms.get_or_insert(now_unix_ms);
        Ok(row)
    }

    /// The hour to note as a token's last use, where it is another than the noted one.
    pub fn use_to_note(&self, id: TokenId, now_unix_ms: i64) -> Option<i64> {
        let hour = now_unix_ms.div_euclid(USE_NOTED_EVERY_MS) * USE_NOTED_EVERY_MS;
        let row = self.tokens.iter().find(|row| row.id == id)?;
        (row.last_used_unix_ms.is_none_or(|noted| noted < hour)).then_some(hour)
    }

    pub fn note_use(&mut self, id: TokenId, hour_unix_ms: i64) {
        if let Some(row) = self.tokens.iter_mut().find(|row| row.id == id) {
            row.last_used_unix_ms = row.last_used_unix_ms.max(Some(hour_unix_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password::{SALT_BYTES, hash};

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn password() -> PasswordRecord {
        hash(&"tide and gate and tide".into(), [7; SALT_BYTES]).unwrap()
    }

    fn wanted(owner: &str) -> Wanted {
        Wanted { owner: name(owner), role: Role::Viewer, note: String::new(), life_ms: 1_000 }
    }

    fn token(n: u8) -> Token {
        Token::new([n; 8], [n; 32])
    }

    #[test]
    fn a_token_counts_from_its_making_until_its_end() {
        let mut book = Book::default();
        book.create_token(&token(1), wanted("grafana"), "eva", 5_000).unwrap();
        let owner = |book: &Book, n, now| book.token(&token(n), now).map(|row| row.owner.to_string());
        assert_eq!(owner(&book, 1, 5_999), Ok("grafana".to_owned()));
        assert_eq!(owner(&book, 1, 6_000), Err(TokenRefused::Expired));
        assert_eq!(owner(&book, 2, 5_000), Err(TokenRefused::Unknown));
        let forged = Token::new([1; 8], [9; 32]);
        assert_eq!(book.token(&forged, 9_000), Err(TokenRefused::Unknown), "not even that it has expired");
        book.revoke_token(token(1).id(), 5_500).unwrap();
        book.revoke_token(token(1).id(), 5_700).unwrap();
        assert_eq!(owner(&book, 1, 5_600), Err(TokenRefused::Revoked));
        assert_eq!(book.tokens()[0].revoked_unix_ms, Some(5_500));
        assert_eq!(book.revoke_token(token(3).id(), 0), Err(BookError::UnknownToken(token(3).id())));
    }

    #[test]
    fn what_a_token_may_not_be_is_refused() {
        let mut book = Book::default();
        let with = |life_ms, note: &str| Wanted { life_ms, note: note.to_owned(), ..wanted("a") };
        for (wanted, error) in [
            (with(0, ""), BookError::Life),
            (with(MAX_TOKEN_LIFE_MS + 1, ""), BookError::Life),
            (with(1, "a\nb"), BookError::Note),
            (with(1, &"x".repeat(101)), BookError::Note),
        ] {
            assert_eq!(book.create_token(&token(1), wanted, "eva", 0), Err(error));
        }
        book.create_token(&token(1), with(MAX_TOKEN_LIFE_MS, "of the dashboard"), "eva", 0).unwrap();
        assert_eq!(book.create_token(&token(1), with(1, ""), "eva", 0), Err(BookError::SameToken));
    }

    #[test]
    fn tokens_that_ended_long_ago_make_room() {
        let mut book = Book::default();
        for n in 0..MAX_TOKENS as u64 {
            let token = Token::new(n.to_be_bytes(), [1; 32]);
            book.create_token(&token, wanted("a"), "eva", 0).unwrap();
        }
        let another = Token::new([0xff; 8], [1; 32]);
        let now = 1_000 + ENDED_KEPT_MS;
        let full = book.create_token(&another, wanted("a"), "eva", now - 1).unwrap_err();
        assert_eq!(full, BookError::TooManyTokens);
        book.create_token(&another, wanted("a"), "eva", now).unwrap();
        assert_eq!(book.tokens().len(), 1);
    }

    #[test]
    fn who_is_removed_takes_their_tokens_along_and_an_admin_stays() {
        let mut book = Book::default();
        book.add_user(name("eva"), Role::Admin, password(), 1).unwrap();
        book.add_user(name("tom"), Role::Viewer, password(), 1).unwrap();
        assert_eq!(
            book.add_user(name("tom"), Role::Admin, password(), 1),
            Err(BookError::UserExists(name("tom")))
        );
        book.create_token(&token(1), wanted("tom"), "eva", 0).unwrap();
        book.create_token(&token(2), wanted("eva"), "eva", 0).unwrap();
        book.remove_user(&name("tom"), 5).unwrap();
        assert_eq!(book.token(&token(1), 6), Err(TokenRefused::Revoked));
        assert!(book.token(&token(2), 6).is_ok());
        assert_eq!(book.remove_user(&name("tom"), 5), Err(BookError::UnknownUser(name("tom"))));
        assert_eq!(book.remove_user(&name("eva"), 5), Err(BookError::LastAdmin(name("eva"))));
        book.add_user(name("kim"), Role::Admin, password(), 6).unwrap();
        book.remove_user(&name("eva"), 7).unwrap();
    }

    #[test]
    fn a_new_password_is_later_than_the_last_whatever_the_clock_says() {
        let mut book = Book::default();
        book.add_user(name("eva"), Role::Admin, password(), 100).unwrap();
        book.set_password(&name("eva"), password(), 50).unwrap();
        assert_eq!(book.users()[0].password_unix_ms, 101);
        assert_eq!(book.set_password(&name("tom"), password(), 1), Err(BookError::UnknownUser(name("tom"))));
    }

    #[test]
    fn the_last_use_is_noted_once_an_hour() {
        let mut book = Book::default();
        book.create_token(&token(1), Wanted { life_ms: DAY_MS, ..wanted("a") }, "eva", 0).unwrap();
        let id = token(1).id();
        let hour = USE_NOTED_EVERY_MS;
        assert_eq!(book.use_to_note(id, hour + 5), Some(hour));
        book.note_use(id, hour);
        assert_eq!(book.use_to_note(id, 2 * hour - 1), None);
        assert_eq!(book.use_to_note(id, 2 * hour), Some(2 * hour));
        book.note_use(id, 0);
        assert_eq!(book.tokens()[0].last_used_unix_ms, Some(hour), "never back");
        assert_eq!(book.use_to_note(token(2).id(), 0), None);
    }

    #[test]
    fn names_are_plain() {
        for good in ["eva", "grafana-2", "eva.l@plant", "0"] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", "Eva", "-a", "a b", "é", "a/b", "a\n", &"x".repeat(65)] {
            assert_eq!(bad.parse::<Name>(), Err(NoName), "{bad}");
        }
    }

    #[test]
    fn a_book_is_written_and_read_whole_and_shows_no_password() {
        let mut book = Book::default();
        book.add_user(name("eva"), Role::Admin, password(), 1).unwrap();
        book.create_token(&token(1), wanted("eva"), "eva", 0).unwrap();
        let text = serde_json::to_string(&book).unwrap();
        assert_eq!(serde_json::from_str::<Book>(&text).unwrap(), book);
        assert!(!format!("{book:?}").contains("argon2"));
        assert!(!text.contains(&"01".repeat(32)), "the secret is not in it");
    }
}
