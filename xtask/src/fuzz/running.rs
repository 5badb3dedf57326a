//! One target under libFuzzer: how it is started, what it says, and what it took.

use crate::repository::Repository;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// As the plain tests bound their inputs.
const MAX_INPUT_BYTES: usize = 8 * 1024;
/// A body that asks for more at once takes what its input promises for true.
const MAX_ALLOCATION_MB: usize = 256;
const MAX_MEMORY_MB: usize = 3 * 1024;
const MAX_SECONDS_AN_INPUT: u64 = 30;
/// The system counts a process's time in these (USER_HZ).
const TICKS_A_SECOND: u64 = 100;

/// A built target.
pub struct Program {
    pub name: String,
    path: PathBuf,
    /// Committed: inputs to begin with.
    seeds: PathBuf,
    /// Grows with what is found worth keeping.
    corpus: PathBuf,
    artifacts: PathBuf,
    log: PathBuf,
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    pub wall: Duration,
    /// Of the process itself, to the second.
    pub cpu: Duration,
    pub executions: u64,
    pub edges: u64,
    /// The input that ended it.
    pub artifact: Option<PathBuf>,
    pub(super) succeeded: bool,
    pub(super) log: PathBuf,
}

impl Program {
    pub fn new(repository: &Repository, built: &Path, name: &str) -> Self {
        let kept = repository.path(super::BUILT);
        Self {
            name: name.to_owned(),
            path: built.join(name),
            seeds: repository.path(super::FOLDER).join("corpus").join(name),
            corpus: kept.join("corpus").join(name),
            artifacts: kept.join("artifacts").join(name),
            log: repository.logs().join(format!("fuzz-{name}.log")),
        }
    }

    /// Runs it over these files, once each.
    pub fn replay(&self, inputs: &[PathBuf]) -> Result<()> {
        let status = Command::new(&self.path).args(inputs).status();
        let status = status.with_context(|| format!("{} could not be started", self.path.display()))?;
        if !status.success() {
            bail!("{} did not hold ({status})", self.name);
        }
        Ok(())
    }

    /// Runs it for so long, or until an input ends it. `progress` hears how far it is, from time to time.
    pub fn run(&self, seconds: u64, mut progress: impl FnMut(&Ran)) -> Result<Ran> {
        for folder in [&self.corpus, &self.artifacts] {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let mut log =
            File::create(&self.log).with_context(|| format!("cannot write {}", self.log.display()))?;
        let started = Instant::now();
        let mut child = self.command(seconds).spawn();
        let child = child.as_mut().map_err(|error| anyhow::anyhow!("{}: {error}", self.path.display()))?;
        let mut ran = Ran { log: self.log.clone(), ..Ran::default() };
        let said = child.stderr.take().context("libFuzzer has no standard error")?;
        for line in BufReader::new(said).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            writeln!(log, "{line}")?;
            ran.hear(&line);
            ran.wall = started.elapsed();
            ran.cpu = cpu_time(child).unwrap_or(ran.cpu);
            progress(&ran);
        }
        ran.succeeded = child.wait()?.success();
        ran.wall = started.elapsed();
        Ok(ran)
    }

    fn command(&self, seconds: u64) -> Command {
        let mut command = Command::new(&self.path);
        command.arg(&self.corpus).arg(&self.seeds);
        command.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
        command.arg(format!("-max_len={MAX_INPUT_BYTES}")).arg(format!("-timeout={MAX_SECONDS_AN_INPUT}"));
        command.arg(format!("-malloc_limit_mb={MAX_ALLOCATION_MB}"));
        command.arg(format!("-rss_limit_mb={MAX_MEMORY_MB}"));
        command.arg(format!("-artifact_prefix={}/", self.artifacts.display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

impl Ran {
    /// Takes what a line of libFuzzer's says.
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let number_after = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1)?.parse().ok()
        };
        // "#4096	pulse  cov: 414 ft: 800 corp: 99/3kb …"
        if let Some(count) = words.first().and_then(|word| word.strip_prefix('#')?.parse().ok()) {
            self.executions = count;
            self.edges = number_after("cov:").unwrap_or(self.edges);
        }
        if let Some(count) = number_after("stat::number_of_executed_units:") {
            self.executions = count;
        }
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.artifact = Some(PathBuf::from(path.trim()));
        }
    }

    pub fn verdict(&self, target: &str) -> Result<()> {
        match &self.artifact {
            _ if self.succeeded => Ok(()),
            Some(artifact) => bail!(
                "{target} did not hold: {}; `cargo xtask fuzz {target} --input {}` tries it again",
                self.log.display(),
                artifact.display()
            ),
            None => bail!("{target} ended early: {}", self.log.display()),
        }
    }

    pub const fn held(&self) -> bool {
        self.succeeded
    }
}

/// What a running process has taken of processors, by the system's account of it (proc_pid_stat(5)); none once it has ended.
fn cpu_time(child: &Child) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
    cpu_time_in(&stat)
}

fn cpu_time_in(stat: &str) -> Option<Duration> {
    // The name may hold spaces and brackets; behind its last bracket come the state and numbers.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11).map(str::parse::<u64>);
    let (user, system) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(Duration::from_millis((user + system) * 1_000 / TICKS_A_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_out_of_what_libfuzzer_says() {
        let mut ran = Ran::default();
        for line in [
            "INFO: Seed: 1",
            "#2	INITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 40Mb",
            "#4096	pulse  cov: 414 ft: 800 corp: 99/3kb lim: 43 exec/s: 2048 rss: 51Mb",
            "artifact_prefix='x/'; Test unit written to x/crash-01",
        ] {
            ran.hear(line);
        }
        assert_eq!((ran.executions, ran.edges), (4096, 414));
        assert_eq!(ran.artifact.as_deref(), Some(Path::new("x/crash-01")));
        ran.hear("stat::number_of_executed_units: 5000");
        assert_eq!(ran.executions, 5000);
        let said = ran.verdict("frame_up").unwrap_err().to_string();
        assert!(said.contains("cargo xtask fuzz frame_up --input x/crash-01"), "{said}");
    }

    #[test]
    fn time_on_processors_is_read_whatever_the_program_is_called() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 5 9 9";
        assert_eq!(cpu_time_in(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_time_in("7 (a"), None);
    }
}
