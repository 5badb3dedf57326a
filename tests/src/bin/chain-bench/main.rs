//! Measures the whole chain as processes of their own: broker, ingest and agent, built as this program was.
//!
//! ```text
//! throughput   board frames as fast as they are acknowledged: readings/s, bytes per reading
//! latency      a crossing's way from the board's frame to a watcher, under load and beside a draining backlog
//! outage       what the agent writes and keeps in memory while the cloud is away
//! evaluation   what a reading costs in rules     watchers   many who watch the event stream
//! probe        one board and one watcher that know each other's clock     process   what a process used
//! ```
//!
//! With `alarms`, it measures what concerns alarms instead: latency at several loads, evaluation, watchers.
//!
//! Prints a table; `--json` ends with one JSON object for `cargo xtask bench`. Load generators run in this process and
//! share the machine with what is measured, so the figures are lower bounds.

mod evaluation;
mod latency;
mod outage;
mod probe;
mod process;
mod report;
mod throughput;
mod watchers;

use report::Report;

#[tokio::main]
async fn main() {
    let given = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    let mut report = Report::default();
    let name = if given("alarms") {
        latency::measure_loads(&mut report).await;
        evaluation::measure(&mut report);
        watchers::measure(&mut report).await;
        "alarms"
    } else {
        throughput::measure(&mut report).await;
        latency::measure(&mut report).await;
        outage::measure(&mut report).await;
        "chain"
    };
    report.print(name, given("--json"));
}
