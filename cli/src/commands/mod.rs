//! One file per command: its arguments, what it asks, how it prints the answer.

pub mod alarms;
pub mod audit;
pub mod device;
pub mod devices;
pub mod gateways;
pub mod keys;
pub mod raw;
pub mod readings;
pub mod receivers;
pub mod rules;
pub mod settings;
pub mod watch;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::client::{Client, ClientError};

/// Reads what people are shown out of what the API gave.
fn decode<T: DeserializeOwned>(client: &Client, raw: &[Box<RawValue>]) -> Result<Vec<T>, ClientError> {
    raw.iter().map(|raw| serde_json::from_str(raw.get())).collect::<Result<_, _>>().map_err(|error| {
        ClientError::NotAnIngest { url: client.url().to_owned(), reason: format!("unexpected JSON: {error}") }
    })
}
