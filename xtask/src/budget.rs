//! `firmware/boards/budgets.toml`: what a board's image may take.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::elf::Size;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    flash_bytes: u64,
    ram_bytes: u64,
}

#[derive(Debug)]
pub struct Budgets(BTreeMap<String, Budget>);

impl Budgets {
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self(toml::from_str(text)?))
    }

    /// Says what a board's image takes of its budget; an error when it is more.
    pub fn hold(&self, board: &str, size: &Size) -> Result<String> {
        let budget = self.0.get(board).with_context(|| format!("no budget for {board}"))?;
        for (what, takes, may) in
            [("flash", size.flash_bytes, budget.flash_bytes), ("RAM", size.ram_bytes, budget.ram_bytes)]
        {
            if takes > may {
                bail!("{board} takes {takes} B of {what}, and its budget is {may} B");
            }
        }
        let Budget { flash_bytes, ram_bytes } = budget;
        let Size { flash_bytes: flash, ram_bytes: ram } = size;
        Ok(format!("flash {flash} of {flash_bytes} B, RAM {ram} of {ram_bytes} B without the stack"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_within_its_budget_passes_and_one_beyond_does_not() {
        let budgets = Budgets::parse("[small]\nflash_bytes = 1_000\nram_bytes = 100\n").unwrap();
        let hold = |board, flash_bytes, ram_bytes| {
            budgets.hold(board, &Size { flash_bytes, ram_bytes }).map_err(|error| error.to_string())
        };
        assert_eq!(
            hold("small", 1_000, 100).unwrap(),
            "flash 1000 of 1000 B, RAM 100 of 100 B without the stack"
        );
        assert_eq!(
            hold("small", 1_001, 0).unwrap_err(),
            "small takes 1001 B of flash, and its budget is 1000 B"
        );
        assert_eq!(hold("small", 0, 101).unwrap_err(), "small takes 101 B of RAM, and its budget is 100 B");
        assert_eq!(hold("other", 0, 0).unwrap_err(), "no budget for other");
        assert!(Budgets::parse("[small]\nflash_byte = 1\n").is_err());
    }
}
