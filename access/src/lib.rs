//! Who may do what at an HTTP door. Pure: no clock, no random number, no file, no socket; the door's shell brings them.
//!
//! - [`role`]: viewer, operator, engineer, admin, each with what those before it may do
//! - [`token`]: `tdg_…`, what a program shows; kept as a hash
//! - [`password`]: what a person shows; kept by argon2id
//! - [`book`]: all users and tokens, and what may be changed in it
//! - [`session`]: who has signed in, and until when
//! - [`attempts`]: how often it was tried to sign in
//! - [`request`]: what a request says of itself: `Authorization`, `Cookie`, forms, `Host`, `Origin`
//!
//! A secret is in a [`secrecy::SecretString`] from where it is read to where it is hashed, and is in no `Debug` output.

pub mod attempts;
pub mod book;
pub mod password;
pub mod request;
pub mod role;
pub mod session;
pub mod token;

pub use book::{Book, BookError, Name, User};
pub use role::Role;
pub use secrecy;
pub use token::{Token, TokenId};
