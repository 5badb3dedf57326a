//! Users and tokens from the ingest's own machine, by whoever may write its data folder: so the first admin is made, and whoever
//! forgot a password comes in again. It works while the ingest runs, which sees it at once, and stands in the log of changes.

use std::{io, path::Path};

use clap::{Args, Subcommand};
use tidegate_access::{
    BookError, Name, Role, TokenId,
    book::{DAY_MS, MAX_TOKEN_LIFE_MS, TOKEN_LIFE_MS, Wanted},
    password,
    secrecy::ExposeSecret,
};
use tidegate_service::ask;

use super::{
    DoorError,
    changes::{Changes, Order, Outcome},
    kept::{Kept, KeptError},
    new_token,
    sign_in::new_salt,
};
use crate::clock::unix_ms;

const MAX_DAYS: i64 = MAX_TOKEN_LIFE_MS / DAY_MS;

#[derive(Subcommand)]
pub enum UsersCommand {
    /// Make a user; the password is asked for, or read from the standard input.
    Add {
        name: Name,
        /// viewer, operator, engineer or admin
        #[arg(long)]
        role: Role,
    },
    /// List users.
    List,
    /// Give a user another password, which ends their sessions.
    Passwd { name: Name },
    /// Remove a user, with all tokens that are theirs.
    Remove { name: Name },
}

#[derive(Subcommand)]
pub enum TokensCommand {
    /// Make a token and print it, once.
    Create(CreateToken),
    /// List tokens, those that ended in the last 90 days too.
    List,
    /// Revoke a token.
    Revoke { id: TokenId },
}

#[derive(Args)]
pub struct CreateToken {
    /// Who it is for: what it does is done in this name.
    owner: Name,
    /// viewer, operator, engineer or admin
    #[arg(long)]
    role: Role,
    /// After so many days it ends.
    #[arg(long, value_name = "DAYS", default_value_t = TOKEN_LIFE_MS / DAY_MS, value_parser = clap::value_parser!(i64).range(1..=MAX_DAYS))]
    days: i64,
    /// What it is for.
    #[arg(long, default_value = "")]
    note: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Door(#[from] DoorError),
    #[error(transparent)]
    Kept(#[from] KeptError),
    #[error("the password: {0}")]
    Asked(io::Error),
    #[error(transparent)]
    Password(#[from] password::PasswordError),
}

struct Folder {
    kept: Kept,
    changes: Changes,
}

pub fn users(data_dir: &Path, command: UsersCommand) -> Result<(), CommandError> {
    let folder = Folder::open(data_dir)?;
    match command {
        UsersCommand::Add { name, role } => {
            let record = new_password(&name)?;
            let path = format!("users add {name} --role {role}");
            folder.change(&path, |book| book.add_user(name, role, record, unix_ms()))
        }
        UsersCommand::Passwd { name } => {
            let record = new_password(&name)?;
            folder.change(&format!("users passwd {name}"), |book| book.set_password(&name, record, unix_ms()))
        }
        UsersCommand::Remove { name } => {
            folder.change(&format!("users remove {name}"), |book| book.remove_user(&name, unix_ms()))
        }
        UsersCommand::List => {
            for user in folder.kept.book()?.users() {
                println!("{:<24} {}", user.name, user.role);
            }
            Ok(())
        }
    }
}

pub fn tokens(data_dir: &Path, command: TokensCommand) -> Result<(), CommandError> {
    let folder = Folder::open(data_dir)?;
    match command {
        TokensCommand::Create(CreateToken { owner, role, days, note }) => {
            let token = new_token()?;
            let path = format!("tokens create {owner} --role {role} --days {days} ({})", token.id());
            let wanted = Wanted { owner, role, note, life_ms: days * DAY_MS };
            folder.change(&path, |book| {
                book.create_token(&token, wanted, &operator(), unix_ms()).map(|_| ())
            })?;
            println!("{}", token.text().expose_secret());
            Ok(())
        }
        TokensCommand::Revoke { id } => {
            folder.change(&format!("tokens revoke {id}"), |book| book.revoke_token(id, unix_ms()).map(|_| ()))
        }
        TokensCommand::List => {
            let now = unix_ms();
            for row in folder.kept.book()?.tokens() {
                println!(
                    "{}  {:<24} {:<8}  {:<7}  {}",
                    row.id,
                    row.owner,
                    row.role,
                    row.state(now),
                    row.note
                );
            }
            Ok(())
        }
    }
}

fn new_password(name: &Name) -> Result<password::PasswordRecord, CommandError> {
    let password = ask::secret(&format!("new password of {name}"), true).map_err(CommandError::Asked)?;
    Ok(password::hash(&password, new_salt()?)?)
}

/// Of the account that runs the command; a name that it gives itself, which the log says.
fn operator() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

impl Folder {
    fn open(data_dir: &Path) -> Result<Self, CommandError> {
        let kept = Kept::open(data_dir)?;
        let changes = Changes::open(kept.folder()).map_err(DoorError::Changes)?;
        Ok(Self { kept, changes })
    }

    fn change(
        &self,
        path: &str,
        change: impl FnOnce(&mut tidegate_access::Book) -> Result<(), BookError>,
    ) -> Result<(), CommandError> {
        let order = Order {
            number: 0,
            unix_ms: unix_ms(),
            actor: operator(),
            role: None,
            by: "command".to_owned(),
            token: None,
            address: None,
            method: "COMMAND".to_owned(),
            path: path.to_owned(),
            before: None,
        };
        let number = self.changes.begin(order).map_err(DoorError::Changes)?;
        let done = self.kept.change(change);
        let status = if done.is_ok() { 200 } else { 409 };
        let note = done.as_ref().err().map(ToString::to_string);
        let outcome = Outcome { outcome_of: number, unix_ms: unix_ms(), status, note, ..Outcome::default() };
        self.changes.end(&outcome).map_err(DoorError::Changes)?;
        Ok(done?)
    }
}
