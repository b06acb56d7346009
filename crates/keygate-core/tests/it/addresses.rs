//! Networks against a reference over bits: an IPv4 address written as IPv6 is the IPv4 address, on both sides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use keygate_core::network::{Cidr, CidrSet, MAX_NETWORKS};
use proptest::prelude::*;

use crate::support;

/// An address as its family's width and its bits. A mapped one is of the IPv4 family.
fn bits(address: IpAddr) -> (u8, u128) {
    match address {
        IpAddr::V4(v4) => (32, v4.to_bits().into()),
        IpAddr::V6(v6) => match v6.to_bits() {
            mapped if mapped >> 32 == 0xffff => (32, mapped & 0xffff_ffff),
            other => (128, other),
        },
    }
}

/// Whether the address shares the network's first `prefix` bits, once both are what they mean.
fn reference(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    let written_wide = network.is_ipv6();
    let (width, network, prefix) = match bits(network) {
        (32, bits) if written_wide && prefix >= 96 => (32, bits, prefix - 96),
        // A network wider than all of the mapped addresses is one of IPv6, and no IPv4 address is in it.
        (32, bits) if written_wide => (128, (0xffff << 32) | bits, prefix),
        (width, bits) => (width, bits, prefix),
    };
    let (of, address) = bits(address);
    let shift = u32::from(width - prefix);
    of == width && (shift == 128 || network >> shift == address >> shift)
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).to_ipv6_mapped().into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
        // Near the mapped range, and far below it.
        (any::<u32>(), 0u128..0x2_0000)
            .prop_map(|(low, high)| Ipv6Addr::from_bits((high << 32) | u128::from(low)).into()),
    ]
}

/// A network, and an address that agrees with it on some first bits.
fn pairs() -> impl Strategy<Value = (IpAddr, u8, IpAddr)> {
    (any_address(), any::<prop::sample::Index>(), any_address(), 0u32..129, any::<bool>()).prop_map(
        |(network, prefix, stranger, shared, related)| {
            let width: u8 = if network.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.index(usize::from(width) + 1) as u8;
            let address = match network {
                _ if !related => stranger,
                IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() ^ 1u32.checked_shl(shared).unwrap_or(0)).into(),
                IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() ^ 1u128.checked_shl(shared).unwrap_or(0)).into(),
            };
            (network, prefix, address)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..support::property() })]

    #[test]
    fn a_network_contains_what_shares_its_first_bits((network, prefix, address) in pairs()) {
        let cidr = Cidr::from(ipnet_of(network, prefix));
        prop_assert_eq!(cidr.contains(address), reference(network, prefix, address), "{} {}", cidr, address);
        prop_assert_eq!(CidrSet::new([cidr]).unwrap().contains(address), cidr.contains(address));
    }

    #[test]
    fn it_does_not_matter_how_an_ipv4_address_is_written((network, prefix, _) in pairs(), bits: u32) {
        let cidr = Cidr::from(ipnet_of(network, prefix));
        let v4 = Ipv4Addr::from_bits(bits);
        prop_assert_eq!(cidr.contains(v4.into()), cidr.contains(v4.to_ipv6_mapped().into()));
    }

    #[test]
    fn a_network_is_read_back_from_its_text((network, prefix, address) in pairs()) {
        let cidr = Cidr::from(ipnet_of(network, prefix));
        prop_assert_eq!(Cidr::new(cidr.to_string()).unwrap(), cidr);
        prop_assert!(Cidr::from(address).contains(address));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[0-9a-f:./%\\[\\] -]{0,50}") {
        let _ = Cidr::new(text);
    }
}

fn ipnet_of(address: IpAddr, prefix: u8) -> ipnet::IpNet {
    ipnet::IpNet::new(address, prefix).unwrap()
}

#[test]
fn only_networks_and_addresses_are_read() {
    for bad in [
        "",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "::/129",
        "::1/64",
        "10.0.0",
        "10.0.0.0/-1",
        " 10.0.0.1",
        "fe80::1%eth0",
        "localhost",
    ] {
        assert!(Cidr::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_list_drops_repeats_and_is_bounded() {
    let networks = |count: u8| (0..count).map(|n| Cidr::new(format!("10.0.0.{n}")).unwrap());
    assert!(CidrSet::new(networks(MAX_NETWORKS as u8).chain(networks(3))).is_ok());
    assert!(CidrSet::new(networks(MAX_NETWORKS as u8 + 1)).is_err());
    // An address and its mapped spelling are one network.
    let both = CidrSet::new(["10.0.0.1", "::ffff:10.0.0.1"].map(|text| Cidr::new(text).unwrap())).unwrap();
    assert_eq!(both.iter().count(), 1);
    assert!(!CidrSet::default().contains("10.0.0.1".parse().unwrap()), "an empty list contains no address");
}
