//! Blocks of IPv4 addresses, such as that of the isolated network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// A block of IPv4 addresses: `10.255.0.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    first: Ipv4Addr,
    /// Leading bits that all addresses of the block share, 0 to 32.
    prefix: u8,
}

/// A text that is no block of IPv4 addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a block of IPv4 addresses: {problem}")]
pub struct BadCidr {
    text: String,
    problem: &'static str,
}

impl Cidr {
    /// Whether the address lies in the block. An IPv6 address never does, not even one that stands for an IPv4
    /// address: what is connected to must be the very address that was looked at.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address.to_bits() & self.mask() == self.first.to_bits(),
            IpAddr::V6(_) => false,
        }
    }

    fn mask(&self) -> u32 {
        // A shift by all 32 bits overflows: /0 has no bit set.
        u32::MAX
            .checked_shl(32 - u32::from(self.prefix))
            .unwrap_or(0)
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    /// Reads `10.255.0.0/24`. The address must be the block's first: `10.255.0.7/24` may be meant as one address or as
    /// all of them.
    fn from_str(text: &str) -> Result<Cidr, BadCidr> {
        let bad = |problem| BadCidr {
            text: text.to_owned(),
            problem,
        };
        let (address, prefix) = text
            .split_once('/')
            .ok_or_else(|| bad("write for example 10.255.0.0/24"))?;
        let first: Ipv4Addr = address
            .parse()
            .map_err(|_| bad("write for example 10.255.0.0/24"))?;
        // A number is also read with a plus before it.
        let digits = prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = Some(prefix)
            .filter(|_| digits)
            .and_then(|prefix| prefix.parse().ok())
            .filter(|prefix| *prefix <= 32)
            .ok_or_else(|| bad("the number behind the slash is from 0 to 32"))?;
        let block = Cidr { first, prefix };
        if !block.contains(IpAddr::V4(first)) {
            return Err(bad("the address is not the first of the block"));
        }
        Ok(block)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn contains(block: &str, address: &str) -> bool {
        let block: Cidr = block.parse().unwrap();
        block.contains(address.parse().unwrap())
    }

    #[test]
    fn blocks_hold_what_they_say() {
        for (block, address, inside) in [
            ("10.255.0.0/24", "10.255.0.0", true),
            ("10.255.0.0/24", "10.255.0.255", true),
            ("10.255.0.0/24", "10.255.1.0", false),
            ("10.255.0.0/24", "10.254.255.255", false),
            ("127.77.0.0/16", "127.77.3.9", true),
            ("127.77.0.0/16", "127.0.0.1", false),
            ("10.255.0.64/26", "10.255.0.127", true),
            ("10.255.0.64/26", "10.255.0.128", false),
            ("10.1.2.3/32", "10.1.2.3", true),
            ("10.1.2.3/32", "10.1.2.2", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/1", "128.0.0.0", false),
            ("0.0.0.0/0", "::1", false),
            ("10.255.0.0/24", "::ffff:10.255.0.7", false),
        ] {
            assert_eq!(contains(block, address), inside, "{address} in {block}");
        }
    }

    #[test]
    fn blocks_are_written_as_they_are_read() {
        for text in ["10.255.0.0/24", "0.0.0.0/0", "10.1.2.3/32"] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in [
            "",
            "10.255.0.0",
            "10.255.0.0/",
            "10.255.0.0/33",
            "10.255.0.0/-1",
            "10.0.0.0/+8",
            "10.255.0.0/24/8",
            "10.255.0.0/256",
            "10.255.0.7/24",
            "10.255.0/24",
            " 10.255.0.0/24",
            "fd00::/8",
            "ten/8",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text:?}");
        }
        assert_eq!(
            "10.255.0.7/24".parse::<Cidr>().unwrap_err().to_string(),
            "\"10.255.0.7/24\" is not a block of IPv4 addresses: the address is not the first of the block"
        );
    }
}
