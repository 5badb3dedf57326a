//! The two checksums of the wire: CRC-32 (ISO-HDLC) on board frames, where a small board computes it bit by bit
//! without a table, and CRC-32C (Castagnoli) on blocks and acknowledgements, where the processor has it built in.

use crc::Crc;

#[cfg(not(feature = "std"))]
pub(crate) type Table = crc::NoTable;
#[cfg(feature = "std")]
pub(crate) type Table = crc::Table<16>;

pub(crate) static CRC32: Crc<u32, Table> = Crc::<u32, Table>::new(&crc::CRC_32_ISO_HDLC);

/// CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    #[cfg(feature = "std")]
    {
        crc32c::crc32c(bytes)
    }
    #[cfg(not(feature = "std"))]
    {
        const CRC32C: Crc<u32, crc::NoTable> = Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISCSI);
        CRC32C.checksum(bytes)
    }
}
