//! A board image's ELF file, 32-bit and little-endian: what it takes of flash and RAM, by its section table; the bytes to flash, by
//! its program headers; and what of it is the compiler's, by its symbols.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

const ENTRY: usize = 0x18;
const PROGRAM_TABLE_OFFSET: usize = 0x1C;
const SECTION_TABLE_OFFSET: usize = 0x20;
const PROGRAM_ENTRY_SIZE: usize = 0x2A;
const PROGRAM_COUNT: usize = 0x2C;
const SECTION_ENTRY_SIZE: usize = 0x2E;
const SECTION_COUNT: usize = 0x30;
const TYPE_LOAD: u32 = 1;
const TYPE_SYMBOLS: u32 = 2;
const TYPE_NOBITS: u32 = 8;
const SYMBOL_BYTES: usize = 16;
const FUNCTION: u8 = 2;
const FLAG_WRITE: u32 = 1;
const FLAG_ALLOC: u32 = 2;
/// A hole between two parts that is larger has another reason than alignment.
const LARGEST_HOLE: u32 = 1 << 20;

#[derive(Debug, PartialEq, Eq)]
pub struct Size {
    /// Code, constants, and the first values of variables.
    pub flash_bytes: u64,
    /// Variables. The stack takes what is left.
    pub ram_bytes: u64,
}

/// What is to be flashed, as one piece.
#[derive(Debug, PartialEq, Eq)]
pub struct Flash {
    pub address: u32,
    pub bytes: Vec<u8>,
}

pub fn size(elf: &[u8]) -> Result<Size> {
    let mut size = Size { flash_bytes: 0, ram_bytes: 0 };
    for entry in table(elf, SECTION_TABLE_OFFSET, SECTION_ENTRY_SIZE, SECTION_COUNT)? {
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

/// Something that is loaded, and where it is stored.
#[derive(Debug, PartialEq, Eq)]
pub struct Part<'a> {
    pub address: u32,
    pub bytes: &'a [u8],
}

/// Where the program starts.
pub fn entry(elf: &[u8]) -> Result<u32> {
    word(elf, ENTRY)
}

/// What is loaded, by address.
pub fn parts(elf: &[u8]) -> Result<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    for entry in table(elf, PROGRAM_TABLE_OFFSET, PROGRAM_ENTRY_SIZE, PROGRAM_COUNT)? {
        let (kind, offset) = (word(elf, entry)?, word(elf, entry + 4)? as usize);
        let (address, len) = (word(elf, entry + 12)?, word(elf, entry + 16)? as usize);
        if kind == TYPE_LOAD && len > 0 {
            let bytes = elf.get(offset..offset.saturating_add(len));
            parts.push(Part { address, bytes: bytes.context("the file ends inside a part that is loaded")? });
        }
    }
    parts.sort_unstable_by_key(|part| part.address);
    Ok(parts)
}

/// The parts in one piece; holes are as erased flash is.
pub fn flash(elf: &[u8]) -> Result<Flash> {
    let parts = parts(elf)?;
    let address = parts.first().context("nothing of this file is loaded")?.address;
    let mut bytes = Vec::new();
    for part in parts {
        let end = address + bytes.len() as u32;
        let hole = part.address.checked_sub(end).context("two parts overlap")?;
        if hole > LARGEST_HOLE {
            bail!("a hole of {hole} bytes lies in what is to be flashed");
        }
        bytes.resize(bytes.len() + hole as usize, 0xff);
        bytes.extend_from_slice(part.bytes);
    }
    Ok(Flash { address, bytes })
}

/// The bytes of all code whose symbol is the compiler's own: memory copies, divisions, what a processor does not do by itself.
pub fn compiler_runtime_bytes(elf: &[u8]) -> Result<u64> {
    let entries: Vec<usize> = table(elf, SECTION_TABLE_OFFSET, SECTION_ENTRY_SIZE, SECTION_COUNT)?.collect();
    let mut places = BTreeMap::new();
    for &entry in entries.iter().filter(|entry| word(elf, **entry + 4).is_ok_and(|kind| kind == TYPE_SYMBOLS))
    {
        let (offset, bytes) = (word(elf, entry + 16)? as usize, word(elf, entry + 20)? as usize);
        let names = entries.get(word(elf, entry + 24)? as usize).context("a symbol table has no names")?;
        let names = word(elf, names + 16)? as usize;
        for symbol in (offset..offset + bytes).step_by(SYMBOL_BYTES) {
            let (name, address, size) = (word(elf, symbol)?, word(elf, symbol + 4)?, word(elf, symbol + 8)?);
            let is_function = elf.get(symbol + 12).is_some_and(|info| info & 0xf == FUNCTION);
            let name = elf.get(names + name as usize..).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            if is_function && is_of_the_compiler(&String::from_utf8_lossy(name)) {
                // One function may have several names.
                places.insert(address, u64::from(size));
            }
        }
    }
    Ok(places.values().sum())
}

fn is_of_the_compiler(name: &str) -> bool {
    let copies = ["memcpy", "memmove", "memset", "memcmp", "bcmp"];
    name.contains("17compiler_builtins") || name.starts_with("__aeabi_") || copies.contains(&name)
}

/// Where a table's entries are.
fn table(
    elf: &[u8],
    offset: usize,
    entry_size: usize,
    count: usize,
) -> Result<impl Iterator<Item = usize> + use<>> {
    if elf.get(..6) != Some(b"\x7fELF\x01\x01") {
        bail!("this is no 32-bit little-endian ELF file");
    }
    let start = word(elf, offset)? as usize;
    let (entry_size, count) = (usize::from(half(elf, entry_size)?), usize::from(half(elf, count)?));
    Ok((0..count).map(move |index| start + index * entry_size))
}

fn word(elf: &[u8], at: usize) -> Result<u32> {
    let bytes = elf.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    Ok(u32::from_le_bytes(bytes.context("the file ends inside one of its tables")?))
}

fn half(elf: &[u8], at: usize) -> Result<u16> {
    let bytes = elf.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    Ok(u16::from_le_bytes(bytes.context("the file ends inside its header")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER_BYTES: usize = 52;
    const SECTION_BYTES: usize = 40;
    const PROGRAM_BYTES: usize = 32;

    fn header() -> Vec<u8> {
        let mut file = vec![0; HEADER_BYTES];
        file[..6].copy_from_slice(b"\x7fELF\x01\x01");
        file
    }

    fn sections(sections: &[(u32, u32, u32)]) -> Vec<u8> {
        let mut file = header();
        file[0x20..0x24].copy_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
        file[0x2E..0x30].copy_from_slice(&(SECTION_BYTES as u16).to_le_bytes());
        file[0x30..0x32].copy_from_slice(&(sections.len() as u16).to_le_bytes());
        for (kind, flags, bytes) in sections {
            let mut entry = [0; SECTION_BYTES];
            entry[4..8].copy_from_slice(&kind.to_le_bytes());
            entry[8..12].copy_from_slice(&flags.to_le_bytes());
            entry[20..24].copy_from_slice(&bytes.to_le_bytes());
            file.extend_from_slice(&entry);
        }
        file
    }

    /// Parts by type, address in flash, and content.
    fn parts(parts: &[(u32, u32, &[u8])]) -> Vec<u8> {
        let mut file = header();
        file[0x1C..0x20].copy_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
        file[0x2A..0x2C].copy_from_slice(&(PROGRAM_BYTES as u16).to_le_bytes());
        file[0x2C..0x2E].copy_from_slice(&(parts.len() as u16).to_le_bytes());
        let mut offset = HEADER_BYTES + parts.len() * PROGRAM_BYTES;
        for (kind, address, content) in parts {
            let mut entry = [0; PROGRAM_BYTES];
            entry[..4].copy_from_slice(&kind.to_le_bytes());
            entry[4..8].copy_from_slice(&(offset as u32).to_le_bytes());
            entry[12..16].copy_from_slice(&address.to_le_bytes());
            entry[16..20].copy_from_slice(&(content.len() as u32).to_le_bytes());
            file.extend_from_slice(&entry);
            offset += content.len();
        }
        parts.iter().for_each(|(_, _, content)| file.extend_from_slice(content));
        file
    }

    #[test]
    fn initialised_variables_take_both_and_zeroed_ones_only_ram() {
        let (text, data, bss, debug) = ((1, 2 | 4, 1000), (1, 2 | 1, 30), (8, 2 | 1, 200), (1, 0, 90_000));
        let expected = Size { flash_bytes: 1030, ram_bytes: 230 };
        assert_eq!(size(&sections(&[text, data, bss, debug])).unwrap(), expected);
    }

    #[test]
    fn the_compilers_functions_are_known_by_their_names_and_counted_once() {
        let names = b"\0memcpy\0__aeabi_memcpy\0_ZN17compiler_builtins3int4udivE\0_ZN8tidegate4nodeE\0__aeabi_table\0";
        let at =
            |name: &str| names.windows(name.len()).position(|part| part == name.as_bytes()).unwrap() as u32;
        // Name, address, size, whether it is a function.
        let symbols = [
            (at("memcpy"), 0x10, 100, true),
            (at("__aeabi_memcpy"), 0x10, 100, true),
            (at("_ZN17"), 0x80, 40, true),
            (at("_ZN8"), 0xc0, 5_000, true),
            (at("__aeabi_table"), 0x1000, 256, false),
        ];
        let mut file = sections(&[(TYPE_SYMBOLS, 0, (symbols.len() * SYMBOL_BYTES) as u32), (3, 0, 0)]);
        let symbols_at = file.len() as u32;
        for (name, address, size, is_function) in symbols {
            for word in [name, address, size] {
                file.extend_from_slice(&word.to_le_bytes());
            }
            file.extend_from_slice(&[u8::from(is_function) * FUNCTION, 0, 1, 0]);
        }
        let names_at = file.len() as u32;
        file.extend_from_slice(names);
        let table = HEADER_BYTES;
        for (at, word) in [(table + 16, symbols_at), (table + 24, 1), (table + SECTION_BYTES + 16, names_at)]
        {
            file[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        assert_eq!(compiler_runtime_bytes(&file).unwrap(), 140);
    }

    #[test]
    fn what_is_loaded_lies_where_it_is_stored_and_holes_are_as_erased() {
        let file = parts(&[(1, 0x106, b"data"), (1, 0x100, b"code"), (4, 0x0, b"note"), (1, 0x0, b"")]);
        let expected = Flash { address: 0x100, bytes: b"code\xff\xffdata".to_vec() };
        assert_eq!(flash(&file).unwrap(), expected);
        assert!(flash(&parts(&[(1, 0, b"code"), (1, 2, b"more")])).is_err());
        assert!(flash(&parts(&[(1, 0, b"code"), (1, 0x2000_0000, b"ram")])).is_err());
        assert!(flash(&parts(&[])).is_err());
    }

    #[test]
    fn a_cut_file_is_an_error() {
        let mut file = sections(&[(1, 2, 1000)]);
        file.truncate(file.len() - 30);
        assert!(size(&file).is_err());
        assert!(size(b"#!/bin/sh").is_err());
        let mut file = parts(&[(1, 0, b"code")]);
        file.truncate(file.len() - 1);
        assert!(flash(&file).is_err());
    }
}
