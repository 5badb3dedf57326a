//! The two checksums of the wire: CRC-32 (ISO-HDLC) on board frames, where a small board computes it bit by bit
//! without a table, and CRC-32C (Castagnoli) on blocks and acknowledgements, where the processor has it built in.

/// CRC-32 of `bytes`: with the processor's help on hosts, without a table on boards.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    #[cfg(feature = "std")]
    {
        crc32fast::hash(bytes)
    }
    #[cfg(not(feature = "std"))]
    {
        const CRC32: crc::Crc<u32, crc::NoTable> = crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISO_HDLC);
        CRC32.checksum(bytes)
    }
}

/// CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    #[cfg(feature = "std")]
    {
        crc32c::crc32c(bytes)
    }
    #[cfg(not(feature = "std"))]
    {
        const CRC32C: crc::Crc<u32, crc::NoTable> = crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISCSI);
        CRC32C.checksum(bytes)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn checksums_pass_the_catalogue_check() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(super::crc32c(b"123456789"), 0xe306_9283);
        // What a board computes without a table is what a host computes.
        assert_eq!(
            crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(b"tidegate"),
            super::crc32(b"tidegate")
        );
    }
}
