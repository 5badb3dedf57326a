//! The programs that docs/firmware/first-reading.md has a newcomer write for chips other than the template's: taken from the page, put beside
//! what they keep of the template, and built.

use std::fs;

use anyhow::{Context, Result, bail};

use super::boards::{self, Board};
use super::template;
use crate::repository::Repository;
use crate::steps::Step;
use crate::tools::bare_metal::Toolchain;

const PAGE: &str = "docs/firmware/first-reading.md";
/// A board of this repository with the same chip, and how the page's section about it begins.
pub const CHAPTERS: [(&str, &str); 2] = [("nucleo-f446re", "## Nucleo-F446RE"), ("esp32-c3", "## ESP32-C3")];
/// The lines of the template's manifest that the page has replaced.
const REPLACED: [&str; 2] = ["cortex-m = ", "embedded-io-async = "];

pub fn build(
    repository: &Repository,
    step: &mut Step,
    toolchain: &Toolchain,
    (name, heading): (&str, &str),
    board: &Board,
) -> Result<()> {
    let page = fs::read_to_string(repository.path(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let said =
        Said::of(&page, heading).with_context(|| format!("{PAGE} is not as expected at `{heading}`"))?;
    let project = repository.path("target/firmware/guide").join(name);
    template::copy(repository, &project)?;
    match said.memory {
        Some(memory) => fs::write(project.join("memory.x"), memory)?,
        None => ["memory.x", "build.rs"].iter().try_for_each(|file| fs::remove_file(project.join(file)))?,
    }
    fs::write(project.join(".cargo/config.toml"), said.config)?;
    fs::write(project.join("src/main.rs"), said.program)?;
    let manifest = with_dependencies(&fs::read_to_string(project.join("Cargo.toml"))?, said.dependencies)?;
    fs::write(project.join("Cargo.toml"), template::by_path(&manifest, |folder| repository.path(folder))?)?;
    // The versions with which the board is built: what is built for it need not be built again.
    fs::copy(repository.path(boards::FOLDER).join(name).join("Cargo.lock"), project.join("Cargo.lock"))?;
    let mut build = toolchain.cargo(repository, &board.target, &["build", "--release"]);
    step.run_without_warnings(build.current_dir(&project))
}

/// A section's blocks of code.
struct Said<'a> {
    config: &'a str,
    memory: Option<&'a str>,
    dependencies: &'a str,
    program: &'a str,
}

impl<'a> Said<'a> {
    fn of(page: &'a str, heading: &str) -> Result<Self> {
        let (_, section) = page.split_once(heading).context("there is no such heading")?;
        let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
        let blocks: Vec<(&str, &str)> =
            section.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n')).collect();
        let find = |language: &str, is_it: fn(&str) -> bool| {
            blocks.iter().find(|(of, text)| *of == language && is_it(text)).map(|(_, text)| *text)
        };
        Ok(Self {
            config: find("toml", |text| text.starts_with("[build]")).context("there is no [build]")?,
            memory: find("", |text| text.starts_with("MEMORY")),
            dependencies: find("toml", |text| !text.starts_with('[')).context("there are no dependencies")?,
            program: find("rust", |_| true).context("there is no program")?,
        })
    }
}

/// The template's manifest with these dependencies in place of its chip's.
fn with_dependencies(manifest: &str, dependencies: &str) -> Result<String> {
    let [first, last] = REPLACED.map(|start| manifest.lines().position(|line| line.starts_with(start)));
    let (Some(first), Some(last)) = (first, last) else {
        bail!("the template's manifest has no {} or no {}", REPLACED[0], REPLACED[1]);
    };
    let lines = manifest.lines().enumerate().filter_map(|(at, line)| match line {
        _ if at == first => Some(dependencies),
        _ if (first..=last).contains(&at) => None,
        // As the page says, of a chip whose line to the host is the gateway's alone.
        _ if line.starts_with("defmt = [") && !dependencies.contains("defmt-rtt") => Some("defmt = []"),
        _ => Some(line),
    });
    Ok(lines.collect::<Vec<_>>().join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "## Other\n```rust\nno\n```\n## Chip (X)\nText.\n\n```toml\n[build]\ntarget = \"x\"\n```\n\n\
                        ```toml\nhal = \"1\"\n```\nText.\n```rust\nyes\n```\n## Next\n```rust\nno\n```\n";

    #[test]
    fn a_section_gives_its_own_blocks() {
        let said = Said::of(PAGE, "## Chip").unwrap();
        assert_eq!((said.config, said.memory), ("[build]\ntarget = \"x\"", None));
        assert_eq!((said.dependencies, said.program), ("hal = \"1\"", "yes"));
        assert!(Said::of(PAGE, "## Other").is_err() && Said::of(PAGE, "## None").is_err());
    }

    #[test]
    fn the_chips_lines_are_replaced_and_all_others_stay() {
        let manifest = "defmt = [\"x\"]\na = 1\ncortex-m = 2\nb = 3\nembedded-io-async = 4\nc = 5\n";
        let replaced = with_dependencies(manifest, "hal = 6\nmore = 7").unwrap();
        assert_eq!(replaced, "defmt = []\na = 1\nhal = 6\nmore = 7\nc = 5\n");
        assert!(with_dependencies("a = 1\n", "hal = 6").is_err());
    }
}
