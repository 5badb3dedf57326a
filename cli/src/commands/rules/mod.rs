//! `tidegate rules`: a rules file before it is used, and the rules of a running ingest.

mod backtest;
mod chart;
pub mod check;
mod file;
mod group;
pub mod kept;
pub mod put;
mod report;
mod scale;
mod series;
mod stale;
mod stored;
pub mod test;

/// Check a file of alarm rules, try it on what was measured, give it to the ingest, see what is in force
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Check(check::Arguments),
    Test(Box<test::Arguments>),
    List(kept::List),
    Show(kept::Show),
    Log(kept::Log),
    Put(put::Arguments),
}
