//! What kind of network an address belongs to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kinds that the address rule tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// Link-local, metadata, multicast, documentation, reserved: no chart is ever there.
    Forbidden,
    /// This machine.
    Loopback,
    /// Private networks, shared address space (CGNAT), unique local addresses.
    Private,
    /// The internet.
    Public,
}

/// The zone of an address; IPv6 forms that carry an IPv4 address are judged as that address.
pub(super) fn zone(address: IpAddr) -> Zone {
    match address {
        IpAddr::V4(address) => zone_v4(address),
        IpAddr::V6(address) => embedded(address).map_or_else(|| zone_v6(address), zone_v4),
    }
}

/// <https://www.iana.org/assignments/iana-ipv4-special-registry>
fn zone_v4(address: Ipv4Addr) -> Zone {
    if METADATA_V4.contains(&address) {
        return Zone::Forbidden;
    }
    match address.octets() {
        [127, ..] => Zone::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Zone::Private,
        // This network, link-local, protocol assignments, the three documentation networks,
        // 6to4 relays, benchmarks, multicast, reserved, broadcast.
        [0 | 224..=255, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18..=19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Zone::Forbidden,
        _ => Zone::Public,
    }
}

/// <https://www.iana.org/assignments/iana-ipv6-special-registry>
fn zone_v6(address: Ipv6Addr) -> Zone {
    if METADATA_V6.contains(&address) {
        return Zone::Forbidden;
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Zone::Loopback,
        [0xfc00..=0xfdff, ..] => Zone::Private,
        // Protocol assignments with Teredo, documentation, 6to4, documentation again.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => Zone::Forbidden,
        [0x2000..=0x3fff, ..] => Zone::Public,
        _ => Zone::Forbidden,
    }
}

/// The IPv4 address inside a mapped, compatible, translated or NAT64 address.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => return None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

/// Services that hand out a machine's identity, outside of link-local networks.
const METADATA_V4: [Ipv4Addr; 2] = [
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba Cloud
    Ipv4Addr::new(168, 63, 129, 16),   // Azure
];

const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254), // AWS
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0023), // AWS, pod identity
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254), // Google Cloud
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_the_zone_of_its_network() {
        for (zone_of, addresses) in TABLE {
            for address in addresses.split_whitespace() {
                assert_eq!(zone(address.parse().unwrap()), *zone_of, "{address}");
            }
        }
    }

    /// Both ends of each network, and the addresses just outside.
    const TABLE: &[(Zone, &str)] = &[
        (
            Zone::Public,
            "1.0.0.0 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
             168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0
             192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0
             198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255
             ::ffff:8.8.8.8 ::8.8.8.8 64:ff9b::8.8.8.8 2000:: 2001:200:: 2001:db7:: 2001:db9:: 2003::
             2606:4700::1111 3ffe:ffff:: 3fff:1000::",
        ),
        (
            Zone::Private,
            "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255 100.64.0.0
             100.127.255.255 ::ffff:10.0.0.1 ::10.0.0.1 64:ff9b::10.0.0.1 ::ffff:0:10.0.0.1 fc00:: fdff::1",
        ),
        (Zone::Loopback, "127.0.0.0 127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::7f00:1"),
        (
            Zone::Forbidden,
            "0.0.0.0 0.255.255.255 169.254.0.0 169.254.169.254 169.254.255.255 192.0.0.0 192.0.0.192 192.0.2.1
             192.88.99.1 198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.0
             255.255.255.255 100.100.100.200 168.63.129.16 :: ::2 ::ffff:169.254.169.254 ::169.254.169.254
             64:ff9b::169.254.169.254 64:ff9b:1::1 64:ff9b::0:1:0 100::1 2001::1 2001:1ff:: 2001:db8::1 2002:7f00:1::
             3fff:: 3fff:fff:: 4000:: 5f00::1 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fe80::1 febf::1 fec0::1
             ff02::1 ffff::",
        ),
    ];
}
