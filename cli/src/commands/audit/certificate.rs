//! `tidegate audit --certificate`: asks the ingest for a signed statement and writes it where it was told to.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use jiff::Timestamp;
use tidegate_ingest::certificate::Certificate;

use super::Arguments;
use crate::{client::Client, error::CliError};

pub async fn run(arguments: &Arguments, file: &Path, client: &Client) -> Result<ExitCode, CliError> {
    let now = Timestamp::now();
    let time = |moment: &crate::instant::Moment| moment.unix_ms(now).to_string();
    let asked = [
        ("device", arguments.device.clone()),
        ("site", arguments.site.clone()),
        ("from", arguments.from.as_ref().map(time)),
        ("to", arguments.to.as_ref().map(time)),
    ];
    let query: Vec<(&str, String)> =
        asked.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let certificate: Certificate = client.get_after_long_work("/api/v1/audit/certificate", &query).await?;
    let mut text = serde_json::to_string_pretty(&certificate).map_err(io::Error::from)?;
    text.push('\n');
    if file == Path::new("-") {
        io::stdout().lock().write_all(text.as_bytes())?;
    } else {
        write(file, &text)
            .map_err(|error| CliError::Certificate { file: file.to_owned(), why: error.to_string() })?;
        let totals = certificate.statement.totals;
        eprintln!(
            "{}: {} readings, {} stored, {} lost, {} outstanding, signed with key {}",
            file.display(),
            totals.readings,
            totals.stored,
            totals.lost,
            totals.outstanding,
            certificate.signature.key_id
        );
    }
    Ok(if certificate.statement.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Never over another certificate.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
