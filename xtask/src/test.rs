//! `cargo xtask test`: the one command that people and CI run. It runs every step even if one fails, then prints how
//! long each took, the test runner's own summary lines once more, and a total.

mod summary;

use crate::firmware::{self, boards::Boards};
use crate::repository::Repository;
use crate::steps::Steps;
use crate::tools::{bare_metal, debian, node, python};
use crate::{advisories, deny, fuzz, lint, sbom};
use anyhow::{Result, bail};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use summary::Summary;

#[derive(clap::Args)]
pub struct Options {
    /// Also run what takes long: more seeds, and every fuzz target under libFuzzer
    #[arg(long)]
    long: bool,
    /// Run one part only
    #[arg(long)]
    only: Option<Part>,
    /// Where the compiler for the board images comes from
    #[arg(long, env = "TIDEGATE_FIRMWARE_TOOLCHAIN", default_value = "auto")]
    firmware_toolchain: bare_metal::Source,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Formatting, clippy, rustdoc, licences, known vulnerabilities, bills of materials
    Lint,
    /// The board images and the no_std builds
    Firmware,
    /// Tests of every crate by itself
    Unit,
    /// Tests of the whole chain
    E2e,
    /// Every fuzz target under libFuzzer for a while
    Fuzz,
}

impl Options {
    fn includes(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

/// What tests are told through their environment. A name is set only if the thing is there.
type Environment = Vec<(&'static str, OsString)>;

pub fn run(repository: &Repository, options: &Options) -> Result<()> {
    let mut steps = Steps::new(repository)?;
    let mut summary = Summary::default();
    let tests = options.includes(Part::Unit) || options.includes(Part::E2e);
    let images = options.includes(Part::Firmware) || options.includes(Part::E2e);

    let mut environment = Environment::new();
    if tests || images {
        steps.run("debian packages", debian::ensure);
    }
    if options.includes(Part::Lint) {
        lint::run(repository, &mut steps);
        steps.run("licences and sources", |step| deny::check(repository, step, deny::OFFLINE_CHECKS));
        steps.run("known vulnerabilities", |step| advisories::check(repository, step));
        steps.run("bill of materials", |step| sbom::write(repository, step, None));
    }
    if images {
        environment.extend(board_images(repository, &mut steps, options));
    }
    if tests {
        environment.extend(programs(repository, &mut steps));
        environment.extend(recordings(repository));
        environment.extend(options.long.then(|| ("TIDEGATE_TEST_LONG", "1".into())));
        run_tests(repository, &mut steps, &mut summary, options, &environment);
    }
    if options.only == Some(Part::Fuzz) || options.long {
        fuzz::run_every_target(repository, &mut steps, fuzz::SECONDS_EACH);
    } else if options.includes(Part::Fuzz) {
        fuzz::check(repository, &mut steps);
    }

    let outcome = steps.finish();
    if tests {
        print!("\n{summary}");
    }
    outcome?;
    if tests && summary.ran_nothing() {
        bail!("no test ran");
    }
    Ok(())
}

fn board_images(repository: &Repository, steps: &mut Steps, options: &Options) -> Environment {
    let Some(boards) = steps.run("boards", |_| Boards::read(repository)) else { return Environment::new() };
    let images = firmware::build(repository, steps, &boards, true, options.firmware_toolchain);
    steps.run("firmware library", |step| {
        firmware::measure::check(repository, step, options.firmware_toolchain)
    });
    let mut environment = vec![("TIDEGATE_TEST_FIRMWARE", images.into_os_string())];
    environment.extend(
        crate::command::find_on_path("qemu-system-arm")
            .map(|path| ("TIDEGATE_TEST_QEMU", path.into_os_string())),
    );
    environment
}

fn programs(repository: &Repository, steps: &mut Steps) -> Environment {
    let python = steps.run("python packages", |step| python::ensure(repository, step));
    let node = steps.run("npm packages", |step| node::ensure(repository, step));
    let python = python.map(|path| ("TIDEGATE_TEST_PYTHON", path.into_os_string()));
    let node = node.map(|path| ("TIDEGATE_TEST_NODE_MODULES", path.into_os_string()));
    python.into_iter().chain(node).collect()
}

/// The folder of recorded signals: the caller's choice, else the one that lies beside the checkout, else none.
fn recordings(repository: &Repository) -> Option<(&'static str, OsString)> {
    const NAME: &str = "TIDEGATE_RECORDINGS";
    let folder = std::env::var_os(NAME).map(PathBuf::from);
    let beside = || repository.path("../shared/data").canonicalize().ok().filter(|path| path.is_dir());
    folder.or_else(beside).map(|path| (NAME, path.into_os_string()))
}

fn run_tests(
    repository: &Repository,
    steps: &mut Steps,
    summary: &mut Summary,
    options: &Options,
    environment: &Environment,
) {
    // With the tests in the same command the features are the ones that the tests are built with: nothing is built
    // twice, and the end-to-end tests find every program beside them.
    let build = ["build", "--workspace", "--lib", "--bins", "--tests", "--examples"];
    if steps.run("build", |step| step.run(&mut repository.cargo(&build))).is_none() {
        return;
    }
    let (name, selection): (&str, &[&str]) = match options.only {
        Some(Part::Unit) => ("unit tests", &["--workspace", "--exclude", "tidegate-tests"]),
        Some(Part::E2e) => ("end-to-end tests", &["--package", "tidegate-tests"]),
        _ => ("tests", &["--workspace"]),
    };
    let mut command: Command = repository.cargo(&["test", "--no-fail-fast"]);
    // The end-to-end tests take the programs that were just built: asked for one by one, cargo would build each with
    // features of its own.
    command.env("TIDEGATE_TEST_PROGRAMS", repository.programs("debug"));
    command.args(selection).envs(environment.iter().cloned());
    steps.run(name, |step| {
        let result = step.stream(&mut command, |line| summary.read(line));
        summary.close();
        step.note(summary.total());
        result
    });
}
