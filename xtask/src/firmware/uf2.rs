//! UF2, the format of boards that are flashed by copying a file to them: blocks of 512 bytes, each of which says where it goes.

use super::elf::Flash;

const MAGIC: [u32; 2] = [0x0a32_4655, 0x9e5d_5157];
const END: u32 = 0x0ab1_6f30;
const FAMILY_IS_TOLD: u32 = 0x2000;
/// What a block carries; it has room for more, but flash is written in pages of this size.
const PAGE_BYTES: usize = 256;
const ROOM_BYTES: usize = 476;

/// A file for the boards of a family; the last page is filled up as erased flash is.
pub fn file(flash: &Flash, family: u32) -> Vec<u8> {
    let pages = flash.bytes.chunks(PAGE_BYTES);
    let count = pages.len() as u32;
    let mut file = Vec::new();
    for (number, page) in (0_u32..).zip(pages) {
        let address = flash.address + number * PAGE_BYTES as u32;
        let head = [MAGIC[0], MAGIC[1], FAMILY_IS_TOLD, address, PAGE_BYTES as u32, number, count, family];
        head.iter().for_each(|word| file.extend_from_slice(&word.to_le_bytes()));
        let mut room = [0; ROOM_BYTES];
        room[..PAGE_BYTES].fill(0xff);
        room[..page.len()].copy_from_slice(page);
        file.extend_from_slice(&room);
        file.extend_from_slice(&END.to_le_bytes());
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_says_where_its_page_goes() {
        let bytes: Vec<u8> = (0..300_u32).map(|at| at as u8).collect();
        let file = file(&Flash { address: 0x1000_0000, bytes }, 0xe48b_ff56);
        assert_eq!(file.len(), 1_024);
        let words = |block: usize| {
            let block = &file[block * 512..][..512];
            let word = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().unwrap());
            (std::array::from_fn::<u32, 8, _>(|at| word(at * 4)), word(508), block[32], block[32 + 44])
        };
        let head = |address, number| [MAGIC[0], MAGIC[1], 0x2000, address, 256, number, 2, 0xe48b_ff56];
        assert_eq!(words(0), (head(0x1000_0000, 0), END, 0, 44));
        assert_eq!(words(1), (head(0x1000_0100, 1), END, 0, 0xff), "filled up behind its 44 bytes");
    }
}
