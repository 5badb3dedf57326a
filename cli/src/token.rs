//! The token that says who we are: from a file or the environment, never from the command line, which every user of a machine
//! can read.

use std::{
    env, fs,
    io::{self, Read},
    path::Path,
};

use tidegate_access::secrecy::{SecretString, zeroize::Zeroizing};

use crate::client::ClientError;

const VARIABLE: &str = "TIDEGATE_TOKEN";
/// A token and a line break are less.
const MAX_FILE_BYTES: u64 = 1_024;

/// The file's first; none where there is neither.
pub fn given(file: Option<&Path>) -> Result<Option<SecretString>, ClientError> {
    let Some(path) = file else {
        let text = env::var(VARIABLE).map(Zeroizing::new).ok().filter(|text| !text.is_empty());
        return Ok(text.map(|text| text.trim().into()));
    };
    let mut text = Zeroizing::new(String::new());
    let read = fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text));
    read.map_err(|error: io::Error| ClientError::TokenFile { path: path.to_owned(), error })?;
    Ok(Some(text.trim().into()))
}
