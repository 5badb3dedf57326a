//! `tidegate broker`: the same identities on somebody else's broker.

use std::{io::Write, process::ExitCode};

use tidegate_broker::export::mosquitto_acl;
use tidegate_trust::Identity;

use super::ca::Folder;
use crate::error::CliError;

/// Have other brokers let in whom ours would
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print the access list for all whom the authority knows
    ExportAcl {
        /// For which broker.
        #[arg(value_enum)]
        broker: Broker,
        #[command(flatten)]
        folder: Folder,
    },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Broker {
    /// Eclipse Mosquitto: an `acl_file`, beside `require_certificate true` and `use_identity_as_username true`
    Mosquitto,
}

pub fn run(command: &Command) -> Result<ExitCode, CliError> {
    let Command::ExportAcl { broker: Broker::Mosquitto, folder } = command;
    let authority = folder.open()?;
    let issued = authority.issued()?.into_iter().filter(|record| record.revoked.is_none());
    let invited = authority.invitations()?;
    let named = issued.map(|record| record.identity).chain(invited.into_iter().map(|record| record.identity));
    let mut identities: Vec<Identity> = named.filter_map(|name| name.parse().ok()).collect();
    identities.sort_by_cached_key(Identity::to_string);
    identities.dedup();
    write!(std::io::stdout(), "{}", mosquitto_acl(&identities))?;
    Ok(ExitCode::SUCCESS)
}
