//! All targets, a few at a time; what came of each is a line of a table, and one that did not hold fails the whole at its end.

use super::running::{Program, Ran};
use anyhow::{Result, bail};
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A sign of life from each target that runs.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(60);

pub struct Campaign {
    pub programs: Vec<Program>,
    /// For each.
    pub seconds: u64,
    pub jobs: usize,
}

impl Campaign {
    pub fn run(self) -> Result<()> {
        let Self { programs, seconds, jobs } = self;
        let waiting = Mutex::new(VecDeque::from(programs));
        let done = Mutex::new(Vec::new());
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some(program) = next() {
                        let ran = watched(&program, seconds);
                        done.lock().unwrap_or_else(PoisonError::into_inner).push((program.name, ran));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by(|(a, _), (b, _)| a.cmp(b));
        let ran: Vec<(&str, &Ran)> =
            done.iter().filter_map(|(name, ran)| Some((name.as_str(), ran.as_ref().ok()?))).collect();
        println!("\n{}", table(&ran));
        let wrong = |(name, ran): &(String, Result<Ran>)| match ran {
            Ok(ran) => ran.verdict(name).err().map(|error| error.to_string()),
            Err(error) => Some(format!("{name}: {error:#}")),
        };
        let wrong: Vec<String> = done.iter().filter_map(wrong).collect();
        if !wrong.is_empty() {
            bail!("{}", wrong.join("\n"));
        }
        Ok(())
    }
}

fn watched(program: &Program, seconds: u64) -> Result<Ran> {
    println!("       … {}", program.name);
    let mut told = Instant::now();
    let ran = program.run(seconds, |ran| {
        if told.elapsed() >= PROGRESS_INTERVAL {
            told = Instant::now();
            println!("       … {}: {} inputs, {} edges", program.name, ran.executions, ran.edges);
        }
    })?;
    let mark = if ran.held() { '✓' } else { '✗' };
    println!("{:>6}s {mark} {}: {} inputs", ran.wall.as_secs(), program.name, ran.executions);
    Ok(ran)
}

/// In Markdown, for docs/security.md.
fn table(ran: &[(&str, &Ran)]) -> String {
    let mut text =
        "| target | wall time | CPU time | inputs | edges | did not hold |\n|---|--:|--:|--:|--:|--:|\n"
            .to_owned();
    for (name, ran) in ran {
        let Ran { wall, cpu, executions, edges, .. } = ran;
        let broken = u8::from(!ran.held());
        let (wall, cpu) = (wall.as_secs(), cpu.as_secs());
        // Writing to a text does not fail.
        let _ = writeln!(text, "| `{name}` | {wall} s | {cpu} s | {executions} | {edges} | {broken} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_says_what_a_target_took_and_found() {
        let ran = Ran {
            wall: Duration::from_secs(61),
            cpu: Duration::from_secs(59),
            executions: 4096,
            edges: 414,
            ..Ran::default()
        };
        let table = table(&[("frame_up", &ran)]);
        assert!(table.ends_with("| `frame_up` | 61 s | 59 s | 4096 | 414 | 1 |\n"), "{table}");
    }
}
