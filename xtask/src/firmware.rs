//! `cargo xtask firmware`: builds what has to run without an operating system.

pub mod boards;
mod elf;
mod esp;
mod guide;
pub mod measure;
pub mod template;
mod uf2;

use crate::repository::Repository;
use crate::steps::{Step, Steps};
use crate::tools::bare_metal::{self, SMALLEST, Source, Toolchain};
use anyhow::{Context, Result, bail};
use boards::{Board, Boards, FOLDER};
use elf::Size;
use std::fs;
use std::path::{Path, PathBuf};

/// The crates of the workspace that boards use, without their default features.
const NO_STD_CRATES: [&str; 3] = ["--package=tidegate-protocol", "--package=tidegate-firmware", DRIVERS];
const DRIVERS: &str = "--package=tidegate-drivers";
/// Every chip.
const DRIVER_FEATURES: &str = "--features=tidegate-drivers/ads1115,tidegate-drivers/async,tidegate-drivers/bme280,tidegate-drivers/ds18b20,\
                               tidegate-drivers/lis3dh,tidegate-drivers/mpu6050,tidegate-drivers/sht4x";

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Build a board's image, or those of all boards, to target/firmware/<board>/ as ELF and BIN (an ESP32: as its bootloader takes it; and UF2 where boards take it), and print its size
    Build(Options),
    /// List the boards
    List,
    /// Build firmware/template, copied out of the repository, and the programs of the guide to a first reading
    Template(ToolchainOptions),
    /// Measure what the library takes on a Cortex-M0: flash, RAM, stack, instructions
    Measure(ToolchainOptions),
}

#[derive(clap::Args)]
pub struct Options {
    /// A folder in firmware/boards; without it, all of them
    #[arg(long)]
    pub board: Option<String>,
    #[command(flatten)]
    pub toolchain: ToolchainOptions,
}

#[derive(clap::Args, Clone, Copy)]
pub struct ToolchainOptions {
    /// Where the compiler comes from
    #[arg(long = "toolchain", env = "TIDEGATE_FIRMWARE_TOOLCHAIN", default_value = "auto")]
    pub source: Source,
}

pub fn run(repository: &Repository, arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::Build(options) => {
            let boards = Boards::read(repository)?.only(options.board.as_deref())?;
            let mut steps = Steps::new(repository)?;
            let template = options.board.is_none();
            build(repository, &mut steps, &boards, template, options.toolchain.source);
            steps.finish()
        }
        Command::Measure(toolchain) => measure::run(repository, toolchain.source),
        Command::Template(toolchain) => {
            let (boards, mut steps) = (Boards::read(repository)?, Steps::new(repository)?);
            let targets = boards.targets();
            let toolchain = steps.run("bare-metal toolchain", |step| {
                bare_metal::ensure(repository, step, toolchain.source, &targets)
            });
            if let Some(toolchain) = toolchain {
                build_template(repository, &mut steps, &boards, &toolchain);
            }
            steps.finish()
        }
        Command::List => {
            for (name, board) in Boards::read(repository)?.iter() {
                let runs = if board.qemu.is_some() { "runs in QEMU" } else { "builds only" };
                println!("{name:<16} {:<28} {runs}", board.target);
            }
            Ok(())
        }
    }
}

/// Builds the no_std crates, the boards' images and, if told to, the template and the guide's programs. Says where the images are.
pub fn build(
    repository: &Repository,
    steps: &mut Steps,
    boards: &Boards,
    template: bool,
    source: Source,
) -> PathBuf {
    let images = repository.path("target/firmware");
    let mut targets = boards.targets();
    if !targets.contains(&SMALLEST) {
        targets.push(SMALLEST);
    }
    let toolchain =
        steps.run("bare-metal toolchain", |step| bare_metal::ensure(repository, step, source, &targets));
    let Some(toolchain) = toolchain else { return images };
    steps.run("no_std crates", |step| {
        let mut build = toolchain.cargo(repository, SMALLEST, &["build", "--no-default-features"]);
        step.note(SMALLEST);
        step.run_without_warnings(build.args(NO_STD_CRATES).arg(DRIVER_FEATURES))
    });
    for (name, board) in boards.iter() {
        steps.run(&format!("firmware {name}"), |step| {
            build_board(repository, step, &toolchain, &images, name, board)
        });
    }
    if template {
        build_template(repository, steps, boards, &toolchain);
    }
    images
}

/// The template, and what the guide makes of it on other chips.
fn build_template(repository: &Repository, steps: &mut Steps, boards: &Boards, toolchain: &Toolchain) {
    steps.run("firmware template", |step| template::build(repository, step, toolchain));
    for chapter in guide::CHAPTERS {
        steps.run(&format!("firmware guide {}", chapter.0), |step| {
            let board = boards.iter().find(|(name, _)| *name == chapter.0);
            let (_, board) = board.with_context(|| format!("there is no board {}", chapter.0))?;
            guide::build(repository, step, toolchain, chapter, board)
        });
    }
}

fn build_board(
    repository: &Repository,
    step: &mut Step,
    toolchain: &Toolchain,
    images: &Path,
    name: &str,
    board: &Board,
) -> Result<()> {
    let elf = compile(repository, step, toolchain, name, board, &[])?;
    let wrong = || format!("the program of {name} is not as expected");
    let size = elf::size(&elf).with_context(wrong)?;
    let files = flash_files(board, &elf).with_context(wrong)?;
    let place = images.join(name);
    fs::create_dir_all(&place)?;
    for (ending, bytes) in [("elf", elf)].into_iter().chain(files) {
        let path = place.join(format!("{name}.{ending}"));
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    step.note(board.hold(name, &size)?);
    if board.key {
        let keyed = compile(repository, step, toolchain, name, board, &["--features", "key"])?;
        step.note(format!("with a key {}", board.hold(name, &elf::size(&keyed).with_context(wrong)?)?));
        let path = place.join(format!("{name}-key.elf"));
        fs::write(&path, keyed).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if board.defmt {
        let talking = compile(repository, step, toolchain, name, board, &["--features", "defmt"])?;
        let Size { flash_bytes, ram_bytes } = elf::size(&talking).with_context(wrong)?;
        step.note(format!("with defmt flash {flash_bytes} B, RAM {ram_bytes} B"));
    }
    Ok(())
}

/// The program as an ELF file.
fn compile(
    repository: &Repository,
    step: &mut Step,
    toolchain: &Toolchain,
    name: &str,
    board: &Board,
    features: &[&str],
) -> Result<Vec<u8>> {
    let folder = repository.path(FOLDER).join(name);
    if !folder.join("Cargo.toml").exists() {
        bail!("{FOLDER}/{name} is missing");
    }
    // In the board's folder, so that cargo reads the linker's flags from the board's .cargo/config.toml.
    let mut build = toolchain.cargo(repository, &board.target, &["build", "--release", "--bin", name]);
    step.run_without_warnings(build.args(features).current_dir(&folder))?;
    let built = bare_metal::build_folder(repository).join(&board.target).join("release").join(name);
    fs::read(&built).with_context(|| format!("cannot read {}", built.display()))
}

/// What the board's loaders take, by the ending of its name.
fn flash_files(board: &Board, elf: &[u8]) -> Result<Vec<(&'static str, Vec<u8>)>> {
    if let Some(chip) = board.esp_chip {
        return Ok(vec![("bin", esp::file(&elf::parts(elf)?, elf::entry(elf)?, chip)?)]);
    }
    let flash = elf::flash(elf)?;
    let uf2 = board.uf2_family.map(|family| ("uf2", uf2::file(&flash, family)));
    Ok([("bin", flash.bytes)].into_iter().chain(uf2).collect())
}
