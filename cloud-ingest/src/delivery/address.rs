//! Addresses that a webhook must not be sent to unless its receiver allows it: a name that somebody else may point anywhere is
//! not to become a way into this machine and its networks. The sender checks the very address that it connects to.
//!
//! The ranges are those that IANA's registries of special-purpose addresses (RFC 6890) do not call globally reachable, and
//! the IPv6 forms that carry an IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is of this machine, its networks, or nobody's.
pub fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_internal_v4(address),
        IpAddr::V6(address) => is_internal_v6(address),
    }
}

fn is_internal_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    match (a, b, c) {
        // This network, private, loopback, broadcast and reserved, multicast.
        (0 | 10 | 127 | 224..=255, ..) => true,
        // Carrier-grade NAT (RFC 6598).
        (100, 64..=127, _) => true,
        // Link-local; clouds answer there with their metadata.
        (169, 254, _) => true,
        (172, 16..=31, _) => true,
        (192, 168, _) => true,
        // IETF protocols; only the two anycast addresses are reachable.
        (192, 0, 0) => !matches!(d, 9 | 10),
        // Documentation, 6to4 relays, benchmarks.
        (192, 0, 2) | (192, 88, 99) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => true,
        // Alibaba's metadata lies in 100.100, above; Azure's wire server does not.
        (168, 63, 129) => d == 16,
        _ => false,
    }
}

fn is_internal_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([i, j], [k, l]) = (high.to_be_bytes(), low.to_be_bytes());
        is_internal_v4(Ipv4Addr::new(i, j, k, l))
    };
    match (a, b, c, d, e, f) {
        // Unspecified, loopback and IPv4-compatible: all of ::/96.
        (0, 0, 0, 0, 0, 0) => true,
        // IPv4-mapped, and translated (RFC 2765).
        (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0xffff, 0) => embedded(g, h),
        // NAT64 (RFC 6052), and its local prefix (RFC 8215).
        (0x64, 0xff9b, 0, 0, 0, 0) => embedded(g, h),
        (0x64, 0xff9b, 1, ..) => true,
        // Discard only.
        (0x100, 0, 0, ..) => true,
        // Teredo hides its peer's address, ORCHID is no address, documentation.
        (0x2001, 0 | 0x20..=0x2f | 0xdb8, ..) => true,
        (0x3fff, 0..=0xfff, ..) => true,
        // 6to4.
        (0x2002, ..) => embedded(b, c),
        // Unique local, link-local, site-local, multicast, segment routing.
        (0xfc00..=0xfdff | 0xfe80..=0xfeff | 0xff00..=0xffff | 0x5f00, ..) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_addresses_are_told_from_those_of_the_world_in_every_disguise() {
        let internal = [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "169.254.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "192.88.99.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:100.64.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2002:a9fe:a9fe::",
            "2001::1",
            "2001:db8::1",
            "2001:20::1",
            "3fff::1",
            "100::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "5f00::1",
        ];
        for text in internal {
            assert!(is_internal(text.parse().expect(text)), "{text} is let through");
        }
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.1",
            "126.0.0.1",
            "128.0.0.1",
            "100.63.255.255",
            "100.128.0.0",
            "169.253.255.255",
            "169.255.0.1",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.0.1",
            "192.169.0.1",
            "192.0.0.9",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "168.63.129.17",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2400:cb00::1",
            "2001:4860:4860::8888",
        ];
        for text in public {
            assert!(!is_internal(text.parse().expect(text)), "{text} is refused");
        }
    }
}
