//! Who asks, and what they have said of what they do.

use std::sync::{Arc, Mutex, PoisonError};

use tidegate_access::{Role, TokenId, secrecy::SecretString};

#[derive(Clone, Debug)]
pub enum By {
    /// Nobody is asked who they are: a program on the ingest's own machine, or whoever reads.
    Local,
    Token(TokenId),
    Session(SecretString),
}

#[derive(Clone, Debug)]
pub struct Caller {
    /// Empty where nobody is asked who they are.
    pub name: String,
    pub role: Role,
    pub by: By,
    said: Arc<Mutex<Said>>,
}

/// What an order says, for the log of changes.
#[derive(Clone, Debug, Default)]
pub struct Said {
    pub operator: Option<String>,
    pub note: Option<String>,
}

impl Caller {
    pub fn new(name: String, role: Role, by: By) -> Self {
        Self { name, role, by, said: Arc::default() }
    }

    /// Where nobody is asked who they are. Users and tokens are made by those who are asked only, whatever role this is.
    pub fn local() -> Self {
        Self::new(String::new(), Role::Engineer, By::Local)
    }

    pub const fn is_local(&self) -> bool {
        matches!(self.by, By::Local)
    }

    /// `local`, `token` or `session`
    pub const fn way(&self) -> &'static str {
        match self.by {
            By::Local => "local",
            By::Token(_) => "token",
            By::Session(_) => "session",
        }
    }

    pub const fn token(&self) -> Option<TokenId> {
        match self.by {
            By::Token(id) => Some(id),
            By::Local | By::Session(_) => None,
        }
    }

    /// Whose orders these are, for what is remembered of them.
    pub fn key(&self) -> String {
        match self.by {
            By::Local => String::new(),
            By::Token(id) => format!("token {id}"),
            By::Session(_) => format!("user {}", self.name),
        }
    }

    pub fn says_operator(&self, name: &str) {
        self.said().operator = Some(name.to_owned());
    }

    pub fn says_what(&self, note: String) {
        self.said().note = Some(note);
    }

    pub fn what_was_said(&self) -> Said {
        self.said().clone()
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
