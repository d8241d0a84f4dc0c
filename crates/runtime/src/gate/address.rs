//! Which addresses a name may lead to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why nothing is sent to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of this machine or of a private network: allowed where the policy says so.
    Private(&'static str),
    /// Of a machine's own metadata service, or nobody's: never allowed.
    Never(&'static str),
}

/// Azure's host agent: a public address that only virtual machines of Azure reach.
const AZURE_HOST: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
/// Alibaba's metadata service, from the range that providers share.
const ALIBABA_METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
/// Amazon's metadata service over IPv6.
const AMAZON_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

/// What is special about an address; `None` for one of the public internet.
pub(super) fn kind(address: IpAddr) -> Option<Kind> {
    match address {
        IpAddr::V4(v4) => kind_v4(v4),
        IpAddr::V6(v6) => kind_v6(v6),
    }
}

fn kind_v4(address: Ipv4Addr) -> Option<Kind> {
    let [a, b, c, _] = address.octets();
    Some(match (a, b, c) {
        _ if address == AZURE_HOST || address == ALIBABA_METADATA => Kind::Never("a metadata address"),
        (169, 254, _) => Kind::Never("a link-local address"),
        (0, ..) => Kind::Never("an unspecified address"),
        (224..=239, ..) => Kind::Never("a multicast address"),
        (240.., ..) => Kind::Never("a reserved address"),
        (127, ..) => Kind::Private("a loopback address"),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Kind::Private("a private address"),
        (100, 64..=127, _) | (192, 0, 0) => Kind::Private("an address of a provider's own network"),
        _ => return None,
    })
}

fn kind_v6(address: Ipv6Addr) -> Option<Kind> {
    let parts = address.segments();
    let [a, b, ..] = parts;
    // An IPv4 address inside is what counts: mapped, compatible, translated (both prefixes of NAT64), 6to4.
    let embedded = match parts {
        [0, 0, 0, 0, 0, 0xffff, x, y] | [0x64, 0xff9b, 0, 0, 0, 0, x, y] => Some((x, y)),
        [0, 0, 0, 0, 0, 0, x, y] if (x, y) > (0, 1) => Some((x, y)),
        [0x2002, x, y, ..] => Some((x, y)),
        _ => None,
    };
    if let Some((x, y)) = embedded {
        let [a, b] = x.to_be_bytes();
        let [c, d] = y.to_be_bytes();
        return kind_v4(Ipv4Addr::new(a, b, c, d));
    }
    Some(match a {
        _ if address == AMAZON_METADATA => Kind::Never("a metadata address"),
        _ if address.is_unspecified() => Kind::Never("an unspecified address"),
        _ if address.is_loopback() => Kind::Private("a loopback address"),
        0xfe80..=0xfebf => Kind::Never("a link-local address"),
        0xff00.. => Kind::Never("a multicast address"),
        // Where a tunnel or a local translator ends is not written in the address in a way to rely on.
        0x2001 if b == 0 => Kind::Never("a Teredo address"),
        0x64 if b == 0xff9b => Kind::Never("an address of a local translator"),
        0xfc00..=0xfdff | 0xfec0..=0xfeff => Kind::Private("a private address"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_by_what_it_leads_to() {
        let of = |text: &str| kind(text.parse().unwrap());
        for text in ["8.8.8.8", "151.101.0.223", "2a04:4e42::223", "64:ff9b::808:808", "2002:808:808::1"] {
            assert_eq!(of(text), None, "{text}");
        }
        for text in ["127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12::1", "fec0::1"] {
            assert!(matches!(of(text), Some(Kind::Private(_))), "{text}");
        }
        for text in ["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:10.0.0.1"] {
            assert!(matches!(of(text), Some(Kind::Private(_))), "{text}");
        }
        for text in [
            "169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:a9fe:a9fe::1",
            "2001:0:1::1",
        ] {
            assert!(matches!(of(text), Some(Kind::Never(_))), "{text}");
        }
    }
}
