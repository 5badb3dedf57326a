//! `tidegate keys`: the pair that completeness certificates are signed and checked with.

use std::{io::Write, path::PathBuf, process::ExitCode};

use tidegate_ingest::certificate::{
    PublicKey,
    keys::{self, KeyFiles},
};

use crate::error::CliError;

/// Make and show the key pair of completeness certificates
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a key pair: certificate.key for the ingest alone, certificate.pub for whoever checks
    Init {
        /// The folder to put them in.
        #[arg(long, value_name = "FOLDER", default_value = "/etc/tidegate")]
        dir: PathBuf,
    },
    /// Show the id of a public key, to compare it by telephone
    Show {
        /// The public key.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub fn run(command: &Command) -> Result<ExitCode, CliError> {
    let mut out = std::io::stdout().lock();
    match command {
        Command::Init { dir } => {
            let KeyFiles { private, public, id } = keys::init(dir)?;
            let (private, public) = (private.display(), public.display());
            writeln!(out, "made key {id}")?;
            writeln!(out, "  private: {private}, for the ingest alone; name it in ingest.toml:")?;
            writeln!(out, "           [certificate]\n           key_file = \"{private}\"")?;
            writeln!(
                out,
                "  public:  {public}, for whoever checks: tidegate audit verify FILE --key {public}"
            )?;
        }
        Command::Show { file } => writeln!(out, "{}", PublicKey::read(file)?.id())?,
    }
    Ok(ExitCode::SUCCESS)
}
