//! One line per step: what it is, how long it took, whether it passed.
//!
//! A step's commands run with their output in target/xtask/<step>.log. The output is shown when the step fails, or at
//! once for commands that are run with [`Step::stream`]. On a terminal the line of the running step also shows the last
//! thing its command said; elsewhere a line a minute says that it is alive.

use crate::command::describe;
use crate::repository::Repository;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

const REDRAW_INTERVAL: Duration = Duration::from_millis(100);
const SIGN_OF_LIFE_INTERVAL: Duration = Duration::from_secs(60);
/// Lines between a command's pipes and the screen. When full, the command waits, as it would on a slow terminal.
const LINES_IN_FLIGHT: usize = 256;
/// A command that has ended may leave processes that still write. After this long they are reported, not waited for.
const PATIENCE_WITH_LEFT_BEHIND: Duration = Duration::from_secs(10);
/// What is shown of the log of a failed step; the log itself is complete.
const SHOWN_LINES_OF_A_FAILURE: usize = 400;
/// What cargo says of work that goes well. There is a line for each of hundreds of crates, and none says why a step failed.
const PROGRESS: [&str; 8] =
    ["Adding", "Checking", "Compiling", "Documenting", "Downloaded", "Downloading", "Fresh", "Locking"];
/// A new machine downloads everything, and one bad minute of its network must not cost the run.
const TRIES_OF_A_DOWNLOAD: &str = "10";
/// A download that cargo tries again is a warning about the network, not about the code.
const TRIED_AGAIN: &str = "warning: spurious network error";

/// The steps of one run, in the order they were started.
pub struct Steps {
    terminal: bool,
    logs: PathBuf,
    finished: Vec<Finished>,
    started: Instant,
}

struct Finished {
    name: String,
    took: Duration,
    failure: Option<String>,
}

impl Steps {
    pub fn new(repository: &Repository) -> Result<Self> {
        let logs = repository.logs();
        fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        Ok(Self { terminal: io::stdout().is_terminal(), logs, finished: Vec::new(), started: Instant::now() })
    }

    /// Runs one step. A failure is shown and remembered, and the run goes on: `None` tells later steps that need the
    /// result that there is none.
    pub fn run<T>(&mut self, name: &str, work: impl FnOnce(&mut Step) -> Result<T>) -> Option<T> {
        let log_path = self.logs.join(format!("{}.log", name.replace([' ', '/'], "-")));
        let started = Instant::now();
        let mut step = match Step::new(name, started, self.terminal, log_path) {
            Ok(step) => step,
            Err(error) => {
                let failure = format!("{error:#}");
                println!("{failure}");
                self.finished.push(Finished {
                    name: name.into(),
                    took: started.elapsed(),
                    failure: Some(failure),
                });
                return None;
            }
        };
        let result = work(&mut step);
        let took = started.elapsed();
        step.close(&result, took);
        let (outcome, failure) = match result {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        self.finished.push(Finished { name: name.into(), took, failure });
        outcome
    }

    /// Prints how long each step took; an error names those that failed, and why.
    pub fn finish(self) -> Result<()> {
        println!("\n{}, {} steps:", seconds(self.started.elapsed()), self.finished.len());
        for step in &self.finished {
            let failed = if step.failure.is_some() { "  FAILED" } else { "" };
            println!("  {:>8}  {}{failed}", seconds(step.took), step.name);
        }
        let failures: Vec<String> = self
            .finished
            .iter()
            .filter_map(|step| step.failure.as_ref().map(|why| format!("{}: {why}", step.name)))
            .collect();
        if !failures.is_empty() {
            bail!("failed:\n  {}\nFull output is in {}", failures.join("\n  "), self.logs.display());
        }
        Ok(())
    }
}

/// The step that is running now.
pub struct Step {
    name: String,
    started: Instant,
    terminal: bool,
    log: File,
    log_path: PathBuf,
    notes: Vec<String>,
    already_shown: bool,
    last_sign_of_life: Instant,
}

impl Step {
    fn new(name: &str, started: Instant, terminal: bool, log_path: PathBuf) -> Result<Self> {
        let log = File::create(&log_path).with_context(|| format!("cannot write {}", log_path.display()))?;
        let step = Self {
            name: name.into(),
            started,
            terminal,
            log,
            log_path,
            notes: Vec::new(),
            already_shown: false,
            last_sign_of_life: started,
        };
        if terminal {
            step.draw("");
        } else {
            println!("       … {name}");
        }
        Ok(step)
    }

    /// Something worth reading beside the step's name, such as a size.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Runs a command to its end with its output in the log.
    pub fn run(&mut self, command: &mut Command) -> Result<()> {
        self.drive(command, false, |_| {})
    }

    /// Runs a command to its end, shows every line of its output, and hands it to `on_line`.
    pub fn stream(&mut self, command: &mut Command, on_line: impl FnMut(&str)) -> Result<()> {
        self.already_shown = true;
        self.drive(command, true, on_line)
    }

    /// Runs a command that must not say `warning:`, for builds where warnings cannot be made errors by a flag.
    pub fn run_without_warnings(&mut self, command: &mut Command) -> Result<()> {
        let mut warnings = Vec::new();
        self.drive(command, false, |line| warnings.extend(is_warning(line).then(|| line.to_owned())))?;
        if let [first, ..] = &warnings[..] {
            bail!("`{}` gave warnings, {} in all: {first}", describe(command), warnings.len());
        }
        Ok(())
    }

    fn drive(&mut self, command: &mut Command, show: bool, mut on_line: impl FnMut(&str)) -> Result<()> {
        let shown = describe(command);
        writeln!(self.log, "$ {shown}")?;
        command.env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never");
        command.env("CARGO_NET_RETRY", TRIES_OF_A_DOWNLOAD);
        let (pipe, writer) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut child =
            command.spawn().with_context(|| format!("`{shown}` could not be started; is it installed?"))?;
        // The command holds our ends of the pipe for writing; the end of the output shows only once they are closed.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let (sender, lines) = mpsc::sync_channel(LINES_IN_FLIGHT);
        forward_lines(pipe, sender);
        let left_behind = self.follow(&mut child, &lines, show, &mut on_line)?;
        let status = child.wait()?;
        if !status.success() {
            bail!("`{shown}` failed ({status})");
        }
        if left_behind {
            bail!("`{shown}` has ended, but a process that it started still runs and holds its output");
        }
        Ok(())
    }

    /// Takes lines until the output ends. True if the command ended and its output did not.
    fn follow(
        &mut self,
        child: &mut Child,
        lines: &Receiver<String>,
        show: bool,
        on_line: &mut impl FnMut(&str),
    ) -> Result<bool> {
        let mut last = String::new();
        let mut ended: Option<Instant> = None;
        loop {
            match lines.recv_timeout(REDRAW_INTERVAL) {
                Ok(line) => {
                    writeln!(self.log, "{line}")?;
                    on_line(&line);
                    if show {
                        self.erase();
                        println!("{line}");
                    }
                    last = line;
                }
                Err(RecvTimeoutError::Timeout) => self.show_life(&last),
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
            if ended.is_none() && child.try_wait()?.is_some() {
                ended = Some(Instant::now());
            }
            if ended.is_some_and(|ended| ended.elapsed() > PATIENCE_WITH_LEFT_BEHIND) {
                return Ok(true);
            }
        }
    }

    fn show_life(&mut self, last_line: &str) {
        if self.terminal {
            self.draw(last_line);
        } else if self.last_sign_of_life.elapsed() >= SIGN_OF_LIFE_INTERVAL {
            self.last_sign_of_life = Instant::now();
            println!(
                "{:>8} … {}: {}",
                seconds(self.started.elapsed()),
                self.name,
                shorten(last_line.trim(), 80)
            );
        }
    }

    fn draw(&self, last_line: &str) {
        let elapsed = seconds(self.started.elapsed());
        print!("\r\x1b[2K{elapsed:>8} … {} \x1b[2m{}\x1b[0m", self.name, shorten(last_line.trim(), 50));
        // A terminal that cannot be drawn on is no reason to fail a test run.
        let _ = io::stdout().flush();
    }

    fn erase(&self) {
        if self.terminal {
            print!("\r\x1b[2K");
        }
    }

    fn close<T>(mut self, result: &Result<T>, took: Duration) {
        self.erase();
        let notes: String = self.notes.iter().map(|note| format!("  ({note})")).collect();
        let (green, red, plain) =
            if self.terminal { ("\x1b[32m", "\x1b[31m", "\x1b[0m") } else { ("", "", "") };
        let took = seconds(took);
        match result {
            Ok(_) => println!("{took:>8} {green}✓{plain} {}{notes}", self.name),
            Err(error) => {
                if !self.already_shown {
                    self.show_end_of_log();
                }
                println!("{took:>8} {red}✗ {}{plain}: {error:#}", self.name);
            }
        }
    }

    fn show_end_of_log(&mut self) {
        let text = fs::read_to_string(&self.log_path).unwrap_or_default();
        let telling: Vec<&str> = text.lines().filter(|line| !is_progress(line)).collect();
        let hidden = telling.len().saturating_sub(SHOWN_LINES_OF_A_FAILURE);
        if hidden > 0 {
            println!("({hidden} earlier lines are in {})", self.log_path.display());
        }
        for line in &telling[hidden..] {
            println!("{line}");
        }
    }
}

/// Cargo sets the verb of such a line right in a column of its own.
fn is_progress(line: &str) -> bool {
    let verb = line.split_whitespace().next().unwrap_or_default();
    line.starts_with(' ') && PROGRESS.contains(&verb)
}

fn is_warning(line: &str) -> bool {
    line.starts_with("warning:") && !line.starts_with(TRIED_AGAIN)
}

fn forward_lines(pipe: impl Read + Send + 'static, sender: SyncSender<String>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while matches!(reader.read_until(b'\n', &mut bytes), Ok(length) if length > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            if sender.send(line).is_err() {
                return;
            }
            bytes.clear();
        }
    });
}

fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole >= 60 {
        format!("{}m {:02}s", whole / 60, whole % 60)
    } else {
        format!("{:.1}s", duration.as_secs_f64())
    }
}

fn shorten(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_say_them() {
        assert_eq!(seconds(Duration::from_millis(840)), "0.8s");
        assert_eq!(seconds(Duration::from_secs(59)), "59.0s");
        assert_eq!(seconds(Duration::from_secs(185)), "3m 05s");
    }

    #[test]
    fn long_lines_are_cut_at_a_character() {
        assert_eq!(shorten("Compiling", 20), "Compiling");
        assert_eq!(shorten("übermäßig", 5), "über…");
    }

    fn step(folder: &str) -> Step {
        let path = std::env::temp_dir().join(format!("xtask-{folder}-{}.log", std::process::id()));
        Step::new(folder, Instant::now(), false, path).unwrap()
    }

    #[test]
    fn a_failing_command_fails_its_step_and_leaves_its_output_in_the_log() {
        let mut step = step("failing");
        let error = step.run(Command::new("sh").args(["-c", "echo said; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        let log = fs::read_to_string(&step.log_path).unwrap();
        fs::remove_file(&step.log_path).unwrap();
        assert!(log.ends_with("said\n"), "{log}");
    }

    #[test]
    fn a_warning_fails_a_build_that_must_have_none() {
        let mut step = step("warning");
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'warning: unused variable' >&2"]);
        let error = step.run_without_warnings(&mut command).unwrap_err();
        fs::remove_file(&step.log_path).unwrap();
        assert!(error.to_string().contains("1 in all: warning: unused variable"), "{error}");
    }

    #[test]
    fn a_download_that_is_tried_again_is_no_warning_of_a_build() {
        let mut step = step("network");
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'warning: spurious network error (3 tries remaining): timeout' >&2"]);
        let result = step.run_without_warnings(&mut command);
        fs::remove_file(&step.log_path).unwrap();
        result.unwrap();
    }

    #[test]
    fn only_what_cargo_says_of_work_that_goes_well_is_left_out_of_a_failure() {
        assert!(is_progress("   Compiling serde v1.0.229"));
        assert!(is_progress("    Checking tidegate-agent v0.1.0 (/somewhere/agent)"));
        assert!(!is_progress("error: could not compile `serde`"));
        assert!(!is_progress("Checking the gateway's settings"), "a program's own words");
        assert!(!is_progress("    the line above"));
    }

    #[test]
    fn at_the_end_it_says_of_each_failed_step_why() {
        let folder = std::env::temp_dir().join(format!("xtask-steps-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut steps =
            Steps { terminal: false, logs: folder.clone(), finished: Vec::new(), started: Instant::now() };
        assert_eq!(steps.run("first", |_| Ok(1)), Some(1));
        assert_eq!(steps.run("second", |_| -> Result<()> { bail!("no space left") }), None);
        let error = steps.finish().unwrap_err().to_string();
        fs::remove_dir_all(&folder).unwrap();
        assert!(error.contains("second: no space left"), "{error}");
        assert!(!error.contains("first"), "{error}");
    }
}
