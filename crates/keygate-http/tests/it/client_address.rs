//! Whose address counts, against a reference that is too plain to be wrong.

use std::net::IpAddr;

use keygate_core::network::{Cidr, CidrSet};
use keygate_http::client_address::{ForwardingHeader, MAX_CHAIN_BYTES, MAX_HOPS, TrustedProxies, client_address};
use proptest::prelude::*;

fn proxies(header: ForwardingHeader) -> TrustedProxies {
    let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| Cidr::new(network).unwrap());
    TrustedProxies::new(CidrSet::new(networks).unwrap()).reading(header)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn address(peer: &str, header: ForwardingHeader, lines: &[(&str, &str)]) -> IpAddr {
    client_address(Some(ip(peer)), lines, &proxies(header)).unwrap()
}

const XFF: ForwardingHeader = ForwardingHeader::XForwardedFor;
const FORWARDED: ForwardingHeader = ForwardingHeader::Forwarded;

#[test]
fn a_peer_that_is_not_trusted_is_the_client_whatever_it_says() {
    let lines = [("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.1")];
    assert_eq!(address("203.0.113.9", XFF, &lines), ip("203.0.113.9"));
    assert_eq!(client_address(Some(ip("10.0.0.1")), &lines[..], &TrustedProxies::none()), Some(ip("10.0.0.1")));
    assert_eq!(client_address(None, &lines[..], &proxies(XFF)), None);
}

#[test]
fn the_right_most_untrusted_hop_is_the_client_over_several_lines() {
    let lines = [
        ("X-Forwarded-For", "192.0.2.66"),
        ("Host", "x"),
        ("x-forwarded-for", "203.0.113.7, 10.2.2.2"),
        ("X-Forwarded-For", "10.3.3.3:8080"),
    ];
    assert_eq!(address("10.0.0.1", XFF, &lines), ip("203.0.113.7"));
}

#[test]
fn mapped_addresses_are_ipv4_for_the_peer_and_for_every_hop() {
    let lines = [("X-Forwarded-For", "::ffff:203.0.113.7, ::ffff:10.1.1.1")];
    assert_eq!(address("::ffff:10.0.0.1", XFF, &lines), ip("203.0.113.7"));
    assert_eq!(address("::ffff:198.51.100.1", XFF, &lines), ip("198.51.100.1"));
}

#[test]
fn nothing_left_of_what_cannot_be_read_is_believed() {
    for element in ["unknown", "", "garbage", "192.0.2.1 192.0.2.2", "_hidden"] {
        let line = format!("192.0.2.66, {element}, 10.1.1.1");
        assert_eq!(address("10.0.0.1", XFF, &[("X-Forwarded-For", &line)]), ip("10.1.1.1"), "{element}");
    }
}

#[test]
fn a_client_cannot_hide_behind_an_open_quote() {
    let line = r#"for="open, for="[2001:db8::7]:4711";proto=https"#;
    assert_eq!(address("10.0.0.1", FORWARDED, &[("Forwarded", line)]), ip("2001:db8::7"));
}

#[test]
fn one_kind_of_header_is_read_and_never_the_other() {
    let lines = [("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.2")];
    assert_eq!(address("10.0.0.1", XFF, &lines), ip("192.0.2.1"));
    assert_eq!(address("10.0.0.1", FORWARDED, &lines), ip("192.0.2.2"));
    assert_eq!(address("10.0.0.1", FORWARDED, &lines[..1]), ip("10.0.0.1"));
}

#[test]
fn long_chains_end_the_walk_and_long_lines_cost_no_more_than_their_end() {
    let hops = |count: usize| format!("192.0.2.1{}", ", 10.1.1.1".repeat(count));
    assert_eq!(address("10.0.0.1", XFF, &[("X-Forwarded-For", &hops(MAX_HOPS - 1))]), ip("192.0.2.1"));
    assert_eq!(address("10.0.0.1", XFF, &[("X-Forwarded-For", &hops(MAX_HOPS))]), ip("10.1.1.1"));

    let noise = "x".repeat(1 << 20);
    assert_eq!(address("10.0.0.1", XFF, &[("X-Forwarded-For", &format!("{noise}, 192.0.2.1"))]), ip("192.0.2.1"));
    // One byte too long: cut there, `192.0.2.1` must not become `92.0.2.1`.
    let padded = format!("192.0.2.1,{}10.1.1.1", " ".repeat(MAX_CHAIN_BYTES + 1 - 18));
    assert_eq!(padded.len(), MAX_CHAIN_BYTES + 1);
    assert_eq!(address("10.0.0.1", XFF, &[("X-Forwarded-For", &padded)]), ip("10.1.1.1"));
}

/// One element of a chain: what it is, and how it is written in each header.
#[derive(Debug, Clone)]
struct Hop {
    address: Option<IpAddr>,
    written: String,
    forwarded: String,
}

fn hop() -> impl Strategy<Value = Hop> {
    let known = prop_oneof![
        any::<[u8; 3]>().prop_map(|[a, b, c]| IpAddr::from([10, a, b, c])),
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
        any::<[u8; 4]>().prop_map(|bytes| IpAddr::from(std::net::Ipv4Addr::from(bytes).to_ipv6_mapped())),
        any::<u16>().prop_map(|last| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last])),
    ];
    let known = (known, proptest::option::of(any::<u16>()), any::<bool>()).prop_map(|(address, port, brackets)| {
        let written = match (address, port) {
            (IpAddr::V4(v4), Some(port)) => format!("{v4}:{port}"),
            (IpAddr::V6(v6), Some(port)) => format!("[{v6}]:{port}"),
            (IpAddr::V6(v6), None) if brackets => format!("[{v6}]"),
            (address, None) => address.to_string(),
        };
        let forwarded = if brackets || address.is_ipv6() || port.is_some() {
            format!("proto=https;For=\"{written}\"")
        } else {
            format!("for={written};by=\"a,b\\\"\"")
        };
        Hop { address: Some(address), written, forwarded }
    });
    let unknown = prop_oneof![Just(String::new()), Just("unknown".to_owned()), "[a-z_ .:=;]{0,12}"]
        .prop_map(|text| Hop { address: None, written: format!("!{text}"), forwarded: format!("!{text}") });
    prop_oneof![6 => known, 1 => unknown]
}

/// The plain way: all elements in a list, the nearest last; drop trusted ones from the end.
fn reference(peer: IpAddr, hops: &[Hop]) -> IpAddr {
    let trusted = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.octets()[0] == 10,
        IpAddr::V6(v6) => v6.octets()[0] == 0xfd,
    };
    let mut known = peer.to_canonical();
    let mut left: Vec<Option<IpAddr>> = hops.iter().map(|hop| hop.address).collect();
    while trusted(known) {
        match left.pop() {
            Some(Some(address)) => known = address.to_canonical(),
            Some(None) | None => break,
        }
    }
    known
}

proptest! {
    #[test]
    fn the_address_is_that_of_the_plain_reference(
        peer in hop().prop_filter_map("known", |hop| hop.address),
        lines in proptest::collection::vec(proptest::collection::vec(hop(), 1..5), 0..5),
        forwarded in any::<bool>(),
    ) {
        let hops: Vec<Hop> = lines.iter().flatten().cloned().collect();
        let (name, header) = if forwarded { ("forwarded", FORWARDED) } else { ("X-Forwarded-For", XFF) };
        let written: Vec<(&str, String)> = lines
            .iter()
            .map(|line| line.iter().map(|hop| if forwarded { hop.forwarded.clone() } else { hop.written.clone() }))
            .map(|line| (name, line.collect::<Vec<_>>().join(", ")))
            .collect();
        prop_assert_eq!(client_address(Some(peer), &written[..], &proxies(header)), Some(reference(peer, &hops)));
    }

    #[test]
    fn what_a_client_writes_left_of_its_proxy_changes_nothing(
        prefix in "[ -~]{0,40}",
        forwarded in any::<bool>(),
        own_line in any::<bool>(),
    ) {
        let (name, header, appended) =
            if forwarded { ("forwarded", FORWARDED, "for=203.0.113.7") } else { ("x-forwarded-for", XFF, "203.0.113.7") };
        let lines = if own_line {
            vec![(name, prefix), (name, appended.to_owned())]
        } else {
            vec![(name, format!("{prefix}, {appended}"))]
        };
        prop_assert_eq!(client_address(Some(ip("10.0.0.1")), &lines[..], &proxies(header)), Some(ip("203.0.113.7")));
    }

    #[test]
    fn no_header_makes_it_panic(lines in proptest::collection::vec(any::<Vec<u8>>(), 0..4), forwarded in any::<bool>()) {
        let (name, header) = if forwarded { ("forwarded", FORWARDED) } else { ("x-forwarded-for", XFF) };
        let lines: Vec<_> = lines.into_iter().map(|line| (name, line)).collect();
        prop_assert!(client_address(Some(ip("10.0.0.1")), &lines[..], &proxies(header)).is_some());
    }
}
