//! What a board image takes of flash and RAM, read from the section table of a 32-bit little-endian ELF file.

use anyhow::{Context, Result, bail};

const SECTION_TABLE_OFFSET: usize = 0x20;
const SECTION_ENTRY_SIZE: usize = 0x2E;
const SECTION_COUNT: usize = 0x30;
const TYPE_NOBITS: u32 = 8;
const FLAG_WRITE: u32 = 1;
const FLAG_ALLOC: u32 = 2;

#[derive(Debug, PartialEq, Eq)]
pub struct Size {
    /// Code, constants, and the first values of variables.
    pub flash_bytes: u64,
    /// Variables. The stack takes what is left.
    pub ram_bytes: u64,
}

pub fn size(elf: &[u8]) -> Result<Size> {
    if elf.get(..6) != Some(b"\x7fELF\x01\x01") {
        bail!("this is no 32-bit little-endian ELF file");
    }
    let table = word(elf, SECTION_TABLE_OFFSET)? as usize;
    let entry_size = usize::from(half(elf, SECTION_ENTRY_SIZE)?);
    let count = usize::from(half(elf, SECTION_COUNT)?);
    let mut size = Size { flash_bytes: 0, ram_bytes: 0 };
    for index in 0..count {
        let entry = table + index * entry_size;
        let (kind, flags, bytes) = (word(elf, entry + 4)?, word(elf, entry + 8)?, word(elf, entry + 20)?);
        if flags & FLAG_ALLOC == 0 {
            continue;
        }
        if kind != TYPE_NOBITS {
            size.flash_bytes += u64::from(bytes);
        }
        if flags & FLAG_WRITE != 0 {
            size.ram_bytes += u64::from(bytes);
        }
    }
    Ok(size)
}

fn word(elf: &[u8], at: usize) -> Result<u32> {
    let bytes = elf.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    Ok(u32::from_le_bytes(bytes.context("the file ends inside its section table")?))
}

fn half(elf: &[u8], at: usize) -> Result<u16> {
    let bytes = elf.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    Ok(u16::from_le_bytes(bytes.context("the file ends inside its header")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER_BYTES: usize = 52;
    const ENTRY_BYTES: usize = 40;

    fn elf(sections: &[(u32, u32, u32)]) -> Vec<u8> {
        let mut file = vec![0; HEADER_BYTES];
        file[..6].copy_from_slice(b"\x7fELF\x01\x01");
        file[0x20..0x24].copy_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
        file[0x2E..0x30].copy_from_slice(&(ENTRY_BYTES as u16).to_le_bytes());
        file[0x30..0x32].copy_from_slice(&(sections.len() as u16).to_le_bytes());
        for (kind, flags, bytes) in sections {
            let mut entry = [0; ENTRY_BYTES];
            entry[4..8].copy_from_slice(&kind.to_le_bytes());
            entry[8..12].copy_from_slice(&flags.to_le_bytes());
            entry[20..24].copy_from_slice(&bytes.to_le_bytes());
            file.extend_from_slice(&entry);
        }
        file
    }

    #[test]
    fn initialised_variables_take_both_and_zeroed_ones_only_ram() {
        let (text, data, bss, debug) = ((1, 2 | 4, 1000), (1, 2 | 1, 30), (8, 2 | 1, 200), (1, 0, 90_000));
        let expected = Size { flash_bytes: 1030, ram_bytes: 230 };
        assert_eq!(size(&elf(&[text, data, bss, debug])).unwrap(), expected);
    }

    #[test]
    fn a_cut_file_is_an_error() {
        let mut file = elf(&[(1, 2, 1000)]);
        file.truncate(file.len() - 30);
        assert!(size(&file).is_err());
        assert!(size(b"#!/bin/sh").is_err());
    }
}
