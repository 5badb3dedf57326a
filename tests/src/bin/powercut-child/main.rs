//! The process whose files are cut: it runs the production stores on a workload that is always the same, and records each of
//! its file calls; and it opens the disks that a power cut may leave, and says what is wrong with them.
//!
//! ```text
//! record <subject> <folder> <log>      the workload in the folder, its calls into the log
//! check <subject>                      lines "acknowledged begun folder" in, "ok" or a finding out
//!
//! interpose   the C library's file calls, recorded on their way to the kernel      recorder   what they leave behind
//! agent       the agent's queue: its workload, and what must be in it              ingest     the same for store and lake
//! ```

mod agent;
mod ingest;
mod interpose;
mod recorder;

use std::{
    io::{BufRead, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::ExitCode,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["record", subject, folder, log] => {
            let folder = Path::new(folder).canonicalize().expect("the folder is there");
            recorder::start(&folder, Path::new(log));
            match subject {
                "agent-queue" => agent::work(&folder),
                _ => ingest::work(&folder),
            }
            recorder::stop();
        }
        ["check", "agent-queue"] => check_each(agent::check()),
        ["check", "ingest-store"] => check_each(ingest::check()),
        _ => {
            eprintln!("usage: powercut-child record <subject> <folder> <log> | check <subject>");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// What must be true of a folder after work up to `acknowledged` was acknowledged and up to `begun` begun.
type Check = dyn Fn(&Path, u32, u32) -> Result<(), String>;

fn check_each(check: Box<Check>) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let mut words = line.splitn(3, ' ');
        let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let (acknowledged, begun) = (number(), number());
        let folder = Path::new(words.next().unwrap_or_default());
        let checked = catch_unwind(AssertUnwindSafe(|| check(folder, acknowledged, begun)));
        let finding = match checked {
            Ok(Ok(())) => "ok".to_owned(),
            Ok(Err(finding)) => finding.replace('\n', " "),
            Err(_) => "it panics".to_owned(),
        };
        println!("{finding}");
        if std::io::stdout().flush().is_err() {
            return;
        }
    }
}
