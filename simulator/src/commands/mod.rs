//! What the commands share: addresses, durations, the progress line, how they fail.

pub mod blast;
pub mod explore;
pub mod fleet;
pub mod generate;
pub mod progress;
pub mod replay;

use std::{
    net::{SocketAddr, ToSocketAddrs},
    time::Duration,
};

use tidegate_service::exit::Exit;

/// An error with the exit code it ends in.
pub struct Failure {
    pub exit: Exit,
    pub error: anyhow::Error,
}

impl Failure {
    /// Wrong arguments, or a file that is refused.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Usage, error: error.into() }
    }

    pub fn runtime(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Failed, error: error.into() }
    }
}

/// `HOST:PORT`.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let found =
        text.to_socket_addrs().map_err(|error| format!("{error}; write HOST:PORT, as 127.0.0.1:7780"))?;
    found.into_iter().next().ok_or_else(|| "the name has no address".to_owned())
}

/// `30s`, `5m`, `1h 30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write it as 30s, 5m or 1h");
    let duration: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| wrong())
}

/// Ends with the given time, or when the process is asked to stop.
pub async fn stopped_or_after(time: Option<Duration>) {
    match time {
        Some(time) => {
            tokio::select! {
                () = tokio::time::sleep(time) => {}
                () = tidegate_service::termination() => {}
            }
        }
        None => tidegate_service::termination().await,
    }
}
