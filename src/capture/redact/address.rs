//! Addresses for addresses: whoever was in a block stays in it, and private, public and Google's own stay what they were.
//!
//! Enters: IPv4 and IPv6 addresses. Leaves: others, each its own. Never: moves one into or out of a block that means something.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sha2::{Digest, Sha256};

/// Blocks that keep their first bits, and whether they are kept wholly: what is theirs says nothing about anybody.
const IPV4: [(Ipv4Addr, u32, bool); 18] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, true),
    (Ipv4Addr::new(10, 0, 0, 0), 8, false),
    (Ipv4Addr::new(35, 191, 0, 0), 16, true),
    (Ipv4Addr::new(100, 64, 0, 0), 10, false),
    (Ipv4Addr::new(127, 0, 0, 0), 8, true),
    (Ipv4Addr::new(130, 211, 0, 0), 22, true),
    (Ipv4Addr::new(169, 254, 0, 0), 16, true),
    (Ipv4Addr::new(172, 16, 0, 0), 12, false),
    (Ipv4Addr::new(192, 0, 0, 0), 24, false),
    (Ipv4Addr::new(192, 0, 2, 0), 24, false),
    (Ipv4Addr::new(192, 168, 0, 0), 16, false),
    (Ipv4Addr::new(198, 18, 0, 0), 15, false),
    (Ipv4Addr::new(198, 51, 100, 0), 24, false),
    (Ipv4Addr::new(203, 0, 113, 0), 24, false),
    (Ipv4Addr::new(209, 85, 152, 0), 22, true),
    (Ipv4Addr::new(209, 85, 204, 0), 22, true),
    (Ipv4Addr::new(224, 0, 0, 0), 4, true),
    (Ipv4Addr::new(240, 0, 0, 0), 4, true),
];

const IPV6: [(Ipv6Addr, u32, bool); 7] = [
    (Ipv6Addr::UNSPECIFIED, 8, true),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, true),
    (Ipv6Addr::new(0x2600, 0x1901, 0x8001, 0, 0, 0, 0, 0), 48, true),
    (Ipv6Addr::new(0x2600, 0x2d00, 0x1, 0, 0, 0, 0, 0), 48, true),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, false),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, true),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, true),
];

/// The address for an address. Of a block's first address the bits beyond `length` are kept, so that it stays a block.
pub(super) fn replace(key: &[u8; 32], address: IpAddr, length: Option<u32>) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let blocks = IPV4.map(|(block, length, whole)| (u128::from(block.to_bits()), length, whole));
            let bits = bits(key, u128::from(address.to_bits()), 32, length.unwrap_or(32), &blocks);
            IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
        }
        IpAddr::V6(address) => {
            let blocks = IPV6.map(|(block, length, whole)| (block.to_bits(), length, whole));
            IpAddr::V6(Ipv6Addr::from_bits(bits(key, address.to_bits(), 128, length.unwrap_or(128), &blocks)))
        }
    }
}

/// Bit by bit: each is turned or kept depending on those before it, so that addresses that share a prefix go on to share one.
fn bits(key: &[u8; 32], from: u128, width: u32, length: u32, blocks: &[(u128, u32, bool)]) -> u128 {
    let mut to = from;
    let first = |value: u128, count: u32| if count == 0 { 0 } else { value >> (width - count) };
    for at in 0..length.min(width) {
        let before = first(from, at);
        // A turn here would carry addresses into or out of a block that begins with these bits, or lies around them.
        let fixed = blocks.iter().any(|(block, size, whole)| {
            let shared = at.min(*size);
            first(*block, shared) == first(from, shared) && (at < *size || *whole)
        });
        if fixed {
            continue;
        }
        let place = [width.to_be_bytes(), at.to_be_bytes()].concat();
        let digest = Sha256::new().chain_update(key).chain_update(place).chain_update(before.to_be_bytes()).finalize();
        to ^= u128::from(digest[0] & 1) << (width - 1 - at);
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(address: &str) -> IpAddr {
        replace(&[3; 32], address.parse().unwrap(), None)
    }

    #[test]
    fn blocks_stay_blocks() {
        let block: IpAddr = replace(&[3; 32], "10.4.0.0".parse().unwrap(), Some(14));
        let block: ipnet::IpNet = format!("{block}/14").parse().unwrap();
        assert_eq!(block.addr(), block.network(), "{block}");
        for inside in ["10.4.0.5", "10.5.3.77", "10.7.255.254"] {
            assert!(block.contains(&new(inside)) && new(inside).to_string() != inside);
        }
        for outside in ["10.8.0.1", "10.3.255.255", "192.168.1.1", "34.117.239.201"] {
            assert!(!block.contains(&new(outside)));
        }
    }

    #[test]
    fn private_stays_private_and_what_everybody_knows_stays() {
        for known in
            ["127.0.0.1", "0.0.0.0", "35.191.4.7", "130.211.3.1", "169.254.169.254", "::1", "fe80::1", "2600:2d00:1:b029::7"]
        {
            assert_eq!(new(known).to_string(), known);
        }
        let private = |address: IpAddr| matches!(address, IpAddr::V4(address) if address.is_private());
        let mut seen = std::collections::BTreeSet::new();
        for low in 0..=255u8 {
            for high in [[10, 1, 2], [172, 20, 0], [192, 168, 7], [34, 117, 9], [8, 8, 8]] {
                let old = IpAddr::from([high[0], high[1], high[2], low]);
                let new = replace(&[3; 32], old, None);
                assert_eq!(private(old), private(new), "{old} {new}");
                assert!(seen.insert(new), "each its own");
            }
        }
        assert!(new("fd00:1::5").to_string().starts_with("f"));
        assert_ne!(new("2001:db8::1"), "2001:db8::1".parse::<IpAddr>().unwrap());
    }
}
