//! Why the demo could not run. One line each, with what to do.

use std::{io, path::PathBuf};

use crate::{client::ClientError, error::CliError};

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("cannot write to {folder} ({error}); name another folder with --data", folder = .folder.display())]
    Folder { folder: PathBuf, error: io::Error },
    #[error("cannot make a temporary folder ({0}); name a folder with --data")]
    TemporaryFolder(io::Error),
    #[error("port {port} cannot be used ({error}); choose another with --port, or 0 for any free one")]
    Port { port: u16, error: io::Error },
    #[error("an outage of {outage:?} does not fit into {length:?}; make --for longer or --outage shorter")]
    OutageTooLong { outage: std::time::Duration, length: std::time::Duration },
    #[error("the {part} does not start: {reason}")]
    Part { part: String, reason: String },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl DemoError {
    pub fn part(part: impl Into<String>) -> impl FnOnce(Box<dyn std::error::Error>) -> Self {
        let part = part.into();
        move |error| Self::Part { part, reason: error.to_string() }
    }
}

impl From<DemoError> for CliError {
    fn from(error: DemoError) -> Self {
        match error {
            DemoError::Output(error) => Self::Output(error),
            other => Self::Demo(Box::new(other)),
        }
    }
}
