//! Which address of a restored machine may be connected to. A restored machine is hostile until proved otherwise, and
//! the function's own network holds what nobody else may reach: the Runtime API, the metadata service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Target, Trouble};
use crate::policy::Address;

/// The address of the machine that a check is to connect to.
///
/// # Errors
/// Why there is none, or why it is not connected to, in words.
pub fn of(target: &Target, wanted: Address) -> Result<IpAddr, Trouble> {
    let cannot = |why: String| Err(Trouble::CannotTell(why));
    let (private, public, network) = match target {
        Target::Machine {
            private,
            public,
            network,
        } => (private, public, network),
        Target::Site { address } => return Ok(*address),
        Target::Database { .. } => {
            return cannot("the check needs a machine, not a database".to_owned());
        }
    };
    match (wanted, private, public) {
        (Address::Private, None, _) => cannot("the machine has no private address".to_owned()),
        (Address::Public, _, None) => cannot("the machine has no public address".to_owned()),
        (Address::Private, Some(address), _)
            if !network.contains(*address) || is_never(*address) =>
        {
            cannot(format!(
                "{address} is not connected to: it does not lie in the isolated network"
            ))
        }
        (Address::Public, _, Some(address)) if !is_global(*address) => {
            cannot(format!("{address} is not connected to: it is not public"))
        }
        (Address::Private, Some(address), _) | (Address::Public, _, Some(address)) => Ok(*address),
    }
}

/// Addresses that are no machine's, whatever the network is said to be: this host, link-local ones with the metadata
/// services (also those of containers), everybody at once.
fn is_never(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            a == 0 || (a == 127 && b == 0) || (a == 169 && b == 254) || a >= 224
        }
        // They lie in no network of ours, and all that is public of them lies in 2000::/3, which holds none of these.
        IpAddr::V6(_) => false,
    }
}

/// Whether the address is routed in the internet (IANA's registries of special-purpose addresses).
fn is_global(address: IpAddr) -> bool {
    if is_never(address) {
        return false;
    }
    match address {
        IpAddr::V4(v4) => is_global_v4(v4),
        IpAddr::V6(v6) => is_global_v6(v6),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [10 | 127, ..]
            | [100, 64..=127, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // 2000::/3 is all that is given out; the parts of it below carry other addresses or none.
    segments[0] & 0xe000 == 0x2000
        && !matches!(
            segments,
            [0x2001, 0..=0x01ff, ..]
                | [0x2001, 0x0db8, ..]
                | [0x2002, ..]
                | [0x3fff, 0..=0x0fff, ..]
        )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reached(network: &str, wanted: Address, address: &str) -> bool {
        let address = Some(address.parse().unwrap());
        let target = Target::Machine {
            private: address.filter(|_| wanted == Address::Private),
            public: address.filter(|_| wanted == Address::Public),
            network: network.parse().unwrap(),
        };
        of(&target, wanted).is_ok()
    }

    #[test]
    fn a_private_address_lies_in_the_isolated_network() {
        let private = |address| reached("10.255.0.0/24", Address::Private, address);
        assert!(private("10.255.0.7"));
        for address in [
            "10.255.1.7",
            "10.0.0.1",
            "192.168.0.1",
            "8.8.8.8",
            "127.0.0.1",
            "169.254.169.254",
            "::ffff:10.255.0.7",
            "::1",
        ] {
            assert!(!private(address), "{address}");
        }
    }

    #[test]
    fn no_network_makes_this_host_or_the_metadata_service_reachable() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.0.1.1",
            "169.254.169.254",
            "169.254.170.2",
            "169.254.100.1",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            assert!(
                !reached("0.0.0.0/0", Address::Private, address),
                "{address}"
            );
            assert!(!reached("0.0.0.0/0", Address::Public, address), "{address}");
        }
        for address in ["127.77.3.4", "169.1.2.3", "10.254.0.1", "10.0.0.1"] {
            assert!(reached("0.0.0.0/0", Address::Private, address), "{address}");
        }
    }

    #[test]
    fn a_public_address_is_routed_in_the_internet() {
        let public = |address| reached("0.0.0.0/0", Address::Public, address);
        for address in [
            "52.95.110.1",
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "2600:1f18::1",
            "2a05:d018::1",
        ] {
            assert!(public(address), "{address}");
        }
        for address in [
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.77.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "240.0.0.1",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "64:ff9b::8.8.8.8",
            "fd00:ec2::254",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "3fff::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }

    #[test]
    fn a_site_that_somebody_names_is_where_they_say() {
        for address in ["127.0.0.1", "10.0.0.1", "8.8.8.8", "::1"] {
            let address = address.parse().unwrap();
            let target = Target::Site { address };
            for wanted in [Address::Private, Address::Public] {
                assert_eq!(of(&target, wanted).unwrap(), address);
            }
        }
    }

    #[test]
    fn an_address_that_is_not_there_is_no_address() {
        let target = Target::Machine {
            private: None,
            public: None,
            network: "10.0.0.0/8".parse().unwrap(),
        };
        assert!(of(&target, Address::Private).is_err());
        assert!(of(&target, Address::Public).is_err());
    }
}
