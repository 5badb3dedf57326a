//! `tidegate audit verify`: checks a certificate without asking anybody.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use tidegate_ingest::certificate::{
    Certificate, PublicKey, Statement,
    statement::{End, count},
};

use crate::{
    error::CliError,
    paint::{Paint, Style},
};

/// What is longer is no certificate.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Check a completeness certificate: its signature, and that every reading is in exactly one state.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The certificate; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The public key of the ingest that signed it, as `tidegate keys init` wrote it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Print the statement as one JSON object, once it is proved.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let key = PublicKey::read(&arguments.key)?;
    let refused = |why: String| CliError::Certificate { file: arguments.file.clone(), why };
    let bytes = read(&arguments.file).map_err(|error| refused(error.to_string()))?;
    let statement = Certificate::verify(&bytes, &key).map_err(|error| refused(error.to_string()))?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&statement).map_err(std::io::Error::from)?)?;
    } else {
        write!(out, "{}", told(&statement, &key, Paint::for_stdout()))?;
    }
    Ok(if statement.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)?
    } else {
        std::fs::File::open(file)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?
    };
    if read as u64 > MAX_BYTES {
        return Err(std::io::Error::other("it is too long for a certificate"));
    }
    Ok(bytes)
}

fn told(statement: &Statement, key: &PublicKey, paint: Paint) -> String {
    let Statement { issued, issuer, journal_position, ledger, site, device, totals, .. } = statement;
    let span = statement.window.as_ref().map_or_else(
        || "all that this ledger heard of".to_owned(),
        |window| format!("{} to {}", window.from, window.to),
    );
    let verdict = match (totals.outstanding, totals.conflicts) {
        (0, 0) => paint.apply(Style::Green, "every reading is stored or declared lost"),
        (0, conflicts) => paint.apply(Style::Yellow, &format!("{conflicts} readings came with two contents")),
        (outstanding, _) => paint.apply(Style::Yellow, &format!("{outstanding} readings are outstanding")),
    };
    let open_ends = statement.boots.iter().filter(|boot| boot.end == End::AtLeast).count();
    let mut text = format!(
        "The signature is good (key {}), and every reading is in exactly one state.\n\
         {site}/{device}, {span}: {verdict}\n\
         issued {issued} by {issuer}, as of journal position {journal_position}\n\
         {} readings in {} boots: {} stored, {} declared lost, {} outstanding\n",
        key.id(),
        totals.readings,
        statement.boots.len() + statement.sealed.len(),
        totals.stored,
        totals.lost,
        totals.outstanding,
    );
    if *ledger > 0 {
        text.push_str(&format!("the ledger was restored from a backup before (number {ledger})\n"));
    }
    if open_ends > 0 {
        let boots = if open_ends == 1 { "boot" } else { "boots" };
        text.push_str(&format!(
            "{open_ends} {boots} ended without a word: what the device may have measured after its last report is not in it\n"
        ));
    }
    for boot in &statement.boots {
        let expired = count(&boot.stored).saturating_sub(boot.content.readings);
        let content = boot.content.sha256.get(..16).unwrap_or(&boot.content.sha256);
        let expired = if expired > 0 { format!(", {expired} taken by retention") } else { String::new() };
        text.push_str(&format!(
            "  boot {}  seq {} to {}  content {content}…{expired}\n",
            boot.boot, boot.covers.0, boot.covers.1
        ));
    }
    for boot in &statement.sealed {
        let ledger = boot.ledger_sha256.get(..16).unwrap_or(&boot.ledger_sha256);
        text.push_str(&format!("  boot {}  seq 0 to {}  sealed, ledger {ledger}…\n", boot.boot, boot.next));
    }
    text
}
