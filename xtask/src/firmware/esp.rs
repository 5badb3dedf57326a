//! The image that the bootloader of an ESP32 starts: a head, the program's parts, a checksum, a digest. Parts for RAM are copied there;
//! those in flash are seen where the processor's map of it shows them, by pages, so they lie at the same place within a page.

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};

use super::elf::Part;

const MAGIC: u8 = 0xe9;
/// Dual I/O, 4 MB, 40 MHz: what every module can do. The bootloader finds the true size out.
const FLASH: [u8; 2] = [2, 0x20];
/// No pin is given for write protection.
const NO_PIN: u8 = 0xee;
const HEAD_BYTES: usize = 24;
const PART_HEAD_BYTES: usize = 8;
const MOST_PARTS: usize = 16;
const CHECKSUM_START: u8 = 0xef;
const PAGE_BYTES: usize = 64 * 1024;
/// Where constants and code in flash are seen.
const MAPPED: [std::ops::Range<u32>; 2] = [0x3c00_0000..0x3c80_0000, 0x4200_0000..0x4280_0000];

/// `chip` is Espressif's number of the chip: an image for another one is not started.
pub fn file(parts: &[Part<'_>], entry: u32, chip: u16) -> Result<Vec<u8>> {
    let (mapped, copied): (Vec<_>, Vec<_>) = parts.iter().partition(|part| is_mapped(part));
    let Some((first, others)) = mapped.split_first() else { bail!("no part lies in flash") };
    let mut image = Image { bytes: vec![0; HEAD_BYTES], parts: 0, checksum: CHECKSUM_START };
    // What tells the bootloader about the program is the first thing in flash, and is looked for at the image's beginning.
    image.place(first);
    copied.into_iter().for_each(|part| image.add(part.address, part.bytes));
    others.iter().for_each(|part| image.place(part));
    image.finish(entry, chip)
}

fn is_mapped(part: &Part<'_>) -> bool {
    MAPPED.iter().any(|map| map.contains(&part.address))
}

struct Image {
    bytes: Vec<u8>,
    parts: usize,
    checksum: u8,
}

impl Image {
    fn add(&mut self, address: u32, bytes: &[u8]) {
        let padded = bytes.len().next_multiple_of(4);
        self.bytes.extend_from_slice(&address.to_le_bytes());
        self.bytes.extend_from_slice(&(padded as u32).to_le_bytes());
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len() + padded - bytes.len(), 0);
        self.checksum = bytes.iter().fold(self.checksum, |sum, byte| sum ^ byte);
        self.parts += 1;
    }

    /// Fills up with a part that goes nowhere, until this one lies as its address says.
    fn place(&mut self, part: &Part<'_>) {
        let wanted = part.address as usize % PAGE_BYTES;
        if (self.bytes.len() + PART_HEAD_BYTES) % PAGE_BYTES != wanted {
            let least = self.bytes.len() + 2 * PART_HEAD_BYTES;
            let filling = (PAGE_BYTES + wanted - least % PAGE_BYTES) % PAGE_BYTES;
            self.add(0, &vec![0; filling]);
        }
        self.add(part.address, part.bytes);
    }

    fn finish(mut self, entry: u32, chip: u16) -> Result<Vec<u8>> {
        if self.parts > MOST_PARTS {
            bail!("the program has {} parts, and the bootloader takes {MOST_PARTS}", self.parts);
        }
        let entry = entry.to_le_bytes();
        let chip = chip.to_le_bytes();
        // Any revision of the chip, and a digest follows.
        let head: [&[u8]; 7] = [
            &[MAGIC, self.parts as u8],
            &FLASH,
            &entry,
            &[NO_PIN, 0, 0, 0],
            &chip,
            &[0, 0, 0, 0xff, 0xff],
            &[0, 0, 0, 0, 1],
        ];
        self.bytes.splice(..HEAD_BYTES, head.concat());
        // The checksum is the last byte of a line of 16.
        let end = (self.bytes.len() + 1).next_multiple_of(16);
        self.bytes.resize(end - 1, 0);
        self.bytes.push(self.checksum);
        let digest = Sha256::digest(&self.bytes);
        self.bytes.extend_from_slice(&digest);
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSTANTS: u32 = 0x3c00_0020;
    const CODE: u32 = 0x4201_0020;
    const RAM: u32 = 0x3fc8_1460;

    fn part(address: u32, bytes: &[u8]) -> Part<'_> {
        Part { address, bytes }
    }

    /// Where the image says that its parts go, and where they lie in it.
    fn listed(image: &[u8]) -> Vec<(u32, usize, usize)> {
        let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
        let mut at = HEAD_BYTES;
        let each = (0..image[1]).map(|_| {
            let (address, len) = (word(at), word(at + 4) as usize);
            let start = at + PART_HEAD_BYTES;
            at = start + len;
            (address, start, len)
        });
        each.collect()
    }

    #[test]
    fn parts_in_flash_lie_as_the_map_shows_them_and_the_constants_come_first() {
        let parts = [part(RAM, b"data!"), part(CONSTANTS, b"who I am"), part(CODE, b"code")];
        let image = file(&parts, 0x4201_0072, 5).unwrap();
        let filling = PAGE_BYTES + 0x20 - 8 - (0x28 + 8 + 8 + 8);
        let expected =
            [(CONSTANTS, 0x20, 8), (RAM, 0x30, 8), (0, 0x40, filling), (CODE, PAGE_BYTES + 0x20, 4)];
        assert_eq!(listed(&image), expected);
        assert_eq!(image[PAGE_BYTES + 0x20..][..4], *b"code");
        assert_eq!(image[..16], [MAGIC, 4, 2, 0x20, 0x72, 0, 1, 0x42, NO_PIN, 0, 0, 0, 5, 0, 0, 0]);
    }

    #[test]
    fn damage_shows_in_the_checksum_and_in_the_digest() {
        let image = file(&[part(CONSTANTS, &[1, 2]), part(RAM, &[0x40, 8])], 0, 5).unwrap();
        assert_eq!(image.len() % 16, 0);
        let (sealed, digest) = image.split_at(image.len() - 32);
        assert_eq!(sealed.last(), Some(&(CHECKSUM_START ^ 1 ^ 2 ^ 0x40 ^ 8)));
        assert_eq!(digest, Sha256::digest(sealed).as_slice());
    }

    #[test]
    fn a_program_that_lies_in_ram_alone_is_none() {
        assert!(file(&[part(RAM, b"data")], 0, 5).is_err());
    }
}
