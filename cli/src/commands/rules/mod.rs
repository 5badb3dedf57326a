//! `tidegate rules`: a rules file before it is used.

mod backtest;
mod chart;
pub mod check;
mod file;
mod group;
mod report;
mod scale;
mod series;
mod stale;
mod stored;
pub mod test;

/// Check a file of alarm rules, and try it on what was measured
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Check(check::Arguments),
    Test(Box<test::Arguments>),
}
