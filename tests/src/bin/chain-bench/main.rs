//! Measures the whole chain as processes of their own: broker, ingest and agent, built as this program was.
//!
//! ```text
//! throughput   board frames as fast as they are acknowledged: readings/s, bytes per reading
//! latency      a crossing's way from the board's frame to a watcher, under load and beside a draining backlog
//! outage       what the agent writes and keeps in memory while the cloud is away
//! probe        one board and one watcher that know each other's clock     process   what a process used
//! ```
//!
//! Prints a table; `--json` ends with one JSON object for `cargo xtask bench`. Load generators run in this process and
//! share the machine with what is measured, so the figures are lower bounds.

mod latency;
mod outage;
mod probe;
mod process;
mod report;
mod throughput;

use report::Report;

#[tokio::main]
async fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let mut report = Report::default();
    throughput::measure(&mut report).await;
    latency::measure(&mut report).await;
    outage::measure(&mut report).await;
    report.print(json);
}
