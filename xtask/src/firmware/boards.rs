//! `firmware/boards/boards.toml`: which boards there are, their targets, and what a board's image may take.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::elf::Size;
use crate::repository::Repository;

/// Relative to the repository.
pub const FOLDER: &str = "firmware/boards";

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    pub target: String,
    /// The machine as which QEMU runs it.
    #[serde(default)]
    pub qemu: Option<String>,
    /// Where the board is flashed by copying a file to it.
    #[serde(default)]
    pub uf2_family: Option<u32>,
    /// Espressif's number of the chip, whose bootloader takes images of its own kind.
    #[serde(default)]
    pub esp_chip: Option<u16>,
    /// Whether it has the feature of this name.
    #[serde(default)]
    pub key: bool,
    /// The same.
    #[serde(default)]
    pub defmt: bool,
    flash_bytes: u64,
    ram_bytes: u64,
}

#[derive(Debug)]
pub struct Boards(BTreeMap<String, Board>);

impl Boards {
    pub fn read(repository: &Repository) -> Result<Self> {
        let path = repository.path(FOLDER).join("boards.toml");
        let text = std::fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is wrong", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        Ok(Self(toml::from_str(text)?))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Board)> {
        self.0.iter().map(|(name, board)| (name.as_str(), board))
    }

    /// The one of this name alone, or all.
    pub fn only(mut self, name: Option<&str>) -> Result<Self> {
        let Some(name) = name else { return Ok(self) };
        let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
        if !self.0.contains_key(name) {
            bail!("there is no board `{name}`; there are {}", known.join(", "));
        }
        self.0.retain(|known, _| known == name);
        Ok(self)
    }

    /// Each once.
    pub fn targets(&self) -> Vec<&str> {
        let mut targets: Vec<&str> = self.0.values().map(|board| board.target.as_str()).collect();
        targets.sort_unstable();
        targets.dedup();
        targets
    }
}

impl Board {
    /// Says what an image takes of the board's budget; an error when it is more.
    pub fn hold(&self, name: &str, size: &Size) -> Result<String> {
        for (what, takes, may) in
            [("flash", size.flash_bytes, self.flash_bytes), ("RAM", size.ram_bytes, self.ram_bytes)]
        {
            if takes > may {
                bail!("{name} takes {takes} B of {what}, and its budget is {may} B");
            }
        }
        let Self { flash_bytes, ram_bytes, .. } = self;
        let Size { flash_bytes: flash, ram_bytes: ram } = size;
        Ok(format!("flash {flash} of {flash_bytes} B, RAM {ram} of {ram_bytes} B without the stack"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "[small]\ntarget = \"thumbv6m\"\nqemu = \"microbit\"\nflash_bytes = 1_000\nram_bytes = 100\n\
                       [big]\ntarget = \"thumbv6m\"\nflash_bytes = 1\nram_bytes = 1\n";

    #[test]
    fn an_image_within_its_budget_passes_and_one_beyond_does_not() {
        let boards = Boards::parse(TWO).unwrap();
        let (_, board) = boards.iter().find(|(name, _)| *name == "small").unwrap();
        let hold = |flash_bytes, ram_bytes| {
            board.hold("small", &Size { flash_bytes, ram_bytes }).map_err(|error| error.to_string())
        };
        assert_eq!(hold(1_000, 100).unwrap(), "flash 1000 of 1000 B, RAM 100 of 100 B without the stack");
        assert_eq!(hold(1_001, 0).unwrap_err(), "small takes 1001 B of flash, and its budget is 1000 B");
        assert_eq!(hold(0, 101).unwrap_err(), "small takes 101 B of RAM, and its budget is 100 B");
        assert!(Boards::parse("[small]\nflash_byte = 1\n").is_err());
    }

    #[test]
    fn one_board_is_chosen_by_its_name_and_an_unknown_name_lists_those_there_are() {
        let chosen = Boards::parse(TWO).unwrap().only(Some("big")).unwrap();
        assert_eq!(chosen.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["big"]);
        assert_eq!(Boards::parse(TWO).unwrap().only(None).unwrap().targets(), ["thumbv6m"]);
        let error = Boards::parse(TWO).unwrap().only(Some("bog")).unwrap_err().to_string();
        assert_eq!(error, "there is no board `bog`; there are big, small");
    }
}
