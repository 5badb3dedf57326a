//! `cargo xtask firmware`: builds what has to run without an operating system.

use crate::budget::Budgets;
use crate::elf;
use crate::repository::Repository;
use crate::steps::{Step, Steps};
use crate::tools::bare_metal::{self, Source, TARGET, Toolchain};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::PathBuf;

/// The crates of the workspace that boards use, without their default features.
const NO_STD_CRATES: [&str; 4] = ["--package", "tidegate-protocol", "--package", "tidegate-firmware"];

struct Board {
    name: &'static str,
    /// How tests learn where the image is.
    variable: &'static str,
}

/// Each is a workspace of its own in firmware/boards, with one program.
const BOARDS: &[Board] = &[Board { name: "microbit", variable: "TIDEGATE_TEST_MICROBIT_ELF" }];

/// A board's program, ready to flash or to run in QEMU.
pub struct Image {
    pub variable: &'static str,
    pub elf: PathBuf,
}

#[derive(clap::Args)]
pub struct Options {
    /// Where the compiler comes from
    #[arg(long, env = "TIDEGATE_FIRMWARE_TOOLCHAIN", default_value = "auto")]
    pub toolchain: Source,
}

pub fn run(repository: &Repository, options: &Options) -> Result<()> {
    let mut steps = Steps::new(repository)?;
    build(repository, &mut steps, options.toolchain);
    steps.finish()
}

/// Builds the no_std crates and every board's image.
pub fn build(repository: &Repository, steps: &mut Steps, source: Source) -> Vec<Image> {
    let Some(toolchain) =
        steps.run("bare-metal toolchain", |step| bare_metal::ensure(repository, step, source))
    else {
        return Vec::new();
    };
    steps.run("no_std crates", |step| {
        let mut build = toolchain.cargo(repository, &["build", "--no-default-features"]);
        step.note(TARGET);
        step.run_without_warnings(build.args(NO_STD_CRATES))
    });
    let boards = BOARDS.iter().filter_map(|board| {
        let name = format!("firmware {}", board.name);
        steps.run(&name, |step| build_board(repository, step, &toolchain, board))
    });
    boards.collect()
}

fn build_board(
    repository: &Repository,
    step: &mut Step,
    toolchain: &Toolchain,
    board: &Board,
) -> Result<Image> {
    let folder = repository.path("firmware/boards").join(board.name);
    if !folder.join("Cargo.toml").exists() {
        bail!("firmware/boards/{} is missing", board.name);
    }
    // In the board's folder, so that cargo reads the linker's flags from the board's .cargo/config.toml.
    let mut build = toolchain.cargo(repository, &["build", "--release", "--bin", board.name]);
    step.run_without_warnings(build.current_dir(&folder))?;
    let built = bare_metal::build_folder(repository).join(TARGET).join("release").join(board.name);
    let place = repository.path("target/firmware").join(board.name);
    fs::create_dir_all(&place)?;
    let elf = place.join(format!("{}.elf", board.name));
    fs::copy(&built, &elf)
        .with_context(|| format!("cannot copy {} to {}", built.display(), elf.display()))?;
    let size =
        elf::size(&fs::read(&elf)?).with_context(|| format!("{} is not as expected", elf.display()))?;
    let budgets = repository.path("firmware/boards/budgets.toml");
    let text = fs::read_to_string(&budgets).with_context(|| format!("cannot read {}", budgets.display()))?;
    let budgets = Budgets::parse(&text).with_context(|| format!("{} is wrong", budgets.display()))?;
    step.note(budgets.hold(board.name, &size)?);
    Ok(Image { variable: board.variable, elf })
}
