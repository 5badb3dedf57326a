//! One file per command: its arguments, what it asks, how it prints the answer.

pub mod alarms;
pub mod audit;
pub mod broker;
pub mod ca;
pub mod changes;
pub mod device;
pub mod devices;
pub mod gateway;
pub mod gateways;
pub mod keys;
pub mod quarantine;
pub mod raw;
pub mod readings;
pub mod receivers;
pub mod rules;
pub mod settings;
pub mod tokens;
pub mod users;
pub mod watch;

use std::{io::Write, process::ExitCode};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::{
    client::{Client, ClientError},
    error::CliError,
};

/// In whose name an order is given: who has a token need not say it.
fn named<'a>(given: Option<&'a str>, client: &Client) -> Result<Option<&'a str>, CliError> {
    if given.is_none() && !client.has_token() { Err(CliError::NoName) } else { Ok(given) }
}

/// Prints what the API gave: an object a line as it is, or what people are shown of it.
fn print<T: DeserializeOwned>(
    client: &Client,
    raw: &[Box<RawValue>],
    as_json: bool,
    show: impl FnOnce(&[T]) -> String,
) -> Result<ExitCode, CliError> {
    let mut out = std::io::stdout().lock();
    if as_json {
        for object in raw {
            writeln!(out, "{}", object.get())?;
        }
    } else {
        write!(out, "{}", show(&decode(client, raw)?))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads what people are shown out of what the API gave.
fn decode<T: DeserializeOwned>(client: &Client, raw: &[Box<RawValue>]) -> Result<Vec<T>, ClientError> {
    raw.iter().map(|raw| serde_json::from_str(raw.get())).collect::<Result<_, _>>().map_err(|error| {
        ClientError::NotAnIngest { url: client.url().to_owned(), reason: format!("unexpected JSON: {error}") }
    })
}
