//! The users of a broker and their passwords.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::access::{Identity, Role};

#[derive(Debug, Clone)]
pub struct User {
    pub identity: Identity,
    pub password: SecretString,
}

impl User {
    pub fn new(name: &str, password: impl Into<SecretString>, role: Role) -> Self {
        let identity = Identity { user: name.into(), role: Arc::new(role) };
        Self { identity, password: password.into() }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Users {
    users: Vec<User>,
    anonymous: Option<Identity>,
    identities: Vec<Identity>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginRefused {
    /// The name is unknown or the password wrong; which of them is nobody's business.
    BadCredentials,
    /// No credentials, and the broker does not let such clients in.
    Anonymous,
}

impl Users {
    /// `anonymous` is the role of clients without credentials; `None` keeps them out.
    pub fn new(users: Vec<User>, anonymous: Option<Role>) -> Self {
        let identities = users.iter().map(|user| user.identity.clone()).collect();
        let anonymous = anonymous.map(|role| Identity { user: "".into(), role: Arc::new(role) });
        Self { users, anonymous, identities }
    }

    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// Takes equally long for an unknown name and a wrong password of the same length.
    pub fn login(&self, name: Option<&str>, password: Option<&[u8]>) -> Result<&Identity, LoginRefused> {
        let Some(name) = name else {
            return self.anonymous.as_ref().ok_or(LoginRefused::Anonymous);
        };
        let given = password.unwrap_or_default();
        let user = self.users.iter().find(|user| &*user.identity.user == name);
        let expected = user.map_or(given, |user| user.password.expose_secret().as_bytes());
        let equal = bool::from(expected.ct_eq(given));
        user.filter(|_| equal).map(|user| &user.identity).ok_or(LoginRefused::BadCredentials)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_of_a_known_user_is_let_in() {
        let users = Users::new(vec![User::new("viewer", "secret", Role::Observer)], None);
        let login = |name, password: Option<&str>| {
            users.login(name, password.map(str::as_bytes)).map(|identity| identity.user.to_string())
        };
        assert_eq!(login(Some("viewer"), Some("secret")), Ok("viewer".to_owned()));
        for password in [None, Some(""), Some("Secret"), Some("secret2")] {
            assert_eq!(login(Some("viewer"), password), Err(LoginRefused::BadCredentials));
        }
        assert_eq!(login(Some("nobody"), Some("secret")), Err(LoginRefused::BadCredentials));
        assert_eq!(login(Some(""), Some("")), Err(LoginRefused::BadCredentials));
        assert_eq!(login(None, None), Err(LoginRefused::Anonymous));
        let open = Users::new(Vec::new(), Some(Role::Observer));
        assert_eq!(open.login(None, None).map(|identity| &*identity.role), Ok(&Role::Observer));
        assert_eq!(open.login(Some("x"), None), Err(LoginRefused::BadCredentials));
    }

    #[test]
    fn a_password_is_not_printed() {
        let user = User::new("viewer", "secret", Role::Observer);
        assert!(!format!("{user:?}").contains("secret"));
    }
}
