//! `tidegate alarms`: which alarms there are, what became of them, and what an operator does with them.
//!
//! ```text
//! list     those that are not normal, or that fit a filter     show     one, with its log
//! history  settled occurrences                                 act      what an operator does
//! named    an alarm by its place, or by an occurrence          filter   which alarms
//! report   what the alarms of a stretch of time were like      verdicts what gateways say is active
//! ```

mod act;
pub mod filter;
mod history;
pub mod list;
pub mod named;
mod report;
mod show;
mod verdicts;

use std::process::ExitCode;

use crate::{client::Client, error::CliError, instant::local_time, view::AlarmEvent};

pub use act::{saw, shelve_order};

/// List alarms, show one, and act on it.
///
/// Alone it lists those that are not normal. An alarm is named SITE/DEVICE/CHANNEL/RULE, or by the first digits of an occurrence.
/// What changes something is taken on the ingest's own machine only.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: list::Listing,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Listing),
    Show(show::Arguments),
    Ack(act::Ack),
    Shelve(act::Shelve),
    /// Take an alarm off the shelf: people are told of it again.
    Unshelve(act::Plain),
    /// Suppress an alarm by design: it goes on being evaluated, and nobody is told of it.
    Suppress(act::Plain),
    /// Suppress an alarm no longer.
    Unsuppress(act::Plain),
    /// Take an alarm out of service: it goes on being evaluated, and nobody is told of it.
    OutOfService(act::Plain),
    /// Put an alarm back into service.
    InService(act::Plain),
    /// Reset an alarm that has cleared, is acknowledged, and is held because its rule latches.
    Reset(act::Plain),
    Comment(act::Comment),
    History(history::Arguments),
    Report(report::Arguments),
    Verdicts(verdicts::Arguments),
}

pub async fn run(arguments: &Arguments, client: &Client) -> Result<ExitCode, CliError> {
    match &arguments.command {
        None => list::run(&arguments.list, client).await,
        Some(Command::List(asked)) => list::run(asked, client).await,
        Some(Command::Show(asked)) => show::run(asked, client).await,
        Some(Command::History(asked)) => history::run(asked, client).await,
        Some(Command::Report(asked)) => report::run(asked, client).await,
        Some(Command::Verdicts(asked)) => verdicts::run(asked, client).await,
        Some(Command::Ack(asked)) => act::acknowledge(asked, client).await,
        Some(Command::Shelve(asked)) => act::shelve(asked, client).await,
        Some(Command::Unshelve(asked)) => act::plain("unshelve", asked, client).await,
        Some(Command::Suppress(asked)) => act::plain("suppress", asked, client).await,
        Some(Command::Unsuppress(asked)) => act::plain("unsuppress", asked, client).await,
        Some(Command::OutOfService(asked)) => act::plain("out-of-service", asked, client).await,
        Some(Command::InService(asked)) => act::plain("in-service", asked, client).await,
        Some(Command::Reset(asked)) => act::plain("reset", asked, client).await,
        Some(Command::Comment(asked)) => act::comment(asked, client).await,
    }
}

/// An event's wall time; without any, its origin's own milliseconds.
pub fn when(event: &AlarmEvent) -> String {
    event.time_unix_ms.map_or_else(|| format!("+{} ms", event.tick_ms), local_time)
}
