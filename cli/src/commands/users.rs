//! `tidegate users`: who may sign in to the page.

use std::{io::Write, process::ExitCode};

use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tidegate_access::{Name, Role, secrecy::ExposeSecret};
use tidegate_service::ask;

use super::print;
use crate::{
    client::Client,
    error::CliError,
    instant::local_time,
    paint::{Paint, Style},
    table::{Align, Table},
};

/// Add, list and remove users, and give them passwords. Needs the role admin.
///
/// The first one is made on the ingest's own machine, with `tidegate-ingest users add`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// Print JSON, one object a line, as the API gives it.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Add a user; the password is asked for, or read from the standard input
    Add {
        name: Name,
        /// viewer, operator, engineer or admin, each with what those before it may do.
        #[arg(long)]
        role: Role,
    },
    /// List users
    List,
    /// Give a user another password, asked for or read from the standard input; it ends their sessions
    Passwd { name: Name },
    /// Remove a user, with all tokens that are theirs
    Remove { name: Name },
}

#[derive(Deserialize)]
struct Users {
    users: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct User {
    name: String,
    role: String,
    added_unix_ms: i64,
    password_unix_ms: i64,
}

pub async fn run(asked: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    let (raw, said) = match &asked.action {
        Action::List => {
            let users = client.get::<Users>("/api/v1/users", &[]).await?.body.users;
            return print(client, &users, asked.json, table);
        }
        Action::Add { name, role } => {
            let password = ask::secret(&format!("new password of {name}"), true).map_err(CliError::Asked)?;
            let order = json!({ "name": name, "role": role, "password": password.expose_secret() });
            let raw = client.post::<Box<RawValue>>("/api/v1/users", &order).await?.body;
            (raw, format!("{name} may sign in, as {role}"))
        }
        Action::Passwd { name } => {
            let password = ask::secret(&format!("new password of {name}"), true).map_err(CliError::Asked)?;
            let order = json!({ "password": password.expose_secret() });
            let path = format!("/api/v1/users/{name}/password");
            let raw = client.put::<Box<RawValue>>(&path, &order, None).await?.body;
            (raw, format!("{name} has another password"))
        }
        Action::Remove { name } => {
            let raw = client.delete::<Box<RawValue>>(&format!("/api/v1/users/{name}")).await?.body;
            (raw, format!("{name} is removed, and what tokens they had are revoked"))
        }
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", if asked.json { raw.get() } else { &said })?;
    Ok(ExitCode::SUCCESS)
}

fn table(users: &[User]) -> String {
    if users.is_empty() {
        return "There are no users.\n".to_owned();
    }
    let left = Align::Left;
    let mut table = Table::new([("NAME", left), ("ROLE", left), ("ADDED", left), ("PASSWORD OF", left)]);
    for user in users {
        let [added, password] = [user.added_unix_ms, user.password_unix_ms].map(local_time);
        table.row(Style::Plain, [user.name.clone(), user.role.clone(), added, password]);
    }
    table.render(Paint::for_stdout())
}
