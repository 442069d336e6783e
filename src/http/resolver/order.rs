//! The order in which addresses are tried (RFC 6724, section 6), by the rules that Go has of it (`net/addrselect.go`).

use std::net::{IpAddr, SocketAddr, UdpSocket};

use rustix::net::SocketType;

use super::conversation::connected;

/// The default policy table (RFC 6724, section 2.1), the longest prefixes first: prefix, its length, precedence, label.
const POLICY: [(u128, u32, u8, u8); 9] = [
    (1, 128, 50, 0),
    (0xffff << 32, 96, 35, 4),
    (0, 96, 1, 3),
    (0x2001 << 112, 32, 5, 5),
    (0x2002 << 112, 16, 30, 2),
    (0x3ffe << 112, 16, 1, 12),
    (0xfec0 << 112, 10, 1, 11),
    (0xfc00 << 112, 7, 3, 13),
    (0, 0, 40, 1),
];

/// The port does not matter, but 0 is none.
const ANY_PORT: u16 = 53;

/// Sorts addresses by what the machine would send to them from. No packet is sent for that.
pub(super) fn sort(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if addresses.len() < 2 {
        return addresses;
    }
    sort_by_source(addresses, |address| {
        let mut target = *address;
        target.set_port(ANY_PORT);
        let socket = UdpSocket::from(connected(target, SocketType::DGRAM).ok()?);
        Some(socket.local_addr().ok()?.ip())
    })
}

/// Sorts addresses by the `source` of each; one that has none cannot be reached.
fn sort_by_source(
    addresses: Vec<SocketAddr>,
    source: impl Fn(&SocketAddr) -> Option<IpAddr>,
) -> Vec<SocketAddr> {
    let mut sorted: Vec<([u8; 6], SocketAddr)> = Vec::with_capacity(addresses.len());
    for address in addresses {
        let key = source(&address).map(|source| key(address.ip(), source)).unwrap_or_default();
        // There are few; `sort_by` is 3,904 bytes more of the shipped program.
        let place = sorted.iter().position(|(other, _)| *other < key).unwrap_or(sorted.len());
        sorted.insert(place, (key, address));
    }
    sorted.into_iter().map(|(_, address)| address).collect()
}

/// What is compared, the greater first: rules 1, 2, 5, 6, 8 and 9. Rules 3, 4 and 7 need to know more than a socket tells.
fn key(address: IpAddr, source: IpAddr) -> [u8; 6] {
    let (precedence, label) = policy(address);
    let same_prefix = match (address, source) {
        // Of the network's half of the address only, and not for IPv4, where it says nothing about distance.
        (IpAddr::V6(a), IpAddr::V6(b)) => ((a.to_bits() ^ b.to_bits()) >> 64 << 64).leading_zeros().min(64),
        _ => 0,
    };
    [
        1,
        u8::from(scope(address) == scope(source)),
        u8::from(label == policy(source).1),
        precedence,
        u8::MAX - scope(address),
        u8::try_from(same_prefix).unwrap_or_default(),
    ]
}

/// Precedence and label.
fn policy(address: IpAddr) -> (u8, u8) {
    let bits = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    let is_in = |prefix: u128, length: u32| (bits ^ prefix).leading_zeros() >= length;
    let row = POLICY.iter().find(|(prefix, length, ..)| is_in(*prefix, *length));
    row.map_or((0, 0), |(_, _, precedence, label)| (*precedence, *label))
}

/// How far an address reaches (RFC 6724, section 3.1; RFC 4291, section 2.7).
fn scope(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(address) if address.is_loopback() || address.is_link_local() => 2,
        IpAddr::V6(address) if address.is_loopback() || address.is_unicast_link_local() => 2,
        IpAddr::V6(address) => match address.octets() {
            [0xff, flags, ..] => flags & 15,
            [0xfe, 0xc0..=0xff, ..] => 5,
            _ => 14,
        },
        IpAddr::V4(_) => 14,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each address with the one that it would be reached from, or none, sorted as Go sorts them.
    #[test]
    fn addresses_are_sorted_by_their_sources() {
        for (given, expected) in [
            // Rule 1: what cannot be reached comes last, in the order that it had.
            ("2001:db8::1 - 10.0.0.1 10.0.0.9 192.0.2.1 -", "10.0.0.1 2001:db8::1 192.0.2.1"),
            // Rule 2: the same scope.
            ("2001:db8:1::1 fe80::9 198.51.100.1 198.51.100.9", "198.51.100.1 2001:db8:1::1"),
            ("2001:db8:1::1 2001:db8:1::9 198.51.100.1 169.254.9.9", "2001:db8:1::1 198.51.100.1"),
            ("ff00::1 2001:db8:1::9 2001:db8:1::1 2001:db8:1::9", "2001:db8:1::1 ff00::1"),
            // Rule 5: the same label.
            (
                "2002:c633:6401::1 2002:c633:6401::9 2001:db8:1::1 2002:c633:6401::9",
                "2002:c633:6401::1 2001:db8:1::1",
            ),
            // Rule 6: precedence. Loopback, IPv6, IPv4, 6to4, Teredo, unique local.
            ("127.0.0.1 127.0.0.1 ::1 ::1", "::1 127.0.0.1"),
            ("10.1.2.3 10.1.2.9 2001:db8:1::1 2001:db8:1::9", "2001:db8:1::1 10.1.2.3"),
            ("fd00::1 fd00::9 10.1.2.3 10.1.2.9 2002::1 2002::9", "10.1.2.3 2002::1 fd00::1"),
            ("fd00::1 fd00::9 2001::1 2001::9", "2001::1 fd00::1"),
            // Rule 8: the smaller scope.
            ("2001:db8:1::1 2001:db8:1::9 fe80::1 fe80::9", "fe80::1 2001:db8:1::1"),
            ("198.51.100.1 198.51.100.9 169.254.1.1 169.254.1.9", "169.254.1.1 198.51.100.1"),
            // Rule 9: the longest common prefix, of 64 bits, and not for IPv4.
            ("2001:db8:2::1 2001:db8:1::9 2001:db8:1::1 2001:db8:1::9", "2001:db8:1::1 2001:db8:2::1"),
            ("2001:db8:1::ffff 2001:db8:1::1 2001:db8:1::1 2001:db8:1::1", "2001:db8:1::ffff 2001:db8:1::1"),
            ("10.9.0.1 10.1.0.1 10.1.0.2 10.1.0.1", "10.9.0.1 10.1.0.2"),
            // Rule 10: as they were.
            ("10.0.0.2 10.0.0.9 10.0.0.1 10.0.0.9 10.0.0.3 10.0.0.9", "10.0.0.2 10.0.0.1 10.0.0.3"),
        ] {
            let words: Vec<_> = given.split(' ').collect();
            let pairs: Vec<(IpAddr, Option<IpAddr>)> =
                words.chunks(2).map(|pair| (pair[0].parse().unwrap(), pair[1].parse().ok())).collect();
            let addresses = pairs.iter().map(|(address, _)| SocketAddr::new(*address, 0)).collect();
            let source = |address: &SocketAddr| {
                pairs.iter().find(|(other, _)| *other == address.ip()).and_then(|(_, source)| *source)
            };
            let sorted: Vec<_> =
                sort_by_source(addresses, source).iter().map(|address| address.ip().to_string()).collect();
            assert_eq!(sorted.join(" "), expected, "{given}");
        }
    }

    /// Nobody may send to everybody without having said so: that address has no source.
    #[test]
    fn two_and_more_are_sorted_by_what_the_system_says() {
        let [all, own] = ["255.255.255.255:6443", "127.0.0.1:6443"].map(|text| text.parse().unwrap());
        for (given, expected) in [
            (&[all, own][..], &[own, all][..]),
            (&[own, all], &[own, all]),
            (&[all, own, all], &[own, all, all]),
            (&[all], &[all]),
            (&[], &[]),
        ] {
            assert_eq!(sort(given.to_vec()), expected);
        }
    }

    /// RFC 6724, section 2.1, and what Go has.
    #[test]
    fn each_kind_of_address_has_its_precedence_and_label() {
        for (address, expected) in [
            ("::1", (50, 0)),
            ("10.0.0.1", (35, 4)),
            ("2001:db8::1", (40, 1)),
            ("2001::1", (5, 5)),
            ("2002::1", (30, 2)),
            ("3ffe::1", (1, 12)),
            ("fec0::1", (1, 11)),
            ("fd00::1", (3, 13)),
        ] {
            assert_eq!(policy(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn scopes_are_those_of_the_address_architecture() {
        for (address, expected) in [
            ("127.9.9.9", 2),
            ("169.254.0.1", 2),
            ("10.0.0.1", 14),
            ("::1", 2),
            ("fe80::1", 2),
            ("fec0::1", 5),
            ("ff00::1", 0),
            ("ff05::1", 5),
            ("ff0e::1", 14),
            ("fd00::1", 14),
        ] {
            assert_eq!(scope(address.parse().unwrap()), expected, "{address}");
        }
    }
}
